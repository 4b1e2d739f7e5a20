/// One thing that is wrong in a setting: all of them are gathered, none stops the search for the next.
package struct SettingViolation: Equatable, Sendable {
  /// Where, as a path from the settings' own root: `retry.attempts`.
  package var path: String
  /// What is wrong and how to mend it, one sentence.
  package var message: String

  package init(path: String, message: String) {
    self.path = path
    self.message = message
  }
}

/// A limit on time, with "off" said outright.
package enum TimeLimit: Hashable, Sendable, BitwiseCopyable {
  /// Not set here: what the enclosing policy says holds.
  case inherited
  /// No limit.
  case off
  /// After this many nanoseconds. Always above zero and at most `longestNanoseconds` when made by `after`.
  case nanoseconds(Int64)

  /// The longest limit there can be: 365 days, so that adding one to a clock never overflows.
  package static let longestNanoseconds: Int64 = 365 * 86_400 * 1_000_000_000

  /// The limit after `duration`; `.off` if that is zero or negative (Gateway API: "0s" disables a timeout).
  package static func after(_ duration: Duration) -> TimeLimit {
    let nanoseconds = duration.saturatingNanoseconds
    return nanoseconds <= 0 ? .off : .nanoseconds(min(nanoseconds, longestNanoseconds))
  }

  /// This limit, or `parent` where this one is inherited.
  @inlinable
  package func or(_ parent: TimeLimit) -> TimeLimit {
    if case .inherited = self { return parent }
    return self
  }
}

/// A limit on a number of things, with "off" said outright.
package enum CountLimit: Equatable, Sendable, BitwiseCopyable {
  /// No limit.
  case off
  /// At most this many.
  case atMost(UInt32)

  /// The part of this limit that each of `count` loops enforces, rounded up: nothing is shared between loops.
  package func share(ofLoops count: Int) -> CountLimit {
    guard case .atMost(let limit) = self, count > 1 else { return self }
    let parts = UInt32(clamping: count)
    return .atMost(limit / parts &+ (limit % parts == 0 ? 0 : 1))
  }
}

extension Duration {
  /// Nanoseconds, held at the ends of `Int64`.
  package var saturatingNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, carry) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
    return carry ? (seconds < 0 ? .min : .max) : sum
  }
}

/// How an endpoint is chosen among those of a service.
package enum LoadBalancer: Equatable, Sendable, BitwiseCopyable {
  /// In turn, in proportion to the endpoints' weights, spread smoothly.
  case roundRobin
  /// At random, in proportion to the weights.
  case random
  /// Of two drawn at random, the one with fewer requests in flight per weight.
  case leastRequest
  /// Of two drawn at random, the one with the lower cost: recent latency, quick to rise and slow to fall, times the
  /// requests in flight. The default. `decayNanoseconds` is the time constant in which an old latency fades.
  case peakEWMA(decayNanoseconds: Int64)
  /// By the place of the request's key on a ring; requests without a key at random.
  case ringHash
  /// By a look-up of the request's key in Maglev's table; requests without a key at random.
  case maglev

  /// Whether a request's key decides.
  package var isConsistent: Bool { self == .ringHash || self == .maglev }

  /// Whether endpoints are weighed against each other, instead of each getting a share that was promised.
  package var comparesEndpoints: Bool {
    switch self {
    case .leastRequest, .peakEWMA: true
    case .roundRobin, .random, .ringHash, .maglev: false
    }
  }

  /// Ten seconds of memory, as Finagle and Linkerd have it.
  package static let standard = LoadBalancer.peakEWMA(decayNanoseconds: 10_000_000_000)
}

/// How much may be under way to one service from one proxy. Above it the mesh answers at once, rather than queue.
package struct CircuitLimits: Equatable, Sendable, BitwiseCopyable {
  /// Open connections to all endpoints. Default 10,000.
  package var connections = CountLimit.atMost(10_000)
  /// Requests that wait for a connection. Default 4,096.
  package var pending = CountLimit.atMost(4_096)
  /// Requests in flight. Default 10,000.
  package var requests = CountLimit.atMost(10_000)
  /// Retries in flight. Default 256; the retry budget is what bounds them in ordinary times.
  package var retries = CountLimit.atMost(256)

  package init() {}

  package func violations(at path: String) -> [SettingViolation] {
    [("maxConnections", connections), ("maxPendingRequests", pending), ("maxRequests", requests)].compactMap {
      guard $0.1 == .atMost(0) else { return nil }
      return SettingViolation(
        path: "\(path).\($0.0)", message: "must be at least 1; leave it out for the default, or say \"off\"")
    }
  }
}

/// Connections kept open to each endpoint.
package struct PoolSettings: Equatable, Sendable, BitwiseCopyable {
  /// Idle connections kept for each endpoint by each loop. Default 1024, as many as may be open: with fewer, requests that
  /// come in bursts open connections over and over.
  package var maxIdlePerEndpoint: UInt32 = 1024
  /// An idle connection is closed after this time. Default 55 s: under the 60 s and 75 s of common servers.
  package var idleNanoseconds: Int64 = 55_000_000_000
  /// Requests after which a connection is closed. Default off.
  package var maxRequestsPerConnection = CountLimit.off
  /// Time to connect, the TLS handshake included. Default 5 s.
  package var connectNanoseconds: Int64 = 5_000_000_000

  package init() {}

  package func violations(at path: String) -> [SettingViolation] {
    var found: [SettingViolation] = []
    if maxRequestsPerConnection == .atMost(0) {
      found.append(.init(path: "\(path).maxRequestsPerConnection", message: "must be at least 1; or say \"off\""))
    }
    for (name, value) in [("idleTimeout", idleNanoseconds), ("connectTimeout", connectNanoseconds)]
    where value < 1_000_000 || value > 86_400_000_000_000 {
      found.append(.init(path: "\(path).\(name)", message: "must be between 1ms and 24h"))
    }
    return found
  }
}

/// Everything that a `TrafficPolicy` sets for one service. The initial value is right for someone who sets nothing.
package struct TrafficPolicy: Equatable, Sendable, BitwiseCopyable {
  package var loadBalancer = LoadBalancer.standard
  /// Under this share of healthy endpoints, 0…100, health is ignored and all are used: better a chance than none.
  /// Default 50.
  package var panicThresholdPercent: UInt32 = 50
  package var circuit = CircuitLimits()
  /// Nil is off.
  package var outlier: OutlierSettings? = OutlierSettings()
  package var retry = RetrySettings()
  package var retryBudget = RetryBudgetSettings()
  /// The whole request, retries included. Default: none, since streams and large bodies take the time they take; where
  /// neither this nor `backendRequestTimeout` is set, a response must begin within 15 s.
  package var requestTimeout = TimeLimit.inherited
  /// One request to one backend. Default: none.
  package var backendRequestTimeout = TimeLimit.inherited
  /// Nothing moving in either direction. Default 5 min.
  package var streamIdleTimeout = TimeLimit.nanoseconds(300_000_000_000)
  package var pool = PoolSettings()
  /// A limit on requests in flight that finds its own height. Nil, the default, is off.
  package var concurrency: ConcurrencySettings?

  package init() {}

  /// The longest time for which an endpoint that answers with `Retry-After` is left alone. Default 30 s; 0: not at all.
  package var longestRestNanoseconds: Int64 = 30_000_000_000

  /// Everything that is out of bounds, each with its path.
  package func violations() -> [SettingViolation] {
    var found: [SettingViolation] = []
    if panicThresholdPercent > 100 {
      found.append(.init(path: "panicThreshold", message: "is \(panicThresholdPercent); must be 0…100"))
    }
    if case .peakEWMA(let decay) = loadBalancer, decay < 1_000_000 || decay > 3_600_000_000_000 {
      found.append(.init(path: "loadBalancer.peakEWMA.decay", message: "must be between 1ms and 1h"))
    }
    found += circuit.violations(at: "circuitBreaker")
    found += outlier?.violations(at: "outlierDetection") ?? []
    found += retry.violations(at: "retry")
    found += retryBudget.violations(at: "retryBudget")
    found += pool.violations(at: "connectionPool")
    found += concurrency?.violations(at: "adaptiveConcurrency") ?? []
    return found
  }
}
