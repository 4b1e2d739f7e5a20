internal import MeshWire

/// Reads JSON strictly into a `Value`, which knows where it stood.
package enum JSONReader {
  /// Why a text is not JSON, and where.
  package struct Failure: Error, Sendable, Equatable {
    package var message: String
    package var position: Value.Position
  }

  /// Deepest nesting that is read; a resource needs about ten.
  package static let maxDepth = 64

  /// Reads the whole of `bytes` as one value.
  package static func read(_ bytes: [UInt8]) throws(Failure) -> Value {
    do throws(JSONFailure) {
      return try JSONParser<PlacedValue>.read(bytes, maxDepth: maxDepth).value
    } catch {
      throw Failure(message: error.message, position: Value.Position(error.position))
    }
  }
}

extension Value.Position {
  fileprivate init(_ position: JSONPosition) { self.init(line: position.line, column: position.column) }
}

/// A value as the parser builds it.
private struct PlacedValue: JSONTree {
  let value: Value

  /// Whole numbers that fit 64 bits stay whole; those that no `Double` can hold are refused.
  init?(_ parsed: JSONParser<PlacedValue>.Parsed, at position: JSONPosition) {
    let content: Value.Content
    switch parsed {
    case .null: content = .null
    case .boolean(let value): content = .boolean(value)
    case .number(let text, let isWhole):
      if isWhole, let whole = Int64(text) {
        content = .integer(whole)
      } else if let number = Double(text), number.isFinite {
        content = .number(number)
      } else {
        return nil
      }
    case .string(let text): content = .string(text)
    case .list(let elements): content = .list(elements.map(\.value))
    case .object(let members): content = .object(members.map { Value.Member($0.name, $0.value.value) })
    }
    value = Value(content, position: Value.Position(position))
  }
}
