import MeshControl
import Testing

/// What the machine does in every state that it can be in; a step of two seconds each.
@Suite struct MachineTests {
  static let canary = """
    {"service": "shop", "version": "v1", "progressDeadline": "30s",
     "canary": {"steps": [{"weight": 10, "pause": "4s"}, {"weight": 50, "pause": "4s"}]}}
    """

  /// A mesh whose release of v2 has just got its first weight.
  static func started(_ json: String = canary, route: Value? = nil) -> TestMesh {
    var mesh = route.map { TestMesh(json, route: $0) } ?? TestMesh(json)
    mesh.look()
    mesh.release("v2")
    mesh.look()
    return mesh
  }

  static func good(_ mesh: TestMesh, requests: Int = 400) -> Observation {
    let share = mesh.status?.weight ?? 0
    return Observation(
      candidate: ["0": counts(requests * share / 100)], stable: ["0": counts(requests * (100 - share) / 100)])
  }

  static func bad(_ mesh: TestMesh, requests: Int = 400) -> Observation {
    var seen = good(mesh, requests: requests)
    let count = Int(seen.candidate["0"]?.requests ?? 0)
    seen.candidate["0"] = counts(count, failures: count / 4)
    return seen
  }

  // MARK: Beginning

  @Test func `takes what the route says for the stable version, and touches nothing`() {
    var mesh = TestMesh(Self.canary)
    let status = mesh.look()
    #expect(status.phase == .idle && status.stableVersion == "v1" && status.reason == .adopted)
    #expect(mesh.output?.routeSpec == nil)
  }

  @Test func `the first time the named version serves, where no route says otherwise`() {
    var mesh = TestMesh(Self.canary)
    mesh.world.route = nil
    let status = mesh.look()
    #expect(status.stableVersion == "v1")
    #expect(mesh.weights == "shop-v1:100")
  }

  @Test func `a route that splits already does not say what is stable`() {
    var mesh = TestMesh(
      Self.canary,
      route: routeSpec(
        #"[{"backendRefs": [{"name": "shop-v1", "port": 80, "weight": 1}, {"name": "shop-v2", "port": 80}]}]"#))
    #expect(mesh.look().reason == .stableUnknown)
    #expect(mesh.output?.routeSpec == nil)
    mesh.world.route?.spec = routeSpec(#"[{"backendRefs": [{"name": "shop-v2", "port": 80}]}]"#)
    #expect(mesh.look().stableVersion == "v2")
  }

  @Test func `another version begins a release with the first step's weight`() {
    let mesh = Self.started()
    #expect(mesh.status?.phase == .progressing && mesh.status?.candidateVersion == "v2")
    #expect(mesh.weights == "shop-v1:90,shop-v2:10")
  }

  @Test func `waits for the version's Service and its instances`() {
    var mesh = TestMesh(Self.canary)
    mesh.look()
    mesh.release("v2")
    mesh.world.services.remove("shop-v2")
    #expect(mesh.look().reason == .serviceMissing)
    #expect(mesh.output?.missingVersions == ["v2"])
    mesh.world.services.insert("shop-v2")
    mesh.world.ready["v2"] = nil
    #expect(mesh.look().reason == .noInstances)
    #expect(mesh.output?.routeSpec == nil)
    mesh.world.ready["v2"] = 1
    #expect(mesh.look().phase == .progressing)
    #expect(mesh.weights == "shop-v1:90,shop-v2:10")
  }

  // MARK: Going on

  @Test func `steps go by time and requests, and the last one by evidence`() {
    var mesh = Self.started()
    #expect(mesh.look(Self.good(mesh)).reason == .stepTime)
    // Latencies are compared from the second look on, when there is something to compare with.
    #expect(mesh.look(Self.good(mesh)).reason == .moreSamples)
    #expect(mesh.look(Self.good(mesh)).weight == 50)
    #expect(mesh.weights == "shop-v1:50,shop-v2:50")
    mesh.look(Self.good(mesh))
    for _ in 0..<6 where mesh.status?.release != nil { mesh.look(Self.good(mesh)) }
    #expect(mesh.status?.reason == .promoted && mesh.status?.stableVersion == "v2")
    #expect(mesh.weights == "shop-v2:100")
  }

  @Test func `without requests it waits, and pauses at the deadline`() {
    var mesh = Self.started()
    mesh.look(after: 4)
    #expect(mesh.status?.reason == .moreSamples && mesh.status?.weight == 10)
    mesh.look(after: 31)
    #expect(mesh.status?.phase == .paused && mesh.status?.reason == .inconclusive)
    #expect(mesh.weights == "shop-v1:90,shop-v2:10")
    mesh.look(after: 2, Self.good(mesh), .resume)
    #expect(mesh.status?.phase == .progressing)
  }

  @Test(arguments: [("RollBack", RolloutReason.deadlinePassed, "v1"), ("Promote", .stepTime, "v1")])
  func `what is done at the deadline can be chosen`(word: String, reason: RolloutReason, stable: String) {
    var mesh = Self.started(Self.canary.replacing("\"service\"", with: "\"onInconclusive\": \"\(word)\", \"service\""))
    mesh.look(after: 40)
    #expect(mesh.status?.reason == reason && mesh.status?.stableVersion == stable)
  }

  @Test func `a manual step waits for a person`() {
    var mesh = Self.started(
      #"{"service": "shop", "version": "v1", "canary": {"steps": [{"weight": 10, "manual": true}, {"weight": 50}]}}"#)
    for _ in 0..<5 { mesh.look(Self.good(mesh)) }
    #expect(mesh.status?.phase == .paused && mesh.status?.reason == .manualStep && mesh.status?.weight == 10)
    mesh.look(Self.good(mesh), .promote(full: false))
    #expect(mesh.status?.weight == 50)
  }

  // MARK: Taking back

  @Test func `failures take it back at the next look, all weight at once`() {
    var mesh = Self.started()
    mesh.look(Self.bad(mesh))
    mesh.look(Self.bad(mesh))
    #expect(mesh.status?.phase == .rolledBack && mesh.status?.reason == .checkFailed)
    #expect(mesh.weights == "shop-v1:100,shop-v2:0")
    // It stays so, whatever comes.
    for _ in 0..<5 { mesh.look(Self.good(mesh)) }
    #expect(mesh.status?.phase == .rolledBack && mesh.status?.settledVersion == "v2")
  }

  @Test func `an incident that hits both versions takes nothing back`() {
    var mesh = Self.started()
    for _ in 0..<20 where mesh.status?.release != nil {
      let share = mesh.status?.weight ?? 0
      mesh.look(
        Observation(
          candidate: ["0": counts(4 * share, failures: share)],
          stable: ["0": counts(4 * (100 - share), failures: 100 - share)]))
      #expect(mesh.status?.phase != .rolledBack)
    }
  }

  @Test func `twice the latency takes it back`() {
    var mesh = Self.started()
    for _ in 0..<4 where mesh.status?.release != nil {
      mesh.look(
        Observation(candidate: ["0": counts(40, milliseconds: 20)], stable: ["0": counts(360, milliseconds: 10)]))
    }
    #expect(mesh.status?.reason == .checkFailed)
    #expect(mesh.status?.message.hasPrefix("latency") == true)
  }

  @Test func `a paused release is taken back all the same`() {
    var mesh = Self.started()
    mesh.look(Self.good(mesh), .pause)
    #expect(mesh.status?.phase == .paused)
    for _ in 0..<3 { mesh.look(Self.bad(mesh)) }
    #expect(mesh.status?.phase == .rolledBack)
  }

  @Test func `a candidate without instances is taken back`() {
    var mesh = Self.started()
    mesh.world.ready["v2"] = 0
    #expect(mesh.look().reason == .candidateGone)
    #expect(mesh.weights == "shop-v1:100,shop-v2:0")
  }

  // MARK: Somebody else

  @Test func `an edit of the weights stops it, and it touches nothing until a person says so`() {
    var mesh = Self.started()
    let edited = routeSpec(
      #"[{"backendRefs": [{"name": "shop-v1", "port": 80, "weight": 30}, {"name": "shop-v2", "port": 80, "weight": 70}]}]"#
    )
    mesh.world.route?.spec = edited
    for _ in 0..<5 { mesh.look(Self.bad(mesh)) }
    #expect(mesh.status?.phase == .stopped && mesh.status?.reason == .routeEdited)
    #expect(mesh.world.route?.spec == edited)
    mesh.look(after: 2, Observation(), .resume)
    #expect(mesh.weights == "shop-v1:90,shop-v2:10")
  }

  @Test func `a person who aborts what has stopped gets the stable version back`() {
    var mesh = Self.started()
    mesh.world.route?.spec = routeSpec(#"[{"backendRefs": [{"name": "shop-v2", "port": 80}]}]"#)
    mesh.look()
    mesh.look(after: 2, Observation(), .abort)
    #expect(mesh.status?.reason == .abortedByPerson)
    #expect(mesh.weights == "shop-v1:100,shop-v2:0")
  }

  @Test func `edits of the rest of the route are kept`() {
    var mesh = Self.started()
    mesh.world.route?.spec = routeSpec(
      """
      [{"backendRefs": [{"name": "shop-v1", "port": 80, "weight": 90}, {"name": "shop-v2", "port": 80, "weight": 10}],
        "timeouts": {"request": "3s"}},
       {"matches": [{"path": {"value": "/other"}}], "backendRefs": [{"name": "elsewhere", "port": 80}]}]
      """)
    for _ in 0..<3 { mesh.look(Self.good(mesh)) }
    #expect(mesh.status?.weight == 50)
    let rules = mesh.world.route?.spec["rules"]?.elements ?? []
    #expect(rules.count == 2 && rules.first?["timeouts"]?["request"]?.text == "3s")
    #expect(rules.last?["backendRefs"]?.elements?.first?["name"]?.text == "elsewhere")
  }

  @Test func `another rollout's route is left alone`() {
    var mesh = TestMesh(Self.canary)
    mesh.world.route?.owner = "other"
    #expect(mesh.look().reason == .routeOwned)
    #expect(mesh.output?.routeSpec == nil)
  }

  @Test func `a route that is deleted is not made again by itself`() {
    var mesh = Self.started()
    mesh.world.route = nil
    #expect(mesh.look().reason == .routeDeleted)
    #expect(mesh.output?.routeSpec == nil)
    mesh.look(after: 2, Observation(), .resume)
    #expect(mesh.weights == "shop-v1:90,shop-v2:10")
  }

  @Test func `a rule with other backends cannot be split`() {
    var mesh = TestMesh(
      Self.canary,
      route: routeSpec(#"[{"backendRefs": [{"name": "shop-v1", "port": 80}, {"name": "elsewhere", "port": 80}]}]"#))
    mesh.look()
    mesh.release("v2")
    #expect(mesh.look().reason == .routeUnusable)
  }

  // MARK: Restarts and repetition

  @Test func `a restart between the intention and the write is no edit`() {
    var mesh = TestMesh(Self.canary)
    mesh.look()
    mesh.release("v2")
    // The status is stored, the process ends, the route is never written.
    mesh.look(writes: false)
    mesh.memory = ReleaseMemory()
    mesh.look()
    #expect(mesh.status?.phase == .progressing)
    #expect(mesh.weights == "shop-v1:90,shop-v2:10")
  }

  @Test func `a restart after the write is no edit either`() {
    var mesh = TestMesh(Self.canary)
    mesh.look()
    mesh.release("v2")
    mesh.look(writes: false)
    let wanted = mesh.output?.routeSpec ?? .null
    mesh.world.route = .init(
      spec: HTTPRouteSpec.read(wanted, path: "spec", into: ViolationReport())?.written ?? .null, owner: "shop")
    mesh.memory = ReleaseMemory()
    mesh.look()
    #expect(mesh.status?.phase == .progressing)
  }

  @Test func `evidence outlives a restart`() {
    var mesh = Self.started()
    var seen = Self.good(mesh)
    seen.candidate["0"] = counts(49, failures: 4)
    mesh.look(seen)
    let before = mesh.status?.checks.first?.against
    mesh.memory = ReleaseMemory()
    mesh.look()
    #expect(mesh.status?.checks.first?.against == before && mesh.status?.checks.first?.candidateHits == 4)
  }

  @Test func `the same look twice makes the same move`() {
    let mesh = Self.started()
    let input = RolloutInput(
      namespace: "default", name: "shop", spec: mesh.spec, generation: mesh.generation, status: mesh.status,
      memory: mesh.memory, now: mesh.now + 2000, world: mesh.world)
    #expect(RolloutMachine.step(input).status == RolloutMachine.step(input).status)
    #expect(RolloutMachine.step(input).routeSpec == nil)
  }

  // MARK: Changes of mind

  @Test func `setting the version back withdraws the release`() {
    var mesh = Self.started()
    mesh.release("v1")
    mesh.look()
    #expect(mesh.status?.phase == .idle && mesh.status?.reason == .withdrawn)
    #expect(mesh.weights == "shop-v1:100")
  }

  @Test func `a third version begins anew`() {
    var mesh = Self.started()
    mesh.world.ready["v3"] = 1
    mesh.release("v3")
    mesh.look()
    mesh.look()
    #expect(mesh.status?.candidateVersion == "v3" && mesh.status?.releaseCount == 2)
    #expect(mesh.weights == "shop-v1:90,shop-v3:10")
  }

  @Test func `retry, and a change of the strategy, begin a release again that was taken back`() {
    var mesh = Self.started()
    mesh.look(after: 2, Observation(), .abort)
    mesh.look(after: 2, Observation(), .retry)
    #expect(mesh.status?.release != nil)
    mesh.look(after: 2, Observation(), .abort)
    mesh.spec.analysis = RolloutAnalysis()
    mesh.generation += 1
    mesh.look()
    #expect(mesh.status?.release != nil)
  }

  @Test(
    arguments: [
      RolloutCommand.promote(full: false), .pause, .resume, .abort, .retry,
    ]) func `what makes no sense is refused`(command: RolloutCommand)
  {
    var mesh = TestMesh(Self.canary)
    mesh.look()
    mesh.look(after: 2, Observation(), command)
    #expect(mesh.output?.refusal != nil)
    #expect(mesh.status?.phase == .idle)
  }
}
