import MeshModel
import MeshTLS
import Testing

@Suite("TLS handshakes")
struct HandshakeTests {
  @Test("both sides know each other's identity, protocol and cipher", arguments: [1, 7, 1000, Int.max])
  func identities(step: Int) throws {
    let mesh = try TestMesh()
    let pair = try TestPair(client: mesh.client(), server: mesh.server())
    pair.step = step
    pair.handshake()
    #expect(pair.client.handshakes == 1)
    #expect(pair.server.handshakes == 1)
    #expect(
      String(decoding: pair.client.session.peerIdentity, as: UTF8.self) == "spiffe://cluster.local/ns/shop/sa/cart")
    #expect(
      String(decoding: pair.server.session.peerIdentity, as: UTF8.self) == "spiffe://cluster.local/ns/shop/sa/front")
    #expect(pair.client.session.negotiatedProtocol == 0)
    #expect(pair.server.session.negotiatedProtocol == 0)
    #expect(pair.client.session.versionName == "TLSv1.3")
    #expect(pair.client.session.cipherName.hasPrefix("TLS_"))
    #expect(pair.client.session.groupName == "X25519MLKEM768")
    #expect(pair.server.session.peerNotAfterSeconds == TestAuthority.now + 3600)
    #expect(!pair.client.session.isResumed)
  }

  @Test("the hash of the peer's certificate is that of its DER")
  func certificateHash() throws {
    let mesh = try TestMesh()
    let identity = try mesh.authority.identity()
    let pair = try TestPair(client: mesh.client(), server: mesh.server(identity))
    pair.handshake()
    let hash = try #require(pair.client.session.peerCertificateSHA256)
    #expect(withUnsafeBytes(of: hash) { Array($0) } == identity.facts.sha256)
  }

  @Test("bytes go both ways, also in the smallest pieces", arguments: [1, 3, 4096, Int.max])
  func bytes(step: Int) throws {
    let mesh = try TestMesh()
    let pair = try TestPair(client: mesh.client(), server: mesh.server())
    pair.step = step
    pair.handshake()
    let request = Array("GET / HTTP/1.1\r\nhost: cart\r\n\r\n".utf8)
    let response = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    #expect(pair.send(request, from: pair.client) == nil)
    #expect(pair.server.received == request)
    #expect(pair.send(response, from: pair.server) == nil)
    #expect(pair.client.received == response)
  }

  @Test("plaintext that has no room waits, and nothing is lost")
  func smallRoom() throws {
    let mesh = try TestMesh()
    let pair = try TestPair(client: mesh.client(), server: mesh.server())
    pair.handshake()
    let payload = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    #expect(
      payload.withUnsafeBufferPointer {
        pair.client.session.seal($0.baseAddress!, $0.count, output: pair.client.output)
      } == nil)
    pair.server.receive(pair.client.drain(), step: .max, now: pair.now, room: 100)
    #expect(pair.server.received == payload)
  }

  @Test("close_notify is told apart from an end without it")
  func endings() throws {
    let mesh = try TestMesh()
    let pair = try TestPair(client: mesh.client(), server: mesh.server())
    pair.handshake()
    pair.client.session.shutdown(output: pair.client.output)
    pair.exchange()
    #expect(pair.server.state == .closeNotify)
    #expect(pair.server.session.endOfInput() == .closeNotify)
    // The other direction stays open.
    #expect(pair.send([1, 2, 3], from: pair.server) == nil)
    #expect(pair.client.received == [1, 2, 3])
    #expect(pair.client.session.endOfInput() == .failure(.truncated))
  }

  @Test("a record changed on the way ends the connection with an alert")
  func tampered() throws {
    let mesh = try TestMesh()
    let pair = try TestPair(client: mesh.client(), server: mesh.server())
    pair.handshake()
    let bytes: [UInt8] = [1, 2, 3]
    #expect(pair.client.session.seal(bytes, bytes.count, output: pair.client.output) == nil)
    var record = pair.client.drain()
    record[record.count - 1] ^= 1
    pair.server.receive(record, step: .max, now: pair.now)
    #expect(pair.server.state == .failure(.badRecord))
    #expect(pair.server.received.isEmpty)
    pair.exchange()
    #expect(pair.client.state == .failure(.peerAlert(TLSAlert.badRecordMAC)))
  }

  @Test("a key pair of Ed25519 is the same again, and so are its signatures")
  func writtenDown() throws {
    let one = try TLSKeyPair(ed25519: [UInt8](repeating: 9, count: 32))
    let other = try TLSKeyPair(ed25519: [UInt8](repeating: 9, count: 32))
    let message = Array("a message".utf8)
    #expect(one.publicKeyInfo == other.publicKeyInfo)
    #expect(try one.sign(message) == other.sign(message))
    #expect(try one.sign(message).count == 64)
    #expect(throws: TLSMaterialError.self) { try TLSKeyPair(ed25519: [1, 2, 3]) }
  }

  @Test("100 MB pass unchanged")
  func bulk() throws {
    let mesh = try TestMesh()
    let pair = try TestPair(client: mesh.client(), server: mesh.server())
    pair.handshake()
    var generator: UInt64 = 0x9e37_79b9_7f4a_7c15
    let piece = (0..<(1 << 20)).map { _ -> UInt8 in
      generator = generator &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: generator >> 56)
    }
    for round in 0..<100 {
      pair.server.received.removeAll(keepingCapacity: true)
      #expect(pair.send(piece, from: pair.client) == nil)
      #expect(pair.server.received == piece, "piece \(round)")
    }
  }

  @Test("a session is resumed with its ticket, and the identity is still known")
  func resumption() throws {
    let mesh = try TestMesh()
    let client = try mesh.client()
    let server = try mesh.server { $0.ticketKeys = TLSTicketKeys() }
    let first = try TestPair(client: client, server: server)
    first.handshake()
    // The ticket travels with the first answer.
    #expect(first.send([1], from: first.server) == nil)
    let ticket = try #require(first.client.session.takeTicket())
    defer { ticket.free() }
    #expect(first.client.session.takeTicket() == nil)
    let second = try TestPair(client: client, server: server, ticket: ticket)
    second.handshake()
    #expect(second.client.session.isResumed)
    #expect(second.server.session.isResumed)
    #expect(
      String(decoding: second.server.session.peerIdentity, as: UTF8.self) == "spiffe://cluster.local/ns/shop/sa/front")
    #expect(
      String(decoding: second.client.session.peerIdentity, as: UTF8.self) == "spiffe://cluster.local/ns/shop/sa/cart")
    #expect(second.send([5], from: second.client) == nil)
    #expect(second.server.received == [5])
  }

  @Test("a server that keeps no ticket keys gives no tickets")
  func noTickets() throws {
    let mesh = try TestMesh()
    let pair = try TestPair(client: mesh.client(), server: mesh.server())
    pair.handshake()
    #expect(pair.send([1], from: pair.server) == nil)
    #expect(pair.client.session.takeTicket() == nil)
  }

  @Test("TLS 1.2 is spoken only where the setting allows it")
  func version12() throws {
    let mesh = try TestMesh()
    let old = try mesh.client {
      $0.maximumVersion = .tls12; $0.minimumVersion = .tls12
    }
    let strict = try TestPair(client: old, server: mesh.server())
    strict.handshake()
    #expect(strict.server.state == .failure(.versionTooOld))
    #expect(strict.client.state == .failure(.peerAlert(TLSAlert.protocolVersion)))
    let lenient = try TestPair(client: old, server: mesh.server { $0.minimumVersion = .tls12 })
    lenient.handshake()
    #expect(lenient.server.session.versionName == "TLSv1.2")
    #expect(lenient.send([9, 9], from: lenient.client) == nil)
    #expect(lenient.server.received == [9, 9])
    #expect(lenient.send([8], from: lenient.server) == nil)
    #expect(lenient.client.received == [8])
  }

  @Test("no application protocol in common refuses on both sides")
  func protocols() throws {
    let mesh = try TestMesh()
    let pair = try TestPair(client: mesh.client { $0.protocols = ["h2"] }, server: mesh.server())
    pair.handshake()
    #expect(pair.server.state == .failure(.protocolMismatch))
    #expect(pair.client.state == .failure(.peerAlert(TLSAlert.noApplicationProtocol)))
    let tcp = try TestPair(client: mesh.client { $0.protocols = ["apus-tcp"] }, server: mesh.server())
    tcp.handshake()
    #expect(tcp.server.session.negotiatedProtocol == 1)
    #expect(tcp.client.session.negotiatedProtocol == 0)
  }

  @Test("plaintext and junk are refused, and a session that failed stays so")
  func junk() throws {
    let mesh = try TestMesh()
    let context = try mesh.server()
    for bytes in [Array("GET / HTTP/1.1\r\n\r\n".utf8), [0, 1, 2, 3], [0xff]] {
      let side = try TestPair.Side(context)
      _ = side.session.start(output: side.output, nowSeconds: TestAuthority.now)
      side.receive(bytes, step: .max, now: TestAuthority.now)
      #expect(side.state == .failure(.notTLS))
      side.receive(bytes, step: .max, now: TestAuthority.now)
      #expect(side.state == .failure(.notTLS))
      #expect(side.session.seal(bytes, bytes.count, output: side.output) == .notTLS)
    }
    let side = try TestPair.Side(context)
    _ = side.session.start(output: side.output, nowSeconds: TestAuthority.now)
    side.receive([22, 3, 1, 0, 4, 9, 9, 9, 9], step: .max, now: TestAuthority.now)
    guard case .failure = side.state else {
      Issue.record("junk in a handshake record was taken")
      return
    }
  }
}
