// Fuzz target for what peers send before and under TLS. The first byte chooses: a SPIFFE ID, certificates as DER and
// PEM and in a chain, junk in a handshake, records of a peer that has the keys and breaks the rules.
// What must hold: no crash, no stray access, no leak; what is accepted has one meaning; a session that failed stays so.
import Glibc
import MeshModel
import MeshTLS

private struct World {
  let server: TLSContext
  let client: TLSContext
  let root: [UInt8]

  init() throws {
    let authority = try TestAuthority()
    let trust = try authority.trust()
    func settings(_ role: TLSSettings.Role) throws -> TLSSettings {
      var settings = TLSSettings(
        role: role, identity: try authority.identity(), trust: trust, trustDomains: [.standard],
        protocols: ["apus-http/1.1"])
      settings.keyExchange = .classicPreferred
      return settings
    }
    server = try TLSContext(settings(.server(.none)))
    client = try TLSContext(settings(.client))
    root = authority.certificate
  }
}

nonisolated(unsafe) private let world = try? World()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ source: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source, count > 1, let world else { return 0 }
  let bytes = Array(UnsafeBufferPointer(start: source + 1, count: count - 1))
  switch source[0] % 4 {
  case 0: identity(bytes)
  case 1: certificate(bytes, world)
  case 2: handshake(bytes, world)
  default: records(bytes, world)
  }
  return 0
}

private func require(_ condition: Bool, _ claim: StaticString) {
  if !condition {
    print("does not hold: \(claim)")
    abort()
  }
}

private func identity(_ bytes: [UInt8]) {
  guard let id = try? SPIFFEID(bytes: bytes) else { return }
  require(Array(id.uri.utf8) == bytes, "an ID is written as it was read")
  require((try? SPIFFEID(id.uri)) == id, "an ID is read as it was written")
  require(bytes.count <= 2048 && !bytes.contains(0x25), "an ID is short and not encoded")
  require(!id.path.split(separator: "/").contains { $0 == "." || $0 == ".." }, "an ID has no dot segment")
  if let namespace = id.namespace, let account = id.account {
    let again = try? SPIFFEID(trustDomain: id.trustDomain, namespace: namespace, account: account)
    require(again == id, "namespace and account make the ID again")
  }
}

private func certificate(_ bytes: [UInt8], _ world: World) {
  _ = try? CertificateFacts(bytes: bytes)
  _ = try? TLSTrust(roots: bytes)
  let verdict = world.server.check(chain: [bytes, world.root], nowSeconds: TestAuthority.now)
  if case .success = verdict { require(false, "nothing is accepted that our root did not sign") }
}

private final class Side {
  let session: TLSSession
  let output = UnsafeMutablePointer<TLSOutput>.allocate(capacity: 1)
  var failed = false
  static let capacity = 20_000
  let plaintext = UnsafeMutablePointer<UInt8>.allocate(capacity: Side.capacity)

  init?(_ context: TLSContext) {
    output.initialize(to: TLSOutput())
    guard let session = TLSSession(context: context) else { return nil }
    self.session = session
    _ = session.start(output: output, nowSeconds: TestAuthority.now)
  }

  deinit {
    session.free()
    output.pointee.deallocate()
    output.deallocate()
    plaintext.deallocate()
  }

  func feed(_ bytes: [UInt8], room: Int = Side.capacity, step: Int = .max) {
    var offset = 0
    var full = false
    while offset < bytes.count || full {
      let piece = min(step, bytes.count - offset)
      let result = bytes.withUnsafeBufferPointer {
        session.feed(
          $0.baseAddress.map { $0 + offset }, piece, plaintext: plaintext, capacity: room, output: output,
          nowSeconds: TestAuthority.now)
      }
      require(result.consumed <= piece && result.produced <= room, "no more is taken or given than there is")
      offset += result.consumed
      full = false
      switch result.state {
      case .failure:
        failed = true
        return
      case .closeNotify: return
      case .plaintextFull: full = true
      case .wantMore, .handshakeDone:
        require(!failed, "a session that failed stays so")
      }
    }
  }

  func drain() -> [UInt8] {
    defer { output.pointee.reset(keeping: 1 << 16) }
    return Array(UnsafeBufferPointer(start: output.pointee.base, count: output.pointee.count))
  }
}

private func handshake(_ bytes: [UInt8], _ world: World) {
  let step = bytes.count % 3 == 0 ? 1 + bytes.count % 7 : .max
  guard let server = Side(world.server), let client = Side(world.client) else { return }
  server.feed(bytes, step: step)
  require(!server.session.isOpen, "junk opens nothing")
  _ = client.drain()
  client.feed(bytes, step: step)
  require(!client.session.isOpen, "junk opens nothing")
  require(client.session.peerIdentity.isEmpty, "junk has no identity")
}

private func records(_ bytes: [UInt8], _ world: World) {
  guard let server = Side(world.server), let client = Side(world.client) else { return }
  for _ in 0..<4 {
    server.feed(client.drain())
    client.feed(server.drain())
  }
  require(server.session.isOpen && client.session.isOpen, "an honest handshake works")
  let target = bytes[0] & 1 == 0 ? server : client
  let hostile = bytes[0] & 1 == 0 ? client : server
  let room = bytes[0] & 2 == 0 ? Side.capacity : 10
  let step = bytes[0] & 4 == 0 ? Int.max : 9
  var index = 1
  while index + 2 <= bytes.count {
    let type = bytes[index] % 8 == 0 ? bytes[index] : 20 + bytes[index] % 4
    let length = min(Int(bytes[index + 1]), bytes.count - index - 2)
    let content = Array(bytes[(index + 2)..<(index + 2 + length)])
    index += 2 + length
    guard hostile.session.sealHostile(type: type, content, output: hostile.output) else { return }
    target.feed(hostile.drain(), room: room, step: step)
    if target.failed { break }
  }
  var byte: UInt8 = 1
  let refusal = target.session.seal(&byte, 1, output: target.output)
  require((refusal == nil) != target.failed, "a session seals until it fails and not after")
}
