/// Whose requests a rate limit counts together.
package enum RateLimitKeyKind: UInt32, WireEnum {
  /// All requests that the rule is about.
  case everyone = 0
  /// Those of one identity; callers without one count together.
  case identity = 1
  /// Those of one source address, without its port.
  case sourceAddress = 2
  /// Those with one value of a header; requests without it count together.
  case header = 3
  package static var unset: Self { .everyone }
  package var wireName: String {
    switch self {
    case .everyone: "everyone"
    case .identity: "identity"
    case .sourceAddress: "sourceAddress"
    case .header: "header"
    }
  }
}

/// How many requests may pass in a time.
package struct RateLimitConfig: WireMessage {
  /// Unique in its policy.
  package var name = ""
  package var requests: UInt32 = 0
  /// Default 1000.
  package var periodMilliseconds: UInt32?
  /// Requests that may come at once after a quiet time; default: `requests`.
  package var burst: UInt32?
  package var key = RateLimitKeyKind.everyone
  /// The header's name where `key` is `header`.
  package var header = ""
  /// Requests that are counted: any of them holds; none: every request.
  package var matches: [RouteMatchConfig] = []
  /// `namespace/name` of the policy.
  package var source = ""
  /// Names the limit in the mesh, where all proxies share it; empty: the proxy counts for itself.
  package var quota = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "name", &name)
    try c.field(2, "requests", &requests)
    try c.field(3, "periodMilliseconds", &periodMilliseconds)
    try c.field(4, "burst", &burst)
    try c.field(5, "key", &key)
    try c.field(6, "header", &header)
    try c.field(7, "matches", &matches)
    try c.field(9, "source", &source)
    try c.field(140, "quota", &quota)
  }
}

/// Faults put into the traffic on purpose. Shares are in millionths.
package struct FaultConfig: WireMessage {
  /// Requests that it is about: any of them holds; none: every request.
  package var matches: [RouteMatchConfig] = []
  package var delayPerMillion: UInt32 = 0
  package var delayMilliseconds: UInt32 = 0
  package var abortPerMillion: UInt32 = 0
  /// 400 to 599.
  package var abortStatus: UInt32 = 0
  /// `namespace/name` of the policy.
  package var source = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "matches", &matches)
    try c.field(2, "delayPerMillion", &delayPerMillion)
    try c.field(3, "delayMilliseconds", &delayMilliseconds)
    try c.field(4, "abortPerMillion", &abortPerMillion)
    try c.field(5, "abortStatus", &abortStatus)
    try c.field(6, "source", &source)
  }
}

/// A limit on requests in flight that finds its own height. Present: on.
package struct ConcurrencyConfig: WireMessage {
  /// Default 4.
  package var least: UInt32?
  /// Default 10000.
  package var most: UInt32?
  /// Default 32.
  package var initial: UInt32?
  /// Hundredths of the calm latency at which the limit goes down; default 150.
  package var tolerancePercent: UInt32?
  /// `namespace/name` of the policy.
  package var source = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "least", &least)
    try c.field(2, "most", &most)
    try c.field(3, "initial", &initial)
    try c.field(4, "tolerancePercent", &tolerancePercent)
    try c.field(5, "source", &source)
  }
}

/// What a TrafficPolicy sets for one route. Absent parts are the service's.
package struct RoutePolicyConfig: WireMessage {
  /// `namespace/name` of the TrafficPolicy.
  package var source = ""
  package var rateLimits: [RateLimitConfig] = []
  package var faults: [FaultConfig] = []
  package var retry: RetryConfig?
  package var timeouts: TimeoutConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "source", &source)
    try c.field(2, "rateLimits", &rateLimits)
    try c.field(3, "faults", &faults)
    try c.field(4, "retry", &retry)
    try c.field(5, "timeouts", &timeouts)
  }
}
