/// A set of field indexes of one head, as bits: which fields a hop must not pass on.
package struct FieldSet: Equatable, Sendable {
  /// The largest number of fields a head may have; every limit on fields is at most this.
  package static let capacity = 128

  var low: UInt64 = 0
  var high: UInt64 = 0

  /// The empty set.
  package init() {}

  /// Adds the field at `index`; an index outside `0..<capacity` changes nothing.
  package mutating func insert(_ index: Int) {
    if index < 64 {
      low |= 1 &<< UInt64(truncatingIfNeeded: index)
    } else if index < Self.capacity {
      high |= 1 &<< UInt64(truncatingIfNeeded: index &- 64)
    }
  }

  /// Adds the fields of another set of the same head.
  package mutating func formUnion(_ other: FieldSet) {
    low |= other.low
    high |= other.high
  }

  /// Whether the field at `index` is in the set.
  package func contains(_ index: Int) -> Bool {
    if index < 64 { return low & (1 &<< UInt64(truncatingIfNeeded: index)) != 0 }
    return index < Self.capacity && high & (1 &<< UInt64(truncatingIfNeeded: index &- 64)) != 0
  }

  /// Whether nothing is in the set.
  package var isEmpty: Bool { low | high == 0 }
}
