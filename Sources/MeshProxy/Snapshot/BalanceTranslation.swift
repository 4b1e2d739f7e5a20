internal import MeshModel
internal import MeshPolicy
internal import MeshWire

// How endpoints are arranged and compared, from what the wire carries to what the decisions take.

extension BalanceRules {
  /// Absent: the mesh's defaults.
  init(_ config: BalanceConfig?) {
    self.init()
    guard let config else { return }
    switch config.affinity {
    case .none: break
    case .header: affinity = .header(config.affinityName.lowercased())
    case .cookie: affinity = .cookie(name: config.affinityName, lifetimeSeconds: config.cookieLifetimeSeconds)
    case .sourceAddress: affinity = .sourceAddress
    }
    if let window = config.slowStartMilliseconds, window > 0 {
      slowStart = SlowStart(
        windowNanoseconds: Int64(window) * 1_000_000, leastPercent: config.slowStartLeastPercent ?? 10)
    }
    isZoneAware = config.isZoneAware
    busyRequests = config.busyRequests ?? busyRequests
    priorities = config.priorities.map(\.labels)
    subset = config.subset.map { SubsetRule(label: $0.label, header: $0.header, fallsBackToAny: !$0.isStrict) }
  }
}

extension SuccessRateSettings {
  init(_ config: SuccessRateConfig) {
    self.init()
    minimumHosts = max(1, config.minimumHosts ?? minimumHosts)
    requestVolume = max(1, config.requestVolume ?? requestVolume)
    deviationsPerMille = config.deviationsPerMille ?? deviationsPerMille
  }
}

extension FailurePercentageSettings {
  init(_ config: FailurePercentageConfig) {
    self.init()
    threshold = min(max(config.threshold ?? threshold, 1), 100)
    minimumHosts = max(1, config.minimumHosts ?? minimumHosts)
    requestVolume = max(1, config.requestVolume ?? requestVolume)
  }
}

extension HealthCheckSpec {
  /// - Parameter service: whose endpoints are asked.
  init(_ config: HealthCheckConfig, service: ServiceConfig) {
    self.init()
    switch config.type {
    case .http: settings.kind = .http
    case .tcp: settings.kind = .tcp
    case .grpc: settings.kind = .grpc
    }
    path = config.path.isEmpty ? "/" : config.path
    host = config.host.isEmpty ? "\(service.name).\(service.namespace)" : config.host
    self.service = config.grpcService
    settings.intervalNanoseconds = Int64(max(1_000, config.intervalMilliseconds ?? 10_000)) * 1_000_000
    settings.timeoutNanoseconds = Int64(max(1, config.timeoutMilliseconds ?? 1_000)) * 1_000_000
    settings.unhealthyThreshold = max(1, config.unhealthyThreshold ?? settings.unhealthyThreshold)
    settings.healthyThreshold = max(1, config.healthyThreshold ?? settings.healthyThreshold)
    settings.leastStatus = UInt16(clamping: config.leastStatus ?? 200)
    settings.mostStatus = UInt16(clamping: config.mostStatus ?? 299)
  }
}
