/// Writes bytes one after another into memory of a fixed size that somebody else owns. It never writes past the end:
/// what does not fit is left out and `overflowed` says so. Nothing is allocated.
@frozen
public struct FixedWriter {
  /// Where the bytes go.
  public let base: UnsafeMutablePointer<UInt8>
  /// How many fit.
  public let capacity: Int
  /// How many there are. Written by this type's own functions only.
  public var count = 0
  /// Whether something was left out. Written by this type's own functions only.
  public var overflowed = false

  @inlinable
  public init(base: UnsafeMutablePointer<UInt8>, capacity: Int) {
    self.base = base
    self.capacity = max(0, capacity)
  }

  /// A writer into `buffer`; with no memory it overflows at the first byte.
  @inlinable
  public init(_ buffer: UnsafeMutableBufferPointer<UInt8>) {
    // Any address does where the capacity is zero.
    let start = buffer.baseAddress ?? UnsafeMutablePointer(bitPattern: 16).unsafelyUnwrapped
    self.init(base: start, capacity: buffer.count)
  }

  /// The bytes written.
  @inlinable
  public var written: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }

  /// Bytes that still fit.
  @inlinable
  public var remaining: Int { capacity &- count }

  /// Takes back everything after the first `length` bytes, and the overflow.
  @inlinable
  public mutating func truncate(to length: Int) {
    count = min(max(0, length), count)
    overflowed = false
  }

  @inlinable @inline(__always)
  public mutating func append(_ byte: UInt8) {
    guard count < capacity else {
      overflowed = true
      return
    }
    base[count] = byte
    count &+= 1
  }

  /// Appends `length` bytes, or nothing if they do not all fit.
  @inlinable
  public mutating func append(_ source: UnsafePointer<UInt8>, count length: Int) {
    guard length > 0 else { return }
    guard length <= capacity &- count else {
      overflowed = true
      return
    }
    (base + count).update(from: source, count: length)
    count &+= length
  }

  /// Appends all of `source`, or nothing if it does not fit.
  @inlinable
  public mutating func append(_ source: UnsafeBufferPointer<UInt8>) {
    guard let start = source.baseAddress else { return }
    append(start, count: source.count)
  }

  @inlinable @inline(__always)
  public mutating func append(_ text: StaticString) {
    guard text.hasPointerRepresentation else { return }
    append(text.utf8Start, count: text.utf8CodeUnitCount)
  }

  /// Appends `value` in decimal.
  @inlinable
  public mutating func append(decimal value: UInt64) {
    if value < 10 { return append(UInt8(truncatingIfNeeded: 48 &+ value)) }
    var digits = InlineArray<20, UInt8>(repeating: 48)
    var place = 20
    var rest = value
    while rest > 0 {
      place &-= 1
      digits[place] = UInt8(truncatingIfNeeded: 48 &+ rest % 10)
      rest /= 10
    }
    while place < 20 {
      append(digits[place])
      place &+= 1
    }
  }
}
