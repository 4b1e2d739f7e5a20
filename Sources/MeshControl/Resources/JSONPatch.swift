/// A list of changes to a document, as RFC 6902 has them: `kubectl patch --type=json`, Argo Rollouts, Flux.
package struct JSONPatch {
  /// Which operation cannot be done, and why.
  package struct Failure: Error, Equatable {
    package var message: String
    /// The document is not as a `test` wants it; nothing is wrong with the patch.
    package var isUnmetTest = false
  }

  /// Most operations in one patch.
  package static let maxOperations = 1_000
  /// Most values that all copies of one patch may make, so that copying copies grows no document without bound.
  package static let maxCopiedValues = 10_000

  private enum Operation: String {
    case add, remove, replace, move, copy, test
  }

  private let operations: [Value]
  private var copied = 0

  /// Takes the parsed body of a request.
  ///
  /// - Throws: `Failure` where it is no list, or longer than `maxOperations`.
  package init(_ patch: Value) throws(Failure) {
    guard let operations = patch.elements else { throw Failure(message: "the patch is \(patch.typeName), not a list") }
    guard operations.count <= Self.maxOperations else {
      throw Failure(message: "the patch has \(operations.count) operations; \(Self.maxOperations) are the most")
    }
    self.operations = operations
  }

  /// The document after all operations, or the first one that cannot be done; then none has effect.
  package mutating func applied(to document: Value) throws(Failure) -> Value {
    copied = 0
    var result = document
    for (index, operation) in operations.enumerated() {
      do throws(Failure) {
        try apply(operation, to: &result)
      } catch {
        throw Failure(message: "operation \(index): \(error.message)", isUnmetTest: error.isUnmetTest)
      }
    }
    return result
  }

  private mutating func apply(_ change: Value, to document: inout Value) throws(Failure) {
    guard let name = change["op"]?.text, let operation = Operation(rawValue: name) else {
      throw Failure(message: "\"op\" must be add, remove, replace, move, copy or test")
    }
    let path = try pointer("path", of: change)
    switch operation {
    case .add: try add(try value(of: change), at: path, to: &document)
    case .remove: try remove(at: path, from: &document)
    case .replace:
      guard !path.isEmpty else {
        document = try value(of: change)
        return
      }
      let new = try value(of: change)
      try edit(&document, path[...]) { (holder, name) throws(Failure) in
        try Self.replace(new, at: name, in: &holder)
      }
    case .move:
      let from = try pointer("from", of: change)
      guard !(path.count > from.count && path.starts(with: from)) else {
        throw Failure(message: "nothing can be moved into itself")
      }
      let moved = try Self.find(document, from)
      if from == path { return }
      try remove(at: from, from: &document)
      try add(moved, at: path, to: &document)
    case .copy:
      let found = try Self.find(document, try pointer("from", of: change))
      copied += Self.size(found)
      guard copied <= Self.maxCopiedValues else {
        throw Failure(message: "the copies of this patch would make more than \(Self.maxCopiedValues) values")
      }
      try add(found, at: path, to: &document)
    case .test:
      guard try Self.find(document, path) == (try value(of: change)) else {
        throw Failure(message: "\(Self.text(path)) is not what the test wants", isUnmetTest: true)
      }
    }
  }

  private func add(_ new: Value, at path: [String], to document: inout Value) throws(Failure) {
    try edit(&document, path[...]) { (holder, name) throws(Failure) in try Self.add(new, at: name, to: &holder) }
  }

  private func remove(at path: [String], from document: inout Value) throws(Failure) {
    try edit(&document, path[...]) { (holder, name) throws(Failure) in _ = try Self.remove(at: name, from: &holder) }
  }

  private func value(of change: Value) throws(Failure) -> Value {
    guard let value = change["value"] else { throw Failure(message: "\"value\" is missing") }
    return value
  }

  /// A JSON Pointer (RFC 6901) as its parts.
  private func pointer(_ name: String, of change: Value) throws(Failure) -> [String] {
    guard let text = change[name]?.text else { throw Failure(message: "\"\(name)\" is missing") }
    if text.isEmpty { return [] }
    guard text.hasPrefix("/") else { throw Failure(message: "\"\(name)\" must begin with /, as in /spec/rules/0") }
    return try text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map { part throws(Failure) in
      try Self.unescaped(part)
    }
  }

  private static func unescaped(_ part: Substring) throws(Failure) -> String {
    var result = ""
    var rest = part[...]
    while let character = rest.popFirst() {
      guard character == "~" else {
        result.append(character)
        continue
      }
      switch rest.popFirst() {
      case "0": result.append("~")
      case "1": result.append("/")
      default: throw Failure(message: "in a path ~ is written ~0, and / within a name ~1")
      }
    }
    return result
  }

  private static func text(_ path: [String]) -> String { "/" + path.joined(separator: "/").prefix(256) }

  /// Runs `change` on the value that holds the last part of the path.
  private func edit(
    _ value: inout Value, _ path: ArraySlice<String>,
    _ change: (inout Value, String?) throws(Failure) -> Void
  ) throws(Failure) {
    guard let first = path.first, path.count > 1 else { return try change(&value, path.first) }
    switch value.content {
    case .object(var members):
      guard let index = members.firstIndex(where: { $0.name == first }) else { throw Self.missing(first) }
      try edit(&members[index].value, path.dropFirst(), change)
      value.content = .object(members)
    case .list(var elements):
      let index = try Self.place(first, in: elements, canAppend: false)
      try edit(&elements[index], path.dropFirst(), change)
      value.content = .list(elements)
    default: throw Self.missing(first)
    }
  }

  private static func missing(_ name: String) -> Failure {
    Failure(message: "there is no \(name.prefix(64)) in the path")
  }

  private static func place(_ name: String, in elements: [Value], canAppend: Bool) throws(Failure) -> Int {
    if canAppend, name == "-" { return elements.count }
    guard let index = Int(name), String(index) == name, index >= 0, index < elements.count + (canAppend ? 1 : 0) else {
      throw Failure(message: "\(name.prefix(64)) is no place in a list of \(elements.count)")
    }
    return index
  }

  private static func find(_ document: Value, _ path: [String]) throws(Failure) -> Value {
    var found = document
    for name in path {
      if let elements = found.elements {
        found = elements[try place(name, in: elements, canAppend: false)]
      } else if let member = found[name] {
        found = member
      } else {
        throw missing(name)
      }
    }
    return found
  }

  private static func add(_ new: Value, at name: String?, to value: inout Value) throws(Failure) {
    guard let name else {
      value = new
      return
    }
    switch value.content {
    case .object(var members):
      if let index = members.firstIndex(where: { $0.name == name }) {
        members[index].value = new
      } else {
        members.append(Value.Member(name, new))
      }
      value.content = .object(members)
    case .list(var elements):
      elements.insert(new, at: try place(name, in: elements, canAppend: true))
      value.content = .list(elements)
    default: throw missing(name)
    }
  }

  private static func remove(at name: String?, from value: inout Value) throws(Failure) -> Value {
    guard let name else { throw Failure(message: "the whole document cannot be removed; delete the object") }
    switch value.content {
    case .object(var members):
      guard let index = members.firstIndex(where: { $0.name == name }) else { throw missing(name) }
      let removed = members.remove(at: index)
      value.content = .object(members)
      return removed.value
    case .list(var elements):
      let removed = elements.remove(at: try place(name, in: elements, canAppend: false))
      value.content = .list(elements)
      return removed
    default: throw missing(name)
    }
  }

  private static func replace(_ new: Value, at name: String?, in value: inout Value) throws(Failure) {
    guard let name, case .list(var elements) = value.content else {
      _ = try remove(at: name, from: &value)
      return try add(new, at: name, to: &value)
    }
    elements[try place(name, in: elements, canAppend: false)] = new
    value.content = .list(elements)
  }

  /// How many values a value is made of.
  private static func size(_ value: Value) -> Int {
    switch value.content {
    case .object(let members): members.reduce(1) { $0 + size($1.value) }
    case .list(let elements): elements.reduce(1) { $0 + size($1) }
    default: 1
    }
  }
}
