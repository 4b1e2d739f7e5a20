/// What of a request keeps it at one endpoint.
package enum AffinityKind: UInt32, WireEnum {
  case none = 0
  case header = 1
  case cookie = 2
  case sourceAddress = 3
  package static var unset: Self { .none }
  package var wireName: String {
    switch self {
    case .none: "none"
    case .header: "header"
    case .cookie: "cookie"
    case .sourceAddress: "sourceAddress"
    }
  }
}

/// How the endpoints of a service are arranged. Absent parts take the mesh's default.
package struct BalanceConfig: WireMessage {
  package var affinity = AffinityKind.none
  /// The header's or cookie's name.
  package var affinityName = ""
  /// How long a cookie that we give lasts; absent: as long as the client's session.
  package var cookieLifetimeSeconds: UInt32?
  /// Time in which a new endpoint grows into its share; absent: it has it at once.
  package var slowStartMilliseconds: UInt32?
  /// The least part of its share meanwhile; default 10.
  package var slowStartLeastPercent: UInt32?
  /// Whether endpoints of the own zone, then of the own region, are preferred.
  package var isZoneAware = false
  /// Requests in flight at an endpoint above which the next level helps out; default 100; 0: never.
  package var busyRequests: UInt32?
  /// Best first; endpoints that none describes come last.
  package var priorities: [PriorityConfig] = []
  package var subset: SubsetConfig?
  /// Memory of peak EWMA; default 10000.
  package var decayMilliseconds: UInt32?
  /// Default 50.
  package var panicThresholdPercent: UInt32?
  /// The longest pause that an endpoint's `Retry-After` is granted; default 30000; 0: none.
  package var longestRestMilliseconds: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "affinity", &affinity)
    try c.field(2, "affinityName", &affinityName)
    try c.field(3, "cookieLifetimeSeconds", &cookieLifetimeSeconds)
    try c.field(4, "slowStartMilliseconds", &slowStartMilliseconds)
    try c.field(5, "slowStartLeastPercent", &slowStartLeastPercent)
    try c.field(6, "isZoneAware", &isZoneAware)
    try c.field(7, "busyRequests", &busyRequests)
    try c.field(8, "priorities", &priorities)
    try c.field(9, "subset", &subset)
    try c.field(10, "decayMilliseconds", &decayMilliseconds)
    try c.field(11, "panicThresholdPercent", &panicThresholdPercent)
    try c.field(12, "longestRestMilliseconds", &longestRestMilliseconds)
  }
}

/// Endpoints of one priority.
package struct PriorityConfig: WireMessage {
  /// All must hold.
  package var labels: [String: String] = [:]

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "labels", &labels)
  }
}

/// Endpoints chosen by a label whose value a request names in a header.
package struct SubsetConfig: WireMessage {
  package var label = ""
  package var header = ""
  /// Requests for a subset without endpoints are refused, and do not go to any.
  package var isStrict = false

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "label", &label)
    try c.field(2, "header", &header)
    try c.field(3, "isStrict", &isStrict)
  }
}

/// Ejects endpoints whose share of successes is far below the others'.
package struct SuccessRateConfig: WireMessage {
  /// Default 5.
  package var minimumHosts: UInt32?
  /// Default 100.
  package var requestVolume: UInt32?
  /// Standard deviations, in thousandths; default 1900.
  package var deviationsPerMille: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "minimumHosts", &minimumHosts)
    try c.field(2, "requestVolume", &requestVolume)
    try c.field(3, "deviationsPerMille", &deviationsPerMille)
  }
}

/// Ejects endpoints of whose requests too many fail.
package struct FailurePercentageConfig: WireMessage {
  /// Default 85.
  package var threshold: UInt32?
  /// Default 5.
  package var minimumHosts: UInt32?
  /// Default 50.
  package var requestVolume: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "threshold", &threshold)
    try c.field(2, "minimumHosts", &minimumHosts)
    try c.field(3, "requestVolume", &requestVolume)
  }
}

/// What endpoints are asked.
package enum HealthCheckType: UInt32, WireEnum {
  case http = 0
  /// A connection, with its TLS handshake where there is one.
  case tcp = 1
  /// `grpc.health.v1.Health/Check`.
  case grpc = 2
  package static var unset: Self { .http }
  package var wireName: String {
    switch self {
    case .http: "http"
    case .tcp: "tcp"
    case .grpc: "grpc"
    }
  }
}

/// How endpoints are asked whether they are well. Absent parts take the mesh's default.
package struct HealthCheckConfig: WireMessage {
  package var type = HealthCheckType.http
  /// Of HTTP; empty: `/`.
  package var path = ""
  /// Empty: the service's name.
  package var host = ""
  /// Of gRPC; empty: the server as a whole.
  package var grpcService = ""
  /// Default 10000; at least 1000.
  package var intervalMilliseconds: UInt32?
  /// Default 1000.
  package var timeoutMilliseconds: UInt32?
  /// Default 3.
  package var unhealthyThreshold: UInt32?
  /// Default 2.
  package var healthyThreshold: UInt32?
  /// Of HTTP; default 200.
  package var leastStatus: UInt32?
  /// Of HTTP; default 299.
  package var mostStatus: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "type", &type)
    try c.field(2, "path", &path)
    try c.field(3, "host", &host)
    try c.field(4, "grpcService", &grpcService)
    try c.field(5, "intervalMilliseconds", &intervalMilliseconds)
    try c.field(6, "timeoutMilliseconds", &timeoutMilliseconds)
    try c.field(7, "unhealthyThreshold", &unhealthyThreshold)
    try c.field(8, "healthyThreshold", &healthyThreshold)
    try c.field(9, "leastStatus", &leastStatus)
    try c.field(10, "mostStatus", &mostStatus)
  }
}
