/// Everything compiled, as views share it.
package struct CompiledMesh: Sendable {
  private var services: [ServiceName: CompiledService] = [:]
  private var common: [String: ConfigResource] = [:]
  /// Services that clients in a namespace see in another form than the rest of the mesh.
  private var overridden: [String: Set<ServiceName>] = [:]
  private var bySlice: [ResourceKey: Set<String>] = [:]
  private var byExternal: [ServiceName: Set<String>] = [:]
  /// By uid: workloads of the mesh, and endpoints outside it.
  package private(set) var workloads: [String: ConfigResource] = [:]

  package init() {}

  /// Compiles all that a change has touched.
  package mutating func update(_ affected: Affected, from index: MeshIndex) {
    for name in affected.services { replace(name, by: index.compile(service: name)) }
    for uid in affected.workloads { workloads[uid] = index.compile(workload: uid) }
    for key in affected.slices {
      for uid in bySlice[key] ?? [] { workloads[uid] = nil }
      let endpoints = index.compile(slice: key)
      bySlice[key] = endpoints.isEmpty ? nil : Set(endpoints.map(\.name))
      for endpoint in endpoints { workloads[endpoint.name] = endpoint }
    }
    for name in affected.externals {
      let endpoints = index.compile(external: name)
      let staying = Set(endpoints.map(\.name))
      for uid in byExternal[name] ?? [] where !staying.contains(uid) { workloads[uid] = nil }
      byExternal[name] = staying.isEmpty ? nil : staying
      for endpoint in endpoints { workloads[endpoint.name] = endpoint }
    }
  }

  private mutating func replace(_ name: ServiceName, by service: CompiledService?) {
    for namespace in (services[name]?.byConsumer ?? [:]).keys { overridden[namespace]?.remove(name) }
    services[name] = service
    common[name.description] = service?.common
    for namespace in (service?.byConsumer ?? [:]).keys { overridden[namespace, default: []].insert(name) }
  }

  /// All services as clients in this namespace see them.
  package func services(for namespace: String) -> [String: ConfigResource] {
    guard let names = overridden[namespace], !names.isEmpty else { return common }
    var own = common
    for name in names { own[name.description] = services[name]?.resource(for: namespace) }
    return own
  }
}
