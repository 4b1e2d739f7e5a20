import ApusCLI
import ApusHTTP
import MeshControl
import Testing

struct VerbTests {
  static let route = """
    {"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute",
     "metadata":{"name":"catalog","namespace":"default","creationTimestamp":"2027-01-15T07:50:00Z","resourceVersion":"7"},
     "spec":{"parentRefs":[{"group":"","kind":"Service","name":"catalog"}],
       "rules":[{"backendRefs":[{"name":"catalog-v1","port":80,"weight":95},{"name":"catalog-v2","port":80,"weight":5}]}]},
     "status":{"parents":[{"conditions":[{"type":"Accepted","status":"True","reason":"Accepted"},
       {"type":"ResolvedRefs","status":"False","reason":"BackendNotFound","message":"there is no Service catalog-v2"}]}]}}
    """
  static let routes = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"
  static let list = #"{"kind":"HTTPRouteList","metadata":{"resourceVersion":"7"},"items":[\#(route)]}"#

  private func environment(_ api: FakeAPI) -> [String: String] { ["APUS_API": "127.0.0.1:\(api.port)"] }

  @Test func getShowsATableThatFitsEightyColumns() throws {
    let api = try FakeAPI(["GET \(Self.routes)": .json(Self.list)])
    let result = apus("get", "httproutes", environment: environment(api), columns: 80)
    #expect(result.status == 0)
    let lines = result.output.split(separator: "\n")
    #expect(lines.first == "NAME     PARENTS  BACKENDS                    ACCEPTED  RESOLVED         AGE")
    #expect(lines.last == "catalog  catalog  catalog-v1:95,catalog-v2:5  True      BackendNotFound  10m")
  }

  @Test func getOfSeveralKindsNamesTheKindBeforeEachName() throws {
    let api = try FakeAPI([
      "GET /api/v1/namespaces/default/services": .json(
        #"{"items":[{"metadata":{"name":"catalog"},"spec":{"ports":[{"port":80}]}}]}"#),
      "GET /apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes": .json(#"{"items":[]}"#),
      "GET /apis/apus.dev/v1/namespaces/default/rollouts": .json(#"{"items":[{"metadata":{"name":"release"}}]}"#),
    ])
    let table = apus("get", "svc,httproutes,ro,services", environment: environment(api))
    #expect(table.status == 0)
    let lines = table.output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    #expect(lines.count == 6)
    #expect(lines[1].hasPrefix("service/catalog"))
    #expect(lines[2].isEmpty)
    #expect(lines[4].hasPrefix("rollout/release"))
    let list = apus("get", "services,rollouts", "-o", "yaml", environment: environment(api))
    #expect(list.output.hasPrefix("apiVersion: v1\nkind: List\nitems:"))
    for wrong in [["get", "all", "catalog"], ["get", "all", "-w"], ["get", "services,nothings"]] {
      #expect(apus(wrong, environment: environment(api)).status == 2)
    }
  }

  @Test func getOfOneObjectAsYAMLIsWhatApplyTakes() throws {
    let api = try FakeAPI(["GET \(Self.routes)/catalog": .json(Self.route)])
    let result = apus("get", "httproutes/catalog", "-o", "yaml", environment: environment(api))
    #expect(result.status == 0)
    #expect(
      result.output.hasPrefix("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: catalog\n")
    )
  }

  @Test func selectorsAndNamespacesGoIntoTheQuestion() throws {
    let api = try FakeAPI(["GET /api/v1/services": .json(#"{"items":[]}"#)])
    let result = apus("get", "svc", "-A", "-l", "app=a,version=v1", environment: environment(api))
    #expect(result.status == 0)
    #expect(result.errors == "No services in any namespace.\n")
    #expect(api.requests.map(\.target) == ["/api/v1/services?labelSelector=app%3Da%2Cversion%3Dv1"])
  }

  @Test func whatIsNotThereHasAStatusOfItsOwn() throws {
    let api = try FakeAPI([:])
    let result = apus("get", "service", "nobody", environment: environment(api))
    #expect(result.status == 4)
    #expect(result.errors.contains("is not there"))
  }

  @Test func aControlPlaneThatIsAwayIsToldWithWhatStartsIt() throws {
    let port = try ListeningSocket(HTTPAddress(host: "127.0.0.1", port: 0)).port
    for arguments in [["get", "services"], ["stat"], ["proxy-status"], ["delete", "service", "a"], ["check"]] {
      let result = apus(arguments, environment: ["APUS_API": "127.0.0.1:\(port)"])
      #expect(result.status == 5, "\(arguments)")
      #expect((result.errors + result.output).contains("apus up"), "\(arguments)")
    }
  }

  @Test func theTokenOfTheDataFolderIsSent() throws {
    let api = try FakeAPI(["GET /api/v1/namespaces/default/services": .json(#"{"items":[]}"#)])
    let folder = try TemporaryFolder()
    try folder.write("api-token", "secret\n", mode: 0o600)
    _ = apus("get", "services", "--data", folder.path, environment: environment(api))
    #expect(api.requests.first?.authorization == "Bearer secret")
  }

  @Test func theDataFolderSaysWhereTheControlPlaneIs() throws {
    let api = try FakeAPI(["GET /api/v1/namespaces/default/services": .json(#"{"items":[]}"#)])
    let folder = try TemporaryFolder()
    try folder.write(
      "control-plane.json",
      #"{"api":"127.0.0.1:\#(api.port)","xds":"127.0.0.1:2","pid":1,"trustDomain":"cluster.local"}"#)
    #expect(apus("get", "services", "--data", folder.path).status == 0)
  }

  @Test func aTokenThatIsNotKnownNamesItsFile() throws {
    let api = try FakeAPI([
      "GET /api/v1/namespaces/default/services": .status(401, reason: "Unauthorized", message: "no token")
    ])
    let result = apus("get", "services", environment: environment(api))
    #expect(result.status == 1)
    #expect(result.errors.contains("api-token"))
  }

  @Test func applyTellsEachObjectAndTheDryRun() throws {
    let answer = """
      {"items":[{"kind":"Service","apiVersion":"v1","namespace":"default","name":"a","result":"created"},
       {"kind":"HTTPRoute","apiVersion":"gateway.networking.k8s.io/v1","namespace":"shop","name":"b","result":"unchanged"}]}
      """
    let api = try FakeAPI(["POST /apis/apus.dev/v1/apply": .json(answer)])
    let result = apus("apply", "-f", "-", environment: environment(api), input: "kind: Service\n")
    #expect(result.status == 0)
    #expect(result.output == "service/a created\nhttproute.gateway.networking.k8s.io/shop/b unchanged\n")
    #expect(api.requests.first?.body == "kind: Service\n")
    let dry = apus("apply", "--dry-run", "-f", "-", environment: environment(api), input: "kind: Service\n")
    #expect(dry.output.hasPrefix("service/a created (dry run)\n"))
    #expect(api.requests.last?.target.contains("dryRun=All") == true)
  }

  private static func proxies(_ version: Int, _ revision: Int, _ items: String...) -> HTTPResponse {
    .json("{\"revision\":\(revision),\"resourceVersion\":\"\(version)\",\"items\":[\(items.joined(separator: ","))]}")
  }

  private static func proxy(_ id: String, _ status: String, _ taken: Int, nack: String = "null") -> String {
    "{\"id\":\"\(id)\",\"status\":\"\(status)\",\"takenRevision\":\(taken),\"nack\":\(nack)}"
  }

  private static let appliedAtSeven = HTTPResponse.json(
    """
    {"items":[{"kind":"Service","apiVersion":"v1","namespace":"default","name":"a","result":"created",
     "resourceVersion":"7"}]}
    """)

  @Test func applyWaitsUntilEveryConnectedProxyHasIt() throws {
    let all = "/apis/apus.dev/v1/proxies"
    let api = try FakeAPI([
      "POST /apis/apus.dev/v1/apply": Self.appliedAtSeven,
      "GET \(all)": Self.proxies(
        7, 3, Self.proxy("p1", "SYNCED", 3), Self.proxy("p2", "STALE", 5), Self.proxy("p3", "DISCONNECTED", 0)),
    ])
    let done = apus("apply", "--wait", "-f", "-", environment: environment(api), input: "kind: Service\n")
    #expect(done.status == 0 && done.output == "service/a created\nin force at 2 proxies\n")
    #expect(done.errors.contains("not connected") && done.errors.contains("p3"))
    let json = apus("apply", "--wait", "-o", "json", "-f", "-", environment: environment(api), input: "kind: Service\n")
    #expect(json.output.contains("\"standing\": \"taken\"") && json.output.contains("\"standing\": \"disconnected\""))
    #expect(apus("apply", "--wait", "--dry-run", "-f", "-", environment: environment(api)).status == 2)
    #expect(apus("apply", "--wait", "--wait-seconds", "0", "-f", "-", environment: environment(api)).status == 2)
  }

  @Test func applyThatIsNotInForceInTimeHasAStatusOfItsOwn() throws {
    let all = "/apis/apus.dev/v1/proxies"
    func run(_ proxies: HTTPResponse) throws -> Result {
      let api = try FakeAPI(["POST /apis/apus.dev/v1/apply": Self.appliedAtSeven, "GET \(all)": proxies])
      return apus(
        "apply", "--wait", "--wait-seconds", "1", "-f", "-", environment: environment(api), input: "kind: Service\n")
    }
    let late = try run(Self.proxies(7, 3, Self.proxy("p1", "SYNCED", 3), Self.proxy("p2", "STALE", 2)))
    #expect(late.status == 8 && late.output == "service/a created\n")
    #expect(late.errors.contains("p2 has not acknowledged it") && !late.errors.contains("p1"))
    // The control plane itself has not come so far: what proxies have taken says nothing yet.
    let behind = try run(Self.proxies(6, 3, Self.proxy("p1", "SYNCED", 3)))
    #expect(behind.status == 8 && behind.errors.contains("p1 has not acknowledged it"))
    let refused = try run(Self.proxies(8, 3, Self.proxy("p1", "NACKED", 3, nack: "{\"message\":\"no such thing\"}")))
    #expect(refused.status == 8 && refused.errors.contains("p1 refused: no such thing"))
    // A control plane of an older version does not tell.
    #expect(try run(.json("{\"items\":[]}")).status == 8)
  }

  @Test func deleteWaitsAsWell() throws {
    let api = try FakeAPI([
      "DELETE \(Self.routes)/b": .json("{\"metadata\":{\"name\":\"b\",\"resourceVersion\":\"9\"}}"),
      "GET /apis/apus.dev/v1/proxies": Self.proxies(9, 4, Self.proxy("p1", "SYNCED", 4)),
    ])
    let gone = apus("delete", "httproute", "b", "--wait", environment: environment(api))
    #expect(gone.status == 0 && gone.output.hasSuffix("deleted\nin force at 1 proxy\n"))
  }

  @Test func applyListsEveryViolationAndChangesNothing() throws {
    let causes = """
      {"reason":"FieldValueInvalid","field":"spec.rules[0].backendRefs[0].weight","message":"-1 is too small; use 0 or more"},
      {"reason":"FieldValueNotSupported","field":"spec.rule","message":"there is no such field; did you mean rules?"}
      """
    let api = try FakeAPI([
      "POST /apis/apus.dev/v1/apply": .status(422, reason: "Invalid", message: "2 violations", causes: causes)
    ])
    let result = apus("apply", "-f", "-", environment: environment(api), input: "x: 1\n")
    #expect(result.status == 3)
    #expect(
      result.errors == """
        apus: nothing was changed: 2 violations
          spec.rules[0].backendRefs[0].weight: -1 is too small; use 0 or more
          spec.rule: there is no such field; did you mean rules?

        """)
    #expect(result.output.isEmpty)
  }

  @Test func aViolationInOneOfSeveralFilesNamesTheFileAndItsLine() throws {
    let folder = try TemporaryFolder()
    try folder.write("m/a.yaml", "kind: A\nname: a\n")
    try folder.write("m/b.yml", "kind: B\nname: [\n")
    try folder.write("m/notes.txt", "not looked at")
    let api = try FakeAPI([
      "POST /apis/apus.dev/v1/apply": .status(
        400, reason: "BadRequest", message: "no YAML",
        causes: #"{"field":"","reason":"x","message":"line 5, column 7: a list has no end"}"#)
    ])
    let result = apus("apply", "-f", "\(folder.path)/m", environment: environment(api))
    #expect(result.status == 3)
    #expect(result.errors.contains("\(folder.path)/m/b.yml: line 2, column 7: a list has no end"))
    #expect(api.requests.first?.body == "kind: A\nname: a\n---\nkind: B\nname: [\n")
  }

  @Test func aFileThatCannotBeReadIsNamed() {
    let result = apus("apply", "-f", "/nonexistent.yaml")
    #expect(result.status == 1)
    #expect(result.errors.contains("/nonexistent.yaml"))
  }

  @Test func deleteGoesOnPastWhatIsNotThere() throws {
    let api = try FakeAPI(["DELETE \(Self.routes)/b": .json("{}")])
    let result = apus("delete", "httproute", "a", "b", environment: environment(api))
    #expect(result.status == 4)
    #expect(result.output == "httproute.gateway.networking.k8s.io/b deleted\n")
    let lenient = apus("delete", "httproute", "a", "b", "--ignore-not-found", environment: environment(api))
    #expect(lenient.status == 0)
  }

  @Test func deleteByFileAsksTheControlPlaneWhatIsInIt() throws {
    let items =
      #"{"items":[{"kind":"HTTPRoute","apiVersion":"gateway.networking.k8s.io/v1","namespace":"default","name":"b"}]}"#
    let api = try FakeAPI([
      "POST /apis/apus.dev/v1/apply": .json(items), "DELETE \(Self.routes)/b": .json("{}"),
    ])
    let result = apus("delete", "-f", "-", environment: environment(api), input: "kind: HTTPRoute\n")
    #expect(result.output == "httproute.gateway.networking.k8s.io/b deleted\n")
    #expect(api.requests.first?.target.contains("dryRun=All") == true)
  }

  @Test func aConflictHasAStatusOfItsOwn() throws {
    let api = try FakeAPI([
      "DELETE \(Self.routes)/b": .status(409, reason: "Conflict", message: "b has been changed since it was read")
    ])
    #expect(apus("delete", "httproute", "b", environment: environment(api)).status == 6)
  }
}

struct WatchTests {
  private func environment(_ api: FakeAPI) -> [String: String] { ["APUS_API": "127.0.0.1:\(api.port)"] }

  @Test func aWatchShowsWhatIsThereAndEachChangeUntilItIsRefused() throws {
    let changed = VerbTests.route.replacing("\"resourceVersion\":\"7\"", with: "\"resourceVersion\":\"9\"")
      .replacing("\n", with: "")
    let events = """
      {"type":"MODIFIED","object":\(changed)}
      {"type":"ERROR","object":{"kind":"Status","message":"the history begins at 20"}}

      """
    let api = try FakeAPI([
      "GET \(VerbTests.routes)": .json(VerbTests.list),
      "GET \(VerbTests.routes)?watch=true&resourceVersion=7": .json(events),
    ])
    let result = apus("get", "httproutes", "-w", environment: environment(api), columns: 100)
    #expect(result.status == 1)
    #expect(result.errors.contains("the history begins at 20"))
    let lines = result.output.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines[0].hasPrefix("CHANGE    NAME"))
    #expect(lines[1].hasPrefix("ADDED     catalog"))
    #expect(lines[2].hasPrefix("MODIFIED  catalog"))
  }

  @Test func applyPassesWarningsOn() throws {
    let answer = """
      {"items":[{"kind":"HTTPRoute","apiVersion":"gateway.networking.k8s.io/v1","namespace":"default","name":"b",
       "result":"created","warnings":["there is no Service catalog-v3"]}]}
      """
    let api = try FakeAPI(["POST /apis/apus.dev/v1/apply": .json(answer)])
    let result = apus("apply", "-f", "-", environment: environment(api), input: "kind: HTTPRoute\n")
    #expect(result.status == 0)
    #expect(result.errors == "warning: httproute.gateway.networking.k8s.io/b: there is no Service catalog-v3\n")
  }

  @Test func workloadsAreChosenByTheirLabels() throws {
    let list = """
      {"items":[{"metadata":{"name":"a-v1","uid":"a-1","namespace":"default","labels":{"app":"a","version":"v1"}},
        "spec":{"address":"127.0.0.1"},"status":{"health":"healthy","identity":"spiffe://cluster.local/ns/default/sa/a"}},
       {"metadata":{"name":"b","uid":"b-1","namespace":"default","labels":{"app":"b"}},"spec":{},"status":{"identity":""}}]}
      """
    let api = try FakeAPI(["GET /apis/apus.dev/v1/namespaces/default/workloads": .json(list)])
    let result = apus("get", "wl", "-l", "app=a", environment: environment(api))
    #expect(
      result.output == """
        NAME  APP  VERSION  ADDRESS    HEALTH   MESHED
        a-1   a    v1       127.0.0.1  healthy  yes

        """)
    #expect(apus("get", "wl", "-l", "app!=a", environment: environment(api)).status == 2)
  }
}
