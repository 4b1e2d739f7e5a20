package import MeshModel

/// What a TLS client says of itself before anything is encrypted (RFC 8446, section 4.1.2): enough to route a connection
/// by its server name and to tell what will be spoken inside, without ending the TLS.
///
/// Ranges are relative to `base`, which is the received bytes or, where the message came in several records, the
/// scratch; valid as long as those are.
package struct ClientHello: BitwiseCopyable {
  package let base: UnsafePointer<UInt8>
  /// The host name of `server_name` (RFC 6066, section 3) as it was sent; empty where the client sent none.
  package var serverName: ByteRange
  /// The protocols of `application_layer_protocol_negotiation` (RFC 7301), each behind a byte with its length; empty where
  /// the client sent none. Go through them with `protocols()`.
  package var protocolList: ByteRange
  /// Whether the client offers TLS 1.3 (`supported_versions`).
  package var offersTLS13: Bool

  /// The bytes of a range.
  package func bytes(_ range: ByteRange) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: base + Int(range.offset), count: Int(range.length))
  }

  /// The application protocols that the client offers, in its order.
  package func protocols() -> ClientHelloProtocols { ClientHelloProtocols(base: base, list: protocolList) }

  /// Whether the client offers this application protocol, such as `h2`.
  package func offers(_ name: StaticString) -> Bool {
    var list = protocols()
    while let offer = list.next() {
      if equal(bytes(offer), name) { return true }
    }
    return false
  }

  private func equal(_ text: UnsafeBufferPointer<UInt8>, _ name: StaticString) -> Bool {
    guard text.count == name.utf8CodeUnitCount else { return false }
    for index in 0..<text.count where text[index] != name.utf8Start[index] { return false }
    return true
  }
}

/// Walks the application protocols of a client's first message. The list has been checked: no element is empty or runs
/// over its end.
package struct ClientHelloProtocols {
  private let base: UnsafePointer<UInt8>
  private var position: Int
  private let end: Int

  init(base: UnsafePointer<UInt8>, list: ByteRange) {
    self.base = base
    position = Int(list.offset)
    end = list.limit
  }

  /// The next protocol's name, or nil at the end.
  package mutating func next() -> ByteRange? {
    guard position < end else { return nil }
    let length = Int(base[position])
    let start = position &+ 1
    guard length <= end &- start else { return nil }
    position = start &+ length
    return ByteRange(from: start, to: position)
  }
}

/// Why bytes are no ClientHello that can be read.
package enum ClientHelloFailure: Error, Equatable, Sendable {
  /// The first byte begins no handshake record.
  case notTLS
  /// A record's version or length is none that TLS has, or another record stands in the middle of the message.
  case badRecord
  /// The handshake begins with another message.
  case notClientHello
  /// The message is longer than the limit.
  case tooLong
  /// Lengths within the message do not agree, or an extension comes twice.
  case malformed
  /// The server name is empty, too long, or has bytes that no host name has.
  case badServerName
}

/// What `ClientHelloParser.parse` found.
package enum ClientHelloResult {
  /// What is there may be the beginning of a ClientHello.
  case needMore
  case complete(ClientHello)
  case failure(ClientHelloFailure)
}

/// Reads a ClientHello out of the first bytes of a connection. Nothing is taken from them: whoever ends the TLS, here or
/// behind us, gets all of them.
package enum ClientHelloParser {
  /// The longest message that is read; clients send 200 to 2,000 bytes, and up to 64 KiB are allowed.
  package static let maxMessageBytes = 16 * 1024

  /// Looks at `count` bytes from the connection's first on.
  ///
  /// - Parameters:
  ///   - scratch, capacity: where a message that comes in several records is put together; a longer one is `tooLong`.
  package static func parse(
    _ bytes: UnsafePointer<UInt8>, count: Int, scratch: UnsafeMutablePointer<UInt8>, capacity: Int
  ) -> ClientHelloResult {
    do throws(ClientHelloFailure) {
      guard capacity >= 4 else { throw .tooLong }
      guard let message = try gather(bytes, count, scratch, min(capacity, maxMessageBytes)) else { return .needMore }
      var reader = HelloReader(base: message.base, position: 0, end: message.count)
      return .complete(try reader.hello())
    } catch {
      return .failure(error)
    }
  }

  private struct Message {
    let base: UnsafePointer<UInt8>
    let count: Int
  }

  /// The body of the handshake message, over as many records as it takes (RFC 8446, section 5.1); nil while it is not
  /// complete.
  private static func gather(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ scratch: UnsafeMutablePointer<UInt8>, _ capacity: Int
  ) throws(ClientHelloFailure) -> Message? {
    var offset = 0
    var gathered = 0
    var isFirst = true
    while true {
      let left = count &- offset
      if left >= 1, bytes[offset] != 22 { throw isFirst ? .notTLS : .badRecord }
      if left >= 2, bytes[offset &+ 1] != 3 { throw .badRecord }
      guard left >= 5 else { return nil }
      let length = Int(bytes[offset &+ 3]) &<< 8 | Int(bytes[offset &+ 4])
      guard bytes[offset &+ 2] <= 4, length > 0, length <= 16_384 else { throw .badRecord }
      let start = offset &+ 5
      let there = min(length, count &- start)
      if gathered == 0, there >= 1 {
        guard bytes[start] == 1 else { throw .notClientHello }
        if there >= 4 {
          let size = size(bytes + start)
          guard size <= capacity &- 4 else { throw .tooLong }
          // The common case: all in one record, read where it stands.
          if size &+ 4 <= length {
            return size &+ 4 <= there ? Message(base: bytes + (start + 4), count: size) : nil
          }
        }
      }
      let taken = min(there, capacity &- gathered)
      (scratch + gathered).update(from: bytes + start, count: taken)
      gathered &+= taken
      if gathered >= 4 {
        let size = size(scratch)
        guard size <= capacity &- 4 else { throw .tooLong }
        if gathered >= size &+ 4 { return Message(base: UnsafePointer(scratch) + 4, count: size) }
      }
      guard there == length else { return nil }
      offset = start &+ length
      isFirst = false
    }
  }

  private static func size(_ header: UnsafePointer<UInt8>) -> Int {
    Int(header[1]) &<< 16 | Int(header[2]) &<< 8 | Int(header[3])
  }
}

/// Reads the fields of the message; every step checks what is left.
private struct HelloReader {
  let base: UnsafePointer<UInt8>
  var position: Int
  let end: Int

  private mutating func number(bytes count: Int) throws(ClientHelloFailure) -> Int {
    guard count <= end &- position else { throw .malformed }
    var value = 0
    for _ in 0..<count {
      value = value &<< 8 | Int(base[position])
      position &+= 1
    }
    return value
  }

  private mutating func skip(_ count: Int) throws(ClientHelloFailure) {
    guard count <= end &- position else { throw .malformed }
    position &+= count
  }

  /// The part that a length of `count` bytes announces.
  private mutating func part(lengthBytes count: Int) throws(ClientHelloFailure) -> HelloReader {
    let length = try number(bytes: count)
    let start = position
    try skip(length)
    return HelloReader(base: base, position: start, end: position)
  }

  private var rest: ByteRange { ByteRange(from: position, to: end) }

  mutating func hello() throws(ClientHelloFailure) -> ClientHello {
    var hello = ClientHello(base: base, serverName: .empty, protocolList: .empty, offersTLS13: false)
    // Version, random.
    try skip(2 + 32)
    let session = try part(lengthBytes: 1)
    guard session.rest.length <= 32 else { throw .malformed }
    let suites = try part(lengthBytes: 2)
    guard suites.rest.length >= 2, suites.rest.length % 2 == 0 else { throw .malformed }
    let compression = try part(lengthBytes: 1)
    guard compression.rest.length >= 1 else { throw .malformed }
    // TLS 1.2 allows a message without extensions.
    if position == end { return hello }
    var extensions = try part(lengthBytes: 2)
    guard position == end else { throw .malformed }
    var seen: UInt8 = 0
    while extensions.position < extensions.end {
      let type = try extensions.number(bytes: 2)
      var body = try extensions.part(lengthBytes: 2)
      let mark: UInt8 =
        switch type {
        case 0: 1
        case 16: 2
        case 43: 4
        default: 0
        }
      guard seen & mark == 0 else { throw .malformed }
      seen |= mark
      switch type {
      case 0: hello.serverName = try body.serverName()
      case 16: hello.protocolList = try body.protocols()
      case 43: hello.offersTLS13 = try body.hasVersion13()
      default: break
      }
    }
    return hello
  }

  /// The one name of type host_name.
  private mutating func serverName() throws(ClientHelloFailure) -> ByteRange {
    var list = try part(lengthBytes: 2)
    guard position == end, list.position < list.end else { throw .malformed }
    var found = ByteRange.empty
    while list.position < list.end {
      let type = try list.number(bytes: 1)
      let name = try list.part(lengthBytes: 2).rest
      guard type == 0 else { continue }
      guard found.isEmpty else { throw .malformed }
      guard name.length > 0, name.length <= 253 else { throw .badServerName }
      for index in Int(name.offset)..<name.limit where !Self.isNameByte(base[index]) { throw .badServerName }
      found = name
    }
    return found
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122, 45, 46, 95: true
    default: false
    }
  }

  private mutating func protocols() throws(ClientHelloFailure) -> ByteRange {
    var list = try part(lengthBytes: 2)
    let whole = list.rest
    guard position == end, !whole.isEmpty else { throw .malformed }
    while list.position < list.end {
      guard try list.part(lengthBytes: 1).rest.length > 0 else { throw .malformed }
    }
    return whole
  }

  private mutating func hasVersion13() throws(ClientHelloFailure) -> Bool {
    var list = try part(lengthBytes: 1)
    guard position == end, list.position < list.end else { throw .malformed }
    var found = false
    while list.position < list.end {
      if try list.number(bytes: 2) == 0x0304 { found = true }
    }
    return found
  }
}
