/// A JSON document (RFC 8259) as a tree. Object members keep their order.
enum JSONValue: Equatable {
  case null
  case bool(Bool)
  /// The number's text; it is read as the type of the field it is for.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([(key: String, value: JSONValue)])

  static func == (left: JSONValue, right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): a == b
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)):
      a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && $0.value == $1.value }
    default: false
    }
  }

  /// What it is, for messages to people.
  var kindName: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }

  /// Parses exactly one document; the error names the line and column.
  init(parsing bytes: [UInt8]) throws(WireError) {
    do throws(JSONFailure) {
      self = try JSONParser<JSONValue>.read(bytes, maxDepth: wireDepthLimit)
    } catch {
      throw WireError(message: "line \(error.position.line), column \(error.position.column): \(error.message)")
    }
  }
}

extension JSONValue: JSONTree {
  init?(_ parsed: JSONParser<JSONValue>.Parsed, at position: JSONPosition) {
    switch parsed {
    case .null: self = .null
    case .boolean(let value): self = .bool(value)
    case .number(let text, _): self = .number(text)
    case .string(let text): self = .string(text)
    case .list(let elements): self = .array(elements)
    case .object(let members): self = .object(members.map { ($0.name, $0.value) })
    }
  }
}
