package import MeshControl

/// Numbers and times as the tables show them.
package enum Figures {
  /// Stands where there is no value.
  package static let none = "-"

  /// A share as a percentage: `99.82%`, `100.00%`. Never rounded up to a hundred.
  package static func percent(_ share: Double?) -> String {
    guard let share else { return none }
    let hundredths = share >= 1 ? 10_000 : min(9_999, Int((max(0, share) * 10_000).rounded()))
    return "\(hundredths / 100).\(twoDigits(hundredths % 100))%"
  }

  /// One decimal: `50.0`.
  package static func oneDecimal(_ value: Double?) -> String {
    guard let value, value.isFinite, abs(value) < 1e15 else { return none }
    let tenths = Int((value * 10).rounded())
    return "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10)"
  }

  /// Milliseconds with the unit that reads best: `0.4ms`, `12ms`, `1.5s`.
  package static func milliseconds(_ value: Double?) -> String {
    guard let value, value.isFinite else { return none }
    if value < 9.95 { return oneDecimal(value) + "ms" }
    if value < 999.5 { return "\(Int(value.rounded()))ms" }
    return oneDecimal(value / 1000) + "s"
  }

  /// A span in its two largest units, as kubectl writes ages: `45s`, `5m10s`, `3h20m`, `12d`.
  package static func age(seconds: Int64) -> String {
    let seconds = max(0, seconds)
    if seconds < 120 { return "\(seconds)s" }
    if seconds < 600 { return "\(seconds / 60)m" + (seconds % 60 == 0 ? "" : "\(seconds % 60)s") }
    if seconds < 3 * 3600 { return "\(seconds / 60)m" }
    if seconds < 8 * 3600 { return "\(seconds / 3600)h" + (seconds / 60 % 60 == 0 ? "" : "\(seconds / 60 % 60)m") }
    if seconds < 48 * 3600 { return "\(seconds / 3600)h" }
    return "\(seconds / 86_400)d"
  }

  /// The age of something with this RFC 3339 time.
  package static func age(since text: String?, now: Timestamp) -> String {
    guard let time = text.flatMap({ Timestamp(rfc3339: $0) }) else { return none }
    return age(seconds: now.secondsSinceEpoch - time.secondsSinceEpoch)
  }

  private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}

extension Value {
  /// The number, where this is one. Not inlined, for the same reason as `int`.
  @inline(never)
  var double: Double? {
    switch content {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The whole number, where this is one. Not inlined: the optimizer of Swift 6.3 fails a check of its own on it.
  @inline(never)
  var int: Int? {
    if case .integer(let value) = content { Int(exactly: value) } else { nil }
  }

  /// The text of a scalar as it would be written: `80`, `http`, `true`.
  var scalarText: String? {
    switch content {
    case .string(let text): text
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .boolean(let value): "\(value)"
    default: nil
    }
  }

  /// `key=value` pairs of an object, in order of the keys; absent for an empty one.
  var labelText: String? {
    guard let members, !members.isEmpty else { return nil }
    return members.map { "\($0.name)=\($0.value.scalarText ?? "")" }.sorted().joined(separator: ",")
  }
}
