// Unsafe by design: the first bytes of a connection are looked at where they lie.

/// What the first bytes of a connection show to be spoken on it.
package enum FirstBytes: Equatable, Sendable {
  /// HTTP/1: a request line (RFC 9112, section 3).
  case http1
  /// The preface of an HTTP/2 client (RFC 9113, section 3.4).
  case http2
  /// A TLS record of type handshake (RFC 8446, section 5.1).
  case tls
  /// A header of the PROXY protocol, version 1 or 2.
  case proxyProtocol
  /// Something else, or something that no HTTP server would take.
  case opaque
  /// Not to be told yet.
  case undecided

  /// Bytes that are looked at, at most; a request line of an unknown method must end within them.
  package static let window = 8 * 1024

  /// Bytes of a method, at most; longer words are no HTTP, however they go on.
  private static let longestMethod = 31

  /// Tells what `count` bytes begin.
  ///
  /// A registered method and a space are HTTP, whatever follows: what is wrong behind them is for the parser to say. Any
  /// other token needs a whole line that ends in a version of HTTP, since text protocols begin with a word as well.
  package static func classify(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> FirstBytes {
    guard count > 0 else { return .undecided }
    if bytes[0] == 22 { return count < 2 ? .undecided : bytes[1] == 3 ? .tls : .opaque }
    if let found = proxyHeader(bytes, count) { return found }
    switch HTTP2Connection.beginsWithPreface(bytes, count) {
    case .yes: return .http2
    case .maybe: return .undecided
    case .no: return requestLine(bytes, min(count, window))
    }
  }

  private static let signature: StaticString = "\r\n\r\n\0\r\nQUIT\n"
  private static let version1: StaticString = "PROXY "

  private static func proxyHeader(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> FirstBytes? {
    for text in [signature, version1] where matches(bytes, count, text) {
      return count >= text.utf8CodeUnitCount ? .proxyProtocol : .undecided
    }
    return nil
  }

  /// Whether as many bytes as there are agree with `text`.
  private static func matches(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ text: StaticString) -> Bool {
    for index in 0..<min(count, text.utf8CodeUnitCount) where bytes[index] != text.utf8Start[index] { return false }
    return true
  }

  private static let methods: [StaticString] = [
    "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ",
  ]

  private static func requestLine(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> FirstBytes {
    for method in methods where matches(bytes, count, method) {
      return count >= method.utf8CodeUnitCount ? .http1 : .undecided
    }
    var index = 0
    while index < count, ByteTables.isToken(bytes[index]) { index &+= 1 }
    if index > longestMethod { return .opaque }
    if index == count { return .undecided }
    guard index > 0, bytes[index] == 0x20 else { return .opaque }
    while index < count, bytes[index] >= 0x20, bytes[index] < 0x7F { index &+= 1 }
    if index == count { return count < window ? .undecided : .opaque }
    guard bytes[index] == 0x0D || bytes[index] == 0x0A, index >= 9 else { return .opaque }
    let version: StaticString = " HTTP/1."
    for place in 0..<8 where bytes[index - 9 + place] != version.utf8Start[place] { return .opaque }
    return .http1
  }
}
