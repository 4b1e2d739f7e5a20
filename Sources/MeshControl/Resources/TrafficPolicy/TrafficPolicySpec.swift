/// How clients treat a service (`apus.dev/v1 TrafficPolicy`): balancing, limits, ejection, retries, time limits.
/// It is attached to services or routes of its own namespace; of several on one target the oldest decides.
package struct TrafficPolicySpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "apus.dev", version: "v1", kind: "TrafficPolicy", plural: "trafficpolicies", shortNames: ["tp"])

  package var targetRefs: [TargetReference] = []
  package var loadBalancer: LoadBalancer?
  package var circuitBreaker: CircuitBreaker?
  package var outlierDetection: OutlierDetection?
  package var retry: Retry?
  package var retryBudget: RetryBudget?
  package var timeouts: RouteTimeouts?
  package var connectionPool: ConnectionPool?
  package var rateLimits: [RateLimit] = []
  package var faultInjection: [Fault] = []
  package var adaptiveConcurrency: AdaptiveConcurrency?
  package var healthCheck: HealthCheck?
  package var hedging: Hedging?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("targetRefs", &targetRefs, .required, .items(1...16))
    visitor.field("loadBalancer", &loadBalancer)
    visitor.field("circuitBreaker", &circuitBreaker)
    visitor.field("outlierDetection", &outlierDetection)
    visitor.field("retry", &retry)
    visitor.field("retryBudget", &retryBudget)
    visitor.field("timeouts", &timeouts)
    visitor.field("connectionPool", &connectionPool)
    visitor.field("rateLimits", &rateLimits, .items(0...32), .uniqueBy("name"))
    visitor.field("faultInjection", &faultInjection, .items(0...16))
    visitor.field("adaptiveConcurrency", &adaptiveConcurrency)
    visitor.field("healthCheck", &healthCheck)
    visitor.field("hedging", &hedging)
  }

  package func check(path: String, into report: ViolationReport) {
    for (index, target) in targetRefs.enumerated() where targetRefs[..<index].contains(target) {
      report.add(
        .duplicate, at: "\(path).targetRefs[\(index)]", "\(target.kind) \(target.name) is there already; remove one")
    }
    guard targetRefs.contains(where: \.isRoute) else { return }
    // Endpoints and connections are a service's: a route has none of its own.
    for (name, isThere) in serviceSettings where isThere {
      report.add(
        .forbidden, at: "\(path).\(name)",
        "can be set for services only; move it to a TrafficPolicy whose targetRefs are of kind Service")
    }
    for (index, limit) in rateLimits.enumerated() where limit.side == .server {
      report.add(
        .forbidden, at: "\(path).rateLimits[\(index)].side",
        "routes are chosen at the client's proxy; use Client, or attach the limit to the Service")
    }
  }

  private var serviceSettings: [(String, Bool)] {
    [
      ("loadBalancer", loadBalancer != nil), ("circuitBreaker", circuitBreaker != nil),
      ("outlierDetection", outlierDetection != nil), ("retryBudget", retryBudget != nil),
      ("connectionPool", connectionPool != nil), ("adaptiveConcurrency", adaptiveConcurrency != nil),
      ("healthCheck", healthCheck != nil),
    ]
  }

  /// The service or route a policy is attached to, in the policy's namespace.
  package struct TargetReference: FieldObject, Equatable {
    package var group = ""
    package var kind = ""
    package var name = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("group", &group)
      visitor.field("kind", &kind, .required)
      visitor.field("name", &name, .required, .format(.serviceName))
    }

    package func check(path: String, into report: ViolationReport) {
      guard group != "" || kind != "Service", !isRoute else { return }
      report.add(
        .notSupported, at: "\(path).kind",
        "a TrafficPolicy is attached to services and routes only; write group: \"\" and kind: Service, or group: "
          + "\(HTTPRouteSpec.kind.group) and kind: HTTPRoute")
    }

    /// Whether it means a route, and not a service.
    var isRoute: Bool { group == HTTPRouteSpec.kind.group && (kind == "HTTPRoute" || kind == "GRPCRoute") }
  }

  package enum Algorithm: String, FieldEnum {
    /// Of two endpoints at random the one with the lower latency, weighted by requests in flight. The default.
    case peakEWMA = "PeakEWMA"
    case roundRobin = "RoundRobin"
    /// Of two endpoints at random the one with fewer requests in flight.
    case leastRequest = "LeastRequest"
    case random = "Random"
    /// By the place of the request's key on a ring.
    case ringHash = "RingHash"
    /// By a look-up of the request's key in Maglev's table.
    case maglev = "Maglev"
  }

  /// Limits per worker and service; absent ones take the default.
  package struct CircuitBreaker: FieldObject, Equatable {
    package var maxConnections: Int?
    package var maxPendingRequests: Int?
    package var maxRequests: Int?
    package var maxRetries: Int?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("maxConnections", &maxConnections, .range(1...1_000_000))
      visitor.field("maxPendingRequests", &maxPendingRequests, .range(1...1_000_000))
      visitor.field("maxRequests", &maxRequests, .range(1...1_000_000))
      visitor.field("maxRetries", &maxRetries, .range(0...1_000_000))
    }
  }
}
