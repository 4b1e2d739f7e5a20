import ApusCLI
import ApusHTTP
import MeshControl
import Testing

struct SeeingVerbTests {
  private func environment(_ api: FakeAPI) -> [String: String] { ["APUS_API": "127.0.0.1:\(api.port)"] }

  static let traffic = """
    {"windowSeconds":60,"items":[
     {"sourceNamespace":"default","source":"front-1","sourceService":"front","destinationNamespace":"default",
      "service":"catalog","workload":"catalog-v1","route":"default/canary/0","mutualTLS":true,"successRate":0.98,
      "attemptSuccessRate":0.9,"requests":100,"failures":2,"retries":10,"rps":1.66,"p50Ms":1.2,"p95Ms":3.4,
      "p99Ms":12.6,"tcpConnections":0,"reasons":{"connect_refused":2}},
     {"sourceNamespace":"unknown","source":"unknown","sourceService":"unknown","destinationNamespace":"shop",
      "service":"a-service-with-a-very-long-name-that-does-not-fit","workload":"w","route":"","mutualTLS":false,
      "successRate":null,"attemptSuccessRate":null,"requests":0,"failures":0,"retries":0,"rps":0,"p50Ms":null,
      "p95Ms":null,"p99Ms":null,"tcpConnections":1,"reasons":{}}]}
    """
  static let workloads = """
    {"items":[{"metadata":{"namespace":"default","uid":"front-1"},"spec":{"workload":"front-1"},
     "status":{"identity":"spiffe://cluster.local/ns/default/sa/front","services":[]}}]}
    """

  @Test func edgesSayWhetherTheyAreSecuredAndFitEightyColumns() throws {
    let api = try FakeAPI([
      "GET /apis/apus.dev/v1/traffic": .json(Self.traffic), "GET /apis/apus.dev/v1/workloads": .json(Self.workloads),
    ])
    let result = apus("edges", "-A", environment: environment(api), columns: 80)
    #expect(result.status == 0)
    let lines = result.output.split(separator: "\n")
    #expect(lines.allSatisfy { $0.count <= 80 })
    #expect(lines[1].contains("mTLS") && lines[1].contains("98.00%") && lines[2].contains(" no "))
    let json = apus("edges", "-A", "-o", "json", environment: environment(api))
    let items = try JSONReader.read(Array(json.output.utf8))["items"]?.elements ?? []
    #expect(items.first?["sourceIdentity"]?.text == "spiffe://cluster.local/ns/default/sa/front")
    #expect(apus("edges", environment: environment(api)).output.contains("front"))
    #expect(!apus("edges", environment: environment(api)).output.contains("very-long"))
    #expect(apus("edges", "--window", "9999", environment: environment(api)).status == 2)
  }

  @Test func routesTellWhatCallersSawFromWhatAttemptsCameTo() throws {
    let api = try FakeAPI(["GET /apis/apus.dev/v1/traffic": .json(Self.traffic)])
    let result = apus("routes", "service/catalog", "--from", "front", environment: environment(api), columns: 80)
    #expect(result.output.contains("canary/0") && result.output.contains("90.00%"))
    #expect(result.output.contains("(none)"))
    #expect(result.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
    #expect(api.requests.first?.target.contains("from=front&to=default%2Fcatalog") == true)
    #expect(apus("stat", "--to", "catalog", environment: environment(api)).output.contains("RETRIES"))
    #expect(apus("stat", "service/catalog", "--to", "catalog", environment: environment(api)).status == 2)
  }

  @Test(arguments: [["catalog"], ["service/catalog"], ["svc/catalog"], ["service", "catalog"], ["svc", "catalog"]])
  func servicesGoByNameWithOrWithoutTheirKind(_ words: [String]) throws {
    let path = "/api/v1/namespaces/shop/services/catalog"
    let none: HTTPResponse = .json("{\"items\":[]}")
    var answers: [String: HTTPResponse] = ["GET \(path)": .json("{\"metadata\":{\"name\":\"catalog\"}}")]
    for kind in ["httproutes", "grpcroutes", "tlsroutes", "tcproutes", "backendtlspolicies"] {
      answers["GET /apis/gateway.networking.k8s.io/v1/\(kind)"] = none
    }
    for kind in ["workloads", "trafficpolicies", "proxies", "traffic"] {
      answers["GET /apis/apus.dev/v1/\(kind)"] = none
    }
    let api = try FakeAPI(answers)
    let described = apus(["describe"] + words + ["-n", "shop"], environment: environment(api))
    #expect(described.status == 0 && described.output.hasPrefix("Service     shop/catalog\n"), "\(described.errors)")
    #expect(apus(["routes"] + words + ["-n", "shop"], environment: environment(api)).status == 0)
    #expect(api.requests.last?.target.contains("&to=shop%2Fcatalog") == true)
  }

  @Test func whatIsNoServiceIsSentToGet() throws {
    let api = try FakeAPI([:])
    for words in [
      ["describe", "httproute", "catalog"], ["describe", "httproute/catalog"], ["routes", "tcproute/catalog"],
    ] {
      let result = apus(words, environment: environment(api))
      #expect(result.status == 2)
      #expect(result.errors.contains("about services") && result.errors.contains("apus get"))
    }
    #expect(apus("describe", "service/", environment: environment(api)).status == 2)
    #expect(apus("describe", "nonsense", "catalog", environment: environment(api)).errors.contains("no kind"))
    #expect(api.requests.isEmpty)
  }

  @Test func bothEndsGoByNameWithTheirKindToo() throws {
    let api = try FakeAPI([
      "GET /apis/apus.dev/v1/why": .json(Self.explanation), "GET /apis/apus.dev/v1/traffic": .json(Self.traffic),
    ])
    _ = apus("why", "--from", "workload/front", "--to", "service/shop/payments", environment: environment(api))
    #expect(api.requests.last?.target == "/apis/apus.dev/v1/why?from=front&to=shop%2Fpayments")
    _ = apus("edges", "--to", "svc/payments", environment: environment(api))
    #expect(api.requests.last?.target.hasSuffix("&to=payments") == true)
    _ = apus("edges", "--to", "shop/payments", environment: environment(api))
    #expect(api.requests.last?.target.hasSuffix("&to=shop%2Fpayments") == true)
  }

  static let explanation = """
    {"sentence":"GET /pay from front to payments was refused with 503 by the proxy of the caller: the endpoint refused the connection.",
     "reason":"connect_refused","object":{"kind":"Endpoint","namespace":"shop","name":"p","detail":"x","text":"Endpoint shop/p, x"},
     "chain":[{"place":"proxy of front-1","text":"for shop/payments; 503 after 1.0 ms"}],"remedy":"Check the port.",
     "decisions":[]}
    """

  @Test func whyBeginsWithASentenceAndEndsWithWhatToDo() throws {
    let api = try FakeAPI(["GET /apis/apus.dev/v1/why": .json(Self.explanation)])
    let result = apus("why", "abc def", environment: environment(api), columns: 80)
    #expect(
      result.output == """
        GET /pay from front to payments was refused with 503 by the proxy of the caller:
        the endpoint refused the connection.

        1. proxy of front-1: for shop/payments; 503 after 1.0 ms

        decided by: Endpoint shop/p, x
        reason: connect_refused
        do: Check the port.

        """)
    #expect(api.requests.first?.target == "/apis/apus.dev/v1/why?id=abc%20def")
    #expect(apus("why", environment: environment(api)).status == 2)
    #expect(apus("why", "id", "--from", "a", "--to", "b", environment: environment(api)).status == 2)
    let missing = try FakeAPI([:])
    #expect(apus("why", "id", environment: environment(missing)).status == 4)
  }

  @Test func proxiesAreFoundByTheirServiceWhereThatIsPlain() throws {
    let proxies = """
      {"items":[{"id":"front-1","workload":"front-1","service":"front","status":"SYNCED"},
       {"id":"cat-1","workload":"cat","service":"cat","status":"SYNCED"},
       {"id":"cat-2","workload":"cat","service":"cat","status":"SYNCED"}]}
      """
    let page = """
      {"clusters":[{"service":"default/cat","port":80,"balancer":"peakEWMA","limits":[
       {"kind":"requests","current":1,"limit":1024},{"kind":"pending"}],"endpoints":[
       {"uid":"cat-1","address":"127.0.0.1:9","state":"healthy","weight":1,"identity":"spiffe://x"}]}]}
      """
    let api = try FakeAPI([
      "GET /apis/apus.dev/v1/proxies": .json(proxies), "GET /apis/apus.dev/v1/proxies/front-1/endpoints": .json(page),
    ])
    let endpoints = apus("proxy-config", "endpoints", "front", environment: environment(api), columns: 80)
    #expect(endpoints.output.contains("default/cat:80") && endpoints.output.contains("mTLS"))
    #expect(apus("proxy-config", "clusters", "front", environment: environment(api)).output.contains("1/1024"))
    let several = apus("proxy-config", "endpoints", "cat", environment: environment(api))
    #expect(several.status == 2 && several.errors.contains("cat-2"))
    #expect(apus("proxy-config", "endpoints", "nobody", environment: environment(api)).status == 4)
    #expect(apus("proxy-config", "nothing", "front", environment: environment(api)).status == 2)
  }

  @Test func evalTellsWhatWouldGoAnotherWay() throws {
    let answer = """
      {"answers":[{"from":"front","to":"catalog","method":"GET","path":"/","before":"a","after":"b","changed":true}],
       "effects":[{"from":"default/front","to":"default/catalog","requestsPerHour":312,"before":"old","after":"new",
       "sampleCount":4}],"unchangedPerHour":14,"unknownPerHour":2,"problems":["rules[0] is wrong"]}
      """
    let api = try FakeAPI(["POST /apis/apus.dev/v1/eval": .json(answer)])
    let result = apus(
      "eval", "-f", "-", "--to", "catalog", "--path", "/x", "--header", "a=b", environment: environment(api))
    #expect(result.output.contains("GET catalog/ would go another way.\n  now: a\n  then: b"))
    #expect(result.output.contains("312 requests/h from default/front to default/catalog"))
    #expect(result.output.contains("14 requests/h would go the same way, 2 cannot be told."))
    #expect(result.output.contains("Proxies would refuse: rules[0] is wrong"))
    #expect(api.requests.first?.target.contains("headers=a%3Db") == true)
    #expect(apus("eval", "-f", "-", "--path", "/x", environment: environment(api)).status == 2)
  }

  @Test func theDashboardsAddressCarriesItsSessionBehindTheHash() throws {
    let api = try FakeAPI(["POST /apis/apus.dev/v1/sessions": .json("{\"token\":\"0123\"}", status: 201)])
    let result = apus("dashboard", environment: environment(api))
    #expect(result.output == "http://127.0.0.1:\(api.port)/dashboard/#token=0123\n")
    _ = apus("dashboard", "--allow-writes", environment: environment(api))
    #expect(api.requests.last?.target == "/apis/apus.dev/v1/sessions?write=true")
  }
}
