import MeshWire

extension MeshIndex {
  /// One workload as it goes to the proxies, with the services it belongs to; nil where there is none of that id.
  package func compile(workload uid: String) -> ConfigResource? {
    guard let workload = workloads[uid] else { return nil }
    var config = WorkloadConfig()
    config.uid = workload.uid
    config.namespace = workload.namespace
    config.name = workload.name
    if workload.hasProxy { config.identity = workload.spiffeID }
    config.address = workload.address
    config.app = workload.labels["app"] ?? workload.labels["app.kubernetes.io/name"] ?? ""
    config.version = workload.labels["version"] ?? workload.labels["app.kubernetes.io/version"] ?? ""
    config.zone = workload.zone
    // To those who send traffic it is all one why an endpoint takes none.
    config.health = workload.health == .notListening ? .unhealthy : Health(workload.health)
    let chosenBy = services(choosing: workload)
    config.ports = workload.ports.sorted { $0.appPort < $1.appPort }.map { port in
      var entry = WorkloadPort()
      entry.appPort = UInt32(port.appPort)
      entry.inboundPort = port.meshPort.map { UInt32($0) }
      entry.name = port.name
      entry.appProtocol = appProtocol(of: port, services: chosenBy)
      return entry
    }
    config.services = chosenBy.map { $0.name.description }
    config.labels = policyLabels(of: workload, services: chosenBy)
    config.weight = weight(of: workload)
    return ConfigResource(name: uid, bytes: config.protobuf())
  }

  /// What a port of a workload speaks: what it says itself, else what a service that leads to it says.
  private func appProtocol(of port: MeshWorkload.Port, services: [Typed<ServiceSpec>]) -> AppProtocol {
    let own = AppProtocol(declared: port.appProtocol, portName: nil)
    guard own == .unspecified else { return own }
    for service in services {
      for entry in service.spec.ports where entry.leads(to: port) {
        let declared = AppProtocol(declared: entry.appProtocol, portName: entry.name)
        if declared != .unspecified { return declared }
      }
    }
    return .unspecified
  }

  /// The endpoints of a slice, as workloads without a proxy. Nothing where the slice names no service.
  package func compile(slice key: ResourceKey) -> [ConfigResource] {
    guard let slice = slices[key], let service = slice.service else { return [] }
    // The addresses of such a service come from its name alone.
    if services[service]?.spec.resolvedName != nil { return [] }
    return slice.spec.endpoints.enumerated().compactMap { index, endpoint in
      guard let address = endpoint.addresses.first else { return nil }
      var config = WorkloadConfig()
      config.uid = "slice/\(slice.qualifiedName)/\(index)"
      config.namespace = slice.metadata.namespace
      config.name = slice.metadata.name
      config.address = address
      config.app = service.name
      config.zone = endpoint.zone ?? ""
      config.health =
        if endpoint.conditions?.terminating == true {
          .draining
        } else {
          endpoint.conditions?.ready == false ? .unhealthy : .healthy
        }
      config.ports = slice.spec.ports.filter { $0.transport == .tcp }.map { port in
        var entry = WorkloadPort()
        entry.appPort = UInt32(clamping: port.port)
        entry.name = port.name
        entry.appProtocol = AppProtocol(declared: port.appProtocol, portName: port.name)
        return entry
      }
      config.services = [service.description]
      return ConfigResource(name: config.uid, bytes: config.protobuf())
    }
  }

  /// What one proxy is to know about itself.
  package func compile(proxy: ProxyDescription, trustDomain: String) -> ConfigResource {
    let workload = workloads[proxy.workload]
    let labels = workload?.labels ?? proxy.labels
    let chosenBy = workload.map { services(choosing: $0) } ?? []
    var config = ProxyConfig()
    config.namespace = proxy.namespace
    config.workload = workload?.name ?? proxy.workload
    config.trustDomain = trustDomain
    config.zone = workload?.zone ?? ""
    config.mutualTLS = peerMode(port: nil, labels: labels, namespace: proxy.namespace).mode
    config.inbound = (workload?.ports ?? []).sorted { $0.appPort < $1.appPort }.map { port in
      let decision = peerMode(port: Int(port.appPort), labels: labels, namespace: proxy.namespace)
      var entry = InboundPortConfig()
      entry.appPort = UInt32(port.appPort)
      entry.mutualTLS = decision.mode
      entry.source = decision.source
      entry.appProtocol = appProtocol(of: port, services: chosenBy)
      let services = chosenBy.filter { service in service.spec.ports.contains { $0.leads(to: port) } }
      entry.service = services.first?.name.description ?? ""
      addAdmission(of: services, to: &entry)
      return entry
    }
    config.telemetry = telemetry(labels: labels, namespace: proxy.namespace, services: chosenBy)
    return ConfigResource(name: "self", bytes: config.protobuf())
  }

  /// The mode for a port of a workload (nil: for its other ports) and the object that decided it; no object means the
  /// mesh's default, STRICT.
  func peerMode(port: Int?, labels: [String: String], namespace: String) -> (mode: MutualTLSMode, source: String) {
    let all = authentications.values.sorted(by: Typed<PeerAuthenticationSpec>.hasPrecedence)
    let choosing = all.filter { $0.metadata.namespace == namespace && $0.spec.selector?.matches(labels) == true }
    for entry in choosing {
      if let port, let found = entry.spec.portLevel.first(where: { $0.port == port }) {
        return (MutualTLSMode(found.mode), entry.qualifiedName)
      }
    }
    let wider = all.filter { $0.spec.selector == nil }
    let ordered =
      choosing + wider.filter { $0.metadata.namespace == namespace }
      + wider.filter { $0.metadata.namespace == PeerAuthenticationSpec.meshNamespace }
    for entry in ordered {
      if let mode = entry.spec.mode { return (MutualTLSMode(mode), entry.qualifiedName) }
    }
    return (.strict, "")
  }
}

extension ServiceSpec.Port {
  /// Whether connections to this port of a service go to that port of a workload.
  func leads(to workloadPort: MeshWorkload.Port) -> Bool {
    switch targetPort {
    case .none: port == Int(workloadPort.appPort)
    case .number(let number): number == Int(workloadPort.appPort)
    case .name(let name): name == workloadPort.name
    }
  }
}

extension MeshWorkload {
  /// The identity that its proxy's certificate carries.
  package var spiffeID: String { "spiffe://\(trustDomain)/ns/\(namespace)/sa/\(account)" }
}

extension Health {
  init(_ health: MeshWorkload.Health) {
    switch health {
    case .healthy: self = .healthy
    case .unhealthy: self = .unhealthy
    case .draining: self = .draining
    case .notListening: self = .notListening
    }
  }
}

extension MutualTLSMode {
  init(_ mode: PeerAuthenticationSpec.Mode) {
    switch mode {
    case .strict: self = .strict
    case .permissive: self = .permissive
    case .disable: self = .disable
    }
  }
}
