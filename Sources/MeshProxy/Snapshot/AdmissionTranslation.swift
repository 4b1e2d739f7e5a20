internal import MeshModel
internal import MeshPolicy
internal import MeshWire

// Limits and faults, from what the wire carries to what the decisions take.

extension AdmissionRules {
  /// Rules that say nothing (no requests, no share) are left out.
  init(limits: [RateLimitConfig], faults: [FaultConfig]) {
    self.init(limits: limits.compactMap { RateLimitRule($0) }, faults: faults.map { FaultRule($0) })
  }
}

extension RateLimitRule {
  /// Nil where the number of requests is 0: a limit that would let nothing pass is said by an authorization policy.
  init?(_ config: RateLimitConfig) {
    guard config.requests > 0 else { return nil }
    let period = Int64(config.periodMilliseconds.map { max(1, $0) } ?? 1_000) * 1_000_000
    let key: RateLimitKey =
      switch config.key {
      case .everyone: .everyone
      case .identity: .identity
      case .sourceAddress: .sourceAddress
      case .header: .header(config.header.lowercased())
      }
    self.init(
      policy: config.source, name: config.name,
      settings: RateLimitSettings(limit: config.requests, periodNanoseconds: period, burst: config.burst), key: key,
      matches: config.matches.map { RouteMatch($0) }, quota: config.quota)
  }
}

extension FaultRule {
  init(_ config: FaultConfig) {
    var settings = FaultSettings()
    settings.delayPerMillion = min(config.delayPerMillion, 1_000_000)
    settings.delayNanoseconds = Int64(config.delayMilliseconds) * 1_000_000
    settings.abortPerMillion = min(config.abortPerMillion, 1_000_000)
    settings.abortStatus = UInt16(min(max(config.abortStatus, 400), 599))
    self.init(policy: config.source, settings: settings, matches: config.matches.map { RouteMatch($0) })
  }
}

extension ConcurrencySettings {
  init(_ config: ConcurrencyConfig) {
    self.init()
    least = max(1, config.least ?? least)
    most = max(least, config.most ?? most)
    initial = min(max(config.initial ?? initial, least), most)
    tolerancePercent = min(max(config.tolerancePercent ?? tolerancePercent, 100), 1_000)
  }
}

extension RetryConditions {
  /// The conditions of these names; unknown ones are left out, since a newer peer may send them.
  init(_ names: [String]) {
    self = []
    for name in names {
      switch name {
      case "connect-failure": insert(.connectFailure)
      case "refused-stream": insert(.refusedStream)
      case "reset": insert(.resetBeforeResponse)
      case "status": insert(.status)
      case "per-try-timeout": insert(.perTryTimeout)
      case "idempotent-status": insert(.statusForIdempotent)
      case "all-methods": insert(.allMethods)
      case "unavailable": insert(.grpcUnavailable)
      case "cancelled": insert(.grpcCancelled)
      case "deadline-exceeded": insert(.grpcDeadlineExceeded)
      case "internal": insert(.grpcInternal)
      case "resource-exhausted": insert(.grpcResourceExhausted)
      default: break
      }
    }
  }
}

extension RouteRule {
  /// Takes over what a TrafficPolicy of the route says and the rule itself does not.
  mutating func inherit(_ policy: RoutePolicyConfig?) {
    guard let policy else { return }
    requestTimeout = requestTimeout.or(TimeLimit(milliseconds: policy.timeouts?.requestMilliseconds))
    backendRequestTimeout = backendRequestTimeout.or(
      TimeLimit(milliseconds: policy.timeouts?.backendRequestMilliseconds))
    if let settings = policy.retry { retry = RetryOverride(settings).merged(under: retry) }
  }
}
