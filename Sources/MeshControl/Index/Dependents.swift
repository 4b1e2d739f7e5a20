// Who depends on whom. A change compiles again exactly what these functions answer, before and after it.

extension MeshIndex {
  /// What the present state of this object has a say in.
  func dependents(of key: ResourceKey) -> Affected {
    var affected = Affected()
    switch key.groupKind {
    case ServiceSpec.kind.groupKind:
      let name = ServiceName(namespace: key.namespace, name: key.name)
      affected.services.insert(name)
      affected.policies = (policiesByTarget[name] ?? []).union(backendPoliciesByTarget[name] ?? [])
      affected.slices = slicesByService[name] ?? []
      for route in (routesByParent[name] ?? []).union(routesByBackend[name] ?? []) { add(route: route, to: &affected) }
      if let service = services[name] { affected.workloads = Set(members(of: service).map(\.uid)) }
      if services[name]?.spec.resolvedName != nil { affected.externals.insert(name) }
    case HTTPRouteSpec.kind.groupKind, GRPCRouteSpec.kind.groupKind, TLSRouteSpec.kind.groupKind,
      TCPRouteSpec.kind.groupKind:
      add(route: key, to: &affected)
      // Routes of other kinds on the same port may come into force, or no longer be.
      for parent in routes[key]?.parentServices ?? [] { affected.routes.formUnion(routesByParent[parent] ?? []) }
    case ReferenceGrantSpec.kind.groupKind where requiresGrants:
      for (service, routes) in routesByBackend where service.namespace == key.namespace {
        for route in routes { add(route: route, to: &affected) }
      }
    case BackendTLSPolicySpec.kind.groupKind: add(backendPolicy: key, to: &affected)
    case ConfigMapSpec.kind.groupKind:
      for (policyKey, policy) in backendPolicies
      where key.namespace == policyKey.namespace && policy.spec.refersTo(configMap: key.name) {
        add(backendPolicy: policyKey, to: &affected)
      }
    case TrafficPolicySpec.kind.groupKind:
      affected.policies.insert(key)
      for target in policies[key]?.targets ?? [] {
        affected.services.insert(target)
        affected.services.formUnion(versions(of: target))
        // Of several policies on a service one decides: the others' statuses may change.
        affected.policies.formUnion(policiesByTarget[target] ?? [])
        // Policies may ask for labels of the endpoints.
        if let service = services[target] { affected.workloads.formUnion(members(of: service).map(\.uid)) }
      }
      for target in policies[key]?.routeTargets ?? [] {
        affected.services.formUnion(routes[target]?.parentServices ?? [])
        affected.policies.formUnion(policiesByRoute[target] ?? [])
      }
    case EndpointSliceSpec.kind.groupKind:
      affected.slices.insert(key)
      if let service = slices[key]?.service { affected.services.insert(service) }
    case DirectResponseSpec.kind.groupKind:
      for route in routesByNamespace[key.namespace] ?? [] {
        if routes[route]?.refersTo(directResponse: key.name) == true { add(route: route, to: &affected) }
      }
    default: break
    }
    return affected
  }

  private func add(route key: ResourceKey, to affected: inout Affected) {
    affected.routes.insert(key)
    affected.policies.formUnion(policiesByRoute[key] ?? [])
    let parents = routes[key]?.parentServices ?? []
    affected.services.formUnion(parents)
    // Versions of a service take its policy while its route leads to them.
    for backend in routes[key]?.backendServices ?? []
    where parents.contains(where: { isVersion(backend, of: $0, by: key) }) {
      affected.services.insert(backend)
    }
  }

  private func add(backendPolicy key: ResourceKey, to affected: inout Affected) {
    affected.policies.insert(key)
    for target in backendPolicies[key]?.targets ?? [] {
      affected.services.insert(target)
      // Of several policies on a port one decides: the others' statuses may change.
      affected.policies.formUnion(backendPoliciesByTarget[target] ?? [])
    }
  }

  /// What this workload has a say in: itself, and services that look up ports by name.
  func dependents(of workload: MeshWorkload) -> Affected {
    var affected = Affected()
    affected.workloads.insert(workload.uid)
    for name in servicesByNamespace[workload.namespace] ?? [] {
      guard let service = services[name], service.spec.hasNamedTargetPort, service.selects(workload) else { continue }
      affected.services.insert(name)
    }
    return affected
  }

  /// The workloads that a service's selector chooses, in order of their ids.
  package func members(of service: Typed<ServiceSpec>) -> [MeshWorkload] {
    guard !service.spec.selector.isEmpty else { return [] }
    return (workloadsByNamespace[service.metadata.namespace] ?? []).compactMap { workloads[$0] }
      .filter { service.selects($0) }.sorted { $0.uid < $1.uid }
  }

  /// The services that choose this workload, in order of their names.
  package func services(choosing workload: MeshWorkload) -> [Typed<ServiceSpec>] {
    (servicesByNamespace[workload.namespace] ?? []).compactMap { services[$0] }.filter { $0.selects(workload) }
      .sorted { $0.name < $1.name }
  }
}

extension Typed where Spec == ServiceSpec {
  /// Whether the selector chooses this workload of the service's namespace. A service without a selector chooses none,
  /// and a workload that gave itself its labels is chosen only if the service lets in its account.
  func selects(_ workload: MeshWorkload) -> Bool {
    !spec.selector.isEmpty && LabelSelector(matchLabels: spec.selector).matches(workload.labels)
      && (workload.hasAttestedLabels || letsIn(account: workload.account))
  }

  /// Whether workloads with this service account may serve the service.
  package func letsIn(account: String) -> Bool {
    if let named = metadata.annotations[ServiceSpec.accountsAnnotation] {
      return named.split(separator: ",").contains { $0.filter { !$0.isWhitespace } == account }
    }
    let application = spec.selector["app"] ?? spec.selector["app.kubernetes.io/name"]
    return account == metadata.name || account == application
  }

  var name: ServiceName { ServiceName(namespace: metadata.namespace, name: metadata.name) }
}

extension ServiceSpec {
  var hasNamedTargetPort: Bool {
    ports.contains { if case .name = $0.targetPort { true } else { false } }
  }
}

extension Typed where Spec == EndpointSliceSpec {
  /// The service that the slice's label names.
  var service: ServiceName? {
    metadata.labels[EndpointSliceSpec.serviceLabel].map { ServiceName(namespace: metadata.namespace, name: $0) }
  }
}

extension Typed where Spec == TrafficPolicySpec {
  var targets: [ServiceName] {
    spec.targetRefs.filter { !$0.isRoute }.map { ServiceName(namespace: metadata.namespace, name: $0.name) }
  }

  var routeTargets: [ResourceKey] {
    spec.targetRefs.filter(\.isRoute).map { target in
      ResourceKey(
        groupKind: GroupKind(group: target.group, kind: target.kind), namespace: metadata.namespace, name: target.name)
    }
  }
}

extension Typed where Spec == BackendTLSPolicySpec {
  /// The services among its targets.
  var targets: [ServiceName] {
    spec.targetRefs.filter { $0.group.isEmpty && $0.kind == "Service" }.map {
      ServiceName(namespace: metadata.namespace, name: $0.name)
    }
  }
}
