import MeshControl
import MeshTelemetry
import MeshWire
import Synchronization
import Testing

/// A mesh in memory with a controller, a clock of its own, and servers that answer what they are told to.
final class ControlledMesh: WorkloadDirectory, WebCaller {
  let store = MemoryStore()
  let meter = ReleaseMeter()
  private let clock = Mutex<Int64>(1_000_000)
  private let answer = Mutex<WebAnswer>(.answered(status: 200, body: []))
  private let calls = Mutex<[String]>([])
  private let versions = Mutex<[String]>(["v1", "v2"])

  func controller() -> RolloutController {
    RolloutController(store: store, workloads: self, meter: meter, web: self, now: { self.clock.withLock { $0 } })
  }

  func set(_ answer: WebAnswer) { self.answer.withLock { $0 = answer } }
  var asked: [String] { calls.withLock { $0 } }

  func call(_ method: String, _ url: String, body: [UInt8], timeout: Duration) async -> WebAnswer {
    calls.withLock { $0.append("\(method) \(url)") }
    return answer.withLock { $0 }
  }

  func knownWorkloads() async -> [KnownWorkload] {
    versions.withLock { $0 }.map { version in
      KnownWorkload(
        workload: MeshWorkload(
          uid: version, name: version, namespace: "default", account: "shop", trustDomain: "cluster.local",
          labels: ["app": "shop", "version": version], address: "127.0.0.1", ports: []),
        services: [ServiceName(namespace: "default", name: "shop")])
    }
  }

  @discardableResult
  func apply(_ json: String) async throws -> Resource {
    let report = ViolationReport()
    let resource = try #require(Resource.read(value(json), namespace: "default", into: report))
    return try #require(try await store.commit([.apply(resource)], isDryRun: false).first?.resource)
  }

  func rollout(version: String, more: String = "") async throws {
    try await apply(
      """
      {"apiVersion": "apus.dev/v1", "kind": "Rollout", "metadata": {"name": "shop"}, "spec": {
        "service": "shop", "version": "\(version)"\(more)}}
      """)
  }

  /// Two seconds later.
  func look(_ controller: RolloutController) async {
    clock.withLock { $0 += 2000 }
    await controller.look()
  }

  func status() async throws -> RolloutStatus {
    let key = ResourceKey(groupKind: RolloutSpec.kind.groupKind, namespace: "default", name: "shop")
    return try #require(RolloutStatus(try await store.resource(key)?.status))
  }

  /// `shop-v1:95,shop-v2:5`.
  func weights() async throws -> String {
    let key = ResourceKey(groupKind: HTTPRouteSpec.kind.groupKind, namespace: "default", name: "shop")
    let spec = try await store.resource(key)?.value["spec"] ?? .null
    return RouteEditor(services: ["shop", "shop-v1", "shop-v2"]).fingerprint(of: spec)
  }

  func report(_ service: String, route: String = "default/shop/0", requests: UInt64, failures: UInt64 = 0) async {
    var edge = EdgeStatistics()
    edge.reporter = .source
    edge.destinationNamespace = "default"
    edge.destinationService = service
    edge.route = route
    edge.requests = requests
    edge.failures = failures
    var sketch = LatencySketch()
    for _ in 0..<requests { sketch.add(nanoseconds: 5_000_000) }
    edge.latency = sketch.sparse
    var report = StatisticsReport()
    report.edges = [edge]
    await meter.record(report, proxy: "p")
  }

  static func new() async throws -> ControlledMesh {
    let mesh = ControlledMesh()
    try await mesh.apply(
      """
      {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {
        "selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}
      """)
    return mesh
  }
}

@Suite struct ControllerTests {
  @Test func `makes what is missing: Services of versions, and the route`() async throws {
    let mesh = try await ControlledMesh.new()
    let controller = mesh.controller()
    try await mesh.rollout(version: "v1")
    for _ in 0..<3 { await mesh.look(controller) }
    #expect(try await mesh.weights() == "shop-v1:100")
    let key = ResourceKey(groupKind: ServiceSpec.kind.groupKind, namespace: "default", name: "shop-v1")
    let service = try #require(try await mesh.store.resource(key)?.spec as? ServiceSpec)
    #expect(service.selector == ["app": "shop", "version": "v1"])
    #expect(try await mesh.status().phase == .idle)
  }

  @Test func `a release goes through, judged by what the proxies report, across restarts of the controller`()
    async throws
  {
    let mesh = try await ControlledMesh.new()
    var controller = mesh.controller()
    try await mesh.rollout(version: "v1")
    for _ in 0..<3 { await mesh.look(controller) }
    try await mesh.rollout(
      version: "v2", more: #", "canary": {"steps": [{"weight": 10, "pause": "4s"}, {"weight": 50}]}"#)
    for turn in 0..<40 where try await mesh.status().stableVersion == "v1" {
      // The process is another one each third look.
      if turn % 3 == 2 { controller = mesh.controller() }
      await mesh.look(controller)
      let weight = UInt64(try await mesh.status().weight)
      await mesh.report("shop-v1", requests: 2 * (100 - weight))
      if weight > 0 { await mesh.report("shop-v2", requests: 2 * weight) }
    }
    await mesh.look(controller)
    #expect(try await mesh.status().reason == .promoted)
    #expect(try await mesh.weights() == "shop-v2:100")
    let writes = await mesh.store.writeCount
    for _ in 0..<5 { await mesh.look(controller) }
    #expect(await mesh.store.writeCount == writes, "what is done is not done again")
  }

  @Test func `failures of another route, or past the route, are nobody's`() async throws {
    let mesh = try await ControlledMesh.new()
    let controller = mesh.controller()
    try await mesh.rollout(version: "v1")
    for _ in 0..<3 { await mesh.look(controller) }
    try await mesh.rollout(version: "v2", more: #", "canary": {"steps": [{"weight": 10, "pause": "1h"}]}"#)
    for _ in 0..<10 {
      await mesh.look(controller)
      await mesh.report("shop-v1", requests: 100)
      await mesh.report("shop-v2", route: "default/other/0", requests: 100, failures: 100)
      await mesh.report("shop-v2", route: "", requests: 100, failures: 100)
    }
    #expect(try await mesh.status().phase == .progressing)
    for _ in 0..<6 {
      await mesh.report("shop-v1", requests: 100)
      await mesh.report("shop-v2", requests: 20, failures: 10)
      await mesh.look(controller)
    }
    #expect(try await mesh.status().reason == .checkFailed)
    #expect(try await mesh.weights() == "shop-v1:100,shop-v2:0")
  }

  @Test func `whoever was quicker is not overwritten`() async throws {
    let mesh = try await ControlledMesh.new()
    let controller = mesh.controller()
    try await mesh.rollout(version: "v1")
    for _ in 0..<3 { await mesh.look(controller) }
    try await mesh.rollout(version: "v2", more: #", "canary": {"steps": [{"weight": 10, "pause": "1h"}]}"#)
    for _ in 0..<3 { await mesh.look(controller) }
    try await mesh.apply(
      """
      {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"}, "spec": {
        "parentRefs": [{"group": "", "kind": "Service", "name": "shop"}],
        "rules": [{"backendRefs": [{"name": "shop-v1", "port": 80, "weight": 7}]}]}}
      """)
    for _ in 0..<5 { await mesh.look(controller) }
    #expect(try await mesh.status().reason == .routeEdited)
    #expect(try await mesh.weights() == "shop-v1:7")
    _ = try await controller.perform(.resume, namespace: "default", name: "shop")
    #expect(try await mesh.weights() == "shop-v1:90,shop-v2:10")
  }

  @Test func `commands say why they are refused`() async throws {
    let mesh = try await ControlledMesh.new()
    let controller = mesh.controller()
    await #expect(throws: RolloutRefusal.self) {
      try await controller.perform(.pause, namespace: "default", name: "nobody")
    }
    try await mesh.rollout(version: "v1")
    await mesh.look(controller)
    await #expect(throws: RolloutRefusal.notNow("no release is under way")) {
      try await controller.perform(.promote(full: false), namespace: "default", name: "shop")
    }
  }

  @Test func `a gate is asked until it opens`() async throws {
    let mesh = try await ControlledMesh.new()
    let controller = mesh.controller()
    try await mesh.rollout(version: "v1")
    for _ in 0..<3 { await mesh.look(controller) }
    mesh.set(.answered(status: 503, body: Array("later".utf8)))
    try await mesh.rollout(
      version: "v2",
      more:
        #", "canary": {"steps": [{"weight": 10, "pause": "1h"}]}, "gates": [{"name": "begin", "url": "http://g/", "at": "Start"}]"#
    )
    for _ in 0..<50 {
      await mesh.look(controller)
      if try await mesh.status().message.contains("later") { break }
    }
    #expect(try await mesh.status().reason == .gateClosed)
    #expect(try await mesh.status().message.contains("status 503: later"))
    mesh.set(.answered(status: 200, body: []))
    for _ in 0..<50 where try await mesh.status().weight == 0 { await mesh.look(controller) }
    #expect(try await mesh.status().weight == 10)
    #expect(mesh.asked.contains("POST http://g/"))
  }
}
