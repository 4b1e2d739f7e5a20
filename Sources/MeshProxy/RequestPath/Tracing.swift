// Unsafe by design: identifiers are written straight into the outgoing head.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshTLS
internal import MeshTelemetry

/// Keys of WebSocket handshakes that a client on HTTP/2 did not have to make (RFC 6455, section 4.1; RFC 8441, section
/// 5): 16 random bytes in base64.
enum WebSocketKey {
  static func write(_ writer: inout HTTP1Writer, _ random: inout FastRandom) {
    var left = 21
    var bits: UInt64 = 0
    while left > 0 {
      if left % 10 == 1 || bits == 0 { bits = random.next() | 1 << 63 }
      writer.byte(digit(UInt8(truncatingIfNeeded: bits & 63)))
      bits >>= 6
      left -= 1
    }
    // The last digit before the padding carries two bits.
    writer.byte(digit(UInt8(truncatingIfNeeded: random.next() & 3) << 4))
    writer.text("==")
  }

  static func digit(_ value: UInt8) -> UInt8 {
    switch value {
    case 0..<26: 0x41 &+ value
    case 26..<52: 0x61 &+ (value &- 26)
    case 52..<62: 0x30 &+ (value &- 52)
    case 62: 0x2B
    default: 0x2F
    }
  }
}

/// What a WebSocket server answers to a key (RFC 6455, section 4.2.2).
enum WebSocketAccept {
  private static let suffix: StaticString = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

  static func write(_ key: UnsafePointer<UInt8>, _ count: Int, _ writer: inout HTTP1Writer) {
    guard count <= 64 else { return }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 160) { room in
      guard let start = room.baseAddress else { return }
      start.update(from: key, count: count)
      (start + count).update(from: suffix.utf8Start, count: suffix.utf8CodeUnitCount)
      SHA1Digest.write(start, count + suffix.utf8CodeUnitCount, into: start + 128)
      var index = 0
      while index < SHA1Digest.size {
        let left = min(3, SHA1Digest.size - index)
        var word: UInt32 = 0
        for place in 0..<3 { word = word << 8 | (place < left ? UInt32(start[128 + index + place]) : 0) }
        for place in 0..<4 {
          let value = UInt8(truncatingIfNeeded: word >> UInt32(18 - 6 * place) & 63)
          writer.byte(place <= left ? WebSocketKey.digit(value) : 0x3D)
        }
        index += 3
      }
    }
  }
}

/// Random request ids in the form of a version 4 UUID (RFC 9562).
enum RequestID {
  static func write(_ writer: inout HTTP1Writer, _ random: inout FastRandom) {
    let high = random.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
    let low = random.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    writer.fields { id in
      Hexadecimal.write(high >> 32, 8, into: &id)
      id.append(0x2D)
      Hexadecimal.write(high >> 16, 4, into: &id)
      id.append(0x2D)
      Hexadecimal.write(high, 4, into: &id)
      id.append(0x2D)
      Hexadecimal.write(low >> 48, 4, into: &id)
      id.append(0x2D)
      Hexadecimal.write(low, 12, into: &id)
    }
  }
}
