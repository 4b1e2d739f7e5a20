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
    var producer = CompiledRules()
    var consumers: [String: CompiledRules] = [:]
    let attached = attached(to: name)
    for namespace in Set(attached.map(\.metadata.namespace)).sorted() {
      let isProducer = namespace == name.namespace
      let deciding = decidingRoutes(of: name, from: namespace)
      var found = CompiledRules()
      for route in attached where route.metadata.namespace == namespace {
        add(route, of: service, consumer: isProducer ? "" : namespace, deciding: deciding, to: &found)
      }
      if isProducer { producer = found } else if !found.isEmpty { consumers[namespace] = found }
    }
    var common = ServiceConfig()
    common.namespace = name.namespace
    common.name = name.name
    common.ports = ports(of: service)
    common.policy =
      decidingPolicy(for: name).map { Self.config($0, for: name) }
      ?? effectivePolicy(for: name).map { Self.config($0, forVersion: name) }
    common.backendTLS = backendTLS(of: service)
    common.routes = producer.requests
    common.streamRoutes = producer.streams
    var byConsumer: [String: ConfigResource] = [:]
    for (namespace, rules) in consumers {
      var own = common
      let merged = rules.merged(overriding: producer, ports: common.ports)
      own.routes = merged.requests
      own.streamRoutes = merged.streams
      byConsumer[namespace] = ConfigResource(name: name.description, bytes: own.protobuf())
    }
    return CompiledService(
      common: ConfigResource(name: name.description, bytes: common.protobuf()), byConsumer: byConsumer)
  }

  /// Adds the rules that a route gives a service, over all its references to it that are accepted, on the ports that no
  /// more specific kind of route has taken.
  private func add(
    _ route: RouteObject, of service: Typed<ServiceSpec>, consumer: String, deciding: [Int: RouteObject],
    to rules: inout CompiledRules
  ) {
    guard route.unsupported.isEmpty else { return }
    for parent in route.parentRefs where route.service(of: parent) == service.name {
      guard case .attached(let port) = attachment(of: parent, route: route) else { continue }
      let ports: [Int?]
      switch claim(of: route, on: service.name, port: port, deciding: deciding) {
      case .whole: ports = [port]
      case .part(let kept, _): ports = kept
      case .none: continue
      }
      for port in ports.map({ $0.map { UInt32(clamping: $0) } }) {
        for (index, rule) in route.rules.enumerated() {
          if route.kind.isHTTP {
            var config = compile(rule, of: route)
            config.ruleIndex = UInt32(clamping: index)
            config.parentPort = port
            config.consumerNamespace = consumer
            config.policy = decidingPolicy(forRoute: route.key).map { Self.routeConfig($0, route: route.key) }
            rules.requests.append(config)
          } else {
            var config = compileStream(rule, of: route)
            config.ruleIndex = UInt32(clamping: index)
            config.parentPort = port
            config.consumerNamespace = consumer
            rules.streams.append(config)
          }
        }
      }
    }
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
    if service.spec.selector.isEmpty, service.spec.resolvedName == nil,
      let number = sliceNumber(for: port, service: service)
    {
      return number
    }
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
    case "http", "http1", "grpc-web", "kubernetes.io/ws": self = .http
    case "http2", "h2c", "kubernetes.io/h2c": self = .http2
    case "grpc": self = .grpc
    case "tcp", "mysql", "redis", "mongo", "postgres", "postgresql": self = .tcp
    case "https", "tls", "kubernetes.io/wss": self = .tls
    default: self = .unspecified
    }
  }
}

/// The rules of one group of routes on a service.
private struct CompiledRules {
  var requests: [RouteRuleConfig] = []
  var streams: [StreamRouteConfig] = []

  var isEmpty: Bool { requests.isEmpty && streams.isEmpty }

  /// A namespace with routes of its own for a port uses those and none of the producer's (GEP-1294, "Multiple routes for
  /// a Service"). On ports for which it has none the producer's stay.
  func merged(overriding producer: CompiledRules, ports: [MeshWire.ServicePort]) -> CompiledRules {
    let claims = requests.map(\.parentPort) + streams.map(\.parentPort)
    if claims.contains(nil) { return self }
    let taken = Set(claims.compactMap { $0 })
    func left(_ port: UInt32?) -> [UInt32?] {
      if let port { return taken.contains(port) ? [] : [port] }
      return ports.map(\.number).filter { !taken.contains($0) }
    }
    var merged = self
    for rule in producer.requests {
      for port in left(rule.parentPort) {
        var narrowed = rule
        narrowed.parentPort = port
        merged.requests.append(narrowed)
      }
    }
    for rule in producer.streams {
      for port in left(rule.parentPort) {
        var narrowed = rule
        narrowed.parentPort = port
        merged.streams.append(narrowed)
      }
    }
    return merged
  }
}
