/// Writes bytes one after another into memory of a fixed size that somebody else owns. It never writes past the end:
/// what does not fit is left out whole, and so is everything after it; `overflowed` says so, once, at the end. Nothing is
/// allocated.
@frozen
public struct FixedWriter {
  /// Where the bytes go.
  public let base: UnsafeMutablePointer<UInt8>
  /// How many fit.
  public let capacity: Int
  @usableFromInline
  var used = 0
  @usableFromInline
  var lacked = false
  /// `capacity`, or after an overflow where it happened: nothing fits any more, without a second check for each piece.
  @usableFromInline
  var limit: Int

  /// How many there are.
  @inlinable @inline(__always)
  public var count: Int { used }

  /// Whether something was left out.
  @inlinable @inline(__always)
  public var overflowed: Bool { lacked }

  @inlinable
  public init(base: UnsafeMutablePointer<UInt8>, capacity: Int) {
    self.base = base
    self.capacity = max(0, capacity)
    limit = max(0, capacity)
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
  public var written: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: used) }

  /// Bytes that still fit.
  @inlinable
  public var remaining: Int { limit &- used }

  /// Takes back everything after the first `length` bytes, and the overflow.
  @inlinable
  public mutating func truncate(to length: Int) {
    used = min(max(0, length), used)
    lacked = false
    limit = capacity
  }

  @inlinable @inline(__always)
  public mutating func append(_ byte: UInt8) {
    guard used < limit else { return overflow() }
    base[used] = byte
    used &+= 1
  }

  /// Appends `length` bytes, or nothing if they do not all fit.
  @inlinable
  public mutating func append(_ source: UnsafePointer<UInt8>, count length: Int) {
    guard length > 0 else { return }
    guard length <= limit &- used else { return overflow() }
    (base + used).update(from: source, count: length)
    used &+= length
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

  /// Appends `number` in decimal, or nothing if its digits do not all fit.
  @inlinable
  public mutating func append(decimal number: UInt64) {
    var digits = 1
    var rest = number
    while rest >= 10 {
      rest /= 10
      digits &+= 1
    }
    guard digits <= limit &- used else { return overflow() }
    var index = used &+ digits
    used = index
    rest = number
    while digits > 0 {
      index &-= 1
      digits &-= 1
      base[index] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
  }

  /// Counts `length` bytes that the caller has put at `base + count` itself. More than fit are an overflow.
  @inlinable
  public mutating func advance(by length: Int) {
    guard length >= 0, length <= limit &- used else { return overflow() }
    used &+= length
  }

  /// Says that something was left out which the caller knew would not fit: nothing comes after it either.
  @inlinable
  public mutating func overflow() {
    lacked = true
    limit = used
  }
}
