import MeshControl
import Testing

@Suite struct RolloutResourceTests {
  @Test(
    arguments: [
      (#"{"version": "v1"}"#, "spec.service"),
      (#"{"service": "shop", "version": "v1", "canary": {}, "rolling": {}}"#, "spec.rolling"),
      (#"{"service": "shop", "version": "v1", "versionService": "shop"}"#, "spec.versionService"),
      (#"{"service": "shop", "version": "v1", "versionService": "{service}{version}-"}"#, "spec.versionService"),
      (
        #"{"service": "shop", "version": "v1", "canary": {"steps": [{"weight": 50}, {"weight": 10}]}}"#,
        "spec.canary.steps[1].weight"
      ),
      (#"{"service": "shop", "version": "v1", "canary": {"steps": [{"weight": 101}]}}"#, "spec.canary.steps[0].weight"),
      (#"{"service": "shop", "version": "v1", "canary": {"testers": [{}]}}"#, "spec.canary.testers[0].headers"),
      (#"{"service": "shop", "version": "v1", "abTest": {}}"#, "spec.abTest.audience"),
      (#"{"service": "shop", "version": "v1", "analysis": {"interval": "10ms"}}"#, "spec.analysis.interval"),
      (#"{"service": "shop", "version": "v1", "analysis": {"successRate": {}}}"#, "spec.analysis.successRate.maxDrop"),
      (
        #"{"service": "shop", "version": "v1", "analysis": {"latency": {"maxRatio": 1, "max": "1s"}}}"#,
        "spec.analysis.latency.maxRatio"
      ),
      (
        #"{"service": "shop", "version": "v1", "gates": [{"name": "a", "url": "ftp://x"}]}"#, "spec.gates[0].url"
      ),
    ]) func `what cannot work is refused with its place`(json: String, path: String)
  {
    #expect(rolloutSpec(json).violations.first?.path == path)
  }

  @Test func `a cookie becomes an expression that the data plane takes`() {
    let spec = rolloutSpec(
      #"{"service": "s", "version": "v", "canary": {"testers": [{"cookie": {"name": "a.b", "value": "1+1"}}]}}"#
    ).spec
    let headers = spec?.canary?.testers.first?.written
    #expect(headers?["cookie"]?["name"]?.text == "a.b")
    var mesh = MachineTests.started(
      #"{"service": "shop", "version": "v1", "canary": {"steps": [{"weight": 5}], "testers": [{"cookie": {"name": "a.b", "value": "1+1"}}]}}"#
    )
    let match = mesh.world.route?.spec["rules"]?.elements?.last?["matches"]?.elements?.first
    let pattern = match?["headers"]?.elements?.first?["value"]?.text ?? ""
    #expect(RegularExpressionCheck.fault(in: pattern) == nil && pattern.contains(#"a\.b=1\+1"#))
    mesh.look()
  }

  @Test func `a status is read as it was written`() {
    var mesh = MachineTests.started()
    mesh.look(MachineTests.bad(mesh))
    let written = mesh.output?.status.written
    #expect(RolloutStatus(written)?.written == written)
    #expect(RolloutStatus(value(#"{"phase": "Nonsense"}"#)) == nil)
  }

  @Test func `a plan's digest leaves out what may change on the way`() {
    let one = rolloutSpec(#"{"service": "s", "version": "v1", "canary": {"steps": [{"weight": 5}]}}"#).spec
    var two = one
    two?.version = "v2"
    two?.progressDeadline = GatewayDuration("1m")
    #expect(one?.planDigest == two?.planDigest)
    two?.analysis = RolloutAnalysis()
    #expect(one?.planDigest != two?.planDigest)
  }
}
