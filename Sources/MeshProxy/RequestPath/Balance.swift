// Unsafe by design: balancer state is reached through plain pointers.
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

extension Worker {
  /// Monotonic time as the decisions take it.
  var clock: Int64 { Int64(bitPattern: now) }

  /// Chooses an endpoint, within the cluster's limits.
  func balance(_ exchange: ExchangeRef) {
    guard let cluster = exchange.pointee.cluster else { return giveUp(exchange, .noService) }
    if isHeldBack(exchange) { return }
    if !exchange.pointee.flags.contains(.counted) {
      guard takesLoad(exchange, cluster) else { return giveUp(exchange, .overload) }
      if let reason = cluster.pointee.breaker.acquire(.requests) { return giveUp(exchange, reason) }
      exchange.pointee.flags.insert(.counted)
      cluster.pointee.usedAt = now
      if exchange.pointee.errand.kind != .hedge { cluster.pointee.budget.onRequest(now: clock) }
    }
    let index = pick(exchange, cluster)
    guard index >= 0 else { return giveUp(exchange, cluster.pointee.set.emptyReason) }
    connect(exchange, cluster.pointee.endpoints[Int(index)])
  }

  /// The endpoint that the exchange's session is at, else one by the policy; -1: none.
  private func pick(_ exchange: ExchangeRef, _ cluster: ClusterRef) -> Int32 {
    let preference = exchange.pointee.preference
    if preference.session != 0, exchange.pointee.attempts == 0 {
      let index = place(of: preference.session, in: cluster)
      if index >= 0 { return index }
    }
    var request = BalanceRequest()
    request.tried = triedSlots(exchange, cluster)
    request.subset = preference.subset
    if preference.hasKey {
      request.key = preference.key
    } else if exchange.pointee.flags.contains(.tunnel), cluster.pointee.balance.affinity == .sourceAddress {
      request.key = Self.hash(exchange.pointee.downstream.pointee.address)
    }
    let balancer = cluster.pointee.policy.loadBalancer
    let index = cluster.pointee.levels.pick(balancer, request, now: clock, random: &random)
    guard index < 0, preference.subset != 0, cluster.pointee.balance.fallsBackToAny else { return index }
    request.subset = 0
    return cluster.pointee.levels.pick(balancer, request, now: clock, random: &random)
  }

  /// The endpoints that this exchange has tried, by their present positions.
  private func triedSlots(_ exchange: ExchangeRef, _ cluster: ClusterRef) -> TriedEndpoints {
    var tried = TriedEndpoints()
    if exchange.pointee.attempts == 0 { return tried }
    let ids = exchange.pointee.tried
    for index in 0..<cluster.pointee.set.count {
      let id = cluster.pointee.endpoints[Int(index)].pointee.id
      if id == ids.0 || id == ids.1 || id == ids.2 || id == ids.3 { tried.insert(index) }
    }
    return tried
  }

  /// An attempt at an endpoint begins.
  func beginAttempt(_ exchange: ExchangeRef, _ endpoint: EndpointRef) {
    exchange.pointee.attempts &+= 1
    exchange.pointee.attemptWasSent = false
    exchange.pointee.edge = telemetry.edge(to: endpoint)
    exchange.pointee.lastAddress = endpoint.pointee.address
    exchange.pointee.tried = (
      endpoint.pointee.id, exchange.pointee.tried.0, exchange.pointee.tried.1, exchange.pointee.tried.2
    )
    let slot = endpoint.pointee.slot
    if slot >= 0 { endpoint.pointee.cluster.pointee.set.base[Int(slot)].began() }
  }

  /// … and ends.
  func endAttempt(_ exchange: ExchangeRef) {
    guard let endpoint = exchange.pointee.endpoint else { return }
    exchange.pointee.endpoint = nil
    endpoint.pointee.exchangeCount &-= 1
    let slot = endpoint.pointee.slot
    if slot >= 0 { endpoint.pointee.cluster.pointee.set.base[Int(slot)].ended() }
    releaseIfUnused(endpoint)
  }

  /// What the balancer and the outlier detection learn from an attempt.
  func judge(_ exchange: ExchangeRef, _ outcome: EndpointOutcome) {
    guard exchange.pointee.errand.kind != .probe else { return }
    guard let endpoint = exchange.pointee.endpoint else { return }
    let slot = endpoint.pointee.slot
    let cluster = endpoint.pointee.cluster
    if slot >= 0 {
      if case .peakEWMA(let decay) = cluster.pointee.policy.loadBalancer, !exchange.pointee.flags.contains(.tunnel) {
        let end = exchange.pointee.firstByte > exchange.pointee.attemptStarted ? exchange.pointee.firstByte : now
        PeakEWMA.note(
          Int64(bitPattern: end &- exchange.pointee.attemptStarted), failed: outcome != .success, now: clock,
          decayNanoseconds: decay, in: &cluster.pointee.set.base[Int(slot)])
      }
      if let settings = cluster.pointee.policy.outlier {
        let decision = OutlierDetector.onResult(outcome, at: slot, in: &cluster.pointee.set, settings, now: clock)
        if case .ejected = decision { telemetry.metrics.count(.ejections) }
      }
    }
  }

  /// Takes back endpoints whose ejection is over, and compares the endpoints with each other once an interval.
  private func review(_ cluster: ClusterRef, _ settings: OutlierSettings) {
    _ = OutlierDetector.sweep(&cluster.pointee.set, settings, now: clock)
    guard clock >= cluster.pointee.reviewAt else { return }
    cluster.pointee.reviewAt = clock &+ settings.sweepNanoseconds
    let count = OutlierDetector.review(&cluster.pointee.set, settings, now: clock)
    if count > 0 { telemetry.metrics.count(.ejections, by: UInt64(count)) }
  }

  /// What endpoints go through once a second: ejections, pauses, slow start.
  func sweep() {
    for cluster in endpoints.clusters {
      guard cluster.pointee.set.count > 0 else { continue }
      probe(cluster)
      if let settings = cluster.pointee.policy.outlier { review(cluster, settings) }
      RestPolicy.sweep(&cluster.pointee.set, now: clock)
      if cluster.pointee.isWarming { Warming.update(cluster, now: now) }
    }
    if isDraining { closeQuiet() }
    reviewTunnels()
    calmMemory()
    timers.arm(sweepTimer, deadline: now &+ 1_000_000_000)
  }
}
