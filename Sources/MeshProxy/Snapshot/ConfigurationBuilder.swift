internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshWire

/// What a configuration can take over from the one before.
struct Leftovers: Sendable {
  var services: [CompiledService] = []
  /// Services whose rules could not be compiled: they are tried, and told, anew.
  var flawed: Set<String> = []
  /// How many clusters there were after the services of each identity.
  var clusterEnds: [Int] = []
  var trustDomain = ""
}

/// Turns resources into clusters, route tables and host names.
struct ConfigurationBuilder {
  let snapshot: PackedSnapshot
  let namespace: String
  var clusters: [ClusterSpec] = []
  private(set) var hosts: [String: [(port: UInt16, cluster: Int32)]] = [:]
  /// Those of the configuration before, where no name has come, gone or changed its cluster.
  private(set) var keptHosts: HostTable?
  var problems: [SettingViolation] = []
  var gates: GateBuilder
  let directory: WorkloadDirectory
  /// Where this proxy is.
  private let locality: Locality
  private let isInSameZone: Bool
  /// What BackendTLSPolicies say, by their names.
  private var outside: [String: BackendTLS] = [:]
  private(set) var leftovers = Leftovers()
  private let previous: CompiledConfiguration?
  private let revision: UInt64
  var numbers: [String: Int32] = [:]
  /// The identity that clusters are made for: its place among the proxy's, and what its clusters' keys end in.
  private var identity: Int? = 0
  var suffix = ""
  /// What was read of services that are new, by their places.
  private var read: [Int: ServiceConfig] = [:]
  /// Services that are as they were, by their places.
  private var isKept: [Bool] = []
  /// Whether all clusters so far stand where they stood before.
  private var isNumberedAsBefore: Bool
  private var formerPlaces: [String: Int]?
  let standardPolicy: Shared<TrafficPolicy>

  init(_ snapshot: PackedSnapshot, namespace: String, revision: UInt64, previous: CompiledConfiguration?) {
    self.snapshot = snapshot
    self.namespace = namespace
    self.revision = revision
    self.previous = previous
    gates = GateBuilder(former: previous?.buckets ?? [:])
    directory = WorkloadDirectory(snapshot, former: previous?.workloads ?? [:])
    let zone = snapshot.common.proxy?.zone ?? ""
    locality = Locality(named: zone)
    isInSameZone = previous?.zone == zone
    isNumberedAsBefore = previous.map { $0.namespace == namespace } ?? false
    standardPolicy = previous?.standardPolicy ?? Shared(TrafficPolicy())
    leftovers.trustDomain = snapshot.common.proxy?.trustDomain ?? ""
    clusters.reserveCapacity(previous?.clusters.count ?? snapshot.services.count)
    readServices()
  }

  /// Reads what has changed; both lists are in the order of their names, where they come from a control plane.
  private mutating func readServices() {
    let former = previous?.leftovers.services ?? []
    leftovers.services.reserveCapacity(snapshot.services.count)
    var next = 0
    for packed in snapshot.services {
      if next < former.count, former[next].packed == packed {
        isKept.append(previous?.leftovers.flawed.contains(former[next].key) == false && !former[next].hasLimits)
        leftovers.services.append(former[next])
        next += 1
        continue
      }
      guard let config = packed.message else { continue }
      let service = CompiledService(packed, config)
      // All of a large mesh at once, beside what is made of it, would leave memory with many holes.
      if read.count < Self.mostRead { read[leftovers.services.count] = config }
      isKept.append(false)
      leftovers.services.append(service)
      while next < former.count, former[next].key <= service.key { next += 1 }
    }
  }

  /// Services that are held while others are read; of more the rest is read twice.
  private static let mostRead = 32

  private func config(_ place: Int) -> ServiceConfig {
    read[place] ?? leftovers.services[place].packed.message ?? ServiceConfig()
  }

  /// The further identities that outbound listeners act for.
  func actingIdentities(_ listeners: [ListenerConfig]) -> [String] {
    let named = Set(listeners.filter { $0.kind == .outbound }.map(\.identity))
    return snapshot.common.identities.map(\.name).filter { named.contains($0) }
  }

  /// What follows is for this identity.
  mutating func act(for name: String) {
    identity = snapshot.common.place(ofIdentity: name)
    suffix = name.isEmpty ? "" : "@\(name)"
  }

  mutating func addServices() {
    // All clusters first, so that routes can name any of them.
    for place in leftovers.services.indices { addClusters(place) }
    let ends = previous?.leftovers.clusterEnds ?? []
    let turn = leftovers.clusterEnds.count
    leftovers.clusterEnds.append(clusters.count)
    isNumberedAsBefore = isNumberedAsBefore && turn < ends.count && ends[turn] == clusters.count
    if identity == 0 { addHosts() }
    for place in leftovers.services.indices { addRules(place) }
  }

  private mutating func addClusters(_ place: Int) {
    let service = leftovers.services[place]
    let source = ClusterSource(service: service, workloads: directory.workloads[service.key] ?? [])
    var gate: Gate?
    if service.hasLimits {
      let policy = config(place).policy
      gate = gates.gate(
        AdmissionRules(limits: policy?.rateLimits ?? [], faults: policy?.faults ?? []), at: service.key)
    }
    for port in service.ports {
      guard let number = UInt16(exactly: port.number) else { continue }
      let key = "\(service.key):\(number)\(suffix)"
      numbers[key] = Int32(clamping: clusters.count)
      let former = former(key)
      var spec: ClusterSpec
      if let former, let same = former.source, isInSameZone, source.isSame(as: same) {
        spec = former
        spec.source = source
        (spec.routes, spec.streams, spec.ruleGates, spec.ruleSessions) = (nil, nil, [], [])
      } else {
        spec = makeCluster(source, config(place), port, number, key, former?.members)
      }
      spec.gate = gate
      clusters.append(spec)
    }
  }

  /// What the cluster with this key was, which is the next one to be added.
  private mutating func former(_ key: String) -> ClusterSpec? {
    guard let previous else { return nil }
    if clusters.count < previous.clusters.count, previous.clusters[clusters.count].key == key {
      return previous.clusters[clusters.count]
    }
    isNumberedAsBefore = false
    if formerPlaces == nil {
      formerPlaces = Dictionary(previous.clusters.enumerated().map { ($1.key, $0) }, uniquingKeysWith: { $1 })
    }
    return formerPlaces?[key].map { previous.clusters[$0] }
  }

  /// A service's port as it is without its routes.
  private mutating func makeCluster(
    _ source: ClusterSource, _ service: ServiceConfig, _ port: ServicePort, _ number: UInt16, _ key: String,
    _ formerMembers: ClusterMembers?
  ) -> ClusterSpec {
    let policy = service.policy.map { Shared(TrafficPolicy($0)) } ?? standardPolicy
    let balance = BalanceRules(service.policy?.balance)
    let healthCheck = service.policy?.healthCheck.map { HealthCheckSpec($0, service: service) }
    let tls = BackendTLS.entry(service.backendTLS, port: port.number).map { backendTLS($0) }
    let own = locality
    let workloads = source.workloads
    // Large tables are not worked out by a worker; checks of health begin, and warming counts, before any request.
    let isEager =
      policy.value.loadBalancer.isConsistent || workloads.count > Self.mostDormant || healthCheck != nil
      || balance.slowStart != nil
    // Only tables for consistent hashing are worth taking over; what is packed is not unpacked for that.
    let former = isEager && formerMembers?.isEager == true ? formerMembers?.arranged.tables : nil
    let members = ClusterMembers(isEager: isEager) {
      var compiler = EndpointCompiler()
      return ArrangedEndpoints(
        compiler.candidates(workloads, port, tls), balance, policy.value.loadBalancer, from: own,
        healthCheck: healthCheck, previous: former)
    }
    var spec = ClusterSpec(
      key: key, service: source.service.key, port: number,
      // Where the proxy begins the TLS, what it is given is not TLS.
      isTCP: port.appProtocol == .tcp || (port.appProtocol == .tls && tls == nil),
      identity: identity, isUndeclared: port.appProtocol == .unspecified, sharedPolicy: policy, balance: balance,
      healthCheck: healthCheck, members: members, routes: nil)
    spec.revision = revision
    spec.source = source
    return spec
  }

  /// More endpoints than a worker lays out between two requests.
  private static let mostDormant = 32

  /// What a policy says, compiled; ports that say the same share it.
  private mutating func backendTLS(_ config: BackendTLSConfig) -> BackendTLS {
    if let known = outside[config.source], known.source == config { return known }
    let made = BackendTLS(config, systemAuthorities: SystemAuthorities.read)
    outside[config.source] = made
    return made
  }

  /// Rules that are what they were, and lead where they led, are taken over.
  private mutating func addRules(_ place: Int) {
    let service = leftovers.services[place]
    if isKept[place], isNumberedAsBefore, let previous {
      for port in service.ports {
        guard let index = number(of: service, port) else { continue }
        let former = previous.clusters[Int(index)]
        (clusters[Int(index)].routes, clusters[Int(index)].streams) = (former.routes, former.streams)
        clusters[Int(index)].ruleSessions = former.ruleSessions
        (clusters[Int(index)].isTCP, clusters[Int(index)].isUndeclared) = (former.isTCP, former.isUndeclared)
      }
      return
    }
    let config = config(place)
    let known = problems.count + gates.problems.count
    for port in config.ports {
      addRoutes(service, config, port)
      addStreams(service, config, port)
    }
    if problems.count + gates.problems.count > known { leftovers.flawed.insert(service.key) }
  }

  /// The cluster of a service's port.
  func number(of service: CompiledService, _ port: ServicePort) -> Int32? {
    numbers["\(service.key):\(port.number)\(suffix)"]
  }

  /// The names under which Kubernetes resolves services, as seen from this proxy's namespace.
  private mutating func addHosts() {
    let domain = leftovers.trustDomain
    if isNumberedAsBefore, let previous, previous.leftovers.trustDomain == domain,
      previous.leftovers.services.elementsEqual(leftovers.services, by: { $0 === $1 || $0.key == $1.key })
    {
      keptHosts = previous.hosts
      return
    }
    for service in leftovers.services {
      let ports = service.ports.compactMap { port in
        numbers["\(service.key):\(port.number)"].map { (UInt16(truncatingIfNeeded: port.number), $0) }
      }
      let qualified = "\(service.name).\(service.namespace)"
      var names = [qualified, "\(qualified).svc", "\(qualified).svc.cluster.local"]
      if !domain.isEmpty, domain != "cluster.local" { names.append("\(qualified).svc.\(domain)") }
      if service.namespace == namespace { names.append(service.name) }
      for name in names { hosts[name.lowercased(), default: []] += ports.map { (port: $0.0, cluster: $0.1) } }
    }
  }
}
