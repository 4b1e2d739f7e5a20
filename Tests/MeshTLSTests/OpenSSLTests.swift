import Foundation
import MeshModel
import MeshTLS
import Testing

/// Another implementation at the other end: OpenSSL, through Python, over pipes.
@Suite("TLS with OpenSSL")
struct OpenSSLTests {
  /// Shakes hands on its standard input and output, then sends back what it gets, in upper case.
  private static let script = """
    import ssl, sys, os
    server, folder, suite = sys.argv[1] == "server", sys.argv[2], sys.argv[3]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder + "/root.pem")
    context.load_cert_chain(folder + "/leaf.pem", folder + "/key.pem")
    context.set_alpn_protocols(["apus-http/1.1"])
    context.minimum_version = getattr(ssl.TLSVersion, suite)
    context.maximum_version = context.minimum_version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=server)
    def flush():
        data = outgoing.read()
        while data:
            data = data[os.write(1, data):]
    def step(call):
        while True:
            try:
                result = call()
                flush()
                return result
            except ssl.SSLWantReadError:
                flush()
                data = os.read(0, 65536)
                if not data:
                    sys.exit(3)
                incoming.write(data)
    step(tls.do_handshake)
    assert tls.selected_alpn_protocol() == "apus-http/1.1", tls.selected_alpn_protocol()
    while True:
        try:
            data = step(lambda: tls.read(65536))
        except ssl.SSLZeroReturnError:
            data = b""
        if not data:
            break
        step(lambda: tls.write(data.upper()))
    try:
        tls.unwrap()
    except ssl.SSLWantReadError:
        pass
    flush()
    """

  @Test(
    "a megabyte goes to OpenSSL and comes back",
    arguments: [("server", "TLSv1_3"), ("client", "TLSv1_3"), ("server", "TLSv1_2"), ("client", "TLSv1_2")])
  func echo(role: String, version: String) throws {
    let folder = NSTemporaryDirectory() + "apus-tls-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    // The other side reads the real clock.
    let now = Int64(Date().timeIntervalSince1970)
    let authority = try TestAuthority(notBefore: now - 3600, notAfter: now + 86400)
    var wish = TestAuthority.Wish()
    wish.notBefore = now - 60
    wish.notAfter = now + 3600
    let key = try TLSKeyPair()
    let leaf = DER.pem("CERTIFICATE", try authority.sign(wish, for: key))
    for (name, text) in [
      ("root.pem", String(decoding: authority.pem, as: UTF8.self)), ("leaf.pem", leaf),
      ("key.pem", try key.privateKeyPEM()),
    ] { try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8) }

    var settings = TLSSettings(
      role: role == "server" ? .client : .server(.required), identity: try authority.identity(wish),
      trust: try authority.trust(), trustDomains: [.standard], protocols: ["apus-http/1.1"])
    settings.minimumVersion = .tls12
    settings.ticketKeys = TLSTicketKeys()
    let side = try TestPair.Side(try TLSContext(settings))
    let pipe = try PipedProcess("/usr/bin/env", ["python3", "-c", OpenSSLTests.script, role, folder, version])
    defer { pipe.end() }

    let payload = (0..<(1 << 20)).map { UInt8(ascii: "a") + UInt8(truncatingIfNeeded: $0 &* 7 % 26) }
    _ = side.session.start(output: side.output, nowSeconds: now)
    var sent = 0
    var asked = false
    while side.state != .closeNotify {
      if side.session.isOpen, sent < payload.count, side.received.count == sent {
        let piece = Array(payload[sent..<min(sent + 30_000, payload.count)])
        #expect(side.session.seal(piece, piece.count, output: side.output) == nil)
        sent += piece.count
      } else if side.received.count == payload.count, !asked {
        side.session.shutdown(output: side.output)
        asked = true
      }
      try pipe.write(side.drain())
      let bytes = pipe.read()
      if bytes.isEmpty { break }
      side.receive(bytes, step: .max, now: now)
      if case .failure(let failure) = side.state {
        Issue.record("\(failure)")
        return
      }
    }
    #expect(side.received == payload.map { $0 - 32 })
    #expect(side.session.versionName == version.replacingOccurrences(of: "_", with: "."))
    #expect(String(decoding: side.session.peerIdentity, as: UTF8.self) == wish.uris[0])
  }
}
