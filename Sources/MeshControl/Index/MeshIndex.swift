/// The name of a service in the mesh.
package struct ServiceName: Sendable, Hashable, Comparable, CustomStringConvertible {
  package var namespace: String
  package var name: String

  package init(namespace: String, name: String) {
    self.namespace = namespace
    self.name = name
  }

  /// `namespace/name`, the name under which its configuration travels.
  package var description: String { "\(namespace)/\(name)" }

  package static func < (left: ServiceName, right: ServiceName) -> Bool {
    (left.namespace, left.name) < (right.namespace, right.name)
  }
}

/// A resource whose kind is known to the compiler.
package struct Typed<Spec: ResourceSpec>: Sendable {
  package let metadata: Metadata
  package let spec: Spec
  package let status: Value?

  package init?(_ resource: Resource) {
    guard let spec = resource.spec as? Spec else { return nil }
    metadata = resource.metadata
    self.spec = spec
    status = resource.status
  }

  package var key: ResourceKey {
    ResourceKey(groupKind: Spec.kind.groupKind, namespace: metadata.namespace, name: metadata.name)
  }

  /// `namespace/name`, as the deciding object is named to people.
  package var qualifiedName: String { "\(metadata.namespace)/\(metadata.name)" }

  /// The Gateway API's order among objects that contradict each other: the older first, then by name.
  package static func hasPrecedence(_ left: Self, _ right: Self) -> Bool {
    let leftTime = left.metadata.creationTimestamp?.secondsSinceEpoch ?? Int64.max
    let rightTime = right.metadata.creationTimestamp?.secondsSinceEpoch ?? Int64.max
    return (leftTime, left.metadata.namespace, left.metadata.name)
      < (rightTime, right.metadata.namespace, right.metadata.name)
  }
}

/// Everything that is known of the mesh at one moment, arranged by how compiling asks for it. A value: compiling reads
/// it and nothing else.
package struct MeshIndex: Sendable {
  package private(set) var services: [ServiceName: Typed<ServiceSpec>] = [:]
  /// Routes of every kind.
  package private(set) var routes: [ResourceKey: RouteObject] = [:]
  package private(set) var slices: [ResourceKey: Typed<EndpointSliceSpec>] = [:]
  package private(set) var policies: [ResourceKey: Typed<TrafficPolicySpec>] = [:]
  package private(set) var authentications: [ResourceKey: Typed<PeerAuthenticationSpec>] = [:]
  package private(set) var directResponses: [ResourceKey: Typed<DirectResponseSpec>] = [:]
  package private(set) var grants: [ResourceKey: Typed<ReferenceGrantSpec>] = [:]
  package private(set) var backendPolicies: [ResourceKey: Typed<BackendTLSPolicySpec>] = [:]
  package private(set) var configMaps: [ResourceKey: Typed<ConfigMapSpec>] = [:]
  package private(set) var telemetries: [ResourceKey: Typed<TelemetrySpec>] = [:]
  package private(set) var workloads: [String: MeshWorkload] = [:]
  /// What is known of the names that services of type ExternalName lead to.
  package private(set) var names: [String: KnownName] = [:]
  /// Whether IPv6 addresses of names are used where a service does not ask for them.
  package private(set) var hasIPv6 = false
  /// Whether routes need a ReferenceGrant for backends in other namespaces. Default no, as GEP-1294 has it for meshes.
  package let requiresGrants: Bool

  private(set) var servicesByNamespace: [String: Set<ServiceName>] = [:]
  private(set) var servicesByExternalName: [String: Set<ServiceName>] = [:]
  private(set) var routesByParent: [ServiceName: Set<ResourceKey>] = [:]
  private(set) var routesByBackend: [ServiceName: Set<ResourceKey>] = [:]
  private(set) var routesByNamespace: [String: Set<ResourceKey>] = [:]
  private(set) var policiesByTarget: [ServiceName: Set<ResourceKey>] = [:]
  private(set) var policiesByRoute: [ResourceKey: Set<ResourceKey>] = [:]
  private(set) var backendPoliciesByTarget: [ServiceName: Set<ResourceKey>] = [:]
  private(set) var slicesByService: [ServiceName: Set<ResourceKey>] = [:]
  private(set) var workloadsByNamespace: [String: Set<String>] = [:]

  package init(requiresGrants: Bool = false) {
    self.requiresGrants = requiresGrants
  }

  package init(resources: [Resource], workloads: [MeshWorkload] = [], requiresGrants: Bool = false) {
    self.requiresGrants = requiresGrants
    for resource in resources { _ = put(resource) }
    for workload in workloads { _ = put(workload) }
  }

  /// Adds or replaces a resource.
  /// - Returns: what must be compiled again.
  package mutating func put(_ resource: Resource) -> Affected {
    var affected = remove(resource.key)
    let key = resource.key
    if let service = Typed<ServiceSpec>(resource) {
      let name = ServiceName(namespace: key.namespace, name: key.name)
      services[name] = service
      servicesByNamespace[key.namespace, default: []].insert(name)
      if let host = service.spec.resolvedName { servicesByExternalName[host, default: []].insert(name) }
    } else if let route = RouteObject(resource) {
      routes[key] = route
      routesByNamespace[key.namespace, default: []].insert(key)
      for parent in route.parentServices { routesByParent[parent, default: []].insert(key) }
      for backend in route.backendServices { routesByBackend[backend, default: []].insert(key) }
    } else if let slice = Typed<EndpointSliceSpec>(resource) {
      slices[key] = slice
      if let service = slice.service { slicesByService[service, default: []].insert(key) }
    } else if let policy = Typed<TrafficPolicySpec>(resource) {
      policies[key] = policy
      for target in policy.targets { policiesByTarget[target, default: []].insert(key) }
      for target in policy.routeTargets { policiesByRoute[target, default: []].insert(key) }
    } else if let authentication = Typed<PeerAuthenticationSpec>(resource) {
      authentications[key] = authentication
    } else if let response = Typed<DirectResponseSpec>(resource) {
      directResponses[key] = response
    } else if let grant = Typed<ReferenceGrantSpec>(resource) {
      grants[key] = grant
    } else if let policy = Typed<BackendTLSPolicySpec>(resource) {
      backendPolicies[key] = policy
      for target in policy.targets { backendPoliciesByTarget[target, default: []].insert(key) }
    } else if let map = Typed<ConfigMapSpec>(resource) {
      configMaps[key] = map
    } else if let telemetry = Typed<TelemetrySpec>(resource) {
      telemetries[key] = telemetry
    }
    affected.formUnion(dependents(of: key))
    return affected
  }

  /// Takes a resource out; one that is not there affects nothing.
  package mutating func remove(_ key: ResourceKey) -> Affected {
    let affected = dependents(of: key)
    let name = ServiceName(namespace: key.namespace, name: key.name)
    switch key.groupKind {
    case ServiceSpec.kind.groupKind:
      let service = services.removeValue(forKey: name)
      servicesByNamespace[key.namespace]?.remove(name)
      guard let host = service?.spec.resolvedName else { break }
      servicesByExternalName[host]?.remove(name)
      if servicesByExternalName[host]?.isEmpty == true { servicesByExternalName[host] = nil }
    case HTTPRouteSpec.kind.groupKind, GRPCRouteSpec.kind.groupKind, TLSRouteSpec.kind.groupKind,
      TCPRouteSpec.kind.groupKind:
      guard let route = routes.removeValue(forKey: key) else { break }
      routesByNamespace[key.namespace]?.remove(key)
      for parent in route.parentServices { routesByParent[parent]?.remove(key) }
      for backend in route.backendServices { routesByBackend[backend]?.remove(key) }
    case EndpointSliceSpec.kind.groupKind:
      guard let slice = slices.removeValue(forKey: key), let service = slice.service else { break }
      slicesByService[service]?.remove(key)
    case TrafficPolicySpec.kind.groupKind:
      guard let policy = policies.removeValue(forKey: key) else { break }
      for target in policy.targets { policiesByTarget[target]?.remove(key) }
      for target in policy.routeTargets { policiesByRoute[target]?.remove(key) }
    case PeerAuthenticationSpec.kind.groupKind: authentications[key] = nil
    case DirectResponseSpec.kind.groupKind: directResponses[key] = nil
    case ReferenceGrantSpec.kind.groupKind: grants[key] = nil
    case BackendTLSPolicySpec.kind.groupKind:
      guard let policy = backendPolicies.removeValue(forKey: key) else { break }
      for target in policy.targets { backendPoliciesByTarget[target]?.remove(key) }
    case ConfigMapSpec.kind.groupKind: configMaps[key] = nil
    case TelemetrySpec.kind.groupKind: telemetries[key] = nil
    default: break
    }
    return affected
  }

  /// Adds or replaces a workload.
  package mutating func put(_ workload: MeshWorkload) -> Affected {
    var affected = remove(workload: workload.uid)
    workloads[workload.uid] = workload
    workloadsByNamespace[workload.namespace, default: []].insert(workload.uid)
    affected.formUnion(dependents(of: workload))
    return affected
  }

  /// Replaces what is known of names.
  /// - Returns: what must be compiled again.
  package mutating func put(names known: [String: KnownName], hasIPv6: Bool) -> Affected {
    var affected = Affected()
    for (host, services) in servicesByExternalName where names[host] != known[host] || self.hasIPv6 != hasIPv6 {
      affected.externals.formUnion(services)
    }
    names = known
    self.hasIPv6 = hasIPv6
    return affected
  }

  /// The names whose addresses are wanted.
  package var wantedNames: Set<String> { Set(servicesByExternalName.keys) }

  /// Takes a workload out; one that is not there affects nothing.
  package mutating func remove(workload uid: String) -> Affected {
    guard let workload = workloads.removeValue(forKey: uid) else { return Affected() }
    let affected = dependents(of: workload)
    workloadsByNamespace[workload.namespace]?.remove(uid)
    return affected
  }
}

/// What a change makes it necessary to compile again.
package struct Affected: Sendable, Equatable {
  package var services: Set<ServiceName> = []
  package var routes: Set<ResourceKey> = []
  package var policies: Set<ResourceKey> = []
  package var slices: Set<ResourceKey> = []
  package var workloads: Set<String> = []
  /// Services whose endpoints are the addresses of a name.
  package var externals: Set<ServiceName> = []

  package init() {}

  package mutating func formUnion(_ other: Affected) {
    services.formUnion(other.services)
    routes.formUnion(other.routes)
    policies.formUnion(other.policies)
    slices.formUnion(other.slices)
    workloads.formUnion(other.workloads)
    externals.formUnion(other.externals)
  }
}
