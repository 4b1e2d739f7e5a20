import MeshModel

/// What the fields of a head say about framing and connection, gathered as they are parsed.
struct HTTP1FieldFacts {
  var minorVersion: UInt8
  var host: ByteRange = .none
  var hasHost = false
  var contentLength: UInt64 = 0
  var hasContentLength = false
  var chunked = false
  var close = false
  var persist = false
  var upgradeNamed = false
  /// How many fields `Connection` names beside the options understood here.
  var nominated = 0
  var upgrade: ByteRange = .none
  var expectContinue = false
  var acceptsTrailers = false
  var hopByHop = FieldSet()

  /// `Connection` may name at most this many fields.
  static let maxNominated = 32

  init(minorVersion: UInt8) { self.minorVersion = minorVersion }

  /// Takes note of one field. The names that matter here come first in `KnownHeader`, after `.other`.
  @inline(__always)
  mutating func note(_ known: KnownHeader, _ value: ByteRange, at index: Int, head: MessageHead) -> HTTP1Error? {
    if known.tag &- 1 >= KnownHeader.http2Settings.tag { return nil }
    return noteFraming(known, value, at: index, head: head)
  }

  private mutating func noteFraming(
    _ known: KnownHeader, _ value: ByteRange, at index: Int, head: MessageHead
  ) -> HTTP1Error? {
    switch known {
    case .host:
      if hasHost { return .repeatedHost }
      hasHost = true
      host = value
    case .contentLength: return noteLength(value, base: head.base)
    case .transferEncoding:
      hopByHop.insert(index)
      return noteCoding(value, head: head)
    case .connection:
      hopByHop.insert(index)
      return noteConnection(value, head: head)
    case .te:
      hopByHop.insert(index)
      if TokenList(value, base: head.base).contains("trailers") { acceptsTrailers = true }
    case .upgrade:
      hopByHop.insert(index)
      upgrade = value
    case .expect:
      if minorVersion == 0 {
        // To be ignored (RFC 9110, 10.1.1), also by those behind us, who are sent HTTP/1.1.
        hopByHop.insert(index)
        return nil
      }
      guard head.matches(value, "100-continue") else { return .unsupportedExpectation }
      expectContinue = true
    case .keepAlive, .proxyConnection, .proxyAuthenticate, .proxyAuthorization, .http2Settings:
      hopByHop.insert(index)
    default: break
    }
    return nil
  }

  private mutating func noteLength(_ value: ByteRange, base: UnsafePointer<UInt8>) -> HTTP1Error? {
    if hasContentLength { return .repeatedContentLength }
    guard let length = Decimal.parse(base + Int(value.offset), Int(value.length)) else { return .badContentLength }
    hasContentLength = true
    contentLength = length
    return nil
  }

  private mutating func noteCoding(_ value: ByteRange, head: MessageHead) -> HTTP1Error? {
    if minorVersion == 0 { return .transferEncodingOnHTTP10 }
    if chunked { return .badTransferEncoding }
    if head.matches(value, "chunked") {
      chunked = true
      return nil
    }
    for coding: StaticString in ["gzip", "deflate", "compress", "x-gzip", "x-compress"]
    where head.matches(value, coding) {
      return .unsupportedTransferCoding
    }
    return .badTransferEncoding
  }

  private mutating func noteConnection(_ value: ByteRange, head: MessageHead) -> HTTP1Error? {
    var list = TokenList(value, base: head.base)
    while let option = list.next() {
      if head.matches(option, "keep-alive") {
        persist = true
      } else if head.matches(option, "close") {
        close = true
      } else if head.matches(option, "upgrade") {
        upgradeNamed = true
      } else if !head.matches(option, "te") {
        // To drop these would change whom the message is for or where it ends.
        if head.matches(option, "host") || head.matches(option, "content-length") { return .badConnection }
        nominated &+= 1
        if nominated > Self.maxNominated { return .badConnection }
      }
    }
    return nil
  }

  /// After the last field: flags the fields that `Connection` names, and checks the framing.
  mutating func finish(_ head: MessageHead) -> HTTP1Error? {
    if hasContentLength, chunked { return .lengthAndChunked }
    if nominated > 0 { flagNominated(head) }
    if !upgradeNamed { upgrade = .none }
    return nil
  }

  private mutating func flagNominated(_ head: MessageHead) {
    for index in 0..<head.fieldCount where head.fields[index].known.tag == KnownHeader.connection.tag {
      var list = TokenList(head.fields[index].value, base: head.base)
      while let option = list.next() {
        for other in 0..<head.fieldCount where head.sameIgnoringCase(head.fields[other].name, option) {
          hopByHop.insert(other)
        }
      }
    }
  }

  /// Whether the connection persists after this message (RFC 9112, 9.3).
  var keepAlive: Bool { !close && (minorVersion == 1 || persist) }
}

/// Decimal numbers as HTTP writes them: digits and nothing else.
package enum Decimal {
  /// The number in `count` digits, or nil if there is none, anything but digits, or a value over 2^63 - 1. Leading
  /// zeros are taken, up to 19 digits in all.
  package static func parse(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt64? {
    guard count > 0, count <= 19 else { return nil }
    var value: UInt64 = 0
    var index = 0
    while index < count {
      let digit = bytes[index] &- 0x30
      guard digit < 10 else { return nil }
      value = value &* 10 &+ UInt64(digit)
      index &+= 1
    }
    return value <= UInt64(Int64.max) ? value : nil
  }
}
