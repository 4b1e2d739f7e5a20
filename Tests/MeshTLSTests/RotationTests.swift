import MeshModel
import MeshTLS
import Testing

@Suite("Renewal of certificates")
struct RotationTests {
  @Test("a new context serves new connections while the old ones go on")
  func inPlace() throws {
    let mesh = try TestMesh()
    let keys = TLSTicketKeys()
    let client = try mesh.client()
    let old = try TestPair(client: client, server: mesh.server { $0.ticketKeys = keys })
    old.handshake()
    var wish = TestAuthority.Wish()
    wish.notAfter = TestAuthority.now + 7200
    let renewed = try mesh.server(mesh.authority.identity(wish)) { $0.ticketKeys = keys }
    let new = try TestPair(client: client, server: renewed)
    new.handshake()
    #expect(new.client.session.peerNotAfterSeconds == TestAuthority.now + 7200)
    #expect(old.send([1, 2], from: old.client) == nil)
    #expect(old.server.received == [1, 2])
    #expect(old.client.session.peerNotAfterSeconds == TestAuthority.now + 3600)
  }

  @Test("a ticket from before the renewal still makes the handshake short")
  func ticketAcrossRenewal() throws {
    let mesh = try TestMesh()
    let keys = TLSTicketKeys()
    let client = try mesh.client()
    let first = try TestPair(client: client, server: mesh.server { $0.ticketKeys = keys })
    first.handshake()
    #expect(first.send([1], from: first.server) == nil)
    let ticket = try #require(first.client.session.takeTicket())
    defer { ticket.free() }
    let second = try TestPair(client: client, server: mesh.server { $0.ticketKeys = keys }, ticket: ticket)
    second.handshake()
    #expect(second.server.session.isResumed)
  }

  @Test("two roots in a bundle accept both, while a root is replaced")
  func bundle() throws {
    let mesh = try TestMesh()
    let next = try TestAuthority(name: "Next root")
    let both = try TLSTrust(roots: mesh.authority.pem + next.pem)
    #expect(both.count == 2)
    let server = try mesh.server { $0.trust = both }
    for authority in [mesh.authority, next] {
      let pair = try TestPair(client: mesh.client(authority.identity()), server: server)
      pair.handshake()
      #expect(pair.server.handshakes == 1)
    }
  }

  @Test("a ticket made under another trust is not used: the handshake is a full one")
  func ticketAndTrust() throws {
    let mesh = try TestMesh()
    let keys = TLSTicketKeys()
    let first = try TestPair(client: mesh.client(), server: mesh.server { $0.ticketKeys = keys })
    first.handshake()
    #expect(first.send([1], from: first.server) == nil)
    let ticket = try #require(first.client.session.takeTicket())
    defer { ticket.free() }
    let both = try TLSTrust(roots: mesh.authority.pem + TestAuthority(name: "Next root").pem)
    let changedServer = try mesh.server {
      $0.ticketKeys = keys; $0.trust = both
    }
    let one = try TestPair(client: mesh.client(), server: changedServer, ticket: ticket)
    one.handshake()
    #expect(one.server.handshakes == 1)
    #expect(!one.server.session.isResumed)
    let other = try TestPair(
      client: mesh.client { $0.trust = both }, server: mesh.server { $0.ticketKeys = keys }, ticket: ticket)
    other.handshake()
    #expect(other.server.handshakes == 1)
    #expect(!other.server.session.isResumed)
  }

  @Test("a ticket from a time when no certificate was asked for makes a full handshake where one is required")
  func ticketAndPolicy() throws {
    let mesh = try TestMesh()
    let keys = TLSTicketKeys()
    let client = try mesh.client()
    let first = try TestPair(client: client, server: mesh.server(policy: .none) { $0.ticketKeys = keys })
    first.handshake()
    #expect(first.send([1], from: first.server) == nil)
    let ticket = try #require(first.client.session.takeTicket())
    defer { ticket.free() }
    let strict = try TestPair(client: client, server: mesh.server { $0.ticketKeys = keys }, ticket: ticket)
    strict.handshake()
    #expect(strict.server.handshakes == 1)
    #expect(!strict.server.session.isResumed)
    #expect(!strict.server.session.peerIdentity.isEmpty)
  }

  @Test("a resumed peer is checked again: who it may be, and whether its certificate has ended")
  func resumedChecks() throws {
    let mesh = try TestMesh()
    let keys = TLSTicketKeys(rotationSeconds: 100_000)
    let client = try mesh.client()
    let first = try TestPair(client: client, server: mesh.server { $0.ticketKeys = keys })
    first.handshake()
    #expect(first.send([1], from: first.server) == nil)
    let ticket = try #require(first.client.session.takeTicket())
    defer { ticket.free() }
    let nobody = TLSExpectation(identities: [])
    let denied = try TestPair(
      client: client, server: mesh.server { $0.ticketKeys = keys }, permitted: nobody, ticket: ticket)
    denied.handshake()
    #expect(denied.server.state == .failure(.identityMismatch))
    let refused = try TestPair(
      client: client, server: mesh.server { $0.ticketKeys = keys }, expecting: nobody, ticket: ticket)
    refused.handshake()
    #expect(refused.client.state == .failure(.identityMismatch))
    let late = try TestPair(client: client, server: mesh.server { $0.ticketKeys = keys }, ticket: ticket)
    late.now = TestAuthority.now + 3600 + 301
    late.handshake()
    #expect(late.client.state == .failure(.certificateExpired))
  }

  @Test("a ticket key seals for its time and opens for as long again")
  func ticketKeys() throws {
    let mesh = try TestMesh()
    let keys = TLSTicketKeys(rotationSeconds: 60)
    let client = try mesh.client()
    let server = try mesh.server { $0.ticketKeys = keys }
    let first = try TestPair(client: client, server: server)
    first.handshake()
    #expect(first.send([1], from: first.server) == nil)
    let ticket = try #require(first.client.session.takeTicket())
    defer { ticket.free() }
    for (later, resumed) in [(59, true), (119, true), (120, false)] as [(Int64, Bool)] {
      let pair = try TestPair(client: client, server: server, ticket: ticket)
      pair.now = TestAuthority.now + later
      pair.handshake()
      #expect(pair.server.handshakes == 1)
      #expect(pair.server.session.isResumed == resumed, "\(later) seconds later")
    }
  }

  @Test("renewal is due at half of the life, ten per cent earlier or later")
  func schedule() {
    let day = RotationSchedule(receivedSeconds: 1000, notAfterSeconds: 1000 + 86400)
    #expect(abs(day.renewalDelaySeconds(nowSeconds: 1000, chance: 0) - 38_880) < 0.001)
    #expect(abs(day.renewalDelaySeconds(nowSeconds: 1000, chance: 0.5) - 43_200) < 0.001)
    #expect(abs(day.renewalDelaySeconds(nowSeconds: 1000, chance: 1) - 47_520) < 0.001)
    #expect(day.renewalDelaySeconds(nowSeconds: 90_000, chance: 0.5) == 0)
    let short = RotationSchedule(receivedSeconds: 0, notAfterSeconds: 10)
    #expect(short.renewalDelaySeconds(nowSeconds: 0, chance: 1) <= 5.5)
  }

  @Test("after failures the wait grows to a bound, and it never ends, not even after the certificate's end")
  func retries() {
    let day = RotationSchedule(receivedSeconds: 0, notAfterSeconds: 86400)
    #expect(day.retryDelaySeconds(failures: 1, chance: 1) == 1)
    #expect(day.retryDelaySeconds(failures: 4, chance: 1) == 8)
    #expect(day.retryDelaySeconds(failures: 1_000_000, chance: 1) == 60)
    #expect(day.retryDelaySeconds(failures: 5, chance: 0) > 0)
    let short = RotationSchedule(receivedSeconds: 0, notAfterSeconds: 10)
    #expect(short.retryDelaySeconds(failures: 20, chance: 1) == 2.5)
    #expect(short.standing(nowSeconds: 4) == .valid(forSeconds: 6))
    #expect(short.standing(nowSeconds: 12) == .expired(sinceSeconds: 2))
    #expect(short.renewalDelaySeconds(nowSeconds: 100, chance: 0.5) == 0)
  }
}

@Suite("Keys and requests")
struct RequestTests {
  @Test("openssl accepts the request, its signature and its name")
  func request() throws {
    let request = try CertificateRequest(identity: SPIFFEID("spiffe://cluster.local/ns/shop/sa/cart"))
    #expect(request.pem.hasPrefix("-----BEGIN CERTIFICATE REQUEST-----\nMI"))
    let answer = try Tool.openssl(["req", "-verify", "-noout", "-text"], input: request.pem)
    #expect(answer.contains("verify OK"))
    #expect(answer.contains("URI:spiffe://cluster.local/ns/shop/sa/cart"))
    #expect(answer.contains("prime256v1"))
    #expect(answer.contains("ecdsa-with-SHA256"))
  }

  @Test("the answer of the authority must be for the key that was asked with")
  func keyMismatch() throws {
    let authority = try TestAuthority()
    let request = try CertificateRequest(identity: SPIFFEID("spiffe://cluster.local/ns/shop/sa/cart"))
    let right = try authority.sign(TestAuthority.Wish(), for: request.keyPair)
    #expect(try request.keyPair.identity(chain: right).spiffeID == request.identity)
    let wrong = try authority.sign(TestAuthority.Wish(), for: TLSKeyPair())
    #expect(throws: TLSMaterialError.keyMismatch) { try request.keyPair.identity(chain: wrong) }
  }

  @Test("certificates and keys are read from PEM and DER, and junk is refused with what it is")
  func material() throws {
    let authority = try TestAuthority()
    let pair = try TLSKeyPair()
    let der = try authority.sign(TestAuthority.Wish(), for: pair)
    let pem = Array(DER.pem("CERTIFICATE", der).utf8)
    let key = Array(try pair.privateKeyPEM().utf8)
    let facts = try TLSIdentity(chain: pem, privateKey: key).facts
    #expect(try TLSIdentity(chain: der, privateKey: key).facts == facts)
    #expect(facts.notAfterSeconds == TestAuthority.now + 3600)
    #expect(facts.uriNames == [Array("spiffe://cluster.local/ns/shop/sa/cart".utf8)])
    #expect(try CertificateFacts(bytes: authority.pem).isAuthority)
    #expect(throws: TLSMaterialError.noCertificate) { try TLSTrust(roots: Array("nothing".utf8)) }
    #expect(throws: TLSMaterialError.noCertificate) { try TLSTrust(roots: []) }
    #expect(throws: TLSMaterialError.certificateUnreadable) { try TLSTrust(roots: [0x30, 0x82]) }
    #expect(throws: TLSMaterialError.certificateUnreadable) { try TLSTrust(roots: Array(pem.dropLast(40))) }
    #expect(throws: TLSMaterialError.keyUnreadable) { try TLSIdentity(chain: pem, privateKey: pem) }
    #expect(throws: TLSMaterialError.keyUnreadable) { try TLSIdentity(chain: pem, privateKey: [0x30, 1, 2]) }
  }
}
