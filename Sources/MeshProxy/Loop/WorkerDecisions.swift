// Unsafe by design: texts are copied out of the exchange's memory.
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

extension WorkerTelemetry {
  /// Keeps what was decided about an exchange that has ended.
  func remember(_ exchange: ExchangeRef, edge: UInt32, duration: Int64, now: UInt64, wallNow: UInt64) {
    var decision = Decision()
    decision.wallMilliseconds = Int64(bitPattern: wallNow / 1_000_000)
    decision.durationNanoseconds = duration
    if exchange.pointee.firstByte > exchange.pointee.attemptStarted, exchange.pointee.attemptStarted > 0 {
      decision.upstreamNanoseconds = Int64(bitPattern: exchange.pointee.firstByte &- exchange.pointee.attemptStarted)
    }
    decision.requestBytes = exchange.pointee.requestBytes
    decision.responseBytes = exchange.pointee.responseBytes
    decision.edge = edge
    decision.route = exchange.pointee.routeNumber
    decision.status = exchange.pointee.status
    decision.grpcStatus = Self.grpcStatus(exchange) ?? 255
    decision.reason = exchange.pointee.reason?.rawValue ?? 0
    decision.attemptReason = exchange.pointee.attemptReason?.rawValue ?? 0
    decision.attempts = exchange.pointee.attempts
    decision.retries = exchange.pointee.retryCount
    decision.method = exchange.pointee.method
    decision.limit = Self.limit(exchange)
    decision.flags = Self.flags(exchange)
    if exchange.pointee.attempts > 0 {
      decision.endpointFamily = exchange.pointee.lastAddress.family
      decision.endpointAddress = exchange.pointee.lastAddress.bytes
      decision.endpointPort = exchange.pointee.lastAddress.port
    }
    decision.delayMilliseconds = exchange.pointee.admission.heldMilliseconds
    Self.note(exchange.pointee.downstream.pointee.address, in: &decision)
    let trail = exchange.pointee.trail
    decisions.note(decision, Self.texts(exchange), trail: trail == 0 ? nil : trails[trail])
    if now < headsUntil { keepHead(of: exchange) }
  }

  static func flags(_ exchange: ExchangeRef) -> Decision.Flags {
    let flags = exchange.pointee.flags
    let isTunnel = flags.contains(.tunnel)
    return Decision.Flags(
      inbound: exchange.pointee.isInbound, mutualTLS: flags.contains(.mutualTLS), tunnel: isTunnel,
      localReply: flags.contains(.localReply), raced: flags.contains(.racedOnce),
      failed: !isTunnel && isFailure(exchange))
  }

  static func texts(_ exchange: ExchangeRef) -> DecisionTexts {
    var texts = DecisionTexts()
    if let base = exchange.pointee.request.bytes {
      let end = exchange.pointee.request.count
      texts.requestID = part(base, exchange.pointee.requestID, end)
      texts.authority = part(base, exchange.pointee.authority, end)
      texts.path = withoutQuery(part(base, exchange.pointee.path, end))
    }
    if let cluster = exchange.pointee.cluster { texts.service = cluster.pointee.label }
    let admission = exchange.pointee.admission
    if !admission.policy.isEmpty, let gate = admission.rules {
      texts.policy = gate.pointee.rules.text(admission.limit?.pointee.label ?? admission.policy)
    }
    return texts
  }

  /// A path up to its query, in which secrets travel.
  private static func withoutQuery(_ path: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
    var count = 0
    while count < path.count, count <= DecisionTexts.pathBytes, path[count] != 0x3F { count &+= 1 }
    return UnsafeBufferPointer(rebasing: path[..<count])
  }

  /// The number that the reason is about: the breaker's limit, or the timeout that was reached, milliseconds.
  private static func limit(_ exchange: ExchangeRef) -> UInt32 {
    guard let reason = exchange.pointee.reason ?? exchange.pointee.attemptReason else { return 0 }
    switch reason {
    case .circuitOpenConnections: return breaker(exchange, .connections)
    case .circuitOpenPending: return breaker(exchange, .pending)
    case .circuitOpenRequests: return breaker(exchange, .requests)
    case .circuitOpenRetries: return breaker(exchange, .retries)
    case .requestTimeout, .callerDeadlineExceeded:
      return milliseconds(exchange.pointee.deadline &- exchange.pointee.started, exchange.pointee.deadline)
    case .rateLimited, .quotaExceeded: return exchange.pointee.admission.limit?.pointee.settings.limit ?? 0
    case .perTryTimeout: return milliseconds(exchange.pointee.headLimit, exchange.pointee.headLimit)
    case .backendRequestTimeout:
      return milliseconds(exchange.pointee.tryLimit, exchange.pointee.tryLimit)
    default: return 0
    }
  }

  private static func breaker(_ exchange: ExchangeRef, _ kind: BreakerKind) -> UInt32 {
    exchange.pointee.cluster?.pointee.breaker.limit(kind) ?? 0
  }

  private static func milliseconds(_ nanoseconds: UInt64, _ set: UInt64) -> UInt32 {
    set == .max ? 0 : UInt32(truncatingIfNeeded: min(nanoseconds / 1_000_000, UInt64(UInt32.max)))
  }
}
