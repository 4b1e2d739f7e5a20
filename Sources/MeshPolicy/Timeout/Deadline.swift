package import MeshModel

/// Which limit a deadline comes from, and so which reason a request gets that runs into it.
package enum DeadlineSource: UInt8, Sendable, BitwiseCopyable {
  case none, route, caller

  /// The reason for running into it.
  package var reason: Reason {
    switch self {
    case .none, .route: .requestTimeout
    case .caller: .callerDeadlineExceeded
    }
  }
}

/// A moment by which something must be done, and on whose account.
package struct Deadline: Equatable, Sendable, BitwiseCopyable {
  /// Monotonic nanoseconds; `.max` for never.
  package var at: Int64
  package var source: DeadlineSource

  package static let never = Deadline(at: .max, source: .none)

  @inlinable
  package init(at: Int64, source: DeadlineSource) {
    self.at = at
    self.source = source
  }

  /// The earlier of this and a moment `limit` after `now`.
  package func limited(by limit: TimeLimit, now: Int64, source: DeadlineSource) -> Deadline {
    guard case .nanoseconds(let nanoseconds) = limit else { return self }
    let (sum, overflow) = now.addingReportingOverflow(max(0, nanoseconds))
    return !overflow && sum < at ? Deadline(at: sum, source: source) : self
  }

  /// The time left; 0 once it has passed, `.max` for never.
  package func remaining(now: Int64) -> Int64 { at == .max ? .max : max(0, at &- now) }

  /// The deadline of a whole request: the route's, or the caller's where that is earlier.
  ///
  /// The caller's is in `x-envoy-expected-rq-timeout-ms` or, for gRPC, in `grpc-timeout`; the shortest holds, and what
  /// cannot be read is as if it were not there; so are 0 milliseconds, which Envoy takes for "no limit".
  package static func ofRequest(
    _ head: borrowing MessageHead, route: TimeLimit, trustsCaller: Bool, now: Int64
  ) -> Deadline {
    var deadline = Deadline.never.limited(by: route, now: now, source: .route)
    guard trustsCaller else { return deadline }
    if let field = head.first(.expectedRequestTimeout), let time = milliseconds(head.bytes(field.value)), time > 0 {
      deadline = deadline.limited(by: .nanoseconds(time), now: now, source: .caller)
    }
    if let field = head.first(.grpcTimeout), let time = grpcTimeout(head.bytes(field.value)) {
      deadline = deadline.limited(by: .nanoseconds(time), now: now, source: .caller)
    }
    return deadline
  }

  // MARK: What headers say

  /// Nanoseconds of `grpc-timeout`: one to eight digits and one of H, M, S, m, u, n (gRPC over HTTP/2). Nil where it is
  /// anything else.
  package static func grpcTimeout(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
    guard text.count >= 2, text.count <= 9, let value = number(text, count: text.count &- 1) else { return nil }
    let unit: Int64
    switch text[text.count &- 1] {
    case UInt8(ascii: "H"): unit = 3_600_000_000_000
    case UInt8(ascii: "M"): unit = 60_000_000_000
    case UInt8(ascii: "S"): unit = 1_000_000_000
    case UInt8(ascii: "m"): unit = 1_000_000
    case UInt8(ascii: "u"): unit = 1_000
    case UInt8(ascii: "n"): unit = 1
    default: return nil
    }
    let (product, overflow) = value.multipliedReportingOverflow(by: unit)
    return min(overflow ? .max : product, TimeLimit.longestNanoseconds)
  }

  /// Nanoseconds of a number of milliseconds, one to twelve digits. Nil where it is anything else.
  package static func milliseconds(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
    guard text.count >= 1, text.count <= 12, let value = number(text, count: text.count) else { return nil }
    return min(value &* 1_000_000, TimeLimit.longestNanoseconds)
  }

  private static func number(_ text: UnsafeBufferPointer<UInt8>, count: Int) -> Int64? {
    var value: Int64 = 0
    var index = 0
    while index < count {
      let digit = text[index] &- 48
      guard digit < 10 else { return nil }
      value = value &* 10 &+ Int64(digit)
      index &+= 1
    }
    return value
  }

  /// Writes `nanoseconds` as `grpc-timeout`: the finest unit whose number has at most eight digits, rounded up.
  package static func writeGRPCTimeout(_ nanoseconds: Int64, into writer: inout FixedWriter) {
    let time = UInt64(max(0, nanoseconds))
    let units = units
    for index in 0..<6 {
      let unit = UInt64(units[index].0)
      let value = time / unit + (time % unit == 0 ? 0 : 1)
      if value <= 99_999_999 {
        writer.append(decimal: value)
        writer.append(units[index].1)
        return
      }
    }
    writer.append("99999999H")
  }

  /// Writes `nanoseconds` as whole milliseconds, rounded up.
  package static func writeMilliseconds(_ nanoseconds: Int64, into writer: inout FixedWriter) {
    let time = UInt64(max(0, nanoseconds))
    writer.append(decimal: time / 1_000_000 + (time % 1_000_000 == 0 ? 0 : 1))
  }

  // MARK: Less than was written before

  /// The same over all that is left of `writer`, with zeros in front. A time that is too long for it leaves it alone.
  package static func writeMilliseconds(_ nanoseconds: Int64, filling writer: inout FixedWriter) {
    let time = UInt64(max(0, nanoseconds))
    _ = fill(&writer, time / 1_000_000 + (time % 1_000_000 == 0 ? 0 : 1), count: writer.remaining)
  }

  /// Writes `grpc-timeout` over all that is left of `writer`, in the finest unit that fits, with zeros in front. A time
  /// that is too long for it leaves it alone.
  package static func writeGRPCTimeout(_ nanoseconds: Int64, filling writer: inout FixedWriter) {
    let time = UInt64(max(0, nanoseconds))
    let units = units
    for index in 0..<6 {
      let (unit, letter) = units[index]
      let value = time / UInt64(unit) + (time % UInt64(unit) == 0 ? 0 : 1)
      guard fill(&writer, value, count: min(8, writer.remaining &- 1)) else { continue }
      writer.append(letter)
      return
    }
  }

  /// Writes `value` as exactly `count` digits; false, and nothing, where it has more.
  private static func fill(_ writer: inout FixedWriter, _ value: UInt64, count: Int) -> Bool {
    guard count > 0 else { return false }
    var divisor: UInt64 = 1
    var digits = 1
    while value / divisor >= 10 {
      divisor &*= 10
      digits &+= 1
    }
    guard digits <= count else { return false }
    for _ in digits..<count { writer.append(0x30) }
    writer.append(decimal: value)
    return true
  }

  private static var units: InlineArray<6, (Int64, UInt8)> {
    [
      (1, UInt8(ascii: "n")), (1_000, UInt8(ascii: "u")), (1_000_000, UInt8(ascii: "m")),
      (1_000_000_000, UInt8(ascii: "S")), (60_000_000_000, UInt8(ascii: "M")), (3_600_000_000_000, UInt8(ascii: "H")),
    ]
  }
}
