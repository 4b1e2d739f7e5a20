// Unsafe by design: the nouns of MeshModel built and read without a call.
//
// The compiler does not inline functions with `package` access into another module, `@inlinable` or not, and a call for
// every range and every comparison doubled the time that a head takes. What is used on every field is therefore done
// here through the memory layout of those types: plain structs of two words and a byte. A test compares with the real
// thing.
import MeshModel

extension ByteRange {
  /// The range `[start, end)`; both lie within a head, whose size is bounded far below what 32 bits hold.
  @inline(__always)
  init(from start: Int, to end: Int) {
    let words = SIMD2(UInt32(truncatingIfNeeded: start), UInt32(truncatingIfNeeded: end &- start))
    self = withUnsafeBytes(of: words) { $0.loadUnaligned(as: ByteRange.self) }
  }

  /// No bytes.
  @inline(__always)
  static var none: ByteRange { ByteRange(from: 0, to: 0) }

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
