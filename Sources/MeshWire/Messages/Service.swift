/// How the bytes of a port are understood.
package enum AppProtocol: UInt32, WireEnum {
  /// Not declared: told from the first bytes of each connection, or from who speaks first.
  case unspecified = 0
  case http = 1
  case tcp = 2
  case http2 = 3
  case grpc = 4
  case tls = 5
  package static var unset: Self { .unspecified }
  package var wireName: String {
    switch self {
    case .unspecified: "unspecified"
    case .http: "http"
    case .tcp: "tcp"
    case .http2: "http2"
    case .grpc: "grpc"
    case .tls: "tls"
    }
  }
}

/// A service as one client namespace sees it: its ports, its routes in order of precedence, its policy.
/// Resource name: `namespace/name`.
package struct ServiceConfig: WireMessage {
  package var namespace = ""
  package var name = ""
  package var ports: [ServicePort] = []
  /// Rules of every route attached to the service; the proxy orders them by Gateway API's precedence.
  package var routes: [RouteRuleConfig] = []
  package var policy: TrafficPolicyConfig?
  /// Rules for connections (TCPRoute, TLSRoute), in order of precedence.
  package var streamRoutes: [StreamRouteConfig] = []
  /// How endpoints outside the mesh are reached by TLS (BackendTLSPolicy); at most one for a port.
  package var backendTLS: [BackendTLSConfig] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "namespace", &namespace)
    try c.field(2, "name", &name)
    try c.field(3, "ports", &ports)
    try c.field(4, "routes", &routes)
    try c.field(5, "policy", &policy)
    try c.field(60, "streamRoutes", &streamRoutes)
    try c.field(61, "backendTls", &backendTLS)
  }
}

/// One port of a service.
package struct ServicePort: WireMessage {
  package var number: UInt32 = 0
  package var name = ""
  package var appProtocol = AppProtocol.unspecified
  /// The port of the application that stands behind it; 0 where `targetPortName` says it.
  package var targetPort: UInt32 = 0
  /// Name of the application's port: instances of one service may have different numbers for it.
  package var targetPortName = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "number", &number)
    try c.field(2, "name", &name)
    try c.field(3, "appProtocol", &appProtocol)
    try c.field(4, "targetPort", &targetPort)
    try c.field(5, "targetPortName", &targetPortName)
  }
}

/// One rule of an HTTPRoute or GRPCRoute, with where it comes from.
package struct RouteRuleConfig: WireMessage {
  /// `namespace/name` of the route; it becomes the label `route_name` and names the deciding object.
  package var route = ""
  /// Position of the rule in its route.
  package var ruleIndex: UInt32 = 0
  /// The rule's own name, if it has one.
  package var ruleName = ""
  /// Creation time of the route, seconds since 1970: the older wins between equal matches.
  package var routeCreatedSeconds: UInt64 = 0
  /// Port of the parent that the route is attached to; absent: all ports.
  package var parentPort: UInt32?
  /// Namespaces of clients for which the rule holds (a consumer route); empty: everyone (a producer route).
  package var consumerNamespace = ""
  package var matches: [RouteMatchConfig] = []
  package var filters: FilterConfig?
  package var backends: [BackendConfig] = []
  package var timeouts: TimeoutConfig?
  package var retry: RetryConfig?
  /// The TrafficPolicy attached to the route.
  package var policy: RoutePolicyConfig?
  /// Whether the rule is a GRPCRoute's.
  package var isGRPC = false
  package var sessionPersistence: SessionPersistenceConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "route", &route)
    try c.field(2, "ruleIndex", &ruleIndex)
    try c.field(3, "ruleName", &ruleName)
    try c.field(4, "routeCreatedSeconds", &routeCreatedSeconds)
    try c.field(5, "parentPort", &parentPort)
    try c.field(6, "consumerNamespace", &consumerNamespace)
    try c.field(7, "matches", &matches)
    try c.field(8, "filters", &filters)
    try c.field(9, "backends", &backends)
    try c.field(10, "timeouts", &timeouts)
    try c.field(11, "retry", &retry)
    try c.field(40, "policy", &policy)
    try c.field(60, "isGrpc", &isGRPC)
    try c.field(61, "sessionPersistence", &sessionPersistence)
  }
}

/// How a value is compared.
package enum MatchKind: UInt32, WireEnum {
  case exact = 0
  /// Paths only: by whole path elements.
  case prefix = 1
  /// RE2 syntax, the whole value.
  case regularExpression = 2
  package static var unset: Self { .exact }
  package var wireName: String {
    switch self {
    case .exact: "exact"
    case .prefix: "prefix"
    case .regularExpression: "regularExpression"
    }
  }
}

/// A name (of a header or query parameter) with what its value must be.
package struct ValueMatchConfig: WireMessage {
  package var name = ""
  package var kind = MatchKind.exact
  package var value = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "name", &name)
    try c.field(2, "kind", &kind)
    try c.field(3, "value", &value)
  }
}

/// All parts must hold; an empty match holds for every request.
package struct RouteMatchConfig: WireMessage {
  /// Name is empty in a path match.
  package var path: ValueMatchConfig?
  package var headers: [ValueMatchConfig] = []
  package var queryParams: [ValueMatchConfig] = []
  /// Empty: any method.
  package var method = ""
  /// Only of GRPCRoutes: what decides among their matches.
  package var grpcRank: GRPCRankConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "path", &path)
    try c.field(2, "headers", &headers)
    try c.field(3, "queryParams", &queryParams)
    try c.field(4, "method", &method)
    try c.field(60, "grpcRank", &grpcRank)
  }
}

/// A share of a rule's requests.
package struct BackendConfig: WireMessage {
  package var namespace = ""
  package var service = ""
  package var port: UInt32 = 0
  /// Share among the rule's backends; 0 gets nothing.
  package var weight: UInt32 = 0
  package var filters: FilterConfig?
  /// Why the backend cannot work (a condition reason such as `BackendNotFound`); its share is answered with 500.
  package var invalidReason = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "namespace", &namespace)
    try c.field(2, "service", &service)
    try c.field(3, "port", &port)
    try c.field(4, "weight", &weight)
    try c.field(5, "filters", &filters)
    try c.field(6, "invalidReason", &invalidReason)
  }
}
