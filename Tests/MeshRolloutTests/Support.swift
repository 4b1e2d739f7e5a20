import MeshControl
import MeshTelemetry

/// A seeded generator (SplitMix64), so that every run is the same.
struct Seeded: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) {
    state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 0x1234_5678_9abc_def1
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

func value(_ json: String) -> Value { (try? JSONReader.read(Array(json.utf8))) ?? .null }

/// A rollout's spec; what is wrong with it is there too.
func rolloutSpec(_ json: String) -> (spec: RolloutSpec?, violations: [Violation]) {
  let report = ViolationReport()
  let spec = RolloutSpec.read(value(json), path: "spec", into: report)
  return (report.isEmpty ? spec : nil, report.violations)
}

/// An HTTPRoute's spec as it is stored, defaults filled in.
func routeSpec(_ rules: String) -> Value {
  let document = value(
    #"{"parentRefs": [{"group": "", "kind": "Service", "name": "shop"}], "rules": \#(rules)}"#)
  return HTTPRouteSpec.read(document, path: "spec", into: ViolationReport())?.written ?? .null
}

/// The mesh as the machine sees it: what it writes is there at the next look.
struct TestMesh {
  var spec: RolloutSpec
  var generation = 1
  var status: RolloutStatus?
  var memory = ReleaseMemory()
  var now: Int64 = 1_000_000
  var world: RolloutWorld
  var gates: [String: GateAnswer] = [:]
  var metrics: [String: MetricAnswer] = [:]
  var output: RolloutOutput?

  init(_ json: String, route: Value? = routeSpec("[{\"backendRefs\": [{\"name\": \"shop-v1\", \"port\": 80}]}]")) {
    spec = rolloutSpec(json).spec ?? RolloutSpec()
    world = RolloutWorld(
      route: route.map { .init(spec: $0, owner: nil) }, services: ["shop", "shop-v1", "shop-v2", "shop-v3"], port: 80,
      ready: ["v1": 2, "v2": 2])
  }

  /// One look, `seconds` after the last one, with everything written that is to be written.
  @discardableResult
  mutating func look(
    after seconds: Double = 2, _ observation: Observation = Observation(), _ command: RolloutCommand? = nil,
    writes: Bool = true
  ) -> RolloutStatus {
    now += Int64(seconds * 1000)
    let input = RolloutInput(
      namespace: "default", name: "shop", spec: spec, generation: generation, status: status, memory: memory, now: now,
      world: world, observation: observation, observedMilliseconds: Int64(seconds * 1000), gates: gates,
      metrics: metrics, command: command)
    let output = RolloutMachine.step(input)
    self.output = output
    // What is stored is what is read again.
    status = RolloutStatus(output.status.written)
    memory = output.memory
    if let wanted = output.routeSpec, writes {
      let report = ViolationReport()
      world.route = .init(
        spec: HTTPRouteSpec.read(wanted, path: "spec", into: report)?.written ?? .null, owner: "shop")
      status = RolloutStatus(output.statusAfterWriting.written)
    }
    return output.status
  }

  mutating func release(_ version: String) {
    spec.version = version
    generation += 1
  }

  /// `shop-v1:95,shop-v2:5` of the route's first rule.
  var weights: String {
    RouteEditor(services: ["shop", "shop-v1", "shop-v2", "shop-v3"]).fingerprint(of: world.route?.spec ?? .null)
  }
}

/// Counts of requests that all took some milliseconds.
func counts(_ requests: Int, failures: Int = 0, milliseconds: Double = 10) -> VersionCounts {
  var sketch = LatencySketch()
  for index in 0..<requests {
    sketch.add(nanoseconds: Int64(milliseconds * 1e6 * (1 + 0.3 * Double(index % 7) / 7)))
  }
  return VersionCounts(requests: UInt64(requests), failures: UInt64(failures), latency: sketch)
}
