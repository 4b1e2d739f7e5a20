import MeshControl
import Testing

/// Compiling only what a change touches must give what compiling everything gives.
@Suite struct IncrementalTests {
  private func resource(_ json: String) throws -> Resource {
    try #require(read(json).resource)
  }

  private func everything(_ index: MeshIndex) -> CompiledMesh {
    var mesh = CompiledMesh()
    var affected = Affected()
    affected.services = Set(index.services.keys)
    affected.workloads = Set(index.workloads.keys)
    affected.slices = Set(index.slices.keys)
    mesh.update(affected, from: index)
    return mesh
  }

  @Test func `a changed route compiles again only the services it is attached to`() throws {
    var index = MeshIndex(resources: [])
    for name in ["shop", "cart", "pay"] { _ = index.put(try resource(service(name))) }
    let affected = index.put(try resource(route(#"[{"backendRefs": [{"name": "cart", "port": 80}]}]"#)))
    #expect(affected.services == [ServiceName(namespace: "default", name: "shop")])
    #expect(affected.routes.count == 1)
    #expect(affected.workloads.isEmpty)
  }

  @Test func `a new backend mends the routes that wait for it`() throws {
    var index = MeshIndex(resources: [])
    _ = index.put(try resource(service("shop")))
    _ = index.put(try resource(route(#"[{"backendRefs": [{"name": "cart", "port": 80}]}]"#)))
    let affected = index.put(try resource(service("cart")))
    #expect(
      affected.services == [
        ServiceName(namespace: "default", name: "shop"), ServiceName(namespace: "default", name: "cart"),
      ])
    #expect(affected.routes.count == 1)
  }

  @Test func `what has not changed keeps its version`() throws {
    var index = MeshIndex(resources: [])
    for name in ["shop", "cart"] { _ = index.put(try resource(service(name))) }
    var mesh = everything(index)
    let before = mesh.services(for: "default")
    mesh.update(index.put(try resource(route("[{}]"))), from: index)
    let after = mesh.services(for: "default")
    #expect(before["default/cart"] == after["default/cart"])
    #expect(before["default/shop"]?.version != after["default/shop"]?.version)
  }

  @Test func `step by step and all at once come to the same, over random histories`() throws {
    var generator = SplitMix(state: 2026)
    for _ in 0..<60 {
      var index = MeshIndex(resources: [])
      var mesh = CompiledMesh()
      for _ in 0..<40 {
        let affected = try step(&index, &generator)
        mesh.update(affected, from: index)
      }
      let whole = everything(index)
      for namespace in ["a", "b", "c"] { #expect(mesh.services(for: namespace) == whole.services(for: namespace)) }
      #expect(mesh.workloads == whole.workloads)
    }
  }

  /// One random change.
  private func step(_ index: inout MeshIndex, _ generator: inout SplitMix) throws -> Affected {
    let namespace = ["a", "b"][Int(generator.next() % 2)]
    let name = "s\(generator.next() % 3)"
    let other = "s\(generator.next() % 3)"
    let isRemoval = generator.next() % 4 == 0
    func key(_ type: any ResourceSpec.Type) -> ResourceKey {
      ResourceKey(groupKind: type.kind.groupKind, namespace: namespace, name: name)
    }
    switch generator.next() % 6 {
    case 0, 1:
      if isRemoval { return index.remove(key(ServiceSpec.self)) }
      let target = ["8080", "9090", "\"web\""][Int(generator.next() % 3)]
      return index.put(
        try resource(
          service(
            name, namespace: namespace, ports: "[{\"port\": 80, \"targetPort\": \(target), \"appProtocol\": \"http\"}]",
            selector: "{\"app\": \"\(other)\"}")))
    case 2:
      if isRemoval { return index.remove(key(HTTPRouteSpec.self)) }
      let parentNamespace = ["a", "b"][Int(generator.next() % 2)]
      let parent = #"{"group": "", "kind": "Service", "name": "\#(other)", "namespace": "\#(parentNamespace)"}"#
      return index.put(
        try resource(
          route(
            #"[{"backendRefs": [{"name": "\#(name)", "port": 80}], "filters": [{"type": "ExtensionRef", "extensionRef": {"group": "apus.dev", "kind": "DirectResponse", "name": "\#(other)"}}]}]"#,
            name: name, namespace: namespace, parent: parent)))
    case 3:
      if isRemoval { return index.remove(key(TrafficPolicySpec.self)) }
      let isRoute = generator.next() % 2 == 0
      let target =
        #"{"group": "\#(isRoute ? HTTPRouteSpec.kind.group : "")", "kind": "\#(isRoute ? "HTTPRoute" : "Service")", "#
        + #""name": "\#(other)"}"#
      return index.put(
        try resource(
          """
          {"apiVersion": "apus.dev/v1", "kind": "TrafficPolicy", "metadata": {"name": "\(name)", "namespace": "\(namespace)"},
           "spec": {"targetRefs": [\(target)], "retry": {"attempts": \(generator.next() % 5)}}}
          """))
    case 4:
      if isRemoval { return index.remove(key(EndpointSliceSpec.self)) }
      return index.put(
        try resource(
          """
          {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "\(name)",
           "namespace": "\(namespace)", "labels": {"kubernetes.io/service-name": "\(other)"}}, "addressType": "IPv4",
           "endpoints": [{"addresses": ["10.0.0.\(generator.next() % 9)"]}], "ports": [{"port": \(1 + generator.next() % 9)}]}
          """))
    default:
      let uid = "\(namespace)-\(generator.next() % 4)"
      if isRemoval { return index.remove(workload: uid) }
      return index.put(
        workload(
          uid, namespace: namespace, labels: ["app": other],
          ports: [
            MeshWorkload.Port(name: "web", appPort: [8080, 9090, 1][Int(generator.next() % 3)], meshPort: 15_006)
          ]))
    }
  }

  @Test func `direct responses change the routes that refer to them`() throws {
    var index = MeshIndex(resources: [])
    _ = index.put(try resource(service("shop")))
    _ = index.put(
      try resource(
        route(
          #"[{"filters": [{"type": "ExtensionRef", "extensionRef": {"group": "apus.dev", "kind": "DirectResponse", "name": "d"}}]}]"#
        )))
    let affected = index.put(
      try resource(
        #"{"apiVersion": "apus.dev/v1", "kind": "DirectResponse", "metadata": {"name": "d"}, "spec": {"status": 503}}"#)
    )
    #expect(affected.services == [ServiceName(namespace: "default", name: "shop")])
  }
}
