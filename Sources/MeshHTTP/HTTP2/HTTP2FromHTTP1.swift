// Unsafe by design: heads are read where they lie as text.
internal import MeshModel

/// Heads that lie as HTTP/1.1 text written by `HTTP1Writer`, sent as HTTP/2 (RFC 9113, section 8.2.2 and 8.3): what the
/// proxy keeps of a request so that it can be sent again, whatever version the next hop speaks.
extension HTTP2Connection {
  /// Opens the head of a request: everything but `endHead`.
  ///
  /// - Parameters:
  ///   - bytes: request line and field lines up to the empty line. The first field is `host`.
  ///   - asProtocol: the request asks to switch protocols: it becomes an extended CONNECT (RFC 8441).
  /// - Returns: false if the stream is over or the text is not a head; then nothing was written.
  package mutating func beginRequest(
    _ stream: HTTP2Stream, http1 bytes: UnsafePointer<UInt8>, _ count: Int, scheme: StaticString, asProtocol: Bool
  ) -> Bool {
    guard let methodEnd = HTTP1Text.index(of: 0x20, bytes, 0, count),
      let targetEnd = HTTP1Text.index(of: 0x20, bytes, methodEnd &+ 1, count),
      let lineEnd = HTTP1Text.index(of: 0x0A, bytes, targetEnd &+ 1, count),
      let hostEnd = HTTP1Text.index(of: 0x0D, bytes, lineEnd &+ 1, count), hostEnd >= lineEnd &+ 7, beginHead(stream)
    else { return false }
    let upgrade = asProtocol ? HTTP1Text.value(of: "upgrade", bytes, from: lineEnd &+ 1, count) : nil
    if let upgrade {
      field(.pseudoMethod, "CONNECT")
      field(.pseudoProtocol, bytes + upgrade.lowerBound, upgrade.count)
      noteConnect(stream)
    } else {
      field(.pseudoMethod, bytes, methodEnd)
      if methodEnd == 4, bytes[0] == 0x48, bytes[1] == 0x45 { noteHeadRequest(stream) }
    }
    field(.pseudoScheme, scheme)
    field(.pseudoAuthority, bytes + (lineEnd &+ 7), hostEnd &- lineEnd &- 7)
    field(.pseudoPath, bytes + (methodEnd &+ 1), targetEnd &- methodEnd &- 1)
    fieldLines(bytes, from: hostEnd &+ 2, count)
    return true
  }

  /// The field lines from `start` up to the empty line or the end, but for what belongs to one hop of HTTP/1.
  package mutating func fieldLines(_ bytes: UnsafePointer<UInt8>, from start: Int, _ count: Int) {
    var index = start
    while index < count, bytes[index] != 0x0D {
      guard let colon = HTTP1Text.index(of: 0x3A, bytes, index, count),
        let end = HTTP1Text.index(of: 0x0D, bytes, colon &+ 1, count)
      else { return }
      var first = colon &+ 1
      while first < end, bytes[first] == 0x20 || bytes[first] == 0x09 { first &+= 1 }
      var last = end
      while last > first, bytes[last &- 1] == 0x20 || bytes[last &- 1] == 0x09 { last &-= 1 }
      line(bytes + index, colon &- index, bytes + first, last &- first)
      index = end &+ 2
    }
  }

  private mutating func line(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ count: Int
  ) {
    let known = KnownHeader.lookup(name, nameCount)
    switch known {
    case .host, .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .http2Settings: return
    case .te: if ByteScan.equal(value, count, lower: "trailers") { field(.te, "trailers") }
    case .other: field(name: name, nameCount, value, count)
    default: field(known, value, count)
    }
  }
}

/// Reads heads that lie as HTTP/1.1 text which was written here.
package enum HTTP1Text {
  /// Where the value of a field lies, by its name in lower case.
  package static func value(
    of name: StaticString, _ bytes: UnsafePointer<UInt8>, from start: Int = 0, _ count: Int
  ) -> Range<Int>? {
    var index = start
    while index < count, bytes[index] != 0x0D {
      guard let colon = Self.index(of: 0x3A, bytes, index, count),
        let end = Self.index(of: 0x0D, bytes, colon &+ 1, count)
      else { return nil }
      if ByteScan.equal(bytes + index, colon &- index, lower: name) {
        var first = colon &+ 1
        while first < end, bytes[first] == 0x20 { first &+= 1 }
        return first < end ? first..<end : nil
      }
      index = end &+ 2
    }
    return nil
  }

  /// The first `byte` at or behind `start`.
  @inline(__always)
  static func index(of byte: UInt8, _ bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int? {
    let lanes = 0x0101_0101_0101_0101 &* UInt64(byte)
    var index = start
    while index &+ 8 <= count {
      let word = ByteScan.load8(bytes + index) ^ lanes
      let zero = (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
      if zero != 0 { return index &+ zero.trailingZeroBitCount / 8 }
      index &+= 8
    }
    while index < count {
      if bytes[index] == byte { return index }
      index &+= 1
    }
    return nil
  }
}
