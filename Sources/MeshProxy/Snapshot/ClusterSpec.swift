package import MeshModel
package import MeshPolicy
package import MeshReactor
package import MeshTLS
internal import MeshWire
internal import Synchronization

/// An endpoint as the workers take it up. There are many: it holds nothing that others of its kind hold too.
package struct EndpointSpec: Sendable {
  package var address: SocketAddress
  /// Whom the connection must lead to; nil: plaintext.
  package var expectation: TLSExpectation?
  /// TLS towards an endpoint outside the mesh; nil: plaintext.
  package var backendTLS: BackendTLS?
  /// For labels.
  package var workload: WorkloadLabels
  /// The number of its name, `uid:port`, the same in every proxy.
  package var hash: UInt64 = 0
  package var weight: UInt32
  /// The number of its subset; 0: none.
  package var subset: UInt16 = 0
  /// The application's own port, behind its proxy; 0: `address` is the application's.
  package var applicationPort: UInt16?
  /// What is spoken with it.
  package var wire: EndpointWire = .application
  /// Takes new requests.
  package var isUsable: Bool
}

/// Something that many hold and none changes.
package final class Shared<Value: Sendable>: Sendable {
  package let value: Value
  package init(_ value: Value) { self.value = value }
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
  package var identity: Int? = 0
  /// Nobody has declared what is spoken on the port.
  package var isUndeclared = false
  /// That of services without a policy is one for all.
  package var sharedPolicy: Shared<TrafficPolicy>
  package var policy: TrafficPolicy { sharedPolicy.value }
  package var balance: BalanceRules
  /// Nil: endpoints are not asked how they are.
  package var healthCheck: HealthCheckSpec?
  package var members: ClusterMembers
  /// Level after level, as `tables` counts them.
  package var endpoints: [EndpointSpec] { members.arranged.endpoints }
  package var tables: ClusterTables { members.arranged.tables }
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
  var service: CompiledService
  var workloads: [Packed<WorkloadConfig>]

  /// Whether two say the same. Quick where nothing has changed, since the parts are the same memory then.
  func isSame(as other: ClusterSource) -> Bool {
    service.packed == other.service.packed && workloads == other.workloads
  }
}

/// The endpoints of a cluster with the tables over them. A proxy calls a few of a mesh's services: those of the others
/// stay packed until a worker first has a request for them.
package final class ClusterMembers: Sendable {
  private let arrange: @Sendable () -> ArrangedEndpoints
  private let known: Mutex<ArrangedEndpoints?>
  /// Workers lay the endpoints out with the configuration, not with the first request.
  let isEager: Bool

  /// - Parameter isEager: there is much to work out, or something is to be done about the endpoints before there is a
  ///   request for them.
  init(isEager: Bool, _ arrange: @escaping @Sendable () -> ArrangedEndpoints) {
    self.arrange = arrange
    self.isEager = isEager
    known = Mutex(isEager ? arrange() : nil)
  }

  init(_ arranged: ArrangedEndpoints) {
    arrange = { arranged }
    isEager = true
    known = Mutex(arranged)
  }

  /// Worked out by whoever asks first.
  var arranged: ArrangedEndpoints {
    known.withLock { known in
      if let known { return known }
      let made = arrange()
      known = made
      return made
    }
  }

  /// The same for somebody who looks in passing: it is not kept.
  var glance: ArrangedEndpoints { known.withLock { $0 } ?? arrange() }
}

/// What is known of a service without reading all of it again.
final class CompiledService: Sendable {
  let packed: Packed<ServiceConfig>
  let namespace: String
  let name: String
  /// `namespace/name`.
  let key: String
  let ports: [ServicePort]
  /// Whether it or one of its rules has limits or faults, whose buckets are looked up anew for each configuration.
  let hasLimits: Bool

  init(_ packed: Packed<ServiceConfig>, _ config: ServiceConfig) {
    self.packed = packed
    namespace = config.namespace
    name = config.name
    key = "\(config.namespace)/\(config.name)"
    ports = config.ports
    hasLimits =
      config.policy.map { !$0.rateLimits.isEmpty || !$0.faults.isEmpty } ?? false
      || config.routes.contains { $0.policy.map { !$0.rateLimits.isEmpty || !$0.faults.isEmpty } ?? false }
  }
}

/// What names a workload in metrics.
package struct WorkloadLabels: Hashable, Sendable {
  /// Names the instance; for people, not for metrics.
  package var uid: String
  /// What all instances of the workload have in common.
  package var names: WorkloadNames

  package init(uid: String = "", _ names: WorkloadNames = .none) {
    self.uid = uid
    self.names = names
  }
}

/// The names that all instances of a workload share.
package final class WorkloadNames: Hashable, Sendable {
  package let namespace: String
  package let workload: String
  package let app: String
  package let version: String
  package let principal: String

  /// Those of nothing that is known.
  package static let none = WorkloadNames()

  package init(
    namespace: String = "", workload: String = "", app: String = "", version: String = "", principal: String = ""
  ) {
    self.namespace = namespace
    self.workload = workload
    self.app = app
    self.version = version
    self.principal = principal
  }

  convenience init(_ config: WorkloadConfig) {
    self.init(
      namespace: config.namespace, workload: config.name, app: config.app, version: config.version,
      principal: config.identity)
  }

  func isOf(_ config: WorkloadConfig) -> Bool {
    workload == config.name && namespace == config.namespace && app == config.app && version == config.version
      && principal == config.identity
  }

  package static func == (left: WorkloadNames, right: WorkloadNames) -> Bool {
    left === right
      || (left.workload == right.workload && left.namespace == right.namespace && left.app == right.app
        && left.version == right.version && left.principal == right.principal)
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(workload)
    hasher.combine(namespace)
    hasher.combine(principal)
  }
}
