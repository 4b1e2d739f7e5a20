import ApusCLI
import ApusHTTP
import MeshControl
import Testing

struct FigureVerbTests {
  static let stats = """
    {"items":[
     {"namespace":"default","name":"catalog-v1-7f3k9x2m","kind":"workload","meshed":"1/1","successRate":0.99999,
      "requests":300,"rps":10.04,"p50Ms":1.234,"p95Ms":12.6,"p99Ms":1250,"tcpConnections":3},
     {"namespace":"default","name":"catalog-v1","kind":"service","meshed":"0/0","successRate":1,"requests":30,"rps":1,
      "p50Ms":1,"p95Ms":2,"p99Ms":3,"tcpConnections":0},
     {"namespace":"default","name":"front","kind":"service","meshed":"0/1","successRate":null,"requests":0,"rps":0,
      "p50Ms":null,"p95Ms":null,"p99Ms":null,"tcpConnections":0},
     {"namespace":"shop","name":"other","kind":"service","meshed":"1/1","successRate":1,"requests":1,"rps":1,
      "p50Ms":1,"p95Ms":1,"p99Ms":1,"tcpConnections":0}],"edges":[]}
    """

  private func environment(_ api: FakeAPI) -> [String: String] { ["APUS_API": "127.0.0.1:\(api.port)"] }

  @Test func statShowsServicesThenWorkloadsOfTheNamespace() throws {
    let api = try FakeAPI(["GET /apis/apus.dev/v1/stats": .json(Self.stats)])
    let result = apus("stat", environment: environment(api), columns: 80)
    #expect(result.status == 0)
    #expect(
      result.output == """
        NAME                          MESHED  SUCCESS   RPS    P50    P95    P99  CONNS
        service/catalog-v1                 -  100.00%   1.0  1.0ms  2.0ms  3.0ms      0
        service/front                    0/1        -   0.0      -      -      -      0
        workload/catalog-v1-7f3k9x2m     1/1   99.99%  10.0  1.2ms   13ms   1.3s      3

        """)
    #expect(result.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
    #expect(api.requests.first?.target.contains("window=30") == true)
  }

  @Test func statOfWhatIsNotThereIsNotFound() throws {
    let api = try FakeAPI(["GET /apis/apus.dev/v1/stats": .json(Self.stats)])
    for words in [["service/front"], ["service", "front"], ["svc", "front"]] {
      let result = apus(["stat"] + words, environment: environment(api))
      #expect(result.status == 0 && result.output.contains("service/front") && !result.output.contains("catalog"))
    }
    let result = apus("stat", "service/frnt", environment: environment(api))
    #expect(result.status == 4)
    #expect(result.errors.contains("frnt"))
  }

  @Test func statAsJSONKeepsTheNamesOfTheAPI() throws {
    let api = try FakeAPI(["GET /apis/apus.dev/v1/stats": .json(Self.stats)])
    let result = apus("stat", "services", "-A", "-o", "json", environment: environment(api))
    let items = try JSONReader.read(Array(result.output.utf8))["items"]?.elements ?? []
    #expect(items.map { $0["name"]?.text } == ["catalog-v1", "front", "other"])
    #expect(items.last?["successRate"] == .integer(1))
  }

  @Test func describeShowsWhatProxiesHaveLearnedOfUndeclaredPorts() throws {
    let none: HTTPResponse = .json("{\"items\":[]}")
    let api = try FakeAPI([
      "GET /api/v1/namespaces/default/services/db": .json(
        """
        {"metadata":{"name":"db","namespace":"default"},"spec":{"ports":[{"port":3306},{"port":80}]}}
        """),
      "GET /apis/apus.dev/v1/workloads": none, "GET /apis/gateway.networking.k8s.io/v1/httproutes": none,
      "GET /apis/gateway.networking.k8s.io/v1/grpcroutes": none,
      "GET /apis/gateway.networking.k8s.io/v1/tcproutes": none,
      "GET /apis/gateway.networking.k8s.io/v1/tlsroutes": .json(
        """
        {"items":[{"kind":"TLSRoute","metadata":{"name":"by-name","namespace":"default"},
          "spec":{"parentRefs":[{"group":"","kind":"Service","name":"db"}],"rules":[{}]}}]}
        """),
      "GET /apis/gateway.networking.k8s.io/v1/backendtlspolicies": .json(
        """
        {"items":[{"kind":"BackendTLSPolicy","metadata":{"name":"outside","namespace":"default"},
          "spec":{"targetRefs":[{"group":"","kind":"Service","name":"db"}],"validation":{}}},
         {"kind":"BackendTLSPolicy","metadata":{"name":"others","namespace":"default"},
          "spec":{"targetRefs":[{"group":"","kind":"Service","name":"web"}],"validation":{}}}]}
        """),
      "GET /apis/apus.dev/v1/trafficpolicies": none, "GET /apis/apus.dev/v1/traffic": none,
      "GET /apis/apus.dev/v1/proxies": .json(
        """
        {"items":[{"id":"a-1","status":"SYNCED"},{"id":"silent","status":"SYNCED"},{"id":"c-1","status":"SYNCED"},
         {"id":"gone","status":"DISCONNECTED"}]}
        """),
      "GET /apis/apus.dev/v1/proxies/a-1/endpoints": .json(
        """
        {"clusters":[{"service":"default/db","port":3306,"detection":"serverFirst"},
         {"service":"default/db","port":80,"detection":"firstBytes"},
         {"service":"default/web","port":1,"detection":"serverFirst"}]}
        """),
      "GET /apis/apus.dev/v1/proxies/c-1/endpoints": .json(
        """
        {"clusters":[{"service":"default/db","port":3306,"detection":"firstBytes"},{"service":"default/db","port":90}]}
        """),
    ])
    let result = apus("describe", "db", environment: environment(api), columns: 100)
    #expect(result.status == 0)
    #expect(
      result.output.contains(
        """
        Protocol    80: not declared, told from the first bytes
        Protocol    3306: not declared, told from the first bytes; server speaks first (learned by a-1)

        """))
    // Routes and policies of every kind that are attached to it, and of no other service.
    #expect(result.output.contains("TLSRoute  by-name      1  -         -"))
    #expect(result.output.contains("BackendTLSPolicy  outside  validation") && !result.output.contains("others"))
    let data = apus("describe", "db", "-o", "json", environment: environment(api))
    let learned = try JSONReader.read(Array(data.output.utf8))["learnedPorts"]?.elements ?? []
    #expect(learned.map { $0["learned"]?.text } == ["serverFirst", "firstBytes", "firstBytes"])
  }

  static let proxies = """
    {"items":[
     {"id":"a-1","workload":"a-1","namespace":"default","service":"a","version":"v1","status":"SYNCED",
      "connectedSince":"2027-01-15T07:50:00Z","certificateNotAfter":"2027-01-15T18:00:00Z","nack":null,
      "sent":{"type.googleapis.com/apus.v1.Workload":"3"},"acked":{"type.googleapis.com/apus.v1.Workload":"3"}},
     {"id":"b-1","workload":"b-1","namespace":"default","service":"b","version":"","status":"NACKED",
      "connectedSince":null,"certificateNotAfter":"2027-01-15T07:59:00Z",
      "nack":{"type":"type.googleapis.com/apus.v1.ServiceConfig","message":"route 2 has no backend"},
      "sent":{"type.googleapis.com/apus.v1.ServiceConfig":"4"},"acked":{"type.googleapis.com/apus.v1.ServiceConfig":"3"}}]}
    """

  @Test func proxyStatusTellsWhatWasRefused() throws {
    let api = try FakeAPI(["GET /apis/apus.dev/v1/proxies": .json(Self.proxies)])
    let result = apus("proxy-status", environment: environment(api), columns: 80)
    #expect(
      result.output == """
        PROXY  SERVICE  VERSION  STATUS  CERTIFICATE      CONNECTED
        a-1    a        v1       SYNCED  10h left         10m
        b-1    b        -        NACKED  expired 60s ago  -

        b-1 refused ServiceConfig: route 2 has no backend

        """)
    let wide = apus("proxy-status", "-o", "wide", environment: environment(api))
    #expect(wide.output.contains("ServiceConfig=3 of 4"))
  }

  /// Answers of a control plane in which some things do not work.
  private func troubled(ready: HTTPResponse) throws -> FakeAPI {
    try FakeAPI([
      "GET /version": .json(#"{"version":"\#(ApusVersion.text)"}"#), "GET /readyz": ready,
      "GET /apis/apus.dev/v1/proxies": .json(Self.proxies),
      "GET /api/v1/services": .json(
        """
        {"items":[{"metadata":{"name":"a","namespace":"default"},"spec":{"selector":{"app":"a"}}},
         {"metadata":{"name":"job","namespace":"default","labels":{"app.kubernetes.io/managed-by":"apus-run"}},
          "spec":{"selector":{"app":"job"}}},
         {"metadata":{"name":"claimed","namespace":"default"},"spec":{"selector":{"version":"v1"}}},
         {"metadata":{"name":"lonely","namespace":"default"},"spec":{"selector":{"app":"nobody"}}}]}
        """),
      "GET /apis/apus.dev/v1/workloads": .json(
        """
        {"items":[{"metadata":{"name":"a-1","namespace":"default","labels":{"app":"a","version":"v1"}},
          "spec":{"serviceAccount":"a"},"status":{"services":["default/a"]}}]}
        """),
      "GET /apis/discovery.k8s.io/v1/endpointslices": .json(#"{"items":[]}"#),
      "GET /apis/gateway.networking.k8s.io/v1/httproutes": .json(VerbTests.list),
      "GET /apis/apus.dev/v1/trafficpolicies": .json(#"{"items":[]}"#),
      "GET /apis/apus.dev/v1/rollouts": .json(#"{"items":[]}"#),
    ])
  }

  @Test func checkTellsEachFindingWithAHint() throws {
    let api = try troubled(ready: .json("ok"))
    let folder = try TemporaryFolder()
    try folder.write("api-token", "secret", mode: 0o644)
    let result = apus("check", "--data", folder.path, environment: environment(api))
    #expect(result.status == 1)
    for text in [
      "FAIL secrets: others may read \(folder.path)/api-token", "chmod 600 \(folder.path)/api-token",
      "FAIL proxy b-1: it refused ServiceConfig: route 2 has no backend", "its certificate expired 60s ago",
      "warn service lonely: no workload matches app=nobody", "FAIL httproute catalog: ResolvedRefs is False",
      "ok   control plane: ready", "ok   service job: no workload matches app=job now; `apus run` made it",
      "warn workload a-1: it has the labels of service claimed, which does not let in its account a",
      "annotation apus.dev/accounts",
    ] {
      #expect(result.output.contains(text), "\(text)")
    }
    #expect(!result.output.contains("service a:"))
    #expect(!result.output.contains("\u{1B}"))
  }

  @Test func everyFindingThatIsNotFineHasAHintInJSON() throws {
    let api = try troubled(ready: .json("not yet", status: 503))
    let result = apus("check", "-o", "json", environment: environment(api))
    let value = try JSONReader.read(Array(result.output.utf8))
    #expect(value["passed"] == .boolean(false))
    for finding in value["findings"]?.elements ?? [] where finding["outcome"]?.text != "ok" {
      #expect(finding["hint"]?.text?.isEmpty == false, "\(finding.json())")
    }
  }
}
