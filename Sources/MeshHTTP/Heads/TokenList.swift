package import MeshModel

/// Walks a comma-separated list of a field value, such as that of `Connection`, without allocating.
package struct TokenList {
  private let base: UnsafePointer<UInt8>
  private var position: Int
  private let end: Int

  /// The elements of `value`, a range relative to `base`.
  package init(_ value: ByteRange, base: UnsafePointer<UInt8>) {
    self.base = base
    self.position = Int(value.offset)
    self.end = value.limit
  }

  /// The next element with the white space around it removed, or nil at the end. Empty elements are passed over.
  package mutating func next() -> ByteRange? {
    while position < end {
      var start = position
      var stop = position
      while stop < end, base[stop] != 0x2C { stop &+= 1 }
      position = stop &+ 1
      while start < stop, isSpace(base[start]) { start &+= 1 }
      while stop > start, isSpace(base[stop &- 1]) { stop &-= 1 }
      if start < stop { return ByteRange(from: start, to: stop) }
    }
    return nil
  }

  /// Whether the list has `token` (lower case, of letters, digits and dashes), without regard to case.
  package func contains(_ token: StaticString) -> Bool {
    var list = self
    while let element = list.next() {
      if ByteScan.equal(base + Int(element.offset), Int(element.length), lower: token) { return true }
    }
    return false
  }

  private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}

extension MessageHead {
  /// Whether the bytes of `range` are `token` (lower case, of letters, digits and dashes), without regard to case.
  package func matches(_ range: ByteRange, _ token: StaticString) -> Bool {
    ByteScan.equal(base + Int(range.offset), Int(range.length), lower: token)
  }

  /// Whether the names or tokens at two ranges are the same without regard to case.
  package func sameIgnoringCase(_ left: ByteRange, _ right: ByteRange) -> Bool {
    left.length == right.length
      && ByteScan.equalIgnoringCase(base + Int(left.offset), base + Int(right.offset), Int(left.length))
  }
}
