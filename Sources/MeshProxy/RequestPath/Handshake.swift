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
  /// For connections that we open to peers for one request at a time, and for bytes as they are.
  let http: TLSContext
  let tcp: TLSContext
  /// For connections that carry many requests, or many tunnels; older peers take the second choice.
  let streams: TLSContext
  let tunnels: TLSContext

  /// - Parameter context: makes a context for a role with these protocols, most wanted first.
  package init(_ context: (TLSSettings.Role, [String]) throws -> TLSContext) rethrows {
    server = try context(.server(.required), [Self.http2Protocol, Self.httpProtocol, Self.tcpProtocol])
    http = try context(.client, [Self.httpProtocol])
    tcp = try context(.client, [Self.tcpProtocol])
    streams = try context(.client, [Self.http2Protocol, Self.httpProtocol])
    tunnels = try context(.client, [Self.http2Protocol, Self.tcpProtocol])
  }

  /// The context for a connection that we open.
  func context(_ role: ConnectionRole, isTCP: Bool) -> TLSContext {
    switch role {
    case .upstreamTunnel: tcp
    case .upstreamHTTP2: isTCP ? tunnels : streams
    default: http
    }
  }

  /// What proxies agree on by ALPN: HTTP/2 with requests and tunnels (HBONE), HTTP/1.1, or bytes as they are.
  static let http2Protocol = "h2"
  static let httpProtocol = "apus-http/1.1"
  static let tcpProtocol = "apus-tcp"
  /// Their places in the server's list; HTTP/2 is first in every list that has it.
  static let http2ProtocolIndex = 0
  static let tcpProtocolIndex = 2
}

extension Worker {
  /// The certificates of one of the proxy's identities; 0 is its own.
  func credentials(_ identity: Int?) -> Credentials? {
    guard let identity else { return nil }
    if identity == 0 { return credentials }
    return furtherCredentials.indices.contains(identity - 1) ? furtherCredentials[identity - 1] : nil
  }

  /// Expects TLS from a client.
  func beginHandshake(_ connection: ConnectionRef) {
    let identity = listeners[Int(connection.pointee.listener)].identity
    guard let credentials = credentials(identity), let session = TLSSession(context: credentials.server) else {
      refused(connection, .tlsNoOwnCertificate)
      return kill(connection)
    }
    connection.pointee.role = .undecided
    connection.pointee.tls = session
    connection.pointee.flags.insert(.handshaking)
    sealed.pointee.reset(keeping: Self.sealedCapacity)
    _ = session.start(output: sealed, nowSeconds: nowSeconds)
    arm(connection, after: settings.limits.handshakeNanoseconds)
  }

  /// Whether a port carries bytes as they are, by its listener's word or by its service's.
  func isTCP(_ listener: ListenerState) -> Bool {
    listener.isTCP
      || generation.pointee.cluster(generation.pointee.clusterNumber(ofListener: listener.index))?.pointee.isTCP == true
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
    if session.negotiatedProtocol == Credentials.http2ProtocolIndex {
      becomeHTTP2(connection, .server)
    } else if session.negotiatedProtocol == Credentials.tcpProtocolIndex || isTCP(listener) {
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
      refused(connection, reason)
      // The alert says why before the connection goes.
      closeAfterFlush(connection)
    case .upstreamHTTP2:
      guard let session = connection.pointee.http2 else { return upstreamLost(connection, reason) }
      // In TLS 1.3 a server looks at our certificate when we are done already: its alert is the first that it says.
      sessionEnded(connection, session.pointee.codec.hasPeerSettings ? .upstreamReset : reason)
    case .downstreamHTTP1, .downstreamHTTP2, .tunnel:
      if failure == .renegotiation { refused(connection, reason) }
      broken(connection)
    case .lingering, .detecting, .listener: kill(connection)
    }
  }
}
