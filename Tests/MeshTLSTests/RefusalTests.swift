import MeshModel
import MeshTLS
import Testing

/// Every refusal of a certificate, on a server and on a client, with its reason and with the alert that leaves.
@Suite("TLS refusals")
struct RefusalTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var wish: @Sendable (inout TestAuthority.Wish) -> Void
    var failure: TLSFailure
  }

  static let cases: [Case] = [
    Case(testDescription: "expired", wish: { $0.notAfter = TestAuthority.now - 301 }, failure: .certificateExpired),
    Case(
      testDescription: "not yet valid", wish: { $0.notBefore = TestAuthority.now + 301 },
      failure: .certificateNotYetValid),
    Case(testDescription: "no name at all", wish: { $0.uris = [] }, failure: .noIdentity),
    Case(
      testDescription: "only a DNS name",
      wish: {
        $0.uris = []; $0.dns = ["cart.shop"]
      }, failure: .noIdentity),
    Case(
      testDescription: "two URI names",
      wish: { $0.uris = ["spiffe://cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/c"] },
      failure: .severalIdentities),
    Case(
      testDescription: "a certificate of an authority",
      wish: {
        $0.isAuthority = true; $0.keyUsage = 0x84
      }, failure: .authorityAsLeaf),
    Case(
      testDescription: "no path", wish: { $0.uris = ["spiffe://cluster.local"] },
      failure: .invalidIdentity(.noPath)),
    Case(
      testDescription: "dot segments", wish: { $0.uris = ["spiffe://cluster.local/ns/../sa/b"] },
      failure: .invalidIdentity(.dotSegment)),
    Case(
      testDescription: "percent-encoding", wish: { $0.uris = ["spiffe://cluster.local/ns/%61/sa/b"] },
      failure: .invalidIdentity(.percentEncoding)),
    Case(
      testDescription: "over 2048 bytes",
      wish: { $0.uris = ["spiffe://cluster.local/" + String(repeating: "a", count: 2048)] },
      failure: .invalidIdentity(.tooLong)),
    Case(
      testDescription: "a web address", wish: { $0.uris = ["https://cluster.local/ns/a/sa/b"] },
      failure: .invalidIdentity(.scheme)),
    Case(
      testDescription: "another trust domain under our root", wish: { $0.uris = ["spiffe://evil.example/ns/a/sa/b"] },
      failure: .foreignTrustDomain),
    Case(
      testDescription: "for signing code", wish: { $0.purposes = [[1, 3, 6, 1, 5, 5, 7, 3, 3]] },
      failure: .wrongPurpose),
    Case(
      testDescription: "names that cannot be parsed", wish: { $0.rawSubjectAltName = [0x30, 0x05, 0x86] },
      failure: .certificateInvalid),
  ]

  @Test("a server refuses the client's certificate", arguments: RefusalTests.cases)
  func onServer(refusal: Case) throws {
    let mesh = try TestMesh()
    var wish = TestAuthority.Wish()
    refusal.wish(&wish)
    let pair = try TestPair(client: mesh.client(mesh.authority.identity(wish)), server: mesh.server())
    pair.handshake()
    #expect(pair.server.state == .failure(refusal.failure))
    #expect(pair.server.handshakes == 0)
    guard case .failure(.peerAlert(let alert)) = pair.client.state else {
      Issue.record("the client was told nothing: \(pair.client.state)")
      return
    }
    #expect(alert != TLSAlert.closeNotify)
  }

  @Test("a client refuses the server's certificate", arguments: RefusalTests.cases)
  func onClient(refusal: Case) throws {
    let mesh = try TestMesh()
    var wish = TestAuthority.Wish()
    refusal.wish(&wish)
    let pair = try TestPair(client: mesh.client(), server: mesh.server(mesh.authority.identity(wish)))
    pair.handshake()
    #expect(pair.client.state == .failure(refusal.failure))
    guard case .failure(.peerAlert) = pair.server.state else {
      Issue.record("the server was told nothing: \(pair.server.state)")
      return
    }
  }

  @Test("the allowance for clocks is as long as it says")
  func clocks() throws {
    let mesh = try TestMesh()
    var wish = TestAuthority.Wish()
    wish.notAfter = TestAuthority.now
    let client = try mesh.client(mesh.authority.identity(wish))
    for (later, accepted) in [(0, true), (300, true), (301, false)] as [(Int64, Bool)] {
      let pair = try TestPair(client: client, server: mesh.server())
      pair.now = TestAuthority.now + later
      pair.handshake()
      #expect(pair.server.handshakes == (accepted ? 1 : 0), "\(later) seconds after the end")
    }
    let exact = try TestPair(client: client, server: mesh.server { $0.clockSkewSeconds = 0 })
    exact.now = TestAuthority.now + 1
    exact.handshake()
    #expect(exact.server.state == .failure(.certificateExpired))
  }

  @Test("another authority, even of the same name, is unknown")
  func otherAuthority() throws {
    let mesh = try TestMesh()
    for name in ["Test root", "Another root"] {
      let other = try TestAuthority(name: name)
      let pair = try TestPair(client: mesh.client(other.identity()), server: mesh.server())
      pair.handshake()
      #expect(pair.server.state == .failure(.unknownAuthority))
      #expect(pair.client.state == .failure(.peerAlert(TLSAlert.unknownAuthority)))
    }
  }

  @Test("an expired root or intermediate refuses as well")
  func expiredAbove() throws {
    let root = try TestAuthority(notAfter: TestAuthority.now - 1000)
    let mesh = try TestMesh()
    let pair = try TestPair(
      client: mesh.client(root.identity()), server: mesh.server { [trust = try root.trust()] in $0.trust = trust })
    pair.handshake()
    #expect(pair.server.state == .failure(.certificateExpired))
  }

  @Test("a chain over an intermediate passes, and without it does not")
  func intermediate() throws {
    let mesh = try TestMesh()
    let issuer = try mesh.authority.intermediate()
    let whole = try TestPair(client: mesh.client(issuer.identity()), server: mesh.server())
    whole.handshake()
    #expect(whole.server.handshakes == 1)
    let key = try TLSKeyPair()
    let bare = try key.identity(chain: issuer.sign(TestAuthority.Wish(), for: key))
    let short = try TestPair(client: mesh.client(bare), server: mesh.server())
    short.handshake()
    #expect(short.server.state == .failure(.unknownAuthority))
  }

  @Test("without a client certificate: refused where one is required, accepted where it is optional")
  func noClientCertificate() throws {
    let mesh = try TestMesh()
    let anonymous = try TLSContext(mesh.settings(.client, identity: nil))
    let strict = try TestPair(client: anonymous, server: mesh.server())
    strict.handshake()
    #expect(strict.server.state == .failure(.noClientCertificate))
    #expect(strict.client.state == .failure(.peerAlert(TLSAlert.certificateRequired)))
    for policy in [TLSClientCertificate.optional, .none] {
      let open = try TestPair(client: anonymous, server: mesh.server(policy: policy))
      open.handshake()
      #expect(open.server.handshakes == 1)
      #expect(open.server.session.peerIdentity.isEmpty)
      #expect(open.server.session.peerCertificateSHA256 == nil)
    }
  }

  @Test("an optional certificate that is shown is checked")
  func optionalIsChecked() throws {
    let mesh = try TestMesh()
    let stranger = try TestAuthority(name: "Stranger").identity()
    let pair = try TestPair(client: mesh.client(stranger), server: mesh.server(policy: .optional))
    pair.handshake()
    #expect(pair.server.state == .failure(.unknownAuthority))
  }

  @Test("an identity that is not expected is refused, by a client and by a server")
  func expectations() throws {
    let mesh = try TestMesh()
    let cart = TLSExpectation(identities: [try SPIFFEID("spiffe://cluster.local/ns/shop/sa/cart")])
    let other = TLSExpectation(identities: [try SPIFFEID("spiffe://cluster.local/ns/shop/sa/payments")])
    let good = try TestPair(client: mesh.client(), server: mesh.server(), expecting: cart)
    good.handshake()
    #expect(good.client.handshakes == 1)
    let bad = try TestPair(client: mesh.client(), server: mesh.server(), expecting: other)
    bad.handshake()
    #expect(bad.client.state == .failure(.identityMismatch))
    #expect(bad.server.state == .failure(.peerAlert(TLSAlert.accessDenied)))
    let denied = try TestPair(client: mesh.client(), server: mesh.server(), permitted: other)
    denied.handshake()
    #expect(denied.server.state == .failure(.identityMismatch))
  }

  @Test("an alias of the trust domain is accepted")
  func aliases() throws {
    let mesh = try TestMesh()
    var wish = TestAuthority.Wish()
    wish.uris = ["spiffe://old.example/ns/shop/sa/cart"]
    let alias = try TrustDomain("old.example")
    let pair = try TestPair(
      client: mesh.client(mesh.authority.identity(wish)), server: mesh.server { $0.trustDomains.append(alias) })
    pair.handshake()
    #expect(pair.server.handshakes == 1)
  }

  @Test("certificates are judged without a connection as in one", arguments: RefusalTests.cases)
  func withoutConnection(refusal: Case) throws {
    let mesh = try TestMesh()
    let context = try mesh.server()
    let key = try TLSKeyPair()
    let good = try mesh.authority.sign(TestAuthority.Wish(), for: key)
    let identity = try SPIFFEID("spiffe://cluster.local/ns/shop/sa/cart")
    #expect(context.check(chain: [good], nowSeconds: TestAuthority.now) == .success(identity))
    var wish = TestAuthority.Wish()
    refusal.wish(&wish)
    let bad = try mesh.authority.sign(wish, for: key)
    #expect(context.check(chain: [bad], nowSeconds: TestAuthority.now) == .failure(refusal.failure))
    #expect(context.check(chain: [], nowSeconds: TestAuthority.now) == .failure(.noClientCertificate))
    #expect(context.check(chain: [[1, 2, 3]], nowSeconds: TestAuthority.now) == .failure(.certificateInvalid))
    #expect(context.check(chain: [good, [0x30]], nowSeconds: TestAuthority.now) == .failure(.certificateInvalid))
  }

  @Test("every failure has a reason that people can look up")
  func reasons() {
    for refusal in RefusalTests.cases {
      #expect(refusal.failure.reason.name.description.hasPrefix("tls_"))
    }
    #expect(TLSFailure.noClientCertificate.reason == .tlsNoClientCertificate)
    #expect(TLSFailure.peerAlert(TLSAlert.certificateExpired).reason == .tlsNoOwnCertificate)
    #expect(TLSFailure.wrongPurpose.name.description == "wrong_purpose")
  }
}
