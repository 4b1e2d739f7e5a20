internal import MeshModel
internal import MeshWire

// From what the wire carries to what the decisions take. Absent settings keep the mesh's defaults.

extension TimeLimit {
  /// Absent: inherited; 0: off.
  init(milliseconds: UInt32?) {
    guard let milliseconds else {
      self = .inherited
      return
    }
    self = milliseconds == 0 ? .off : .nanoseconds(Int64(milliseconds) * 1_000_000)
  }
}

extension CountLimit {
  /// Absent: the default given; 0: off.
  init(_ count: UInt32?, default fallback: CountLimit) {
    guard let count else {
      self = fallback
      return
    }
    self = count == 0 ? .off : .atMost(count)
  }
}

extension TrafficPolicy {
  init(_ config: TrafficPolicyConfig) {
    self.init()
    switch config.balancer {
    case .unspecified where (config.balance?.affinity ?? .none) != .none: loadBalancer = .maglev
    case .unspecified, .peakEWMA:
      loadBalancer =
        config.balance?.decayMilliseconds.map {
          .peakEWMA(decayNanoseconds: Int64(max(1, $0)) * 1_000_000)
        } ?? .standard
    case .ringHash: loadBalancer = .ringHash
    case .maglev: loadBalancer = .maglev
    case .roundRobin: loadBalancer = .roundRobin
    case .leastRequest: loadBalancer = .leastRequest
    case .random: loadBalancer = .random
    }
    panicThresholdPercent = min(100, config.balance?.panicThresholdPercent ?? panicThresholdPercent)
    if let rest = config.balance?.longestRestMilliseconds { longestRestNanoseconds = Int64(rest) * 1_000_000 }
    if let pool = config.pool { apply(pool) }
    if let breaker = config.circuitBreaker {
      circuit.connections = CountLimit(breaker.maxConnections, default: circuit.connections)
      circuit.pending = CountLimit(breaker.maxPendingRequests, default: circuit.pending)
      circuit.requests = CountLimit(breaker.maxRequests, default: circuit.requests)
      circuit.retries = CountLimit(breaker.maxRetries, default: circuit.retries)
    }
    if let settings = config.outlier { apply(settings) }
    if let settings = config.retry { retry = RetryOverride(settings).applied(to: retry) }
    if let budget = config.retryBudget {
      retryBudget.percent = budget.percent ?? retryBudget.percent
      retryBudget.minPerSecond = budget.minRetriesPerSecond ?? retryBudget.minPerSecond
    }
    if let timeouts = config.timeouts {
      requestTimeout = TimeLimit(milliseconds: timeouts.requestMilliseconds).or(requestTimeout)
      backendRequestTimeout = TimeLimit(milliseconds: timeouts.backendRequestMilliseconds).or(backendRequestTimeout)
    }
  }

  private mutating func apply(_ config: PoolConfig) {
    if let value = config.connectTimeoutMilliseconds, value > 0 { pool.connectNanoseconds = Int64(value) * 1_000_000 }
    if let value = config.idleTimeoutMilliseconds, value > 0 { pool.idleNanoseconds = Int64(value) * 1_000_000 }
    pool.maxRequestsPerConnection = CountLimit(config.maxRequestsPerConnection, default: pool.maxRequestsPerConnection)
  }

  private mutating func apply(_ config: OutlierConfig) {
    var settings = OutlierSettings()
    settings.consecutiveServerErrors = CountLimit(config.consecutive5xx, default: settings.consecutiveServerErrors)
    settings.consecutiveGatewayErrors = CountLimit(
      config.consecutiveGatewayErrors, default: settings.consecutiveGatewayErrors)
    if let value = config.intervalMilliseconds, value > 0 { settings.sweepNanoseconds = Int64(value) * 1_000_000 }
    if let value = config.baseEjectionMilliseconds, value > 0 {
      settings.baseEjectionNanoseconds = Int64(value) * 1_000_000
    }
    if let value = config.maxEjectionMilliseconds, value > 0 {
      settings.maxEjectionNanoseconds = Int64(value) * 1_000_000
    }
    settings.maxEjectionNanoseconds = max(settings.maxEjectionNanoseconds, settings.baseEjectionNanoseconds)
    settings.maxEjectionPercent = min(100, config.maxEjectionPercent ?? settings.maxEjectionPercent)
    settings.consecutiveLocalFailures = CountLimit(
      config.consecutiveLocalFailures, default: settings.consecutiveLocalFailures)
    settings.successRate = config.successRate.map { SuccessRateSettings($0) }
    settings.failurePercentage = config.failurePercentage.map { FailurePercentageSettings($0) }
    outlier = settings
  }
}

extension RetryOverride {
  init(_ config: RetryConfig) {
    self.init(
      attempts: config.attempts.map { UInt8(min($0, 10)) }, codes: config.codes.compactMap { UInt16(exactly: $0) },
      backoff: config.backoffMilliseconds.map { .milliseconds($0) })
    conditions = config.conditions.isEmpty ? nil : RetryConditions(config.conditions)
    perTryTimeout = TimeLimit(milliseconds: config.perTryMilliseconds)
    hedgeDelay = TimeLimit(milliseconds: config.hedgeDelayMilliseconds)
    maxBackoff = config.maxBackoffMilliseconds.map { .milliseconds($0) }
  }
}

extension HeaderModification {
  init(_ config: HeaderModifierConfig?) {
    self.init(
      set: (config?.set ?? []).map { .init(name: $0.name, value: $0.value) },
      add: (config?.add ?? []).map { .init(name: $0.name, value: $0.value) }, remove: config?.remove ?? [])
  }
}

extension TextMatch {
  init(_ config: ValueMatchConfig) {
    self = config.kind == .regularExpression ? .regex(config.value) : .exact(config.value)
  }
}

extension RouteMatch {
  init(_ config: RouteMatchConfig) {
    let path: PathMatch =
      switch config.path {
      case nil: .any
      case let match? where match.kind == .exact: .exact(match.value)
      case let match? where match.kind == .prefix: .prefix(match.value)
      case let match?: .regex(match.value)
      }
    self.init(
      path: path, headers: config.headers.map { NamedMatch(name: $0.name, value: TextMatch($0)) },
      query: config.queryParams.map { NamedMatch(name: $0.name, value: TextMatch($0)) },
      method: Method.allCases.first { "\($0)".uppercased() == config.method && $0 != .other },
      grpc: config.grpcRank.map {
        GRPCRank(serviceLength: Int($0.serviceLength), methodLength: Int($0.methodLength))
      })
  }
}

extension PathModifier {
  /// Nil where the path stays.
  init?(_ replacement: PathReplacement, _ path: String) {
    switch replacement {
    case .none: return nil
    case .full: self = .replaceFull(path)
    case .prefixMatch: self = .replacePrefix(path)
    }
  }
}

extension RouteRule {
  init(_ config: RouteRuleConfig) {
    let origin = RouteOrigin(
      config.route, created: config.routeCreatedSeconds, ruleIndex: config.ruleIndex, ruleName: config.ruleName)
    self.init(origin: origin, matches: config.matches.map { RouteMatch($0) }, action: RouteAction(config))
    requestHeaders = HeaderModification(config.filters?.requestHeaders)
    responseHeaders = HeaderModification(config.filters?.responseHeaders)
    rewrite = config.filters?.rewrite.map { URLRewrite($0) }
    requestTimeout = TimeLimit(milliseconds: config.timeouts?.requestMilliseconds)
    backendRequestTimeout = TimeLimit(milliseconds: config.timeouts?.backendRequestMilliseconds)
    retry = config.retry.map { RetryOverride($0) }
    inherit(config.policy)
    mirrors = (config.filters?.mirrors ?? []).filter { $0.invalidReason.isEmpty }.map { Mirror($0) }
    cors = config.filters?.cors.map { CORSPolicy($0) }
    sessionPersistence = config.sessionPersistence.flatMap { SessionPersistence($0) }
    isGRPC = config.isGRPC
  }
}

extension RouteAction {
  init(_ config: RouteRuleConfig) {
    if let redirect = config.filters?.redirect {
      self = .redirect(
        RequestRedirect(
          scheme: redirect.scheme.isEmpty ? nil : redirect.scheme,
          hostname: redirect.hostname.isEmpty ? nil : redirect.hostname,
          port: redirect.port.flatMap { UInt16(exactly: $0) },
          path: PathModifier(redirect.pathReplacement, redirect.path),
          status: redirect.statusCode == 0 ? 302 : UInt16(truncatingIfNeeded: redirect.statusCode)))
    } else if let answer = config.filters?.directResponse {
      var direct = DirectAnswer(status: UInt16(truncatingIfNeeded: answer.status), body: Array(answer.body.utf8))
      if !answer.contentType.isEmpty { direct.contentType = answer.contentType }
      self = .respond(direct)
    } else {
      self = .forward(
        config.backends.map { WeightedBackend($0) })
    }
  }
}
