import MeshWire

extension MeshIndex {
  /// The TrafficPolicy by which a service's endpoints are balanced, limited and watched: its own; else, where it is a
  /// version of another service to which that service's route leads, the other one's (as with subsets of Istio).
  func effectivePolicy(for name: ServiceName) -> Typed<TrafficPolicySpec>? {
    decidingPolicy(for: name)
      ?? wholes(of: name).compactMap { decidingPolicy(for: $0) }.min(by: Typed<TrafficPolicySpec>.hasPrecedence)
  }

  /// The services that this one is a version of: their routes send to it, and it chooses some of their workloads.
  private func wholes(of name: ServiceName) -> Set<ServiceName> {
    var found: Set<ServiceName> = []
    for key in routesByBackend[name] ?? [] {
      for parent in routes[key]?.parentServices ?? [] where isVersion(name, of: parent, by: key) {
        found.insert(parent)
      }
    }
    return found
  }

  /// The versions of a service to which its routes lead.
  func versions(of name: ServiceName) -> Set<ServiceName> {
    var found: Set<ServiceName> = []
    for key in routesByParent[name] ?? [] {
      for backend in routes[key]?.backendServices ?? [] where isVersion(backend, of: name, by: key) {
        found.insert(backend)
      }
    }
    return found
  }

  /// Whether a service chooses, by more labels, among the workloads of the service whose own route leads to it.
  func isVersion(_ part: ServiceName, of whole: ServiceName, by route: ResourceKey) -> Bool {
    guard part != whole, part.namespace == whole.namespace, route.namespace == whole.namespace,
      let narrow = services[part]?.spec, let wide = services[whole]?.spec
    else { return false }
    return narrow.isVersion(of: wide)
  }

  /// A policy for a version of the service that it is attached to: what is counted where the request comes in (limits
  /// and faults) stays with that service.
  static func config(_ policy: Typed<TrafficPolicySpec>, forVersion name: ServiceName) -> TrafficPolicyConfig {
    var config = config(policy, for: name)
    config.rateLimits = []
    config.faults = []
    return config
  }

  /// A TrafficPolicy as it goes to the proxies. What it leaves out stays absent: the proxy has the defaults.
  static func config(_ policy: Typed<TrafficPolicySpec>, for service: ServiceName) -> TrafficPolicyConfig {
    var config = TrafficPolicyConfig()
    config.source = policy.qualifiedName
    switch policy.spec.loadBalancer?.algorithm {
    case .none: config.balancer = .unspecified
    case .peakEWMA: config.balancer = .peakEWMA
    case .roundRobin: config.balancer = .roundRobin
    case .leastRequest: config.balancer = .leastRequest
    case .random: config.balancer = .random
    case .ringHash: config.balancer = .ringHash
    case .maglev: config.balancer = .maglev
    }
    config.balance = policy.spec.loadBalancer.flatMap(self.config)
    config.pool = policy.spec.connectionPool.map(self.config)
    config.circuitBreaker = policy.spec.circuitBreaker.map(self.config)
    config.outlier = policy.spec.outlierDetection.map(self.config)
    config.retry = policy.spec.retry.map(self.config)
    config.retryBudget = policy.spec.retryBudget.map(self.config)
    config.timeouts = policy.spec.timeouts.map(self.config)
    addHedging(of: policy, to: &config.retry)
    config.healthCheck = policy.spec.healthCheck.map(self.config)
    config.rateLimits = limits(of: policy, for: service, side: .client)
    config.faults = faults(of: policy)
    return config
  }

  /// `0s` means no limit, which on the wire is absence.
  static func config(_ timeouts: RouteTimeouts) -> TimeoutConfig {
    var config = TimeoutConfig()
    config.requestMilliseconds = milliseconds(timeouts.request).flatMap { $0 == 0 ? nil : $0 }
    config.backendRequestMilliseconds = milliseconds(timeouts.backendRequest).flatMap { $0 == 0 ? nil : $0 }
    return config
  }

  private static func config(_ pool: TrafficPolicySpec.ConnectionPool) -> PoolConfig {
    var config = PoolConfig()
    config.connectTimeoutMilliseconds = milliseconds(pool.connectTimeout)
    config.idleTimeoutMilliseconds = milliseconds(pool.idleTimeout)
    config.maxRequestsPerConnection = number(pool.maxRequestsPerConnection)
    return config
  }

  private static func config(_ breaker: TrafficPolicySpec.CircuitBreaker) -> CircuitBreakerConfig {
    var config = CircuitBreakerConfig()
    config.maxConnections = number(breaker.maxConnections)
    config.maxPendingRequests = number(breaker.maxPendingRequests)
    config.maxRequests = number(breaker.maxRequests)
    config.maxRetries = number(breaker.maxRetries)
    return config
  }

  private static func config(_ outlier: TrafficPolicySpec.OutlierDetection) -> OutlierConfig {
    var config = OutlierConfig()
    config.consecutive5xx = number(outlier.consecutive5xx)
    config.consecutiveGatewayErrors = number(outlier.consecutiveGatewayErrors)
    config.intervalMilliseconds = milliseconds(outlier.interval)
    config.baseEjectionMilliseconds = milliseconds(outlier.baseEjectionTime)
    config.maxEjectionMilliseconds = milliseconds(outlier.maxEjectionTime)
    config.maxEjectionPercent = number(outlier.maxEjectionPercent)
    config.consecutiveLocalFailures = number(outlier.consecutiveLocalFailures)
    config.successRate = outlier.successRate.map(self.config)
    config.failurePercentage = outlier.failurePercentage.map(self.config)
    return config
  }

  static func config(_ retry: TrafficPolicySpec.Retry) -> RetryConfig {
    var config = RetryConfig()
    config.attempts = number(retry.attempts)
    config.codes = retry.codes.map { UInt32(clamping: $0) }
    config.backoffMilliseconds = milliseconds(retry.backoff)
    config.perTryMilliseconds = milliseconds(retry.perTryTimeout)
    config.conditions = retry.on.map(\.rawValue)
    config.maxBackoffMilliseconds = milliseconds(retry.maxBackoff)
    return config
  }

  private static func config(_ budget: TrafficPolicySpec.RetryBudget) -> RetryBudgetConfig {
    var config = RetryBudgetConfig()
    config.percent = number(budget.percent)
    config.minRetriesPerSecond = number(budget.minRetriesPerSecond)
    return config
  }

  static func number(_ value: Int?) -> UInt32? { value.map { UInt32(clamping: $0) } }

  static func milliseconds(_ duration: GatewayDuration?) -> UInt32? {
    duration.map { UInt32(clamping: $0.milliseconds) }
  }
}
