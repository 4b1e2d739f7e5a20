// Unsafe by design: identifiers are written straight into the outgoing head.
internal import MeshHTTP
internal import MeshPolicy

/// W3C trace context (https://www.w3.org/TR/trace-context/), the parts a hop needs.
enum TraceContext {
  /// Whether a `traceparent` can be passed on: version, ids of the right length in lower-case hex, not all zero.
  static func isValid(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
    guard value.count >= 55, value[2] == 0x2D, value[35] == 0x2D, value[52] == 0x2D else { return false }
    if value[0] == 0x66, value[1] == 0x66 { return false }
    if value[0] == 0x30, value[1] == 0x30, value.count != 55 { return false }
    if value.count > 55, value[55] != 0x2D { return false }
    return isHex(value, 0, 2) && isID(value, 3, 32) && isID(value, 36, 16) && isHex(value, 53, 2)
  }

  private static func isHex(_ value: UnsafeBufferPointer<UInt8>, _ start: Int, _ count: Int) -> Bool {
    var index = start
    while index < start &+ count {
      let byte = value[index]
      guard byte &- 0x30 < 10 || byte &- 0x61 < 6 else { return false }
      index &+= 1
    }
    return true
  }

  private static func isID(_ value: UnsafeBufferPointer<UInt8>, _ start: Int, _ count: Int) -> Bool {
    var isZero = true
    var index = start
    while index < start &+ count {
      if value[index] != 0x30 { isZero = false }
      index &+= 1
    }
    return !isZero && isHex(value, start, count)
  }

  /// Begins a trace that is not sampled.
  static func write(_ writer: inout HTTP1Writer, _ random: inout FastRandom) {
    writer.text("traceparent: 00-")
    Hex.write(&writer, random.next() | 1, digits: 16)
    Hex.write(&writer, random.next(), digits: 16)
    writer.byte(0x2D)
    Hex.write(&writer, random.next() | 1, digits: 16)
    writer.text("-00\r\n")
  }
}

/// Random request ids in the form of a version 4 UUID (RFC 9562).
enum RequestID {
  static func write(_ writer: inout HTTP1Writer, _ random: inout FastRandom) {
    let high = random.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
    let low = random.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    Hex.write(&writer, high >> 32, digits: 8)
    writer.byte(0x2D)
    Hex.write(&writer, high >> 16 & 0xFFFF, digits: 4)
    writer.byte(0x2D)
    Hex.write(&writer, high & 0xFFFF, digits: 4)
    writer.byte(0x2D)
    Hex.write(&writer, low >> 48, digits: 4)
    writer.byte(0x2D)
    Hex.write(&writer, low & 0xFFFF_FFFF_FFFF, digits: 12)
  }
}

enum Hex {
  /// The lowest `digits` hexadecimal digits of a number.
  static func write(_ writer: inout HTTP1Writer, _ number: UInt64, digits: Int) {
    var shift = UInt64(digits &- 1) &* 4
    var left = digits
    while left > 0 {
      let digit = UInt8(truncatingIfNeeded: number >> shift) & 15
      writer.byte(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
      shift = shift &- 4
      left &-= 1
    }
  }
}
