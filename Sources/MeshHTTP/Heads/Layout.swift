// Short forms of what is asked of the nouns of MeshModel for every field. Those are `public` and inlinable, unlike the rest
// of the package: the compiler does not inline functions with `package` access into another module, and a call for every
// range and every comparison doubled the time that a head takes.
import MeshModel

extension ByteRange {
  /// The range `[start, end)`; both lie within a head, whose size is bounded far below what 32 bits hold.
  @inline(__always)
  init(from start: Int, to end: Int) {
    self.init(offset: UInt32(truncatingIfNeeded: start), length: UInt32(truncatingIfNeeded: end &- start))
  }

  /// No bytes.
  @inline(__always)
  static var none: ByteRange { .empty }

  /// Index of the first byte.
  @inline(__always)
  var first: Int { Int(offset) }

  /// Index behind the last byte.
  @inline(__always)
  var limit: Int { Int(offset) &+ Int(length) }

  /// Number of bytes.
  @inline(__always)
  var size: Int { Int(length) }
}

extension KnownHeader {
  /// The raw value.
  @inline(__always)
  var tag: UInt8 { withUnsafeBytes(of: self) { $0[0] } }
}

extension MessageHead {
  /// The first byte of a range.
  @inline(__always)
  func start(_ range: ByteRange) -> UnsafePointer<UInt8> { base + Int(range.offset) }
}

extension Method {
  /// Whether this is the same method.
  @inline(__always)
  func equals(_ other: Method) -> Bool {
    withUnsafeBytes(of: self) { $0[0] } == withUnsafeBytes(of: other) { $0[0] }
  }
}
