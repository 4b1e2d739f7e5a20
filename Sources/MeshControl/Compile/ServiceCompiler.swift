import MeshWire

/// A service, compiled: one form for most of the mesh, and others for the namespaces with consumer routes of their own.
package struct CompiledService: Sendable, Equatable {
  /// For clients of every namespace that `byConsumer` does not name.
  package var common: ConfigResource
  package var byConsumer: [String: ConfigResource]

  /// What clients in this namespace are to have.
  package func resource(for namespace: String) -> ConfigResource { byConsumer[namespace] ?? common }
}

extension MeshIndex {
  /// Compiles one service; nil where there is none of that name.
  package func compile(service name: ServiceName) -> CompiledService? {
    guard let service = services[name] else { return nil }
    let attached = (routesByParent[name] ?? []).compactMap { routes[$0] }
      .sorted(by: Typed<HTTPRouteSpec>.hasPrecedence)
    var producer: [RouteRuleConfig] = []
    var consumers: [String: [RouteRuleConfig]] = [:]
    for route in attached {
      let namespace = route.metadata.namespace
      if namespace == name.namespace {
        producer += rules(of: route, for: service, consumer: "")
      } else {
        consumers[namespace, default: []] += rules(of: route, for: service, consumer: namespace)
      }
    }
    var common = ServiceConfig()
    common.namespace = name.namespace
    common.name = name.name
    common.ports = ports(of: service)
    common.policy = decidingPolicy(for: name).map(Self.config)
    common.routes = producer
    var byConsumer: [String: ConfigResource] = [:]
    for (namespace, rules) in consumers where !rules.isEmpty {
      var own = common
      own.routes = Self.merge(consumer: rules, producer: producer, ports: common.ports)
      byConsumer[namespace] = ConfigResource(name: name.description, bytes: own.protobuf())
    }
    return CompiledService(
      common: ConfigResource(name: name.description, bytes: common.protobuf()), byConsumer: byConsumer)
  }

  /// A namespace with routes of its own for a port uses those and none of the producer's (GEP-1294, "Multiple routes for
  /// a Service"). On ports for which it has none the producer's stay.
  private static func merge(
    consumer: [RouteRuleConfig], producer: [RouteRuleConfig], ports: [MeshWire.ServicePort]
  ) -> [RouteRuleConfig] {
    if consumer.contains(where: { $0.parentPort == nil }) { return consumer }
    let taken = Set(consumer.compactMap(\.parentPort))
    let left = producer.flatMap { rule -> [RouteRuleConfig] in
      if let port = rule.parentPort { return taken.contains(port) ? [] : [rule] }
      return ports.filter { !taken.contains($0.number) }.map { port in
        var narrowed = rule
        narrowed.parentPort = port.number
        return narrowed
      }
    }
    return consumer + left
  }

  /// The rules that a route gives a service, over all its references to it that are accepted.
  private func rules(
    of route: Typed<HTTPRouteSpec>, for service: Typed<ServiceSpec>, consumer: String
  ) -> [RouteRuleConfig] {
    guard route.spec.unsupported.isEmpty else { return [] }
    var rules: [RouteRuleConfig] = []
    for parent in route.spec.parentRefs where route.service(of: parent) == service.name {
      guard case .attached(let port) = attachment(of: parent, route: route) else { continue }
      for (index, rule) in route.spec.rules.enumerated() {
        var config = compile(rule, of: route)
        config.ruleIndex = UInt32(clamping: index)
        config.parentPort = port.map { UInt32(clamping: $0) }
        config.consumerNamespace = consumer
        config.policy = decidingPolicy(forRoute: route.key).map(Self.routeConfig)
        rules.append(config)
      }
    }
    return rules
  }

  /// The TrafficPolicy that decides for a service: the oldest of those attached to it.
  func decidingPolicy(for name: ServiceName) -> Typed<TrafficPolicySpec>? {
    (policiesByTarget[name] ?? []).compactMap { policies[$0] }.min(by: Typed<TrafficPolicySpec>.hasPrecedence)
  }

  private func ports(of service: Typed<ServiceSpec>) -> [MeshWire.ServicePort] {
    service.spec.ports.filter { $0.transport == .tcp }.map { port in
      var config = MeshWire.ServicePort()
      config.number = UInt32(clamping: port.port)
      config.name = port.name ?? ""
      config.appProtocol = AppProtocol(declared: port.appProtocol, portName: port.name)
      if case .name(let name) = port.targetPort, !service.spec.selector.isEmpty {
        config.targetPortName = name
      } else {
        config.targetPort = UInt32(clamping: targetPort(of: port, service: service))
      }
      return config
    }
  }

  /// The number of the application's port behind a service's port; 0 where it is given by a name that no workload knows.
  func targetPort(of port: ServiceSpec.Port, service: Typed<ServiceSpec>) -> Int {
    if service.spec.selector.isEmpty, let number = sliceNumber(for: port, service: service) { return number }
    switch port.targetPort {
    case .none: return port.port
    case .number(let number): return number
    case .name(let name):
      for workload in members(of: service) {
        if let found = workload.ports.first(where: { $0.name == name }) { return Int(found.appPort) }
      }
      return 0
    }
  }

  /// Without a selector the slices say which port is meant: the one of the same name, or the only one.
  private func sliceNumber(for port: ServiceSpec.Port, service: Typed<ServiceSpec>) -> Int? {
    for key in (slicesByService[service.name] ?? []).sorted() {
      guard let ports = slices[key]?.spec.ports else { continue }
      if let found = ports.first(where: { $0.name == port.name ?? "" }) { return found.port }
    }
    return nil
  }
}

extension AppProtocol {
  /// What a port speaks: what is declared, else what its name begins with (`http-admin`), else unspecified.
  init(declared: String?, portName: String?) {
    let word = declared ?? portName.map { String($0.prefix { $0 != "-" }) } ?? ""
    switch word.lowercased() {
    case "http", "http1", "kubernetes.io/ws": self = .http
    case "http2", "h2c", "kubernetes.io/h2c": self = .http2
    case "grpc", "grpc-web": self = .grpc
    case "tcp", "mysql", "redis", "mongo", "postgres", "postgresql": self = .tcp
    case "https", "tls", "kubernetes.io/wss": self = .tls
    default: self = .unspecified
    }
  }
}
