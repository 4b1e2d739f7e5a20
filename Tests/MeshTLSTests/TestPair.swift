import MeshModel
import MeshTLS

/// A client and a server without sockets: what one puts out is carried to the other.
final class TestPair {
  final class Side {
    let session: TLSSession
    var output: UnsafeMutablePointer<TLSOutput>
    var received: [UInt8] = []
    var state: TLSReadResult.State = .wantMore
    var handshakes = 0

    init(_ context: TLSContext, expecting: TLSExpectation? = nil, ticket: TLSTicket? = nil) throws {
      guard let session = TLSSession(context: context, expectation: expecting, ticket: ticket) else {
        throw TLSMaterialError.library(code: 0)
      }
      self.session = session
      output = .allocate(capacity: 1)
      output.initialize(to: TLSOutput())
    }

    deinit {
      session.free()
      output.pointee.deallocate()
      output.deallocate()
    }

    /// Takes what is to be sent.
    func drain() -> [UInt8] {
      let bytes = Array(UnsafeBufferPointer(start: output.pointee.base, count: output.pointee.count))
      output.pointee.reset(keeping: 1 << 16)
      return bytes
    }

    /// Feeds bytes, in pieces of `step`, until all are taken or the session ends.
    func receive(_ bytes: [UInt8], step: Int, now: Int64, room: Int = 20_000) {
      let plaintext = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
      defer { plaintext.deallocate() }
      var offset = 0
      while offset < bytes.count || state == .plaintextFull {
        let count = min(step, bytes.count - offset)
        let result = bytes.withUnsafeBufferPointer {
          session.feed(
            $0.baseAddress.map { $0 + offset }, count, plaintext: plaintext, capacity: room, output: output,
            nowSeconds: now)
        }
        offset += result.consumed
        received += Array(UnsafeBufferPointer(start: plaintext, count: result.produced))
        state = result.state
        switch result.state {
        case .handshakeDone: handshakes += 1
        case .failure, .closeNotify: return
        case .wantMore, .plaintextFull: continue
        }
      }
    }
  }

  let client: Side
  let server: Side
  var now = TestAuthority.now
  var step = Int.max

  init(
    client: TLSContext, server: TLSContext, expecting: TLSExpectation? = nil, permitted: TLSExpectation? = nil,
    ticket: TLSTicket? = nil
  ) throws {
    self.client = try Side(client, expecting: expecting, ticket: ticket)
    self.server = try Side(server, expecting: permitted)
  }

  /// Begins, and carries bytes to and fro until nobody has any more.
  func handshake() {
    server.state = server.session.start(output: server.output, nowSeconds: now).state
    client.state = client.session.start(output: client.output, nowSeconds: now).state
    exchange()
  }

  func exchange() {
    while true {
      let toServer = client.drain()
      let toClient = server.drain()
      if toServer.isEmpty && toClient.isEmpty { return }
      if !toServer.isEmpty { server.receive(toServer, step: step, now: now) }
      if !toClient.isEmpty { client.receive(toClient, step: step, now: now) }
    }
  }

  /// Sends a record of any type from one side to the other.
  func sendHostile(_ type: UInt8, _ content: [UInt8], from side: Side) throws {
    guard side.session.sealHostile(type: type, content, output: side.output) else {
      throw TLSMaterialError.library(code: 0)
    }
    exchange()
  }

  /// Sends bytes from one side to the other.
  func send(_ bytes: [UInt8], from side: Side) -> TLSFailure? {
    let failure = bytes.withUnsafeBufferPointer { buffer -> TLSFailure? in
      guard let base = buffer.baseAddress else { return nil }
      return side.session.seal(base, buffer.count, output: side.output)
    }
    exchange()
    return failure
  }
}

/// Contexts of a mesh with one authority.
struct TestMesh {
  static let protocols = ["apus-http/1.1", "apus-tcp"]
  let authority: TestAuthority

  init() throws { authority = try TestAuthority() }

  func settings(
    _ role: TLSSettings.Role, identity: TLSIdentity?, trust: TLSTrust? = nil
  ) throws -> TLSSettings {
    TLSSettings(
      role: role, identity: identity, trust: try trust ?? authority.trust(), trustDomains: [.standard],
      protocols: TestMesh.protocols)
  }

  func client(_ identity: TLSIdentity? = nil, change: (inout TLSSettings) -> Void = { _ in }) throws -> TLSContext {
    var wish = TestAuthority.Wish()
    wish.uris = ["spiffe://cluster.local/ns/shop/sa/front"]
    var settings = try settings(.client, identity: try identity ?? authority.identity(wish))
    change(&settings)
    return try TLSContext(settings)
  }

  func server(
    _ identity: TLSIdentity? = nil, policy: TLSClientCertificate = .required,
    change: (inout TLSSettings) -> Void = { _ in }
  ) throws -> TLSContext {
    var settings = try settings(.server(policy), identity: try identity ?? authority.identity())
    change(&settings)
    return try TLSContext(settings)
  }
}
