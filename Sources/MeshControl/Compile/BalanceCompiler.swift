import MeshWire

// How endpoints are arranged and compared.
extension MeshIndex {
  /// What a policy says on balancing besides the algorithm; nil where it says nothing.
  static func config(_ balancer: TrafficPolicySpec.LoadBalancer) -> BalanceConfig? {
    var config = BalanceConfig()
    if let affinity = balancer.affinity {
      switch affinity.type {
      case .cookie: config.affinity = .cookie
      case .header: config.affinity = .header
      case .sourceAddress: config.affinity = .sourceAddress
      }
      config.affinityName = affinity.name ?? ""
      config.cookieLifetimeSeconds = affinity.lifetime.map { UInt32(clamping: $0.milliseconds / 1_000) }
    }
    config.decayMilliseconds = milliseconds(balancer.decay)
    config.slowStartMilliseconds = milliseconds(balancer.slowStart?.window)
    config.slowStartLeastPercent = number(balancer.slowStart?.leastPercent)
    config.isZoneAware = balancer.zoneAware != nil
    config.busyRequests = number(balancer.zoneAware?.busyRequests)
    config.priorities = balancer.priorities.map { priority in
      var entry = PriorityConfig()
      entry.labels = priority.matchLabels
      return entry
    }
    config.subset = balancer.subset.map { subset in
      var entry = SubsetConfig()
      entry.label = subset.label
      entry.header = subset.header.lowercased()
      entry.isStrict = subset.fallback == TrafficPolicySpec.SubsetFallback.none
      return entry
    }
    config.panicThresholdPercent = number(balancer.panicThreshold)
    config.longestRestMilliseconds = milliseconds(balancer.longestRest)
    return config == BalanceConfig() ? nil : config
  }

  /// When a second attempt is made beside the first.
  static func addHedging(of policy: Typed<TrafficPolicySpec>, to retry: inout RetryConfig?) {
    guard let delay = milliseconds(policy.spec.hedging?.delay) else { return }
    var settings = retry ?? RetryConfig()
    settings.hedgeDelayMilliseconds = delay
    retry = settings
  }

  static func config(_ check: TrafficPolicySpec.HealthCheck) -> HealthCheckConfig {
    var config = HealthCheckConfig()
    switch check.type {
    case .http: config.type = .http
    case .grpc: config.type = .grpc
    case .tcp: config.type = .tcp
    }
    config.path = check.path ?? ""
    config.host = check.host ?? ""
    config.grpcService = check.service ?? ""
    config.intervalMilliseconds = milliseconds(check.interval)
    config.timeoutMilliseconds = milliseconds(check.timeout)
    config.unhealthyThreshold = number(check.unhealthyThreshold)
    config.healthyThreshold = number(check.healthyThreshold)
    config.leastStatus = number(check.statuses?.first)
    config.mostStatus = number(check.statuses?.last)
    return config
  }

  static func config(_ rate: TrafficPolicySpec.SuccessRate) -> SuccessRateConfig {
    var config = SuccessRateConfig()
    config.minimumHosts = number(rate.minimumHosts)
    config.requestVolume = number(rate.requestVolume)
    config.deviationsPerMille = number(rate.deviationsPerMille)
    return config
  }

  static func config(_ failures: TrafficPolicySpec.FailurePercentage) -> FailurePercentageConfig {
    var config = FailurePercentageConfig()
    config.threshold = number(failures.threshold)
    config.minimumHosts = number(failures.minimumHosts)
    config.requestVolume = number(failures.requestVolume)
    return config
  }

  /// Those of a workload's labels that a policy of its services asks for.
  func policyLabels(of workload: MeshWorkload, services: [Typed<ServiceSpec>]) -> [String: String] {
    var names: Set<String> = []
    for service in services {
      guard let balancer = effectivePolicy(for: service.name)?.spec.loadBalancer else { continue }
      for priority in balancer.priorities { names.formUnion(priority.matchLabels.keys) }
      if let subset = balancer.subset { names.insert(subset.label) }
    }
    return names.isEmpty ? [:] : workload.labels.filter { names.contains($0.key) }
  }

  /// The label by which a workload says its share relative to others': `apus.dev/weight`, 0 to 10000.
  static let weightLabel = "apus.dev/weight"

  /// The share of a workload; nil where it says none, or something that is no number in bounds.
  func weight(of workload: MeshWorkload) -> UInt32? {
    guard let text = workload.labels[Self.weightLabel], let number = UInt32(text), number <= 10_000 else { return nil }
    return number
  }
}
