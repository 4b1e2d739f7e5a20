import MeshControl

/// A `labelSelector` of a request: conditions with commas between, all of which must hold.
struct LabelQuery: Sendable {
  enum Condition: Sendable, Equatable {
    case equals(String, String)
    case differs(String, String)
    case exists(String)
    case isAbsent(String)
    case isIn(String, [String])
    case isNotIn(String, [String])
  }

  var conditions: [Condition]

  /// Reads `app=shop,version!=v1,canary,!old,zone in (a, b)`.
  init(_ text: String) throws(StatusAnswer) {
    conditions = []
    for part in Self.split(text) where !part.isEmpty {
      conditions.append(try Self.condition(part))
    }
  }

  func matches(_ labels: [String: String]) -> Bool {
    conditions.allSatisfy { condition in
      switch condition {
      case .equals(let key, let value): labels[key] == value
      case .differs(let key, let value): labels[key] != value
      case .exists(let key): labels[key] != nil
      case .isAbsent(let key): labels[key] == nil
      case .isIn(let key, let values): labels[key].map { values.contains($0) } ?? false
      case .isNotIn(let key, let values): labels[key].map { !values.contains($0) } ?? true
      }
    }
  }

  /// Parts between commas that stand outside parentheses.
  private static func split(_ text: String) -> [String] {
    var parts = [""]
    var depth = 0
    for character in text {
      if character == "(" { depth += 1 }
      if character == ")" { depth -= 1 }
      if character == ",", depth == 0 {
        parts.append("")
      } else {
        parts[parts.count - 1].append(character)
      }
    }
    return parts.map { trim($0) }
  }

  private static func condition(_ part: String) throws(StatusAnswer) -> Condition {
    if let (key, value) = halves(part, "!=") { return .differs(try checked(key), value) }
    if let (key, value) = halves(part, "==") { return .equals(try checked(key), value) }
    if let (key, value) = halves(part, "=") { return .equals(try checked(key), value) }
    if let (key, list) = halves(part, " notin ") { return .isNotIn(try checked(key), try values(list)) }
    if let (key, list) = halves(part, " in ") { return .isIn(try checked(key), try values(list)) }
    if part.hasPrefix("!") { return .isAbsent(try checked(trim(part.dropFirst()))) }
    return .exists(try checked(part))
  }

  private static func halves(_ text: String, _ separator: String) -> (String, String)? {
    guard let range = text.firstRange(of: separator) else { return nil }
    return (trim(text[..<range.lowerBound]), trim(text[range.upperBound...]))
  }

  private static func values(_ text: String) throws(StatusAnswer) -> [String] {
    guard text.hasPrefix("("), text.hasSuffix(")") else {
      throw .badRequest("labelSelector: a list stands in parentheses, like zone in (a, b)")
    }
    return text.dropFirst().dropLast().split(separator: ",", omittingEmptySubsequences: false).map { trim($0) }
  }

  private static func checked(_ key: String) throws(StatusAnswer) -> String {
    if let fault = TextFormat.labelKey.fault(in: key) {
      throw .badRequest("labelSelector: the key \"\(key.prefix(64))\" \(fault)")
    }
    return key
  }

  private static func trim(_ text: some StringProtocol) -> String {
    String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
  }
}
