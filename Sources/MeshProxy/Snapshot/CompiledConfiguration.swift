package import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS
package import MeshTelemetry
package import MeshWire

/// A configuration compiled for the traffic path: immutable, shared by all workers, kept as long as one of them uses it.
package final class CompiledConfiguration: Sendable {
  /// What it was compiled from, for `/config_dump` and the disk cache.
  package let source: Snapshot
  package let clusters: [ClusterSpec]
  package let hosts: HostTable
  /// For each listener of the proxy the index of its cluster; -1 where its service is not known (yet).
  package let listenerClusters: [Int32]
  /// What could not be compiled, for the log and for a NACK: path and reason.
  package let problems: [SettingViolation]
  /// Workloads by their identity, for the labels of those who call.
  package let workloads: [String: WorkloadLabels]
  /// The buckets of its rate limits, by what they belong to: the next configuration goes on with them.
  let buckets: [String: LimitBuckets]
  /// What is recorded and logged of requests.
  let telemetry: TelemetryPlan

  /// The limits among them that are shared with other proxies.
  let sharedLimits: [SharedLimit]
  /// Counts the configurations of this run.
  private let revision: UInt64
  private let zone: String

  /// Compiles `snapshot` for a proxy with these listeners. One bad service does not keep the others from working: it is
  /// left out and named in `problems`.
  /// - Parameters:
  ///   - previous: the configuration before; limits that stay go on where they are.
  ///   - accessLog: the format of the access log, where the configuration does not decide; nil: none.
  package init(
    _ snapshot: Snapshot, listeners: [ListenerConfig], previous: CompiledConfiguration? = nil,
    accessLog: AccessLogFormat? = nil
  ) {
    source = snapshot
    telemetry = .plan(snapshot.proxy?.telemetry, accessLog, previous: previous?.telemetry)
    workloads = Dictionary(
      snapshot.workloads.filter { !$0.identity.isEmpty }.map {
        (
          $0.identity,
          WorkloadLabels(
            namespace: $0.namespace, workload: $0.name, app: $0.app, version: $0.version, principal: $0.identity)
        )
      }, uniquingKeysWith: { first, _ in first })
    revision = (previous?.revision ?? 0) + 1
    zone = snapshot.proxy?.zone ?? ""
    var builder = ConfigurationBuilder(snapshot, revision: revision, formerBuckets: previous?.buckets ?? [:])
    for spec in previous?.clusters ?? [] { builder.formerClusters[spec.key] = spec }
    // Where the proxy is elsewhere all endpoints are arranged anew.
    if previous?.zone == zone { builder.formerSnapshot = previous?.source }
    builder.addServices()
    // Each identity has clusters, and so connections, of its own.
    for name in builder.actingIdentities(listeners) {
      builder.act(for: name)
      builder.addServices()
    }
    listenerClusters = listeners.map { builder.cluster(for: $0) }
    clusters = builder.clusters
    problems = builder.problems + builder.gates.problems + telemetry.problems
    buckets = builder.gates.buckets
    sharedLimits = buckets.values.compactMap(\.shared)
    hosts = HostTable(builder.hosts)
  }
}

extension EndpointWire {
  /// What is spoken with an application whose port declares this protocol.
  init(_ declared: AppProtocol) {
    switch declared {
    case .http2, .grpc: self = .http2
    case .http: self = .http1
    case .unspecified, .tcp, .tls: self = .undeclared
    }
  }
}

extension Snapshot {
  /// The place of one of the proxy's identities: 0 is its own, which has no name; -1: there is none of that name.
  func place(ofIdentity name: String) -> Int {
    if name.isEmpty { return 0 }
    return identities.firstIndex { $0.name == name }.map { $0 + 1 } ?? -1
  }
}

/// Turns resources into clusters, route tables and host names.
private struct ConfigurationBuilder {
  let snapshot: Snapshot
  let namespace: String
  var clusters: [ClusterSpec] = []
  var hosts: [String: [(port: UInt16, cluster: Int32)]] = [:]
  var problems: [SettingViolation] = []
  var gates: GateBuilder
  private var numbers: [String: Int32] = [:]
  /// The identity that clusters are made for: its place among the proxy's, and what its clusters' keys end in.
  private var identity = 0
  private var suffix = ""
  /// Places of a service's workloads in the snapshot.
  private var endpoints: [String: [Int32]] = [:]
  /// What BackendTLSPolicies say, by their names.
  private var outside: [String: BackendTLS] = [:]
  /// Of the configuration before, by key, and what it was made of; nil: nothing is taken over.
  var formerClusters: [String: ClusterSpec] = [:]
  var formerSnapshot: Snapshot?
  private let ownLocality: Locality
  private let revision: UInt64

  init(_ snapshot: Snapshot, revision: UInt64, formerBuckets: [String: LimitBuckets]) {
    self.snapshot = snapshot
    self.revision = revision
    gates = GateBuilder(former: formerBuckets)
    ownLocality = Locality(named: snapshot.proxy?.zone ?? "")
    namespace = snapshot.proxy?.namespace ?? snapshot.node?.namespace ?? "default"
    for (place, workload) in snapshot.workloads.enumerated() {
      for service in workload.services { endpoints[service, default: []].append(Int32(clamping: place)) }
    }
  }

  /// The further identities that outbound listeners act for.
  func actingIdentities(_ listeners: [ListenerConfig]) -> [String] {
    let named = Set(listeners.filter { $0.kind == .outbound }.map(\.identity))
    return snapshot.identities.map(\.name).filter { named.contains($0) }
  }

  /// What follows is for this identity.
  mutating func act(for name: String) {
    identity = snapshot.place(ofIdentity: name)
    suffix = name.isEmpty ? "" : "@\(name)"
  }

  mutating func addServices() {
    // All clusters first, so that routes can name any of them.
    for service in snapshot.services {
      let source = ClusterSource(
        service: service, workloads: endpoints["\(service.namespace)/\(service.name)"] ?? [])
      let rules = AdmissionRules(limits: service.policy?.rateLimits ?? [], faults: service.policy?.faults ?? [])
      let gate = gates.gate(rules, at: "\(service.namespace)/\(service.name)")
      for port in service.ports {
        guard let number = UInt16(exactly: port.number) else { continue }
        let key = "\(service.namespace)/\(service.name):\(number)\(suffix)"
        numbers[key] = Int32(clamping: clusters.count)
        var spec: ClusterSpec
        if let known = formerClusters[key], let same = known.source, let formerSnapshot,
          source.isSame(as: same, in: snapshot, and: formerSnapshot)
        {
          spec = known
          spec.source = source
        } else {
          spec = makeCluster(source, port, number, key)
        }
        (spec.gate, spec.routes, spec.streams) = (gate, nil, nil)
        (spec.ruleGates, spec.ruleSessions) = ([], [])
        clusters.append(spec)
      }
    }
    for service in snapshot.services {
      if identity == 0 { addHosts(service) }
      for port in service.ports {
        addRoutes(service, port)
        addStreams(service, port)
      }
    }
  }

  /// A service's port as it is without its routes.
  private mutating func makeCluster(
    _ source: ClusterSource, _ port: ServicePort, _ number: UInt16, _ key: String
  ) -> ClusterSpec {
    let service = source.service
    let policy = service.policy.map { TrafficPolicy($0) } ?? TrafficPolicy()
    let balance = BalanceRules(service.policy?.balance)
    let healthCheck = service.policy?.healthCheck.map { HealthCheckSpec($0, service: service) }
    let tls = BackendTLS.entry(service.backendTLS, port: port.number).map { backendTLS($0) }
    let arranged = ArrangedEndpoints(
      endpointSpecs(source, port, tls), balance, policy.loadBalancer, from: ownLocality, healthCheck: healthCheck,
      previous: formerClusters[key]?.tables)
    var spec = ClusterSpec(
      key: key, service: "\(service.namespace)/\(service.name)", port: number,
      // Where the proxy begins the TLS, what it is given is not TLS.
      isTCP: port.appProtocol == .tcp || (port.appProtocol == .tls && tls == nil),
      identity: identity, isUndeclared: port.appProtocol == .unspecified, policy: policy, balance: balance,
      healthCheck: healthCheck, endpoints: arranged.endpoints, tables: arranged.tables, routes: nil)
    spec.revision = revision
    spec.source = source
    return spec
  }

  /// What a policy says, compiled; ports that say the same share it.
  private mutating func backendTLS(_ config: BackendTLSConfig) -> BackendTLS {
    if let known = outside[config.source], known.source == config { return known }
    let made = BackendTLS(config, systemAuthorities: SystemAuthorities.read)
    outside[config.source] = made
    return made
  }

  private func endpointSpecs(_ source: ClusterSource, _ port: ServicePort, _ tls: BackendTLS?) -> [EndpointSpec] {
    source.workloads.compactMap { place in
      let workload = snapshot.workloads[Int(place)]
      let target = port.targetPort == 0 ? port.number : port.targetPort
      let entry = Self.port(port, target, of: workload)
      // A workload of the mesh is reached only through its proxy.
      guard entry != nil || workload.identity.isEmpty else { return nil }
      guard let number = UInt16(exactly: entry?.inboundPort ?? entry?.appPort ?? target),
        let address = SocketAddress(address: workload.address, port: number)
      else { return nil }
      var expectation: TLSExpectation?
      if entry?.inboundPort != nil {
        guard let identity = try? SPIFFEID(workload.identity) else { return nil }
        expectation = TLSExpectation(identities: [identity])
      }
      return EndpointSpec(
        key: "\(workload.uid):\(number)", address: address, expectation: expectation, weight: workload.weight ?? 1,
        backendTLS: expectation == nil ? tls : nil,
        wire: entry?.inboundPort == nil && tls == nil ? EndpointWire(port.appProtocol) : .negotiated,
        applicationPort: UInt16(exactly: entry?.appPort ?? 0) ?? 0, isUsable: workload.health == .healthy,
        locality: Locality(named: workload.zone), labels: workload.labels,
        workload: WorkloadLabels(
          uid: workload.uid, namespace: workload.namespace, workload: workload.name, app: workload.app,
          version: workload.version,
          principal: workload.identity))
    }
  }

  /// The workload's port that a service's port means: by name, else by number. A workload of the mesh with one port only
  /// is reached by that one: on one machine every instance has a number of its own.
  private static func port(_ port: ServicePort, _ target: UInt32, of workload: WorkloadConfig) -> WorkloadPort? {
    if !port.targetPortName.isEmpty, let named = workload.ports.first(where: { $0.name == port.targetPortName }) {
      return named
    }
    if let numbered = workload.ports.first(where: { $0.appPort == target }) { return numbered }
    return workload.ports.count == 1 && !workload.identity.isEmpty ? workload.ports.first : nil
  }

  /// The rules for connections that this proxy's namespace has on a port. Where there are any, the port carries bytes as
  /// they are, whatever else is known of it.
  private mutating func addStreams(_ service: ServiceConfig, _ port: ServicePort) {
    let here = service.streamRoutes.filter { $0.parentPort == nil || $0.parentPort == port.number }
    let consumer = here.filter { !$0.consumerNamespace.isEmpty && $0.consumerNamespace == namespace }
    let rules = consumer.isEmpty ? here.filter { $0.consumerNamespace.isEmpty } : consumer
    guard !rules.isEmpty, let index = number(of: service, port) else { return }
    clusters[Int(index)].isTCP = true
    clusters[Int(index)].isUndeclared = false
    clusters[Int(index)].streams = StreamTable(
      rules.map { StreamRule($0) }, resolve: resolver(rules.flatMap(\.backends)))
  }

  /// The cluster of a service's port.
  private func number(of service: ServiceConfig, _ port: ServicePort) -> Int32? {
    numbers["\(service.namespace)/\(service.name):\(port.number)\(suffix)"]
  }

  /// What the backends of some rules stand for.
  private func resolver(_ backends: [BackendConfig]) -> (BackendReference) -> BackendResolution {
    let invalid = Dictionary(
      backends.filter { !$0.invalidReason.isEmpty }.map {
        (
          BackendReference(namespace: $0.namespace, name: $0.service, port: UInt16(truncatingIfNeeded: $0.port)),
          $0.invalidReason
        )
      }, uniquingKeysWith: { first, _ in first })
    return { [numbers, suffix] reference in
      if let reason = invalid[reference] {
        return .unusable(reason == "RefNotPermitted" ? .backendNotPermitted : .backendNotFound)
      }
      guard let found = numbers["\(reference.namespace)/\(reference.name):\(reference.port)\(suffix)"] else {
        return .unusable(.backendNotFound)
      }
      return .cluster(found)
    }
  }

  private mutating func addRoutes(_ service: ServiceConfig, _ port: ServicePort) {
    let here = service.routes.filter { $0.parentPort == nil || $0.parentPort == port.number }
    let consumer = here.filter { !$0.consumerNamespace.isEmpty && $0.consumerNamespace == namespace }
    let rules = consumer.isEmpty ? here.filter { $0.consumerNamespace.isEmpty } : consumer
    guard !rules.isEmpty, let index = number(of: service, port) else { return }
    do throws(RouteTableError) {
      clusters[Int(index)].routes = try RouteTable(
        rules.map { RouteRule($0) }, policy: clusters[Int(index)].policy, resolve: resolver(rules.flatMap(\.backends)))
      addGates(rules, to: Int(index))
    } catch {
      for violation in error.violations {
        problems.append(
          SettingViolation(path: "\(service.namespace)/\(service.name).\(violation.path)", message: violation.message))
      }
    }
  }

  /// Limits, faults and sessions of routes.
  private mutating func addGates(_ rules: [RouteRuleConfig], to index: Int) {
    let sessions = rules.map { $0.sessionPersistence.flatMap { SessionPersistence($0) }.map { Session($0) } }
    if sessions.contains(where: { $0 != nil }) { clusters[index].ruleSessions = sessions }
    guard rules.contains(where: { $0.policy?.rateLimits.isEmpty == false || $0.policy?.faults.isEmpty == false })
    else { return }
    clusters[index].ruleGates = rules.map { rule in
      let settings = AdmissionRules(limits: rule.policy?.rateLimits ?? [], faults: rule.policy?.faults ?? [])
      return gates.gate(settings, at: "route \(rule.route)")
    }
  }

  /// The names under which Kubernetes resolves a service, as seen from this proxy's namespace.
  private mutating func addHosts(_ service: ServiceConfig) {
    let ports = service.ports.compactMap { port in
      numbers["\(service.namespace)/\(service.name):\(port.number)"].map {
        (UInt16(truncatingIfNeeded: port.number), $0)
      }
    }
    let qualified = "\(service.name).\(service.namespace)"
    var names = [qualified, "\(qualified).svc", "\(qualified).svc.cluster.local"]
    let domain = snapshot.proxy?.trustDomain ?? ""
    if !domain.isEmpty, domain != "cluster.local" { names.append("\(qualified).svc.\(domain)") }
    if service.namespace == namespace { names.append(service.name) }
    for name in names { hosts[name.lowercased(), default: []] += ports.map { (port: $0.0, cluster: $0.1) } }
  }

  /// The cluster that a listener leads to.
  mutating func cluster(for listener: ListenerConfig) -> Int32 {
    switch listener.kind {
    case .forward: return -1
    case .outbound:
      act(for: listener.identity)
      return numbers["\(listener.service):\(listener.port)\(suffix)"] ?? -1
    case .inbound: return localApplication(listener)
    }
  }

  /// The application beside the proxy, as a cluster of one endpoint in plaintext.
  private mutating func localApplication(_ listener: ListenerConfig) -> Int32 {
    // Tunnels only: they name the port.
    if listener.port == 0 { return -1 }
    let host = listener.applicationAddress.isEmpty ? "127.0.0.1" : listener.applicationAddress
    guard let port = UInt16(exactly: listener.port), let address = SocketAddress(address: host, port: port) else {
      return -1
    }
    let node = snapshot.node
    let inbound = snapshot.proxy?.inbound.first { $0.appPort == listener.port }
    var policy = TrafficPolicy()
    // The caller's proxy repeats and ejects; here a request is repeated only where the application cannot have seen it.
    policy.outlier = nil
    policy.retry.conditions = [.refusedStream]
    policy.concurrency = inbound?.concurrency.map { ConcurrencySettings($0) }
    let declared = listener.appProtocol == .unspecified ? inbound?.appProtocol : listener.appProtocol
    let labels = WorkloadLabels(
      namespace: node?.namespace ?? "", workload: node?.workload ?? "", app: node?.service ?? "",
      version: node?.version ?? "")
    let service = inbound?.service ?? ""
    clusters.append(
      ClusterSpec(
        key: "inbound:\(listener.name):\(port)",
        service: service.isEmpty ? "\(node?.namespace ?? "")/\(node?.service ?? "")" : service, port: port,
        isTCP: declared == .tcp || declared == .tls, isUndeclared: declared ?? .unspecified == .unspecified,
        policy: policy, balance: BalanceRules(),
        endpoints: [
          EndpointSpec(
            key: "application:\(port)", address: address, expectation: nil, weight: 1,
            wire: EndpointWire(declared ?? .unspecified), isUsable: true, workload: labels)
        ],
        tables: ClusterTables(
          BalanceRules(), balancer: policy.loadBalancer, subsets: [], levels: [[HashedEndpoint(key: 0)]], previous: nil),
        routes: nil,
        gate: gates.gate(AdmissionRules(limits: inbound?.rateLimits ?? [], faults: []), at: "port \(port)")))
    return Int32(clusters.count - 1)
  }
}
