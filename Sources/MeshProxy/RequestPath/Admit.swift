// Unsafe by design: exchanges are plain structs.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// What admission found out about a request, for the stages after it.
struct Admission {
  /// The cluster that the request was addressed to, before a rule chose another; -1: not known.
  var service: Int32 = -1
  /// Held back so long before it goes on, nanoseconds: an injected delay.
  var delay: UInt64 = 0
  /// Answered with this status after the delay; 0: it goes on.
  var abortStatus: UInt16 = 0
  /// Counted in its cluster's adaptive limit.
  var isCounted = false
  /// When it was counted.
  var countedAt: UInt64 = 0
  /// How long a fault has held it back, milliseconds.
  var heldMilliseconds: UInt32 = 0
  /// The limit that refused it, and the time after which a request may come again, nanoseconds.
  var limit: UnsafePointer<CompiledLimit>?
  var retryAfter: Int64 = 0
  /// The policy that refused it, and the table that its name is in.
  var policy = ByteRange.empty
  var rules: UnsafePointer<GateView>?
}

extension Worker {
  /// Asks the limits and faults of the service, or port of our own, and of the route's rule. False: the request has been
  /// answered and is gone.
  func admit(_ exchange: ExchangeRef, _ head: borrowing MessageHead, _ service: Int32) -> Bool {
    guard let gates = exchange.pointee.generation.pointee.gates else { return true }
    exchange.pointee.admission.service = service
    let gate = gates.gate(service)
    let ruleGate = gates.gate(service, rule: exchange.pointee.rule)
    if let gate, !isWithinLimits(exchange, head, gate) { return false }
    if let ruleGate, !isWithinLimits(exchange, head, ruleGate) { return false }
    if let ruleGate, injectsFault(exchange, head, ruleGate) { return false }
    if let gate, exchange.pointee.admission.policy.isEmpty, injectsFault(exchange, head, gate) { return false }
    return true
  }

  private func isWithinLimits(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ gate: UnsafePointer<GateView>
  ) -> Bool {
    let rules = gate.pointee.rules
    guard let limits = rules.limits.baseAddress else { return true }
    var index = 0
    while index < rules.limits.count {
      let limit = limits + index
      let buckets = gate.pointee.buckets[index]
      index &+= 1
      guard rules.applies(limit.pointee.condition, head) else { continue }
      let key = limitKey(exchange, head, rules, limit)
      guard case .limited(let wait) = buckets.decide(limit.pointee.settings, key: key, now: clock) else { continue }
      exchange.pointee.admission.limit = limit
      exchange.pointee.admission.retryAfter = wait
      refuse(exchange, head, gate, limit.pointee.policy, limit.pointee.isShared ? .quotaExceeded : .rateLimited, 429)
      return false
    }
    return true
  }

  /// The number of the key by which a limit counts the request.
  private func limitKey(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ rules: AdmissionView,
    _ limit: UnsafePointer<CompiledLimit>
  ) -> UInt64 {
    switch limit.pointee.key {
    case .everyone: return 1
    case .identity: return KeyHash.of(peers.entry(exchange.pointee.downstream.pointee.peer).pointee.identity)
    case .sourceAddress: return Self.hash(exchange.pointee.downstream.pointee.address)
    case .header: return rules.headerKey(limit.pointee, head)
    }
  }

  /// The number of an address, its port left out.
  static func hash(_ address: SocketAddress) -> UInt64 {
    var bytes = address.bytes
    return withUnsafeBytes(of: &bytes) { KeyHash.of(UnsafeBufferPointer(rebasing: $0.bindMemory(to: UInt8.self)[...])) }
  }

  /// Draws a fault. True: the request has been answered and is gone.
  private func injectsFault(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ gate: UnsafePointer<GateView>
  ) -> Bool {
    guard gate.pointee.rules.faults.count > 0, let (fault, policy) = gate.pointee.rules.fault(head, &random) else {
      return false
    }
    exchange.pointee.admission.policy = policy
    exchange.pointee.admission.rules = gate
    if let delay = fault.delayNanoseconds { exchange.pointee.admission.delay = UInt64(max(0, delay)) }
    guard let status = fault.abortStatus else { return false }
    if fault.delayNanoseconds == nil {
      refuse(exchange, head, gate, policy, .faultInjected, status)
      return true
    }
    exchange.pointee.admission.abortStatus = status
    return false
  }

  private func refuse(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ gate: UnsafePointer<GateView>, _ policy: ByteRange,
    _ reason: Reason, _ status: UInt16
  ) {
    exchange.pointee.admission.policy = policy
    exchange.pointee.admission.rules = gate
    noteTarget(exchange, head)
    reply(exchange, reason, status: status)
  }

  /// Does what admission left for later: an injected delay, with or without an answer after it. True: the exchange waits,
  /// or is gone.
  func isHeldBack(_ exchange: ExchangeRef) -> Bool {
    let admission = exchange.pointee.admission
    if admission.delay > 0 {
      exchange.pointee.admission.delay = 0
      holdBack(exchange, for: admission.delay)
      return true
    }
    guard admission.abortStatus > 0 else { return false }
    reply(exchange, .faultInjected, status: admission.abortStatus)
    return true
  }

  /// Lets the exchange wait; `retryNow` takes it up again.
  private func holdBack(_ exchange: ExchangeRef, for time: UInt64) {
    exchange.pointee.flags.insert(.backingOff)
    exchange.pointee.admission.heldMilliseconds = UInt32(truncatingIfNeeded: min(time / 1_000_000, UInt64(UInt32.max)))
    exchange.pointee.retryAt = now &+ time
    timers.arm(
      UnsafeMutableRawPointer(exchange).assumingMemoryBound(to: WheelTimer.self),
      deadline: min(exchange.pointee.retryAt, exchange.pointee.deadline))
  }

  // MARK: Load

  /// Counts the exchange in its cluster's adaptive limit; false where it is to be refused.
  func takesLoad(_ exchange: ExchangeRef, _ cluster: ClusterRef) -> Bool {
    guard cluster.pointee.policy.concurrency != nil, !exchange.pointee.flags.contains(.tunnel) else { return true }
    guard cluster.pointee.concurrency.acquire() else { return false }
    exchange.pointee.admission.isCounted = true
    exchange.pointee.admission.countedAt = now
    return true
  }

  /// The exchange has ended: the adaptive limit learns from its time, unless that says nothing about the application.
  func releaseLoad(_ exchange: ExchangeRef) {
    guard exchange.pointee.admission.isCounted, let cluster = exchange.pointee.cluster,
      let settings = cluster.pointee.policy.concurrency
    else { return }
    exchange.pointee.admission.isCounted = false
    let time = Int64(bitPattern: now &- exchange.pointee.admission.countedAt)
    cluster.pointee.concurrency.release(
      latencyNanoseconds: time, counts: exchange.pointee.reason == nil, settings, now: clock)
  }

  // MARK: Answers

  /// The fields that an answer about a rate limit carries: how long to wait (RFC 9110, 10.2.3), and what the limit is
  /// (draft-ietf-httpapi-ratelimit-headers).
  func writeAdmissionFields(_ writer: inout HTTP1Writer, _ exchange: ExchangeRef, _ reason: Reason) {
    let admission = exchange.pointee.admission
    guard reason == .rateLimited || reason == .quotaExceeded, let limit = admission.limit, let gate = admission.rules
    else { return }
    let name = gate.pointee.rules.text(limit.pointee.name)
    let settings = limit.pointee.settings
    let wait = RateLimiter.retryAfterSeconds(admission.retryAfter)
    writer.field(.retryAfter, wait)
    writer.text("ratelimit-policy: \"")
    writer.bytes(name)
    writer.text("\";q=")
    writer.decimal(UInt64(settings.limit))
    writer.text(";w=")
    writer.decimal(UInt64(max(1, settings.periodNanoseconds / 1_000_000_000)))
    writer.endOfLine()
    writer.text("ratelimit: \"")
    writer.bytes(name)
    writer.text("\";r=0;t=")
    writer.decimal(wait)
    writer.endOfLine()
  }

  /// The policy that refused the exchange, where admission did.
  func decidingPolicy(_ exchange: ExchangeRef, _ reason: Reason) -> UnsafeBufferPointer<UInt8>? {
    guard reason == .rateLimited || reason == .quotaExceeded || reason == .faultInjected,
      let gate = exchange.pointee.admission.rules
    else { return nil }
    return gate.pointee.rules.text(exchange.pointee.admission.policy)
  }
}
