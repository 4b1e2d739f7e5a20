/// How long things may take. Absent: no limit of this kind; durations are milliseconds.
package struct TimeoutConfig: WireMessage {
  /// From the first byte of the request to the end of the response, all tries together.
  package var requestMilliseconds: UInt32?
  /// From sending the request to one backend to the end of its response: one try.
  package var backendRequestMilliseconds: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "requestMilliseconds", &requestMilliseconds)
    try c.field(2, "backendRequestMilliseconds", &backendRequestMilliseconds)
  }
}

/// When and how often a request is tried again. Absent parts take the mesh's default.
package struct RetryConfig: WireMessage {
  /// Tries after the first; default 2, 0 switches retries off.
  package var attempts: UInt32?
  /// Status codes that are tried again, for methods that are safe to repeat.
  package var codes: [UInt32] = []
  /// Base of the exponential back-off with full jitter; default 25.
  package var backoffMilliseconds: UInt32?
  /// Limit of one try; default: what is left of the request timeout.
  package var perTryMilliseconds: UInt32?
  /// On what is tried again: `connect-failure`, `refused-stream`, `reset`, `status`, `per-try-timeout`,
  /// `idempotent-status`, `all-methods`, and for gRPC `unavailable`, `cancelled`,
  /// `deadline-exceeded`, `internal`, `resource-exhausted`; none: the mesh's default.
  package var conditions: [String] = []
  /// The longest back-off; default 250.
  package var maxBackoffMilliseconds: UInt32?
  /// A second attempt is made beside the first where that takes longer; absent: off.
  package var hedgeDelayMilliseconds: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "attempts", &attempts)
    try c.field(2, "codes", &codes)
    try c.field(3, "backoffMilliseconds", &backoffMilliseconds)
    try c.field(4, "perTryMilliseconds", &perTryMilliseconds)
    try c.field(40, "conditions", &conditions)
    try c.field(41, "maxBackoffMilliseconds", &maxBackoffMilliseconds)
    try c.field(43, "hedgeDelayMilliseconds", &hedgeDelayMilliseconds)
  }
}

/// How an endpoint is chosen.
package enum BalancerKind: UInt32, WireEnum {
  case unspecified = 0
  case peakEWMA = 1
  case roundRobin = 2
  case leastRequest = 3
  case random = 4
  case ringHash = 5
  case maglev = 6
  package static var unset: Self { .unspecified }
  package var wireName: String {
    switch self {
    case .unspecified: "unspecified"
    case .peakEWMA: "peakEWMA"
    case .roundRobin: "roundRobin"
    case .leastRequest: "leastRequest"
    case .random: "random"
    case .ringHash: "ringHash"
    case .maglev: "maglev"
    }
  }
}

/// Settings of a TrafficPolicy attached to a service. Absent parts take the mesh's default.
package struct TrafficPolicyConfig: WireMessage {
  /// `namespace/name` of the TrafficPolicy, to name the deciding object.
  package var source = ""
  package var balancer = BalancerKind.unspecified
  package var pool: PoolConfig?
  package var circuitBreaker: CircuitBreakerConfig?
  package var outlier: OutlierConfig?
  package var retry: RetryConfig?
  package var retryBudget: RetryBudgetConfig?
  package var timeouts: TimeoutConfig?
  /// Limits that the client's proxy holds to; those of the server's are in `InboundPortConfig`.
  package var rateLimits: [RateLimitConfig] = []
  package var faults: [FaultConfig] = []
  package var balance: BalanceConfig?
  /// Absent: endpoints are not asked how they are.
  package var healthCheck: HealthCheckConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "source", &source)
    try c.field(2, "balancer", &balancer)
    try c.field(3, "pool", &pool)
    try c.field(4, "circuitBreaker", &circuitBreaker)
    try c.field(5, "outlier", &outlier)
    try c.field(6, "retry", &retry)
    try c.field(7, "retryBudget", &retryBudget)
    try c.field(8, "timeouts", &timeouts)
    try c.field(40, "rateLimits", &rateLimits)
    try c.field(41, "faults", &faults)
    try c.field(42, "balance", &balance)
    try c.field(43, "healthCheck", &healthCheck)
  }
}

/// Connections to the endpoints of a service.
package struct PoolConfig: WireMessage {
  /// Default 5000.
  package var connectTimeoutMilliseconds: UInt32?
  /// How long an unused connection is kept; default 60000.
  package var idleTimeoutMilliseconds: UInt32?
  /// Default: no limit.
  package var maxRequestsPerConnection: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "connectTimeoutMilliseconds", &connectTimeoutMilliseconds)
    try c.field(2, "idleTimeoutMilliseconds", &idleTimeoutMilliseconds)
    try c.field(3, "maxRequestsPerConnection", &maxRequestsPerConnection)
  }
}

/// Limits per worker and service beyond which requests are refused at once.
package struct CircuitBreakerConfig: WireMessage {
  package var maxConnections: UInt32?
  package var maxPendingRequests: UInt32?
  package var maxRequests: UInt32?
  package var maxRetries: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "maxConnections", &maxConnections)
    try c.field(2, "maxPendingRequests", &maxPendingRequests)
    try c.field(3, "maxRequests", &maxRequests)
    try c.field(4, "maxRetries", &maxRetries)
  }
}

/// When an endpoint is taken out of the balancing for a while.
package struct OutlierConfig: WireMessage {
  /// Default 5; 0 switches this detector off.
  package var consecutive5xx: UInt32?
  /// 502, 503, 504 and failures to connect; default off.
  package var consecutiveGatewayErrors: UInt32?
  /// Default 10000.
  package var intervalMilliseconds: UInt32?
  /// Default 30000.
  package var baseEjectionMilliseconds: UInt32?
  /// Default 300000.
  package var maxEjectionMilliseconds: UInt32?
  /// Default 10.
  package var maxEjectionPercent: UInt32?
  /// Failures to connect, resets and timeouts in a row; default 5; 0 switches this detector off.
  package var consecutiveLocalFailures: UInt32?
  /// Absent: off.
  package var successRate: SuccessRateConfig?
  /// Absent: off.
  package var failurePercentage: FailurePercentageConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "consecutive5xx", &consecutive5xx)
    try c.field(2, "consecutiveGatewayErrors", &consecutiveGatewayErrors)
    try c.field(3, "intervalMilliseconds", &intervalMilliseconds)
    try c.field(4, "baseEjectionMilliseconds", &baseEjectionMilliseconds)
    try c.field(5, "maxEjectionMilliseconds", &maxEjectionMilliseconds)
    try c.field(6, "maxEjectionPercent", &maxEjectionPercent)
    try c.field(40, "consecutiveLocalFailures", &consecutiveLocalFailures)
    try c.field(41, "successRate", &successRate)
    try c.field(42, "failurePercentage", &failurePercentage)
  }
}

/// How many of the requests may be retries (GEP-3388).
package struct RetryBudgetConfig: WireMessage {
  /// Default 20.
  package var percent: UInt32?
  /// Default 10.
  package var minRetriesPerSecond: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "percent", &percent)
    try c.field(2, "minRetriesPerSecond", &minRetriesPerSecond)
  }
}
