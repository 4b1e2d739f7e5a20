internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// What the balancer of a cluster looks things up in: made once when a configuration is compiled, shared by all workers.
package final class ClusterTables: Sendable {
  /// A table for consistent hashing and what it was made of.
  enum Consistent: Sendable {
    case none
    case ring(HashRing)
    case maglev(MaglevTable)

    var view: HashTableView {
      switch self {
      case .none: .none
      case .ring(let ring): .ring(ring.view)
      case .maglev(let table): .maglev(table.view)
      }
    }
  }

  /// One run of endpoints that are preferred alike.
  struct Level: Sendable {
    var endpoints: [HashedEndpoint]
    var isRing: Bool
    var table: Consistent
  }

  let balance: BalanceTable
  let levels: [Level]
  /// What is sent to find out whether an endpoint is well.
  let probeRequest: ProbeRequest

  /// - Parameters:
  ///   - levels: the endpoints of each level.
  ///   - previous: of the configuration before; a table whose endpoints are the same is taken over.
  init(
    _ rules: BalanceRules, balancer: LoadBalancer, subsets: [String], levels: [[HashedEndpoint]],
    healthCheck: HealthCheckSpec? = nil, previous: ClusterTables?
  ) {
    probeRequest = ProbeRequest(healthCheck)
    balance = BalanceTable(rules, subsets: subsets)
    let isRing = balancer == .ringHash
    self.levels = levels.enumerated().map { index, endpoints in
      if let previous, index < previous.levels.count, previous.levels[index].endpoints == endpoints,
        previous.levels[index].isRing == isRing, balancer.isConsistent
      {
        return previous.levels[index]
      }
      let table: Consistent =
        switch balancer {
        case .ringHash: .ring(HashRing(endpoints))
        case .maglev: .maglev(MaglevTable(endpoints))
        default: .none
        }
      return Level(endpoints: balancer.isConsistent ? endpoints : [], isRing: isRing, table: table)
    }
    counts = levels.map { Int32(clamping: $0.count) }
  }

  private let counts: [Int32]

  /// Those of a cluster whose endpoints nobody has asked for.
  static let none = ClusterTables(
    BalanceRules(), balancer: .standard, subsets: [], levels: [], previous: nil)

  /// As the balancer takes them.
  var endpointLevels: [EndpointLevel] {
    zip(levels, counts).map { EndpointLevel(count: $1, table: $0.table.view) }
  }
}

/// An endpoint with what it is arranged by.
struct EndpointCandidate {
  var spec: EndpointSpec
  /// Where it is, and what policies choose it by.
  var locality = Locality()
  var labels: [String: String] = [:]
}

/// Endpoints of a cluster in the order of preference, with the tables over them.
struct ArrangedEndpoints: Sendable {
  let endpoints: [EndpointSpec]
  let tables: ClusterTables

  init(endpoints: [EndpointSpec], tables: ClusterTables) {
    self.endpoints = endpoints
    self.tables = tables
  }

  /// - Parameter own: where this proxy is.
  init(
    _ unordered: [EndpointCandidate], _ rules: BalanceRules, _ balancer: LoadBalancer, from own: Locality,
    healthCheck: HealthCheckSpec?, previous: ClusterTables?
  ) {
    var subsets: [String: UInt16] = [:]
    var values: [String] = []
    var levels: [Int: [EndpointSpec]] = [:]
    for candidate in unordered {
      var endpoint = candidate.spec
      endpoint.hash = KeyHash.of("\(endpoint.workload.uid):\(endpoint.address.port)")
      if let label = rules.subset?.label, let value = candidate.labels[label] {
        if let known = subsets[value] {
          endpoint.subset = known
        } else if values.count < Self.maxSubsets {
          values.append(value)
          endpoint.subset = UInt16(values.count)
          subsets[value] = endpoint.subset
        }
      }
      let preference = rules.preference(labels: candidate.labels, from: own, to: candidate.locality)
      levels[preference, default: []].append(endpoint)
    }
    let ordered = levels.sorted { $0.key < $1.key }.map(\.value)
    var all: [EndpointSpec] = []
    all.reserveCapacity(unordered.count)
    for level in ordered { all += level }
    endpoints = all
    // Those past the last level that there can be belong to it.
    let last = PriorityPlan.maxLevels - 1
    let runs = ordered.prefix(last) + (ordered.count > last ? [ordered[last...].flatMap { $0 }] : [])
    tables = ClusterTables(
      rules, balancer: balancer, subsets: values,
      levels: runs.map { $0.map { HashedEndpoint(key: $0.hash, weight: $0.weight) } },
      healthCheck: healthCheck, previous: previous)
  }

  /// Values of a label that are told apart.
  private static let maxSubsets = 1_000
}
