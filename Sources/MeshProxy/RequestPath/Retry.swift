// Unsafe by design: exchanges are plain structs.
internal import CMeshSystem
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// What follows when an attempt fails: another one, within policy, limit and budget, or an answer of our own.
extension Worker {
  /// The upstream connection cannot be used any more; its exchange, if it has one, looks for another way.
  func upstreamLost(_ connection: ConnectionRef, _ reason: Reason) {
    if connection.pointee.role == .upstreamHTTP2 { return multiplexedLost(connection, reason) }
    guard let exchange = connection.pointee.exchange else { return kill(connection) }
    if exchange.pointee.flags.contains(.responseStarted), exchange.pointee.status >= 200 {
      return finishBroken(exchange, reason)
    }
    let isUntouched = wasUntouched(connection, exchange, reason)
    abandonUpstream(exchange)
    if isUntouched { return tryAnother(exchange) }
    attemptFailed(exchange, reason)
  }

  /// The endpoint was just closing the connection, or says itself that it has not looked at the request: nothing of it
  /// can have been processed, and the attempt does not count.
  func tryAnother(_ exchange: ExchangeRef) {
    exchange.pointee.flags.insert(.racedOnce)
    exchange.pointee.attempts &-= 1
    exchange.pointee.tried.0 = -1
    endAttempt(exchange)
    balance(exchange)
  }

  /// Whether the endpoint closed a reused connection before it took a byte of this request: the kernel has seen no
  /// acknowledgement beyond what was sent before.
  private func wasUntouched(_ connection: ConnectionRef, _ exchange: ExchangeRef, _ reason: Reason) -> Bool {
    guard reason == .upstreamReset, connection.pointee.flags.contains(.reused),
      exchange.pointee.flags.contains([.sent, .replayable]), !exchange.pointee.flags.contains(.racedOnce)
    else { return false }
    if connection.pointee.tls != nil { return exchange.pointee.method.isIdempotent }
    let acknowledged = cms_bytes_acknowledged(connection.pointee.fd)
    return acknowledged <= connection.pointee.bytesBeforeExchange &+ 1
  }

  /// An attempt failed without an answer.
  func attemptFailed(_ exchange: ExchangeRef, _ reason: Reason) {
    let failure: AttemptFailure =
      switch reason {
      case .connectFailure, .connectRefused, .connectTimeout: .connectFailure
      case .perTryTimeout, .backendRequestTimeout: .perTryTimeout
      case .upstreamRefusedStream: .refusedStream
      default:
        exchange.pointee.flags.contains(.sent) || exchange.pointee.attemptWasSent
          ? .resetBeforeResponse : .connectFailure
      }
    exchange.pointee.attemptReason = reason
    noteAttempt(exchange, reason)
    judge(exchange, .localFailure)
    endAttempt(exchange)
    finishRetry(exchange)
    if waitsForHedge(exchange) { return }
    decide(exchange, failure, reason)
  }

  /// The endpoint answered a request for another protocol with something else that its client would take for the
  /// protocol's bytes. It is as well as before, and would answer the same again.
  func protocolIgnored(_ exchange: ExchangeRef, _ status: UInt16) {
    let reason = Reason.upstreamProtocolError
    exchange.pointee.attemptReason = reason
    noteAttempt(exchange, reason, status: status)
    judge(exchange, EndpointOutcome(status: status))
    finishRetry(exchange)
    giveUp(exchange, reason)
  }

  /// The time for one try is up.
  func tryTimedOut(_ exchange: ExchangeRef) {
    abandonUpstream(exchange)
    let isWholeTry = exchange.pointee.tryLimit <= exchange.pointee.headLimit
    attemptFailed(exchange, isWholeTry ? .backendRequestTimeout : .perTryTimeout)
  }

  /// Whether an answer with this status is to be tried again instead of being passed on; then everything is done here.
  func retriesStatus(_ exchange: ExchangeRef, _ head: borrowing MessageHead) -> Bool {
    let status = head.status
    notePause(exchange, head)
    var outcome = EndpointOutcome(status: status)
    var failure = AttemptFailure.status(status)
    var pushback = RetryPushback.none
    if exchange.pointee.flags.contains(.grpc), status == 200 {
      // Without a status yet, its trailers will tell.
      guard let grpcStatus = exchange.pointee.grpcStatus else { return false }
      outcome = EndpointOutcome(grpcStatus: grpcStatus)
      failure = .grpcStatus(grpcStatus)
      pushback = self.pushback(head)
    }
    let settings = retrySettings(exchange)
    let isFailure = status >= 400 || exchange.pointee.grpcStatus ?? 0 != 0
    guard isFailure, RetryPolicy.isWanted(failure, exchange.pointee.method, settings), !mustPause(exchange),
      let cluster = exchange.pointee.cluster
    else {
      judge(exchange, outcome)
      return false
    }
    finishRetry(exchange)
    let decision = RetryPolicy.decide(
      failure, context(exchange, pushback), settings, budget: &cluster.pointee.budget,
      breaker: &cluster.pointee.breaker, now: clock, random: &random)
    judge(exchange, outcome)
    guard case .retry(let wait) = decision else {
      // The endpoint's answer passes on; the reason says why it was not asked for a better one.
      if case .giveUp(let reason) = decision {
        if reason != .retryLimit { exchange.pointee.reason = reason }
        exchange.pointee.attemptReason = reason
      }
      return false
    }
    noteAttempt(exchange, nil, status: status)
    exchange.pointee.grpcStatus = nil
    endAttempt(exchange)
    abandonUpstream(exchange)
    backOff(exchange, wait)
    return true
  }

  /// `grpc-retry-pushback-ms`: a number of milliseconds; anything else means not to repeat (gRPC, proposal A6).
  private func pushback(_ head: borrowing MessageHead) -> RetryPushback {
    guard let field = head.first(.grpcRetryPushback) else { return .none }
    let value = head.bytes(field.value)
    guard !value.isEmpty, value.count <= 9 else { return .never }
    var milliseconds: Int64 = 0
    for byte in value {
      guard byte &- 0x30 < 10 else { return .never }
      milliseconds = milliseconds &* 10 &+ Int64(byte &- 0x30)
    }
    return .after(nanoseconds: milliseconds &* 1_000_000)
  }

  private func decide(_ exchange: ExchangeRef, _ failure: AttemptFailure, _ reason: Reason) {
    guard let cluster = exchange.pointee.cluster else { return giveUp(exchange, reason) }
    let decision = RetryPolicy.decide(
      failure, context(exchange), retrySettings(exchange), budget: &cluster.pointee.budget,
      breaker: &cluster.pointee.breaker, now: clock, random: &random)
    switch decision {
    case .retry(let wait): backOff(exchange, wait)
    case .giveUp(let limit):
      exchange.pointee.attemptReason = limit
      giveUp(exchange, reason)
    case .notRetriable: giveUp(exchange, reason)
    }
  }

  func retrySettings(_ exchange: ExchangeRef) -> RetrySettings {
    if let routes = exchange.pointee.routes, exchange.pointee.rule >= 0 {
      return routes.pointee.rules[Int(exchange.pointee.rule)].retry
    }
    return exchange.pointee.cluster?.pointee.policy.retry ?? RetrySettings()
  }

  private func context(_ exchange: ExchangeRef, _ pushback: RetryPushback = .none) -> AttemptContext {
    AttemptContext(
      method: exchange.pointee.method, attempts: exchange.pointee.attempts,
      isReplayable: exchange.pointee.flags.contains(.replayable)
        || exchange.pointee.flags.contains(.tunnel) && !exchange.pointee.flags.contains(.responseStarted),
      isAnswerBegun: exchange.pointee.flags.contains(.responseStarted),
      deadline: exchange.pointee.deadline > UInt64(Int64.max) ? .max : Int64(exchange.pointee.deadline),
      pushback: pushback)
  }

  /// Waits before the next try.
  private func backOff(_ exchange: ExchangeRef, _ wait: Int64) {
    exchange.pointee.flags.insert([.backingOff, .retrying])
    exchange.pointee.flags.remove(.sent)
    exchange.pointee.attemptWasSent = false
    exchange.pointee.retryCount &+= 1
    exchange.pointee.tryDeadline = .max
    exchange.pointee.retryAt = now &+ UInt64(max(0, wait))
    timers.arm(
      UnsafeMutableRawPointer(exchange).assumingMemoryBound(to: WheelTimer.self), deadline: exchange.pointee.retryAt)
  }

  /// The wait is over.
  func retryNow(_ exchange: ExchangeRef) {
    exchange.pointee.flags.remove(.backingOff)
    armExchange(exchange)
    lowerDeadline(exchange)
    balance(exchange)
  }

  /// A retry has ended, in whatever way: the breaker may admit another.
  func finishRetry(_ exchange: ExchangeRef) {
    guard exchange.pointee.flags.contains(.retrying), let cluster = exchange.pointee.cluster else { return }
    exchange.pointee.flags.remove(.retrying)
    cluster.pointee.breaker.release(.retries)
  }

  /// No further attempt: the client gets the reason.
  func giveUp(_ exchange: ExchangeRef, _ reason: Reason) {
    leaveLine(exchange)
    exchange.pointee.flags.remove(.backingOff)
    abandonUpstream(exchange)
    endAttempt(exchange)
    if exchange.pointee.flags.contains(.tunnel) { return refuseTunnel(exchange, reason) }
    reply(exchange, reason)
  }
}
