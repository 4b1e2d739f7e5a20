import ApusCLI
import ApusHTTP
import MeshControl
import Testing

struct RolloutVerbTests {
  private static func rollout(_ phase: String, version: String = "v2", stable: String = "v1") -> String {
    let checks = ["success-rate", "latency"].flatMap { name in
      ["", "checkout", "search", "cart", "a-rule-with-a-rather-long-name"].map { rule in
        """
        {"name": "\(name)", "rule": "\(rule)", "verdict": "Undecided", "limit": "p95 ×1.5", "stableValue": 99.98,
         "candidateValue": 99.5, "progress": -40, "candidateCount": 120, "candidateHits": 2}
        """
      }
    }
    let events = (1...20).map {
      #"{"at": \#(1_799_999_900_000 + $0 * 1000), "text": "step \#($0): something happened"}"#
    }
    return """
      {"apiVersion": "apus.dev/v1", "kind": "Rollout",
       "metadata": {"name": "catalog", "namespace": "default", "generation": 2},
       "spec": {"service": "catalog", "version": "\(version)", "canary": {"steps": [{"weight": 5}, {"weight": 50}]}},
       "status": {"observedGeneration": 2, "phase": "\(phase)", "reason": "StepTime",
        "message": "a message that is longer than a line of the terminal may be, since it names everything there is to name",
        "stableVersion": "\(stable)", "candidateVersion": "v2", "weight": 5,
        "release": {"number": 1, "step": 1, "stepCount": 2, "startedAt": 1799999900000, "stepStartedAt": 1799999950000},
        "versions": [
         {"role": "stable", "version": "v1", "service": "catalog-v1", "weight": 95, "ready": 3, "requests": 1000,
          "failures": 1, "requestsPerSecond": 47.5, "p95Ms": 12},
         {"role": "candidate", "version": "v2", "service": "catalog-v2", "weight": 5, "ready": 1, "requests": 0}],
        "checks": [\(checks.joined(separator: ","))], "events": [\(events.joined(separator: ","))]}}
      """
  }

  private static let path = "/apis/apus.dev/v1/namespaces/default/rollouts/catalog"

  private func environment(_ api: FakeAPI) -> [String: String] { ["APUS_API": "127.0.0.1:\(api.port)"] }

  @Test func `the picture fits a terminal of 80 by 24`() throws {
    let api = try FakeAPI(["GET \(Self.path)": .json(Self.rollout("Progressing"))])
    let result = apus("rollout", "status", "catalog", environment: environment(api), columns: 80)
    let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count <= 25 && lines.allSatisfy { $0.count <= 80 }, "\(result.output)")
    #expect(result.output.contains("v1 → v2") && result.output.contains("▶ 50%"))
  }

  @Test(
    arguments: [
      ("Progressing", "v2", "v1", Int32(7)), ("Paused", "v2", "v1", 7), ("RolledBack", "v2", "v1", 1),
      ("Stopped", "v2", "v1", 1), ("Idle", "v2", "v2", 0), ("Idle", "v2", "v1", 7),
    ]) func `the exit status says how it stands`(phase: String, version: String, stable: String, status: Int32) throws
  {
    let api = try FakeAPI([
      "GET \(Self.path)": .json(Self.rollout(phase, version: version, stable: stable))
    ])
    #expect(apus("rollout", "status", "catalog", environment: environment(api)).status == status)
  }

  @Test func `as JSON it has names that last`() throws {
    let api = try FakeAPI(["GET \(Self.path)": .json(Self.rollout("Progressing"))])
    let result = apus("rollout", "status", "catalog", "-o", "json", environment: environment(api))
    let value = try JSONReader.read(Array(result.output.utf8))
    #expect(value["strategy"]?.text == "canary" && value["weight"] == .integer(5) && value["step"] == .integer(1))
    #expect(value["checks"]?.elements?.count == 10)
  }

  @Test func `changes are asked of the API, and refusals are conflicts`() throws {
    let api = try FakeAPI([
      "POST \(Self.path)/promote?full=true": .json(
        #"{"status": {"phase": "Idle", "reason": "PromotedByPerson", "message": "v2 serves"}}"#),
      "POST \(Self.path)/pause": .status(409, reason: "Conflict", message: "no release is under way"),
    ])
    let done = apus("rollout", "promote", "catalog", "--full", environment: environment(api))
    #expect(done.output == "rollout.apus.dev/catalog: Idle (PromotedByPerson): v2 serves\n")
    let refused = apus("rollout", "pause", "catalog", environment: environment(api))
    #expect(refused.status == 6 && refused.errors.contains("no release is under way"))
  }

  @Test func `watch ends when the release has`() throws {
    let api = try FakeAPI(["GET \(Self.path)": .json(Self.rollout("RolledBack"))])
    #expect(apus("rollout", "watch", "catalog", environment: environment(api)).status == 1)
  }

  @Test func `analyze shows findings with code, place and mend, and fails for errors`() throws {
    let api = try FakeAPI([
      "GET /apis/apus.dev/v1/analyze": .json(
        """
        {"items": [{"code": "AP102", "name": "backend-missing", "severity": "error", "kind": "HTTPRoute",
          "namespace": "default", "object": "shop", "path": "spec.rules[0].backendRefs[0]",
          "message": "there is no Service default/gone", "mend": "create it", "line": null}]}
        """)
    ])
    let result = apus("analyze", environment: environment(api))
    #expect(result.status == 1)
    #expect(result.output.contains("AP102 HTTPRoute default/shop spec.rules[0].backendRefs[0]"))
    #expect(result.output.contains("mend: create it"))
  }
}
