internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshWire

/// Rules of services, and what the proxy's listeners lead to.
extension ConfigurationBuilder {
  /// The rules for connections that this proxy's namespace has on a port. Where there are any, the port carries bytes as
  /// they are, whatever else is known of it.
  mutating func addStreams(_ service: CompiledService, _ config: ServiceConfig, _ port: ServicePort) {
    let here = config.streamRoutes.filter { $0.parentPort == nil || $0.parentPort == port.number }
    let consumer = here.filter { !$0.consumerNamespace.isEmpty && $0.consumerNamespace == namespace }
    let rules = consumer.isEmpty ? here.filter { $0.consumerNamespace.isEmpty } : consumer
    guard !rules.isEmpty, let index = number(of: service, port) else { return }
    clusters[Int(index)].isTCP = true
    clusters[Int(index)].isUndeclared = false
    clusters[Int(index)].streams = StreamTable(
      rules.map { StreamRule($0) }, resolve: resolver(rules.flatMap(\.backends)))
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

  mutating func addRoutes(_ service: CompiledService, _ config: ServiceConfig, _ port: ServicePort) {
    let here = config.routes.filter { $0.parentPort == nil || $0.parentPort == port.number }
    let consumer = here.filter { !$0.consumerNamespace.isEmpty && $0.consumerNamespace == namespace }
    let rules = consumer.isEmpty ? here.filter { $0.consumerNamespace.isEmpty } : consumer
    guard !rules.isEmpty, let index = number(of: service, port) else { return }
    do throws(RouteTableError) {
      clusters[Int(index)].routes = try RouteTable(
        rules.map { RouteRule($0) }, policy: clusters[Int(index)].policy, resolve: resolver(rules.flatMap(\.backends)))
      addGates(rules, to: Int(index))
    } catch {
      for violation in error.violations {
        problems.append(SettingViolation(path: "\(service.key).\(violation.path)", message: violation.message))
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
    let node = snapshot.common.node
    let inbound = snapshot.common.proxy?.inbound.first { $0.appPort == listener.port }
    var policy = TrafficPolicy()
    // The caller's proxy repeats and ejects; here a request is repeated only where the application cannot have seen it.
    policy.outlier = nil
    policy.retry.conditions = [.refusedStream]
    policy.concurrency = inbound?.concurrency.map { ConcurrencySettings($0) }
    let declared = listener.appProtocol == .unspecified ? inbound?.appProtocol : listener.appProtocol
    let names = WorkloadNames(
      namespace: node?.namespace ?? "", workload: node?.workload ?? "", app: node?.service ?? "",
      version: node?.version ?? "")
    let service = inbound?.service ?? ""
    clusters.append(
      ClusterSpec(
        key: "inbound:\(listener.name):\(port)",
        service: service.isEmpty ? "\(node?.namespace ?? "")/\(node?.service ?? "")" : service, port: port,
        isTCP: declared == .tcp || declared == .tls, isUndeclared: declared ?? .unspecified == .unspecified,
        sharedPolicy: Shared(policy), balance: BalanceRules(),
        members: ClusterMembers(
          ArrangedEndpoints(
            endpoints: [
              EndpointSpec(
                address: address, workload: WorkloadLabels(names), weight: 1,
                wire: EndpointWire(declared ?? .unspecified), isUsable: true)
            ],
            tables: ClusterTables(
              BalanceRules(), balancer: policy.loadBalancer, subsets: [], levels: [[HashedEndpoint(key: 0)]],
              previous: nil))),
        routes: nil,
        gate: gates.gate(AdmissionRules(limits: inbound?.rateLimits ?? [], faults: []), at: "port \(port)")))
    return Int32(clusters.count - 1)
  }
}
