import MeshWire

// Limits, faults and load of TrafficPolicies, and what of them is for whom.
extension MeshIndex {
  /// The TrafficPolicy that decides for a route: the oldest of those attached to it.
  func decidingPolicy(forRoute key: ResourceKey) -> Typed<TrafficPolicySpec>? {
    (policiesByRoute[key] ?? []).compactMap { policies[$0] }.min(by: Typed<TrafficPolicySpec>.hasPrecedence)
  }

  /// What a policy says about a route that it is attached to.
  static func routeConfig(_ policy: Typed<TrafficPolicySpec>, route: ResourceKey) -> RoutePolicyConfig {
    var config = RoutePolicyConfig()
    config.source = policy.qualifiedName
    config.rateLimits = policy.spec.rateLimits.map { self.config($0, of: policy, for: route) }
    config.faults = faults(of: policy)
    config.retry = policy.spec.retry.map(self.config)
    config.timeouts = policy.spec.timeouts.map(self.config)
    addHedging(of: policy, to: &config.retry)
    return config
  }

  /// The limits of a service's policy that one side holds to.
  static func limits(
    of policy: Typed<TrafficPolicySpec>, for service: ServiceName, side: TrafficPolicySpec.Side
  ) -> [RateLimitConfig] {
    let key = ResourceKey(groupKind: ServiceSpec.kind.groupKind, namespace: service.namespace, name: service.name)
    return policy.spec.rateLimits.filter { ($0.side ?? .server) == side }.map { config($0, of: policy, for: key) }
  }

  static func faults(of policy: Typed<TrafficPolicySpec>) -> [FaultConfig] {
    let faults = policy.spec.faultInjection
    return faults.enumerated().map { index, fault in
      var config = FaultConfig()
      // Of several, the one that decided is named by its place: they have no names.
      config.source = policy.qualifiedName + (faults.count > 1 ? "/faultInjection[\(index)]" : "")
      config.matches = fault.matches.map(self.config)
      if let delay = fault.delay {
        config.delayMilliseconds = milliseconds(delay.time) ?? 0
        config.delayPerMillion = delay.percentage.perMillion
      }
      if let abort = fault.abort {
        config.abortStatus = UInt32(clamping: abort.status)
        config.abortPerMillion = abort.percentage.perMillion
      }
      return config
    }
  }

  private static func config(
    _ limit: TrafficPolicySpec.RateLimit, of policy: Typed<TrafficPolicySpec>, for target: ResourceKey
  ) -> RateLimitConfig {
    var config = RateLimitConfig()
    config.source = policy.qualifiedName
    config.name = limit.name
    config.requests = UInt32(clamping: limit.requests)
    config.periodMilliseconds = milliseconds(limit.per)
    config.burst = number(limit.burst)
    switch limit.key?.type {
    case .none: config.key = .everyone
    case .identity: config.key = .identity
    case .sourceAddress: config.key = .sourceAddress
    case .header: config.key = .header
    }
    config.header = limit.key?.header?.lowercased() ?? ""
    config.matches = limit.matches.map(self.config)
    if limit.scope == .global { config.quota = QuotaName(policy: policy.key, limit: limit.name, target: target).text }
    return config
  }

  /// What the proxy of a workload asks of callers, for one of its ports: what the services say that lead to it.
  func addAdmission(of services: [Typed<ServiceSpec>], to port: inout InboundPortConfig) {
    var seen: Set<ResourceKey> = []
    for service in services {
      guard let policy = decidingPolicy(for: service.name), seen.insert(policy.key).inserted else { continue }
      port.rateLimits += Self.limits(of: policy, for: service.name, side: .server)
      guard port.concurrency == nil, let settings = policy.spec.adaptiveConcurrency else { continue }
      var config = ConcurrencyConfig()
      config.source = policy.qualifiedName
      config.least = Self.number(settings.least)
      config.most = Self.number(settings.most)
      config.initial = Self.number(settings.initial)
      config.tolerancePercent = Self.number(settings.tolerancePercent)
      port.concurrency = config
    }
  }

  /// Whether a policy is in force for a route that it names.
  func condition(of policy: Typed<TrafficPolicySpec>, route key: ResourceKey) -> Condition {
    let name = "\(key.groupKind.kind) \(key.namespace)/\(key.name)"
    guard routes[key] != nil else {
      return Condition(
        type: "Accepted", isTrue: false, reason: .targetNotFound,
        message: "there is no \(name); create it, or correct targetRefs")
    }
    if let deciding = decidingPolicy(forRoute: key), deciding.key != policy.key {
      return Condition(
        type: "Accepted", isTrue: false, reason: .conflicted,
        message: "the older TrafficPolicy \(deciding.qualifiedName) decides for \(name); put both into one")
    }
    return Condition(type: "Accepted", isTrue: true, reason: .accepted, message: "the policy is in force")
  }
}
