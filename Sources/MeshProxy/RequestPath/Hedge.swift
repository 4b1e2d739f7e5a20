// Unsafe by design: exchanges are plain structs.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

/// A second try beside one that takes long: whichever answers first is taken, the other is cancelled. It is bounded by
/// the retry budget and the breaker, as every attempt after the first.
extension Worker {
  /// Sets the time of a second try from the policy.
  func planHedge(_ exchange: ExchangeRef) {
    guard exchange.pointee.errand.kind == .none else { return }
    let settings = retrySettings(exchange)
    guard case .nanoseconds(let delay) = settings.hedgeDelay, exchange.pointee.attempts == 1,
      exchange.pointee.errand.partner == nil,
      exchange.pointee.method.isIdempotent || settings.conditions.contains(.allMethods)
    else { return }
    exchange.pointee.errand.hedgeAt = now &+ UInt64(max(0, delay))
  }

  /// The first try has taken long enough: begins the second.
  func hedge(_ exchange: ExchangeRef) {
    exchange.pointee.errand.hedgeAt = .max
    guard !isDraining, !exchange.pointee.flags.contains(.responseStarted), exchange.pointee.errand.partner == nil,
      exchange.pointee.generation == generation, isWhole(exchange), let cluster = exchange.pointee.cluster,
      cluster.pointee.set.count > 1, cluster.pointee.breaker.acquire(.retries) == nil
    else { return }
    guard cluster.pointee.budget.withdraw(now: clock) else { return cluster.pointee.breaker.release(.retries) }
    let twin = makeErrand(.hedge)
    twin.pointee.flags.insert(.retrying)
    twin.pointee.cluster = cluster
    guard copyRequest(of: exchange, to: twin) else {
      finishRetry(twin)
      return freeExchange(twin)
    }
    twin.pointee.attempts = exchange.pointee.attempts
    twin.pointee.tried = exchange.pointee.tried
    twin.pointee.preference.subset = exchange.pointee.preference.subset
    twin.pointee.deadline = exchange.pointee.deadline
    twin.pointee.tryLimit = exchange.pointee.tryLimit
    twin.pointee.headLimit = exchange.pointee.headLimit
    twin.pointee.errand.partner = exchange
    exchange.pointee.errand.partner = twin
    exchange.pointee.retryCount &+= 1
    telemetry.metrics.count(.hedgedRequests)
    balance(twin)
  }

  /// The head of an answer is there: the exchange that goes on with it, which is the client's own. Nil: nobody wants it.
  func winner(_ exchange: ExchangeRef, _ status: UInt16) -> ExchangeRef? {
    guard let partner = exchange.pointee.errand.partner else { return exchange }
    guard exchange.pointee.errand.kind == .hedge else {
      dropHedge(partner)
      return exchange
    }
    // A failure is no reason to give up the first try.
    if status >= 500, partner.pointee.upstream != nil {
      judge(exchange, EndpointOutcome(status: status))
      dropHedge(exchange)
      return nil
    }
    takeOver(from: exchange, to: partner)
    return partner
  }

  /// The client's exchange goes on with the endpoint that answered its second try.
  private func takeOver(from twin: ExchangeRef, to exchange: ExchangeRef) {
    exchange.pointee.errand.partner = nil
    twin.pointee.errand.partner = nil
    leaveLine(exchange)
    exchange.pointee.flags.remove(.backingOff)
    // Unless it has failed already.
    noteAttempt(exchange, nil)
    abandonUpstream(exchange)
    endAttempt(exchange)
    exchange.pointee.upstream = twin.pointee.upstream
    exchange.pointee.upstreamStream = twin.pointee.upstreamStream
    exchange.pointee.upstreamDebt = twin.pointee.upstreamDebt
    exchange.pointee.endpoint = twin.pointee.endpoint
    exchange.pointee.edge = twin.pointee.edge
    exchange.pointee.lastAddress = twin.pointee.lastAddress
    exchange.pointee.tried = twin.pointee.tried
    exchange.pointee.attemptStarted = twin.pointee.attemptStarted
    exchange.pointee.attempts &+= 1
    exchange.pointee.flags.formUnion(twin.pointee.flags.intersection([.sent, .requestEnded, .upstreamEnded]))
    if let upstream = exchange.pointee.upstream {
      if exchange.pointee.isUpstreamStream {
        upstream.pointee.http2?.pointee.codec.setTag(exchange.pointee.upstreamStream, UInt(bitPattern: exchange))
      } else {
        upstream.pointee.exchange = exchange
      }
    }
    twin.pointee.upstream = nil
    twin.pointee.upstreamStream = HTTP2Stream()
    twin.pointee.endpoint = nil
    release(twin)
    freeExchange(twin)
  }

  /// The first try has failed while the second goes on: the exchange waits for that.
  func waitsForHedge(_ exchange: ExchangeRef) -> Bool {
    guard exchange.pointee.errand.kind == .none, exchange.pointee.errand.partner != nil else { return false }
    exchange.pointee.tryDeadline = .max
    armExchange(exchange)
    return true
  }

  /// The second try is of no use any more.
  func dropHedge(_ twin: ExchangeRef) {
    if let exchange = twin.pointee.errand.partner { exchange.pointee.errand.partner = nil }
    twin.pointee.errand.partner = nil
    leaveLine(twin)
    abandonUpstream(twin)
    release(twin)
    freeExchange(twin)
  }

  /// The second try has failed: where the first has too, the exchange asks for another.
  func hedgeEnded(_ twin: ExchangeRef) {
    guard let exchange = twin.pointee.errand.partner else { return }
    twin.pointee.errand.partner = nil
    exchange.pointee.errand.partner = nil
    guard exchange.pointee.upstream == nil,
      exchange.pointee.flags.isDisjoint(with: [.pending, .backingOff, .awaitingStream, .responseStarted])
    else { return }
    attemptFailed(exchange, exchange.pointee.attemptReason ?? .upstreamReset)
  }
}
