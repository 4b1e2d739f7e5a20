internal import MeshModel
internal import MeshPolicy

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

  /// As the balancer takes them.
  var endpointLevels: [EndpointLevel] {
    zip(levels, counts).map { EndpointLevel(count: $1, table: $0.table.view) }
  }
}

/// Endpoints of a cluster in the order of preference, with the tables over them.
struct ArrangedEndpoints {
  let endpoints: [EndpointSpec]
  let tables: ClusterTables

  /// - Parameter own: where this proxy is.
  init(
    _ unordered: [EndpointSpec], _ rules: BalanceRules, _ balancer: LoadBalancer, from own: Locality,
    healthCheck: HealthCheckSpec?, previous: ClusterTables?
  ) {
    var subsets: [String: UInt16] = [:]
    var values: [String] = []
    var levels: [Int: [EndpointSpec]] = [:]
    for var endpoint in unordered {
      endpoint.hash = KeyHash.of(endpoint.key)
      if let label = rules.subset?.label, let value = endpoint.labels[label] {
        if let known = subsets[value] {
          endpoint.subset = known
        } else if values.count < Self.maxSubsets {
          values.append(value)
          endpoint.subset = UInt16(values.count)
          subsets[value] = endpoint.subset
        }
      }
      levels[rules.preference(labels: endpoint.labels, from: own, to: endpoint.locality), default: []].append(endpoint)
    }
    let ordered = levels.sorted { $0.key < $1.key }.map(\.value)
    endpoints = ordered.flatMap { $0 }
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
