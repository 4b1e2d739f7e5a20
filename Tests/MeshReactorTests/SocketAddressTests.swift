import Glibc
import MeshReactor
import Testing

@Suite struct SocketAddressTests {
  private func parse(_ text: String) -> SocketAddress? {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBufferPointer { SocketAddress(text: $0) }
  }

  @Test(arguments: ["127.0.0.1:80", "10.1.2.3:65535", "[::1]:15008", "[2001:db8::1:2]:1", "[fe80::1]:0"])
  func bytesMeanWhatTheStringMeans(_ text: String) throws {
    let found = try #require(parse(text))
    #expect(found == SocketAddress(text))
    #expect(found.description == text)
  }

  @Test(arguments: [
    "", ":", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:999999", "127.0.0.1:8x", "127.0.0.1:-1",
    "localhost:80", "256.0.0.1:80", "[::1:80", "[]:80", "[:80", "127.0.0.1\u{0}x:80", "127.0.0.1:+80",
  ])
  func whatIsNoAddressIsNone(_ text: String) {
    #expect(parse(text) == nil)
  }

  @Test func aPortIsSharedByLoopsAndWithNobodyElse() throws {
    let first = try Sockets.listen(try #require(SocketAddress("127.0.0.1:0")))
    defer { close(first) }
    let address = try #require(Sockets.localAddress(first))
    let second = try Sockets.listen(address, joins: true)
    defer { close(second) }
    let error = #expect(throws: SystemError.self) { try Sockets.listen(address) }
    #expect(error?.code == EADDRINUSE)
  }

  @Test func namesThatAreTooLongAreNone() {
    #expect(parse(String(repeating: "1", count: 64) + ":80") == nil)
    #expect(parse(String(repeating: "1", count: 100_000) + ":80") == nil)
  }
}
