import MeshControl
import Testing

@Suite struct StrategyTests {
  private func started(_ strategy: String, more: String = "") -> TestMesh {
    MachineTests.started(#"{"service": "shop", "version": "v1", \#(strategy)\#(more)}"#)
  }

  // MARK: Blue and green

  @Test func `blue-green shows the candidate, switches at once, and returns at once`() {
    var mesh = started(#""blueGreen": {"previewService": "shop-preview", "returnWindow": "1m"}"#)
    #expect(mesh.output?.preview?.service == "shop-preview")
    mesh.look()
    #expect(mesh.status?.reason == .manualStep)
    #expect(mesh.weights == "shop-v1:100,shop-v2:0")
    mesh.look(after: 2, Observation(), .promote(full: false))
    #expect(mesh.weights == "shop-v1:0,shop-v2:100")
    mesh.look(after: 10)
    #expect(mesh.status?.reason == .returnWindow && mesh.status?.stableVersion == "v1")
    mesh.look(after: 2, Observation(), .abort)
    #expect(mesh.weights == "shop-v1:100,shop-v2:0")
  }

  @Test func `blue-green is over when the way back closes`() {
    var mesh = started(#""blueGreen": {"autoPromote": true, "returnWindow": "10s"}"#)
    mesh.look()
    #expect(mesh.weights == "shop-v1:0,shop-v2:100")
    mesh.look(after: 11)
    #expect(mesh.status?.stableVersion == "v2" && mesh.status?.reason == .promoted)
  }

  @Test func `after the switch the candidate is held to what the stable version did before`() {
    var mesh = started(#""blueGreen": {"returnWindow": "5m"}"#)
    for _ in 0..<3 { mesh.look(Observation(stable: ["0": counts(200)])) }
    mesh.look(after: 2, Observation(), .promote(full: false))
    #expect(mesh.status?.release?.baseline?.requests == 600)
    for _ in 0..<5 where mesh.status?.release != nil {
      mesh.look(Observation(candidate: ["0": counts(100, failures: 10)]))
    }
    #expect(mesh.status?.reason == .checkFailed)
    #expect(mesh.weights == "shop-v1:100,shop-v2:0")
  }

  // MARK: Gates

  @Test func `gates are asked in their moment, and hold what they do not open`() {
    let gates = """
      , "gates": [{"name": "begin", "url": "http://127.0.0.1:1/", "at": "Start"},
                  {"name": "go", "url": "http://127.0.0.1:1/", "at": "Step"},
                  {"name": "all", "url": "http://127.0.0.1:1/", "onRefusal": "RollBack"}]
      """
    var mesh = started(
      #""analysis": {"mode": "Off"}, "canary": {"steps": [{"weight": 10}, {"weight": 50}]}"#, more: gates)
    #expect(mesh.status?.reason == .gateClosed && mesh.output?.gates.map(\.name) == ["begin"])
    #expect(mesh.weights == "shop-v1:1", "nothing is written before the release has begun")
    mesh.gates = ["begin": .open]
    mesh.look()
    #expect(mesh.status?.weight == 10)
    mesh.gates = ["go": .closed("status 503")]
    mesh.look()
    #expect(mesh.status?.weight == 10 && mesh.status?.message.contains("status 503") == true)
    mesh.gates = ["go": .open]
    mesh.look()
    #expect(mesh.status?.weight == 50)
    mesh.gates = ["all": .refused("status 403")]
    mesh.look()
    mesh.look(after: 700)
    #expect(mesh.status?.reason == .gateRefused && mesh.status?.phase == .rolledBack)
  }

  @Test func `who is to be told how it ended is told`() {
    var mesh = started(
      #""canary": {"steps": [{"weight": 10}]}"#,
      more: #", "gates": [{"name": "bell", "url": "http://127.0.0.1:1/", "at": "RolledBack"}]"#)
    mesh.look(after: 2, Observation(), .abort)
    #expect(mesh.output?.notices.map(\.name) == ["bell"])
  }

  // MARK: A/B, testers, shadow, rolling

  @Test func `an A-B test gives the audience the candidate and judges it by that`() {
    var mesh = started(
      #""abTest": {"duration": "10s", "autoPromote": true, "audience": [{"headers": [{"name": "x-group", "value": "b"}]}]}"#
    )
    #expect(mesh.weights == "shop-v1:100,shop-v2:0;rollout-audience-0=shop-v2:100")
    let rules = mesh.world.route?.spec["rules"]?.elements ?? []
    #expect(rules.last?["matches"]?.elements?.first?["headers"]?.elements?.first?["name"]?.text == "x-group")
    for _ in 0..<4 where mesh.status?.release != nil {
      mesh.look(
        Observation(candidate: ["rollout-audience-0": counts(40, failures: 12)], stable: ["0": counts(160)]))
    }
    #expect(mesh.status?.reason == .checkFailed)
    #expect(mesh.weights == "shop-v1:100,shop-v2:0")
  }

  @Test func `testers reach the candidate and do not count`() {
    var mesh = started(
      #""canary": {"steps": [{"weight": 0, "manual": true}, {"weight": 10}], "testers": [{"cookie": {"name": "beta", "value": "1"}}]}"#
    )
    #expect(mesh.weights == "shop-v1:100,shop-v2:0;rollout-audience-0=shop-v2:100")
    for _ in 0..<5 {
      mesh.look(
        Observation(candidate: ["rollout-audience-0": counts(100, failures: 100)], stable: ["0": counts(300)]))
    }
    #expect(mesh.status?.phase == .paused)
    mesh.look(after: 2, Observation(), .promote(full: true))
    #expect(mesh.weights == "shop-v2:100")
  }

  @Test func `a shadow copies requests and changes nothing`() {
    var mesh = TestMesh(#"{"service": "shop", "version": "v1"}"#)
    mesh.look()
    var shadow = ShadowStrategy()
    shadow.percent = 25
    shadow.duration = GatewayDuration("10s")
    mesh.spec.shadow = shadow
    mesh.release("v2")
    mesh.look()
    #expect(mesh.weights.contains("|shop-v2:25"))
    mesh.look(after: 11)
    #expect(mesh.status?.reason == .shadowEnded && mesh.status?.stableVersion == "v1")
    #expect(mesh.weights == "shop-v1:100,shop-v2:0")
    // It is not begun again by itself.
    mesh.look()
    #expect(mesh.status?.release == nil)
  }

  @Test func `rolling follows the candidate's instances, then drains`() {
    var mesh = TestMesh(#"{"service": "shop", "version": "v1", "rolling": {"batchPercent": 50, "drain": "5s"}}"#)
    mesh.world.ready = ["v1": 4, "v2": 1]
    mesh.look()
    mesh.release("v2")
    #expect(mesh.look().reason == .noInstances)
    mesh.world.ready["v2"] = 2
    #expect(mesh.look().weight == 50)
    #expect(mesh.look().reason == .moreInstances)
    mesh.world.ready["v2"] = 4
    #expect(mesh.look().weight == 100)
    #expect(mesh.look(Observation(stable: ["0": counts(1)])).reason == .draining)
    mesh.look(after: 6)
    #expect(mesh.status?.reason == .promoted && mesh.status?.stableVersion == "v2")
  }

  // MARK: Metrics

  @Test func `a metric fails a release after so many intervals in a row, and never without a figure`() {
    var mesh = started(
      """
      "canary": {"steps": [{"weight": 10}]}, "analysis": {"metrics": [
        {"name": "carts", "prometheus": "http://127.0.0.1:9090", "query": "carts{version='{version}'}", "min": 5}]}
      """)
    #expect(mesh.output?.asksMetrics == true || mesh.look().release != nil)
    for answer in [1.0, 9, 2, 1] {
      mesh.metrics = ["carts": MetricAnswer(candidate: answer, stable: nil)]
      mesh.look()
      if answer == 9 { break }
    }
    mesh = started(
      """
      "canary": {"steps": [{"weight": 10, "pause": "1h"}]}, "analysis": {"metrics": [
        {"name": "carts", "prometheus": "http://127.0.0.1:9090", "query": "carts", "min": 5}]}
      """)
    for answer in [Double?.some(1), nil, 2, nil] {
      mesh.metrics = ["carts": MetricAnswer(candidate: answer, stable: nil)]
      mesh.look()
    }
    #expect(mesh.status?.release != nil && mesh.status?.checks.first?.misses == 2)
    mesh.metrics = ["carts": MetricAnswer(candidate: 3, stable: nil)]
    mesh.look()
    #expect(mesh.status?.reason == .metricFailed)
  }

  @Test func `the figure of a Prometheus answer`() {
    func figure(_ text: String, status: Int = 200) -> Double? {
      PrometheusQuery.figure(.answered(status: status, body: Array(text.utf8))).value
    }
    #expect(figure(#"{"status":"success","data":{"resultType":"scalar","result":[1,"2.5"]}}"#) == 2.5)
    #expect(
      figure(#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}"#) == 7)
    #expect(figure(#"{"status":"success","data":{"resultType":"vector","result":[]}}"#) == nil)
    #expect(figure(#"{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}"#) == nil)
    #expect(figure("nonsense") == nil && figure("{}", status: 500) == nil)
    #expect(
      PrometheusQuery.url("http://p:9090/", query: "a{b=\"c\"}")
        == "http://p:9090/api/v1/query?query=a%7Bb%3D%22c%22%7D")
  }
}
