/// How clients treat a service (`apus.dev/v1 TrafficPolicy`): balancing, limits, ejection, retries, time limits.
/// It is attached to services of its own namespace; of several on one service the oldest decides.
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

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("targetRefs", &targetRefs, .required, .items(1...16), .uniqueBy("name"))
    visitor.field("loadBalancer", &loadBalancer)
    visitor.field("circuitBreaker", &circuitBreaker)
    visitor.field("outlierDetection", &outlierDetection)
    visitor.field("retry", &retry)
    visitor.field("retryBudget", &retryBudget)
    visitor.field("timeouts", &timeouts)
    visitor.field("connectionPool", &connectionPool)
  }

  /// The service a policy is attached to, in the policy's namespace.
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
      guard group != "" || kind != "Service" else { return }
      report.add(
        .notSupported, at: "\(path).kind",
        "a TrafficPolicy is attached to services only; write group: \"\" and kind: Service")
    }
  }

  package struct LoadBalancer: FieldObject, Equatable {
    package var algorithm = Algorithm.peakEWMA

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("algorithm", &algorithm, .required)
    }
  }

  package enum Algorithm: String, FieldEnum {
    /// Of two endpoints at random the one with the lower latency, weighted by requests in flight. The default.
    case peakEWMA = "PeakEWMA"
    case roundRobin = "RoundRobin"
    /// Of two endpoints at random the one with fewer requests in flight.
    case leastRequest = "LeastRequest"
    case random = "Random"
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
