// Unsafe by design: connections are plain structs.
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor
package import MeshTLS

/// Certificates and what follows from them, shared by all workers and replaced whole when one of them changes.
package struct Credentials: Sendable {
  /// For connections that peers open to us, strict: without a certificate there is no connection.
  package let server: TLSContext
  /// For connections that we open to peers for HTTP, and for bytes as they are.
  package let http: TLSContext
  package let tcp: TLSContext

  package init(server: TLSContext, http: TLSContext, tcp: TLSContext) {
    self.server = server
    self.http = http
    self.tcp = tcp
  }

  /// What proxies agree on by ALPN: HTTP/1.1, or bytes as they are.
  package static let httpProtocol = "apus-http/1.1"
  package static let tcpProtocol = "apus-tcp"
  /// A server's protocols, in the order of `TLSSettings.protocols`.
  package static let serverProtocols = [httpProtocol, tcpProtocol]
  static let tcpProtocolIndex = 1
}

extension Worker {
  /// Expects TLS from a client.
  func beginHandshake(_ connection: ConnectionRef) {
    guard let credentials, let session = TLSSession(context: credentials.server) else {
      telemetry.count(.tlsNoOwnCertificate)
      return kill(connection)
    }
    connection.pointee.role = .undecided
    connection.pointee.tls = session
    connection.pointee.flags.insert(.handshaking)
    sealed.pointee.reset(keeping: Self.outputHighWater)
    _ = session.start(output: sealed, nowSeconds: nowSeconds)
    arm(connection, after: RequestPath.handshakeTimeout)
  }

  /// Gives bytes that were received before TLS was expected to the session.
  func openBuffered(_ connection: ConnectionRef) {
    let count = connection.pointee.input.count
    guard count > 0, let bytes = connection.pointee.input.bytes else { return }
    memcpy(receiveBuffer, bytes, count)
    connection.pointee.input.release()
    open(connection, receiveBuffer, count)
  }

  /// The peer is known. A client's connection becomes what its protocol says; an upstream is given its request.
  func handshakeFinished(_ connection: ConnectionRef) {
    guard let session = connection.pointee.tls else { return }
    connection.pointee.flags.remove(.handshaking)
    if connection.pointee.role != .undecided { return upstreamReady(connection) }
    connection.pointee.peer = peers.take(session)
    disarm(connection)
    let listener = listeners[Int(connection.pointee.listener)]
    if session.negotiatedProtocol == Credentials.tcpProtocolIndex || listener.isTCP {
      beginTunnel(connection)
    } else {
      becomeHTTP(connection)
    }
  }

  /// TLS failed, in the handshake or later.
  func sessionFailed(_ connection: ConnectionRef, _ failure: TLSFailure) {
    let reason = failure.reason
    switch connection.pointee.role {
    case .upstreamHTTP1, .upstreamTunnel: upstreamLost(connection, reason)
    case .undecided:
      telemetry.count(reason)
      // The alert says why before the connection goes.
      closeAfterFlush(connection)
    case .downstreamHTTP1, .tunnel: broken(connection)
    case .lingering, .listener: kill(connection)
    }
  }
}
