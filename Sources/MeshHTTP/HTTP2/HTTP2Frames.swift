// Unsafe by design: frames are written straight into the output.

/// The 9 bytes before a frame's payload (RFC 9113, section 4.1).
struct FrameHeader {
  static let size = 9
  let length: Int
  let type: UInt8
  let flags: UInt8
  let stream: UInt32

  @inline(__always)
  init(_ bytes: UnsafePointer<UInt8>) {
    length = Int(bytes[0]) &<< 16 | Int(bytes[1]) &<< 8 | Int(bytes[2])
    type = bytes[3]
    flags = bytes[4]
    stream = BigEndian.load32(bytes + 5) & 0x7FFF_FFFF
  }

  @inline(__always)
  func has(_ flag: UInt8) -> Bool { flags & flag != 0 }

  @inline(__always)
  static func write(
    _ out: UnsafeMutablePointer<UInt8>, length: Int, type: UInt8, flags: UInt8, stream: UInt32
  ) {
    out[0] = UInt8(truncatingIfNeeded: length &>> 16)
    out[1] = UInt8(truncatingIfNeeded: length &>> 8)
    out[2] = UInt8(truncatingIfNeeded: length)
    out[3] = type
    out[4] = flags
    BigEndian.store32(out + 5, stream)
  }
}

/// Numbers in network order.
enum BigEndian {
  @inline(__always)
  static func load32(_ bytes: UnsafePointer<UInt8>) -> UInt32 {
    UInt32(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(as: UInt32.self))
  }

  @inline(__always)
  static func load16(_ bytes: UnsafePointer<UInt8>) -> UInt16 {
    UInt16(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(as: UInt16.self))
  }

  @inline(__always)
  static func load64(_ bytes: UnsafePointer<UInt8>) -> UInt64 {
    UInt64(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self))
  }

  @inline(__always)
  static func store32(_ out: UnsafeMutablePointer<UInt8>, _ value: UInt32) {
    UnsafeMutableRawPointer(out).storeBytes(of: value.bigEndian, as: UInt32.self)
  }

  @inline(__always)
  static func store16(_ out: UnsafeMutablePointer<UInt8>, _ value: UInt16) {
    UnsafeMutableRawPointer(out).storeBytes(of: value.bigEndian, as: UInt16.self)
  }

  @inline(__always)
  static func store64(_ out: UnsafeMutablePointer<UInt8>, _ value: UInt64) {
    UnsafeMutableRawPointer(out).storeBytes(of: value.bigEndian, as: UInt64.self)
  }
}

extension HTTP2Connection {
  /// The first bytes of a client (RFC 9113, section 3.4).
  static var preface: StaticString { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" }

  /// Appends a frame header and room for a payload of at most a few bytes; returns the place of the payload.
  @inline(__always)
  private mutating func smallFrame(
    _ length: Int, _ type: UInt8, _ flags: UInt8, _ stream: UInt32
  ) -> UnsafeMutablePointer<UInt8> {
    let out = output.reserve(FrameHeader.size + length)
    FrameHeader.write(out, length: length, type: type, flags: flags, stream: stream)
    output.commit(FrameHeader.size + length)
    return out + FrameHeader.size
  }

  mutating func writePreface() {
    if role == .client { output.append(Self.preface.utf8Start, Self.preface.utf8CodeUnitCount) }
    var settings: InlineArray<6, (UInt16, UInt32)> = InlineArray(repeating: (0, 0))
    var count = 0
    func add(_ id: UInt16, _ value: UInt32) {
      settings[count] = (id, value)
      count += 1
    }
    if limits.headerTableBytes != 4096 {
      add(Setting.headerTableSize, UInt32(truncatingIfNeeded: max(0, limits.headerTableBytes)))
    }
    if role == .client { add(Setting.enablePush, 0) }
    if role == .server { add(Setting.maxConcurrentStreams, limits.maxConcurrentStreams) }
    add(Setting.initialWindowSize, min(limits.streamWindowBytes, 0x7FFF_FFFF))
    add(Setting.maxHeaderListSize, UInt32(truncatingIfNeeded: limits.maxHeaderListBytes))
    if role == .server, limits.extendedConnect { add(Setting.enableConnectProtocol, 1) }
    let payload = smallFrame(6 * count, FrameType.settings, 0, 0)
    for index in 0..<count {
      BigEndian.store16(payload + 6 * index, settings[index].0)
      BigEndian.store32(payload + 6 * index + 2, settings[index].1)
    }
    let window = Int64(min(limits.connectionWindowBytes, 0x7FFF_FFFF))
    if window > receiveWindow {
      writeWindowUpdate(0, UInt32(window - receiveWindow))
      receiveWindow = window
    }
  }

  mutating func writeSettingsAck() { _ = smallFrame(0, FrameType.settings, FrameFlag.ack, 0) }

  mutating func writePing(_ opaque: UInt64, ack: Bool) {
    BigEndian.store64(smallFrame(8, FrameType.ping, ack ? FrameFlag.ack : 0, 0), opaque)
  }

  mutating func writeWindowUpdate(_ stream: UInt32, _ increment: UInt32) {
    BigEndian.store32(smallFrame(4, FrameType.windowUpdate, 0, stream), increment)
  }

  mutating func writeReset(_ stream: UInt32, _ code: HTTP2ErrorCode) {
    BigEndian.store32(smallFrame(4, FrameType.reset, 0, stream), code.rawValue)
  }

  mutating func writeGoAway(_ lastStream: UInt32, _ code: HTTP2ErrorCode) {
    let payload = smallFrame(8, FrameType.goAway, 0, 0)
    BigEndian.store32(payload, lastStream)
    BigEndian.store32(payload + 4, code.rawValue)
  }
}
