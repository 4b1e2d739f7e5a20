/// Room behind the received bytes, in the same allocation, for the few ranges that have to be rewritten: a path that
/// was not canonical, an authority in capitals.
///
/// A `MessageHead` can only point at offsets from its base, so what is rewritten must lie at an offset from it too. Lay
/// out a receive buffer as `[received bytes | scratch]` and pass the offset of the second part. `maxTargetBytes` plus
/// 256 bytes are always enough; the parser checks, and refuses a target that does not fit.
package struct HeadScratch: Sendable {
  /// Distance of the next free byte from the head's base.
  package var offset: Int
  /// Free bytes from there on.
  package var capacity: Int

  /// Scratch of `capacity` bytes at `offset` from the head's base. The memory must be writable and lie behind the bytes
  /// that are parsed.
  package init(offset: Int, capacity: Int) {
    self.offset = offset
    self.capacity = capacity
  }

  /// Takes `count` bytes, or returns nil if that many are not left. The bytes count as used only after `commit`.
  @inline(__always)
  func reserve(_ count: Int, base: UnsafePointer<UInt8>) -> UnsafeMutablePointer<UInt8>? {
    guard count <= capacity else { return nil }
    return UnsafeMutablePointer(mutating: base + offset)
  }

  @inline(__always)
  mutating func commit(_ count: Int) {
    offset &+= count
    capacity &-= count
  }
}
