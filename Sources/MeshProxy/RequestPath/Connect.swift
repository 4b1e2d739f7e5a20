// Unsafe by design: connections are plain structs.
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS

extension Worker {
  /// Gives the exchange a connection to its endpoint: an idle one, else a new one.
  func connect(_ exchange: ExchangeRef, _ endpoint: EndpointRef) {
    exchange.pointee.endpoint = endpoint
    endpoint.pointee.exchangeCount &+= 1
    exchange.pointee.attemptStarted = now
    beginAttempt(exchange, endpoint)
    take(exchange, endpoint)
  }

  /// A connection, or a stream on one, for an attempt that has begun.
  func take(_ exchange: ExchangeRef, _ endpoint: EndpointRef) {
    if goesByHTTP2(exchange, endpoint) { return multiplex(exchange, endpoint) }
    if !exchange.pointee.flags.contains(.tunnel), let connection = takeIdle(endpoint) {
      attach(exchange, connection)
      return send(exchange)
    }
    let cluster = endpoint.pointee.cluster
    guard cluster.pointee.breaker.acquire(.connections) == nil else { return wait(exchange, cluster) }
    let role: ConnectionRole = exchange.pointee.flags.contains(.tunnel) ? .upstreamTunnel : .upstreamHTTP1
    if let connection = open(exchange, endpoint, role: role) { attach(exchange, connection) }
  }

  /// Opens a new connection; nil when the attempt has failed already.
  func open(_ exchange: ExchangeRef, _ endpoint: EndpointRef, role: ConnectionRole) -> ConnectionRef? {
    let descriptor = Sockets.connect(endpoint.pointee.address)
    guard descriptor >= 0, let connection = makeConnection(descriptor, role: role) else {
      endpoint.pointee.cluster.pointee.breaker.release(.connections)
      attemptFailed(exchange, descriptor == -ECONNREFUSED ? .connectRefused : .connectFailure)
      return nil
    }
    connection.pointee.endpoint = endpoint
    connection.pointee.flags.insert([.connecting, .counted])
    endpoint.pointee.connectionCount &+= 1
    upstreamCount &+= 1
    arm(connection, after: UInt64(max(1, endpoint.pointee.cluster.pointee.policy.pool.connectNanoseconds)))
    return connection
  }

  /// Gives the exchange a connection for itself.
  func attach(_ exchange: ExchangeRef, _ connection: ConnectionRef) {
    exchange.pointee.upstream = connection
    connection.pointee.exchange = exchange
    connection.pointee.exchangeCount &+= 1
    connection.pointee.scanned = 0
    connection.pointee.body = HTTP1BodyReader(.none)
  }

  /// connect() has an outcome.
  func connectFinished(_ connection: ConnectionRef) {
    let code = Sockets.pendingError(connection.pointee.fd)
    connection.pointee.flags.remove(.connecting)
    if code != 0 {
      return upstreamLost(connection, code == ECONNREFUSED ? .connectRefused : .connectFailure)
    }
    guard let endpoint = connection.pointee.endpoint, let expectation = endpoint.pointee.expectation else {
      return connectedOutside(connection)
    }
    guard let credentials = credentials(endpoint.pointee.cluster.pointee.identity),
      let session = TLSSession(
        context: credentials.context(connection.pointee.role, isTCP: endpoint.pointee.cluster.pointee.isTCP),
        expectation: expectation.takeUnretainedValue(), ticket: endpoint.pointee.ticket)
    else { return upstreamLost(connection, .tlsNoOwnCertificate) }
    shakeHands(connection, session)
  }

  /// The connection leads out of the mesh: plaintext, or TLS as a BackendTLSPolicy says.
  private func connectedOutside(_ connection: ConnectionRef) {
    guard let endpoint = connection.pointee.endpoint, let outside = endpoint.pointee.backendTLS?.takeUnretainedValue()
    else { return upstreamReady(connection) }
    guard let context = outside.context(connection.pointee.role),
      let session = TLSSession(context: context, ticket: endpoint.pointee.ticket)
    else { return upstreamLost(connection, .tlsUnknownAuthority) }
    shakeHands(connection, session)
  }

  private func shakeHands(_ connection: ConnectionRef, _ session: TLSSession) {
    connection.pointee.tls = session
    connection.pointee.flags.insert(.handshaking)
    sealed.pointee.reset(keeping: Self.sealedCapacity)
    _ = session.start(output: sealed, nowSeconds: nowSeconds)
    transmitSealed(connection)
  }

  /// The connection can carry data: its exchange goes on.
  func upstreamReady(_ connection: ConnectionRef) {
    disarm(connection)
    if connection.pointee.role == .upstreamHTTP2 { return multiplexedReady(connection) }
    guard let exchange = connection.pointee.exchange else { return kill(connection) }
    let isGone = exchange.pointee.downstream.pointee.flags.contains(.dead) && exchange.pointee.errand.kind == .none
    isGone ? kill(connection) : proceed(exchange, connection)
  }

  private func proceed(_ exchange: ExchangeRef, _ connection: ConnectionRef) {
    if probeConnected(exchange) { return }
    if exchange.pointee.flags.contains(.tunnel) { establishTunnel(exchange) } else { send(exchange) }
  }

  // MARK: Waiting for a connection

  /// Puts the exchange in the cluster's line, or refuses it when the line is full.
  func wait(_ exchange: ExchangeRef, _ cluster: ClusterRef) {
    endAttempt(exchange)
    if let reason = cluster.pointee.breaker.acquire(.pending) { return giveUp(exchange, reason) }
    exchange.pointee.flags.insert(.pending)
    cluster.pointee.waiting.append(exchange)
    if exchange.pointee.deadline == .max { exchange.pointee.deadline = now &+ RequestPath.responseTimeout }
    armExchange(exchange)
  }

  /// Takes the exchange out of the line.
  func leaveLine(_ exchange: ExchangeRef) {
    guard exchange.pointee.flags.contains(.pending), let cluster = exchange.pointee.cluster else { return }
    exchange.pointee.flags.remove(.pending)
    cluster.pointee.breaker.release(.pending)
    cluster.pointee.waiting.remove(exchange)
    // The limit was the line's.
    if exchange.pointee.deadlineSource == .none, exchange.pointee.errand.kind == .none {
      exchange.pointee.deadline = .max
    }
  }

  /// A connection became free or may be opened: the exchange that has waited longest goes on.
  func startWaiting(_ cluster: ClusterRef) {
    guard let exchange = cluster.pointee.waiting.first else { return }
    leaveLine(exchange)
    balance(exchange)
  }
}
