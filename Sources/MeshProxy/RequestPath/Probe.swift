// Unsafe by design: endpoints and exchanges are plain structs.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

/// Health checks, as requests without a client: they take the connections, the TLS and the protocol that requests take.
extension Worker {
  /// How long a service counts as used after a request, and how often the endpoints of the others are asked.
  private static let quietInterval: UInt64 = 60_000_000_000

  /// Asks the endpoints of a cluster whose time has come; once a second.
  func probe(_ cluster: ClusterRef) {
    guard let settings = cluster.pointee.healthCheck, !isDraining else { return }
    // What nobody asks for need not be known to the second (as Envoy's `no_traffic_interval`).
    let isUsed = cluster.pointee.usedAt != 0 && now &- cluster.pointee.usedAt < Self.quietInterval
    let own = UInt64(max(1_000_000_000, settings.intervalNanoseconds))
    let interval = isUsed ? own : max(own, Self.quietInterval)
    for index in 0..<Int(cluster.pointee.set.count) {
      let endpoint = cluster.pointee.endpoints[index]
      if endpoint.pointee.probeAt == 0 {
        // Spread over the interval, so that not all are asked at once, by this proxy and by others.
        endpoint.pointee.probeAt = now &+ UInt64(random.below(Int64(interval)))
        if cluster.pointee.set.count > 1 { continue }
      }
      // The first request after a quiet time: the next check is not waited for.
      if endpoint.pointee.probeAt > now &+ interval &+ interval / 10 {
        endpoint.pointee.probeAt = now &+ UInt64(random.below(Int64(interval)))
      }
      guard now >= endpoint.pointee.probeAt, !endpoint.pointee.isProbed else { continue }
      endpoint.pointee.probeAt = now &+ interval &- interval / 10 &+ UInt64(random.below(Int64(interval / 5)))
      ask(endpoint, settings)
    }
  }

  private func ask(_ endpoint: EndpointRef, _ settings: HealthCheckSettings) {
    let cluster = endpoint.pointee.cluster
    // That there may be no more connections says nothing of the endpoint.
    guard settings.kind != .tcp || !cluster.pointee.breaker.isOpen(.connections) else { return }
    let exchange = makeErrand(.probe)
    exchange.pointee.cluster = cluster
    exchange.pointee.deadline = now &+ UInt64(max(1_000_000, settings.timeoutNanoseconds))
    endpoint.pointee.isProbed = true
    exchange.pointee.endpoint = endpoint
    endpoint.pointee.exchangeCount &+= 1
    exchange.pointee.attemptStarted = now
    beginAttempt(exchange, endpoint)
    armExchange(exchange)
    guard settings.kind != .tcp else {
      _ = cluster.pointee.breaker.acquire(.connections)
      if let connection = open(exchange, endpoint, role: .upstreamHTTP1) { attach(exchange, connection) }
      return
    }
    let request = cluster.pointee.tables._withUnsafeGuaranteedRef { $0.probeRequest }
    if let bytes = request.bytes.baseAddress { exchange.pointee.request.append(bytes, request.bytes.count) }
    exchange.pointee.headLength = request.headLength
    exchange.pointee.method = settings.kind == .grpc ? .post : .get
    let body = request.bytes.count &- request.headLength
    if body > 0 {
      exchange.pointee.framing = .length(UInt64(body))
      exchange.pointee.requestBytes = UInt64(body)
    }
    if settings.kind == .grpc { exchange.pointee.flags.insert(.grpc) }
    take(exchange, endpoint)
  }

  /// The connection of a check that asks for no more is there. True: that was all.
  func probeConnected(_ exchange: ExchangeRef) -> Bool {
    guard exchange.pointee.errand.kind == .probe, exchange.pointee.headLength == 0 else { return false }
    exchange.pointee.status = 200
    abandonUpstream(exchange)
    record(exchange)
    finishDownstream(exchange)
    return true
  }

  /// Bytes of an answer to a check: the message of gRPC says `SERVING` in its one field.
  func noteProbe(_ exchange: ExchangeRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard exchange.pointee.errand.kind == .probe, count >= 7, bytes[0] == 0, bytes[5] == 8 else { return }
    exchange.pointee.errand.serving = bytes[6]
  }

  /// A check has ended. Called before the attempt is ended, while the exchange still knows its endpoint.
  func probeEnded(_ exchange: ExchangeRef) {
    guard let cluster = exchange.pointee.cluster, let settings = cluster.pointee.healthCheck,
      let endpoint = probed(exchange, cluster)
    else { return }
    endpoint.pointee.isProbed = false
    let status = exchange.pointee.status
    var isWell = exchange.pointee.reason == nil && status >= settings.leastStatus && status <= settings.mostStatus
    if settings.kind == .grpc {
      isWell = isWell && exchange.pointee.grpcStatus == 0 && exchange.pointee.errand.serving == 1
    }
    guard endpoint.pointee.health.note(success: isWell, settings), endpoint.pointee.slot >= 0 else { return }
    cluster.pointee.set.set(.failing, !isWell, at: endpoint.pointee.slot)
    telemetry.metrics.count(isWell ? .healthRecoveries : .healthFailures)
    guard isWell else { return closeIdle(endpoint) }
    // It warms up as if it were new.
    if cluster.pointee.slowStart != nil {
      endpoint.pointee.since = now
      Warming.update(cluster, now: now)
    }
  }

  /// The endpoint that a check was about: the exchange forgets it when its attempt ends, its number stays.
  private func probed(_ exchange: ExchangeRef, _ cluster: ClusterRef) -> EndpointRef? {
    if let endpoint = exchange.pointee.endpoint { return endpoint }
    for index in 0..<Int(cluster.pointee.set.count)
    where cluster.pointee.endpoints[index].pointee.id == exchange.pointee.tried.0 {
      return cluster.pointee.endpoints[index]
    }
    return nil
  }
}
