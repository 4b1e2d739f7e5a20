package import MeshWire

/// Reads JSON strictly into a `Value`, which knows where it stood.
package enum JSONReader {
  /// Why a text is not JSON, and where.
  package typealias Failure = JSONFailure

  /// Deepest nesting that is read; a resource needs about ten.
  package static let maxDepth = 64

  /// Reads the whole of `bytes` as one value.
  package static func read(_ bytes: [UInt8]) throws(Failure) -> Value {
    try JSONParser<Value>.read(bytes, maxDepth: maxDepth)
  }
}

extension Value: JSONTree {
  /// Whole numbers that fit 64 bits stay whole; those that no `Double` can hold are refused.
  package init?(_ parsed: JSONParser<Value>.Parsed, at position: JSONPosition) {
    switch parsed {
    case .null: self.init(.null, position: position)
    case .boolean(let value): self.init(.boolean(value), position: position)
    case .number(let text, let isWhole):
      if isWhole, let whole = Int64(text) {
        self.init(.integer(whole), position: position)
      } else if let number = Double(text), number.isFinite {
        self.init(.number(number), position: position)
      } else {
        return nil
      }
    case .string(let text): self.init(.string(text), position: position)
    case .list(let elements): self.init(.list(elements), position: position)
    case .object(let members):
      self.init(.object(members.map { Member($0.name, $0.value) }), position: position)
    }
  }
}
