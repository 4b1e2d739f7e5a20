/// A document as it was read, before anything is known about its meaning: what YAML and JSON have in common.
///
/// Equality leaves out where a value stood, and the order of an object's members.
package struct Value: Sendable {
  /// One member of an object.
  package struct Member: Sendable {
    package var name: String
    package var value: Value

    package init(_ name: String, _ value: Value) {
      self.name = name
      self.value = value
    }
  }

  package enum Content: Sendable {
    case null
    case boolean(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case list([Value])
    /// Members in the order they were written. Readers refuse a name that comes twice.
    case object([Member])
  }

  /// Where a value began in its document, both from 1.
  package struct Position: Sendable, Hashable {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
      self.line = line
      self.column = column
    }
  }

  package var content: Content
  /// Absent for values that were not read from a document.
  package var position: Position?

  package init(_ content: Content, position: Position? = nil) {
    self.content = content
    self.position = position
  }

  package static let null = Value(.null)
  package static func boolean(_ value: Bool) -> Value { Value(.boolean(value)) }
  package static func integer(_ value: Int) -> Value { Value(.integer(Int64(value))) }
  package static func string(_ value: String) -> Value { Value(.string(value)) }
  package static func list(_ values: [Value]) -> Value { Value(.list(values)) }
  package static func object(_ members: [Member]) -> Value { Value(.object(members)) }

  /// The member of that name; nil where there is none or this is no object.
  package subscript(name: String) -> Value? {
    guard case .object(let members) = content else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// The text, where this is a string.
  package var text: String? {
    if case .string(let text) = content { text } else { nil }
  }

  /// The elements, where this is a list.
  package var elements: [Value]? {
    if case .list(let elements) = content { elements } else { nil }
  }

  /// The members, where this is an object.
  package var members: [Member]? {
    if case .object(let members) = content { members } else { nil }
  }

  /// What this is, in words for people: `a string`, `a list` …
  package var typeName: String {
    switch content {
    case .null: "null"
    case .boolean: "a boolean"
    case .integer: "a whole number"
    case .number: "a number"
    case .string: "a string"
    case .list: "a list"
    case .object: "an object"
    }
  }
}

extension Value: Equatable {
  package static func == (left: Value, right: Value) -> Bool {
    switch (left.content, right.content) {
    case (.null, .null): return true
    case (.boolean(let left), .boolean(let right)): return left == right
    case (.integer(let left), .integer(let right)): return left == right
    case (.number(let left), .number(let right)): return left == right
    case (.string(let left), .string(let right)): return left == right
    case (.list(let left), .list(let right)): return left == right
    case (.object(let left), .object(let right)):
      guard left.count == right.count else { return false }
      let named = Dictionary(right.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
      return left.allSatisfy { named[$0.name] == $0.value }
    default: return false
    }
  }
}
