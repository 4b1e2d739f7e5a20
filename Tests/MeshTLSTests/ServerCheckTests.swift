import MeshModel
import MeshTLS
import Testing

/// Ordinary servers, which have host names and no SPIFFE ID.
@Suite struct ServerCheckTests {
  private func names(_ dns: [String], uris: [String] = []) -> TestAuthority.Wish {
    var wish = TestAuthority.Wish()
    wish.uris = uris
    wish.dns = dns
    return wish
  }

  private func client(
    _ authority: TestAuthority, expecting names: [TLSServerName], asking: String = "shop.example.org"
  ) throws -> TLSContext {
    var settings = TLSSettings(
      role: .client, identity: nil, trust: try authority.trust(), trustDomains: [], protocols: ["http/1.1"])
    settings.minimumVersion = .tls12
    settings.peer = .server(serverName: asking, names: names)
    return try TLSContext(settings)
  }

  private func server(_ authority: TestAuthority, _ wish: TestAuthority.Wish) throws -> TLSContext {
    try TLSContext(
      TLSSettings(
        role: .server(.none), identity: try authority.identity(wish), trust: try authority.trust(), trustDomains: [],
        protocols: ["http/1.1"]))
  }

  private func verdict(_ expected: [TLSServerName], _ wish: TestAuthority.Wish) throws -> TLSFailure? {
    let authority = try TestAuthority()
    let leaf = try authority.sign(wish, for: TLSKeyPair())
    return try client(authority, expecting: expected).checkServer(chain: [leaf], nowSeconds: TestAuthority.now)
  }

  @Test(arguments: [
    ("shop.example.org", "shop.example.org", true), ("shop.example.org", "SHOP.Example.org", true),
    ("shop.example.org", "shop.example.org.", true), ("shop.example.org", "*.example.org", true),
    ("shop.example.org", "*.shop.example.org", false), ("a.shop.example.org", "*.example.org", false),
    ("example.org", "*.example.org", false), ("shop.org", "*.org", false),
    ("shop.example.org", "s*.example.org", false),
    ("shop.example.org", "*", false), ("shop.example.org", "example.org", false), ("shop.example.org", "", false),
    ("*.example.org", "shop.example.org", true), ("*.example.org", "*.example.org", true),
    ("*.example.org", "a.b.example.org", false), ("*.org", "*.org", false),
  ])
  func `host names are compared label by label`(expected: String, name: String, isGood: Bool) throws {
    #expect(try verdict([.dns(expected)], names([name])) == (isGood ? nil : .identityMismatch))
  }

  @Test func `one of several names is enough, and each kind is for itself`() throws {
    let wish = names(["other.example.org", "shop.example.org"], uris: ["spiffe://pay/a"])
    #expect(try verdict([.dns("x.org"), .dns("shop.example.org")], wish) == nil)
    #expect(try verdict([.uri("spiffe://pay/a")], wish) == nil)
    #expect(try verdict([.uri("spiffe://pay/A"), .dns("spiffe://pay/a")], wish) == .identityMismatch)
    #expect(try verdict([], wish) == .identityMismatch)
  }

  @Test func `an address is a name of its own kind, byte for byte`() throws {
    var wish = names(["127.0.0.1", "shop.example.org"])
    #expect(try verdict([.address([127, 0, 0, 1])], wish) == .identityMismatch)
    let six: [UInt8] = [0x20, 0x01, 0x0D, 0xB8] + Array(repeating: 0, count: 11) + [1]
    wish.addresses = [[127, 0, 0, 1], six]
    #expect(try verdict([.address([127, 0, 0, 1])], wish) == nil)
    #expect(try verdict([.address(six)], wish) == nil)
    #expect(try verdict([.address([127, 0, 0, 2])], wish) == .identityMismatch)
    #expect(try verdict([.address([127, 0, 0])], wish) == .identityMismatch)
    #expect(try verdict([.dns("\u{7F}\u{0}\u{0}\u{1}")], wish) == .identityMismatch)
  }

  @Test func `a certificate without alternative names has no name`() throws {
    #expect(try verdict([.dns("shop.example.org")], names([])) == .identityMismatch)
  }

  @Test func `authority, dates and purpose count as ever`() throws {
    let authority = try TestAuthority()
    let context = try client(authority, expecting: [.dns("shop.example.org")])
    func check(_ wish: TestAuthority.Wish, by signer: TestAuthority) throws -> TLSFailure? {
      context.checkServer(chain: [try signer.sign(wish, for: TLSKeyPair())], nowSeconds: TestAuthority.now)
    }
    var wish = names(["shop.example.org"])
    #expect(try check(wish, by: authority) == nil)
    #expect(try check(wish, by: TestAuthority()) == .unknownAuthority)
    wish.notAfter = TestAuthority.now - 1000
    #expect(try check(wish, by: authority) == .certificateExpired)
    wish = names(["shop.example.org"])
    wish.purposes = [[1, 3, 6, 1, 5, 5, 7, 3, 2]]
    #expect(try check(wish, by: authority) == .wrongPurpose)
    wish = names(["shop.example.org"])
    wish.isAuthority = true
    #expect(try check(wish, by: authority) == .authorityAsLeaf)
    #expect(context.checkServer(chain: [], nowSeconds: TestAuthority.now) == .noClientCertificate)
    #expect(context.checkServer(chain: [[1, 2, 3]], nowSeconds: TestAuthority.now) == .certificateInvalid)
  }

  @Test func `a connection is made to a server of that name, and carries data`() throws {
    let authority = try TestAuthority()
    let pair = try TestPair(
      client: try client(authority, expecting: [.dns("shop.example.org")]),
      server: try server(authority, names(["shop.example.org"])))
    pair.handshake()
    #expect(pair.client.session.isOpen && pair.server.session.isOpen)
    #expect(pair.client.session.peerIdentity.isEmpty)
    #expect(pair.send(Array("hello".utf8), from: pair.client) == nil)
    #expect(pair.server.received == Array("hello".utf8))
  }

  @Test func `a server of another name is refused`() throws {
    let authority = try TestAuthority()
    let pair = try TestPair(
      client: try client(authority, expecting: [.dns("shop.example.org")]),
      server: try server(authority, names(["other.example.org"])))
    pair.handshake()
    #expect(pair.client.session.failure == .identityMismatch)
    #expect(!pair.server.session.isOpen)
  }

  @Test func `a workload's context refuses ordinary servers as ever`() throws {
    let mesh = try TestMesh()
    let leaf = try mesh.authority.sign(names(["shop.example.org"]), for: TLSKeyPair())
    let verdict = try mesh.client().check(chain: [leaf], nowSeconds: TestAuthority.now)
    #expect(throws: TLSFailure.noIdentity) { try verdict.get() }
  }
}
