// Unsafe by design: connections are plain structs in lists of their own.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS

/// Connections that carry many streams: an endpoint's are shared by all exchanges of the worker, and one that is just
/// being opened is waited for rather than doubled.
extension Worker {
  /// Whether the exchange goes to this endpoint by HTTP/2.
  func goesByHTTP2(_ exchange: ExchangeRef, _ endpoint: EndpointRef) -> Bool {
    if exchange.pointee.flags.contains(.tunnel) {
      return endpoint.pointee.expectation != nil && endpoint.pointee.wire != .http1
    }
    switch endpoint.pointee.wire {
    case .http1: return false
    case .http2: return true
    // The handshake decides; another protocol gets a connection of its own, as an upgrade.
    case .negotiated: return !exchange.pointee.flags.contains(.upgrade)
    case .application: return exchange.pointee.flags.contains(.grpc)
    }
  }

  /// Puts the exchange on one of the endpoint's connections, or opens one.
  func multiplex(_ exchange: ExchangeRef, _ endpoint: EndpointRef) {
    var current = endpoint.pointee.multiplexedHead
    var opening: ConnectionRef?
    while let connection = current {
      current = connection.pointee.next
      if connection.pointee.http2 == nil || awaitsSettings(exchange, connection) {
        opening = connection
      } else if beginStream(exchange, connection) {
        return retireWorn(connection, endpoint)
      }
    }
    if let opening { return joinWaiting(exchange, opening) }
    let cluster = endpoint.pointee.cluster
    guard cluster.pointee.breaker.acquire(.connections) == nil else { return wait(exchange, cluster) }
    guard let connection = open(exchange, endpoint, role: .upstreamHTTP2) else { return }
    connection.pointee.flags.insert(.multiplexed)
    connection.pointee.previous = nil
    connection.pointee.next = endpoint.pointee.multiplexedHead
    endpoint.pointee.multiplexedHead?.pointee.previous = connection
    endpoint.pointee.multiplexedHead = connection
    joinWaiting(exchange, connection)
  }

  /// A connection that has carried as many requests as it may takes no more.
  private func retireWorn(_ connection: ConnectionRef, _ endpoint: EndpointRef) {
    guard case .atMost(let limit) = endpoint.pointee.cluster.pointee.policy.pool.maxRequestsPerConnection,
      connection.pointee.exchangeCount >= limit, let session = connection.pointee.http2
    else { return }
    leaveMultiplexed(connection)
    drainSession(connection, session)
  }

  /// Takes a connection out of its endpoint's list: what it carries goes on, nothing new comes.
  func leaveMultiplexed(_ connection: ConnectionRef) {
    guard connection.pointee.flags.contains(.multiplexed), let endpoint = connection.pointee.endpoint else { return }
    connection.pointee.flags.remove(.multiplexed)
    if let previous = connection.pointee.previous {
      previous.pointee.next = connection.pointee.next
    } else {
      endpoint.pointee.multiplexedHead = connection.pointee.next
    }
    connection.pointee.next?.pointee.previous = connection.pointee.previous
    connection.pointee.next = nil
    connection.pointee.previous = nil
    markDirty(connection)
  }

  /// Lets an endpoint's connections finish what they carry.
  func retireMultiplexed(_ endpoint: EndpointRef) {
    while let connection = endpoint.pointee.multiplexedHead {
      leaveMultiplexed(connection)
      if let session = connection.pointee.http2 { drainSession(connection, session) }
    }
  }

  // MARK: Waiting for one that is being opened

  private func joinWaiting(_ exchange: ExchangeRef, _ connection: ConnectionRef) {
    exchange.pointee.flags.insert(.awaitingStream)
    exchange.pointee.upstream = connection
    connection.pointee.waiting.append(exchange)
  }

  /// Takes the exchange out of those that wait for a connection.
  func stopAwaiting(_ exchange: ExchangeRef) {
    guard exchange.pointee.flags.contains(.awaitingStream), let connection = exchange.pointee.upstream else { return }
    exchange.pointee.flags.remove(.awaitingStream)
    exchange.pointee.upstream = nil
    connection.pointee.waiting.remove(exchange)
  }

  /// The connection is open: those that waited go on, on it or, where it turned out to speak HTTP/1, each for itself.
  func multiplexedReady(_ connection: ConnectionRef) {
    guard let endpoint = connection.pointee.endpoint else { return kill(connection) }
    if let session = connection.pointee.tls, session.negotiatedProtocol != Credentials.http2ProtocolIndex {
      return fallBack(connection, endpoint)
    }
    becomeHTTP2(connection, .client)
    startAwaiting(connection, endpoint)
  }

  /// Those that waited for a connection, and can go on, do.
  private func startAwaiting(_ connection: ConnectionRef, _ endpoint: EndpointRef) {
    var current = connection.pointee.waiting.first
    while let exchange = current, !connection.pointee.flags.contains(.dead) {
      if awaitsSettings(exchange, connection) {
        current = exchange.pointee.next
        continue
      }
      stopAwaiting(exchange)
      // More than one connection carries: the rest opens another.
      if !beginStream(exchange, connection) { multiplex(exchange, endpoint) }
      current = connection.pointee.waiting.first
    }
  }

  /// Until the server has said how many streams it takes, it may refuse any: what could not be sent again waits for its
  /// word.
  private func awaitsSettings(_ exchange: ExchangeRef, _ connection: ConnectionRef) -> Bool {
    guard let session = connection.pointee.http2, !session.pointee.codec.hasPeerSettings else { return false }
    return !exchange.pointee.flags.contains(.tunnel)
      && !exchange.pointee.flags.contains([.requestComplete, .replayable])
  }

  /// The server has said how many streams it takes.
  func settingsCame(_ connection: ConnectionRef) {
    guard connection.pointee.waiting.first != nil, let endpoint = connection.pointee.endpoint else { return }
    startAwaiting(connection, endpoint)
    markDirty(connection)
  }

  /// The endpoint speaks no HTTP/2: from now on each exchange has a connection for itself.
  private func fallBack(_ connection: ConnectionRef, _ endpoint: EndpointRef) {
    endpoint.pointee.wire = .http1
    // Kept alive by a use of its own while its only connection closes.
    endpoint.pointee.exchangeCount &+= 1
    kill(connection)
    while let exchange = connection.pointee.waiting.first {
      stopAwaiting(exchange)
      take(exchange, endpoint)
    }
    endpoint.pointee.exchangeCount &-= 1
    releaseIfUnused(endpoint)
  }

  /// The connection could not be opened: everybody who waited looks for another way.
  func multiplexedLost(_ connection: ConnectionRef, _ reason: Reason) {
    kill(connection)
    loseAwaiting(connection, reason)
  }

  /// A connection takes nothing any more: those that waited for it look for another way. Its memory stays until the turn
  /// ends.
  func loseAwaiting(_ connection: ConnectionRef, _ reason: Reason) {
    while let exchange = connection.pointee.waiting.first {
      stopAwaiting(exchange)
      attemptFailed(exchange, reason)
    }
  }
}
