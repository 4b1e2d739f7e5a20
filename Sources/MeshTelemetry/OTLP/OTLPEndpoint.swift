/// Where a collector is: `http://HOST[:PORT][/PATH]`, or the same with `https`.
package struct OTLPEndpoint: Sendable, Equatable {
  /// `https`: by TLS, with a certificate for the host.
  package let isSecure: Bool
  /// Without brackets where it is an IPv6 address; in lower case.
  package let host: String
  /// Nil: the one that the protocol has by convention.
  package let port: UInt16?
  /// Without a slash at its end; empty for none.
  package let path: String

  /// What is wrong with a text, with how to mend it.
  package struct Fault: Error, Equatable, Sendable {
    package let message: String
  }

  /// - Throws: what is wrong.
  package init(_ text: String) throws(Fault) {
    let example = "write it like http://collector.observability:4317"
    guard text.utf8.count <= 512, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw Fault(message: "is no URL of at most 512 visible characters; \(example)")
    }
    isSecure = text.hasPrefix("https://")
    guard isSecure || text.hasPrefix("http://") else {
      throw Fault(message: "begins neither with http:// nor with https://; \(example)")
    }
    let rest = text.dropFirst(isSecure ? 8 : 7)
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    var authority = rest[..<slash]
    var path = String(rest[slash...])
    while path.hasSuffix("/") { path.removeLast() }
    guard !path.contains("?"), !path.contains("#"), !authority.contains("@") else {
      throw Fault(message: "has a user, a query or a fragment; leave them out")
    }
    var port: UInt16?
    if let colon = authority.lastIndex(of: ":"), authority.last != "]" {
      guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else {
        throw Fault(message: "has a port that is not a number from 1 to 65535; \(example)")
      }
      port = number
      authority = authority[..<colon]
    }
    if authority.first == "[", authority.last == "]" { authority = authority.dropFirst().dropLast() }
    guard !authority.isEmpty else { throw Fault(message: "names no host; \(example)") }
    host = authority.lowercased()
    self.port = port
    self.path = path
  }
}
