package import MeshModel
package import MeshPolicy
package import MeshReactor
package import MeshTLS
internal import MeshWire

/// An endpoint as the workers take it up.
package struct EndpointSpec: Sendable {
  /// `uid:port`, unique in its cluster.
  package var key: String
  package var address: SocketAddress
  /// Whom the connection must lead to; nil: plaintext.
  package var expectation: TLSExpectation?
  package var weight: UInt32
  /// TLS towards an endpoint outside the mesh; nil: plaintext.
  package var backendTLS: BackendTLS?
  /// What is spoken with it.
  package var wire: EndpointWire = .undeclared
  /// The application's own port, behind its proxy; 0: `address` is the application's.
  package var applicationPort: UInt16 = 0
  /// Takes new requests.
  package var isUsable: Bool
  /// Where it is, and what policies choose it by.
  package var locality = Locality()
  package var labels: [String: String] = [:]
  /// The number of `key`, the same in every proxy.
  package var hash: UInt64 = 0
  /// The number of its subset; 0: none.
  package var subset: UInt16 = 0
  /// For labels.
  package var workload: WorkloadLabels
}

/// One port of one service as the workers take it up.
package struct ClusterSpec: Sendable {
  /// `namespace/name:port`.
  package var key: String
  /// `namespace/name`, what people know it by.
  package var service: String
  package var port: UInt16
  package var isTCP: Bool
  /// Which of the proxy's identities calls it; 0: its own.
  package var identity = 0
  /// Nobody has declared what is spoken on the port.
  package var isUndeclared = false
  package var policy: TrafficPolicy
  package var balance: BalanceRules
  /// Nil: endpoints are not asked how they are.
  package var healthCheck: HealthCheckSpec?
  /// Level after level, as `tables` counts them.
  package var endpoints: [EndpointSpec]
  package var tables: ClusterTables
  /// Nil where no route is attached: everything goes to the service itself.
  package var routes: RouteTable?
  /// Limits and faults of the service (outbound) or of the port (inbound).
  package var gate: Gate?
  /// Those of the rules of `routes`, position by position; empty where no rule has any.
  package var ruleGates: [Gate?] = []
  /// Rules for connections; nil where no TCPRoute or TLSRoute is in force.
  package var streams: StreamTable?
  /// Sessions of the rules, likewise.
  package var ruleSessions: [Session?] = []
  /// Tells apart what it was made of: the same again is taken up without looking at its endpoints.
  var revision: UInt64 = 0
  /// What it was made of; nil for those of the proxy itself.
  var source: ClusterSource?
}

/// What a cluster's endpoints, policy and tables are made of.
struct ClusterSource: Sendable {
  var service: ServiceConfig
  /// Where the service's workloads stand in the snapshot that it was compiled from.
  var workloads: [Int32]

  /// Whether two say the same. Quick where nothing has changed, since the parts are the same memory then.
  func isSame(as other: ClusterSource, in mine: Snapshot, and theirs: Snapshot) -> Bool {
    service == other.service && workloads.count == other.workloads.count
      && zip(workloads, other.workloads).allSatisfy { mine.workloads[Int($0)] == theirs.workloads[Int($1)] }
  }
}

/// What names a workload in metrics.
package struct WorkloadLabels: Hashable, Sendable {
  /// Names the instance; for people, not for metrics.
  package var uid = ""
  package var namespace = ""
  package var workload = ""
  package var app = ""
  package var version = ""
  package var principal = ""
}
