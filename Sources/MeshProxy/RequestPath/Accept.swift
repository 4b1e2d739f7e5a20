// Unsafe by design: connections are plain structs.
internal import CMeshSystem
internal import Glibc
internal import MeshModel
internal import MeshReactor
internal import MeshTLS
internal import MeshWire

extension Worker {
  /// Takes what waits on a listening socket, a bounded number at a time so that other connections keep their turn.
  func accept(on listener: ConnectionRef) {
    var remaining = 64
    while remaining > 0 {
      remaining &-= 1
      var storage = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let descriptor = cms_accept(listener.pointee.fd, &storage, &length)
      if descriptor < 0 {
        if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM { backOff(listener) }
        return
      }
      if downstreamCount >= settings.limits.connections {
        refused(listener, .connectionLimit)
        cms_close(descriptor)
        continue
      }
      Sockets.noDelay(descriptor)
      guard let connection = makeConnection(descriptor, role: .undecided) else { continue }
      connection.pointee.listener = listener.pointee.listener
      if let address = SocketAddress(&storage) { connection.pointee.address = address }
      connection.pointee.restingSince = now
      linkDownstream(connection)
      begin(connection, on: listeners[Int(listener.pointee.listener)])
    }
  }

  /// Out of descriptors: stops listening for a moment instead of spinning on what cannot be accepted.
  private func backOff(_ listener: ConnectionRef) {
    refused(listener, .descriptorLimit)
    _ = cms_epoll_remove(epoll, listener.pointee.fd)
    arm(listener, after: 100_000_000)
  }

  /// The moment is over.
  func acceptAgain(_ listener: ConnectionRef) { _ = cms_epoll_add_level(epoll, listener.pointee.fd, listener) }

  /// What a new connection is depends on its listener.
  private func begin(_ connection: ConnectionRef, on listener: ListenerState) {
    switch listener.kind {
    case .forward: becomeHTTP(connection)
    case .outbound:
      // What is spoken is the service's to say; a service that is not known yet is answered in HTTP.
      decidePlaintext(connection, listener)
    case .inbound:
      switch listener.mutualTLS {
      case .strict: beginHandshake(connection)
      // The first byte tells TLS from plaintext.
      case .permissive: arm(connection, after: settings.limits.handshakeNanoseconds)
      case .disable: decidePlaintext(connection, listener)
      }
    }
  }

  /// The connection carries HTTP/1 requests from here on.
  func becomeHTTP(_ connection: ConnectionRef) {
    connection.pointee.role = .downstreamHTTP1
    arm(connection, after: settings.limits.connectionIdleNanoseconds)
  }

  /// Plaintext: from our own application, or on an inbound port that permits it.
  func decidePlaintext(_ connection: ConnectionRef, _ listener: ListenerState) {
    let number = generation.pointee.clusterNumber(ofListener: listener.index)
    let cluster = generation.pointee.cluster(number)
    if listener.isTCP || cluster?.pointee.isTCP == true {
      beginTunnel(connection)
    } else if let cluster, listener.isUndeclared, detects(number) {
      beginDetection(connection, cluster)
    } else {
      becomeHTTP(connection)
    }
  }

  /// The first bytes on a permissive port. A TLS record of type handshake begins with 22, which begins no HTTP method.
  func undecidedBytes(_ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    let listener = listeners[Int(connection.pointee.listener)]
    if connection.pointee.tls == nil, count > 0 {
      if bytes[0] == 22 {
        connection.pointee.input.append(bytes, count)
        beginHandshake(connection)
        guard !connection.pointee.flags.contains(.dead) else { return count }
        openBuffered(connection)
      } else {
        connection.pointee.input.append(bytes, count)
        decidePlaintext(connection, listener)
        if !connection.pointee.flags.contains(.dead) { lookAgain(connection) }
      }
      return count
    }
    return 0
  }

  /// Opens a listening socket for a listener of the configuration.
  func listen(_ state: ListenerState, descriptor: Int32) {
    let connection = ConnectionRef.allocate(capacity: 1)
    connection.initialize(to: Connection(role: .listener))
    connection.pointee.fd = descriptor
    connection.pointee.listener = Int32(listeners.count)
    connection.pointee.timer.kind = TimerKind.connection.rawValue
    var held = state
    held.connection = connection
    listeners.append(held)
    _ = cms_epoll_add_level(epoll, descriptor, connection)
  }
}
