// Unsafe by design: header values are read and written as raw bytes.

/// `grpc-timeout`: up to eight digits and a unit ("gRPC over HTTP2", Timeout).
package enum GRPCTimeout {
  /// The time that is left, or nil for anything but digits and a unit; such a value is ignored, never fatal.
  package static func parse(_ value: UnsafePointer<UInt8>, _ count: Int) -> Duration? {
    guard count >= 2, count <= 9, let number = Decimal.parse(value, count &- 1) else { return nil }
    let amount = Int64(truncatingIfNeeded: number)
    switch value[count &- 1] {
    case 0x48: return .seconds(amount * 3600)
    case 0x4D: return .seconds(amount * 60)
    case 0x53: return .seconds(amount)
    case 0x6D: return .milliseconds(amount)
    case 0x75: return .microseconds(amount)
    case 0x6E: return .nanoseconds(amount)
    default: return nil
    }
  }

  /// Writes a time as the finest unit that takes at most eight digits, rounded up; less than a nanosecond becomes `0n`.
  package static func write(_ time: Duration, _ writer: inout HTTP1Writer) {
    let (seconds, attoseconds) = time.components
    guard seconds >= 0, attoseconds >= 0 else { return writer.text("0n") }
    let most: Int64 = 99_999_999
    let nanoseconds = attoseconds / 1_000_000_000
    if seconds == 0, nanoseconds <= most { return put(nanoseconds, 0x6E, &writer) }
    if seconds < 99 { return put(seconds * 1_000_000 + roundUp(nanoseconds, 1000), 0x75, &writer) }
    if seconds < 99_999 { return put(seconds * 1000 + roundUp(nanoseconds, 1_000_000), 0x6D, &writer) }
    if seconds < most { return put(seconds + (nanoseconds > 0 ? 1 : 0), 0x53, &writer) }
    if seconds / 60 < most { return put(seconds / 60 + 1, 0x4D, &writer) }
    put(min(seconds / 3600 + 1, most), 0x48, &writer)
  }

  private static func roundUp(_ value: Int64, _ unit: Int64) -> Int64 { (value + unit - 1) / unit }

  private static func put(_ amount: Int64, _ unit: UInt8, _ writer: inout HTTP1Writer) {
    writer.decimal(UInt64(amount))
    writer.byte(unit)
  }
}

/// The percent-encoding of `grpc-message`: printable ASCII but for `%` stands for itself.
package enum GRPCMessageText {
  /// Writes UTF-8 text encoded.
  package static func write(_ text: UnsafeBufferPointer<UInt8>, _ writer: inout HTTP1Writer) {
    for byte in text {
      if byte >= 0x20, byte <= 0x7E, byte != 0x25 {
        writer.byte(byte)
      } else {
        writer.byte(0x25)
        writer.byte(digit(byte &>> 4))
        writer.byte(digit(byte & 15))
      }
    }
  }

  private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 &+ value : 0x37 &+ value }

  /// The text of a value. What is not a valid escape is kept as it stands; what is not UTF-8 is replaced.
  package static func decode(_ value: UnsafeBufferPointer<UInt8>) -> String {
    var text: [UInt8] = []
    text.reserveCapacity(value.count)
    var index = 0
    while index < value.count {
      if value[index] == 0x25, index &+ 2 < value.count {
        let high = ByteTables.hexValue(value[index &+ 1])
        let low = ByteTables.hexValue(value[index &+ 2])
        if high < 16, low < 16 {
          text.append(high &<< 4 | low)
          index &+= 3
          continue
        }
      }
      text.append(value[index])
      index &+= 1
    }
    return String(decoding: text, as: UTF8.self)
  }
}
