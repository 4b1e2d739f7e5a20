import MeshControl
import MeshWire
import Testing

private func index(_ documents: String...) -> MeshIndex {
  MeshIndex(resources: documents.compactMap { read($0).resource })
}

private func policy(_ name: String, kind: String = "Service", target: String, _ settings: String) -> String {
  let group = kind == "Service" ? "" : "gateway.networking.k8s.io"
  return """
    {"apiVersion": "apus.dev/v1", "kind": "TrafficPolicy", "metadata": {"name": "\(name)", "namespace": "default"},
     "spec": {"targetRefs": [{"group": "\(group)", "kind": "\(kind)", "name": "\(target)"}], \(settings)}}
    """
}

private func record(_ reason: String, route: String = "", service: String = "shop", limit: UInt32 = 0) -> DecisionRecord
{
  var record = DecisionRecord()
  record.reason = reason
  record.route = route
  record.destinationNamespace = "default"
  record.service = service
  record.limit = limit
  return record
}

private func decided(_ index: MeshIndex, _ record: DecisionRecord) -> String? {
  Explanation(of: [record])?.object.map { index.decider($0, for: record).text }
}

@Suite struct DecidingObjectTests {
  private let timed = route(
    #"[{"name": "quick", "timeouts": {"request": "1s"}, "backendRefs": [{"name": "shop", "port": 80}]}, "#
      + #"{"backendRefs": [{"name": "shop", "port": 80}]}]"#)

  @Test func aTimeoutIsOfWhoeverSetIt() {
    let bare = index(service("shop"), timed)
    #expect(
      decided(bare, record("request_timeout", route: "default/r/quick", limit: 1000))
        == "HTTPRoute default/r, rule quick, timeout 1000 ms")
    let whole = index(
      service("shop"), timed, policy("slow", target: "shop", #""timeouts": {"request": "9s"}"#))
    #expect(
      decided(whole, record("request_timeout", route: "default/r/1", limit: 9000))
        == "TrafficPolicy default/slow, timeout 9000 ms")
    #expect(
      decided(whole, record("request_timeout", route: "default/r/quick", limit: 1000))
        == "HTTPRoute default/r, rule quick, timeout 1000 ms")
    let both = index(
      service("shop"), timed, policy("slow", target: "shop", #""timeouts": {"request": "9s"}"#),
      policy("near", kind: "HTTPRoute", target: "r", #""timeouts": {"request": "2s"}"#))
    #expect(
      decided(both, record("request_timeout", route: "default/r/1", limit: 2000))
        == "TrafficPolicy default/near, timeout 2000 ms")
  }

  @Test func aLimitIsOfThePolicyThatHasItElseTheMeshsOwn() {
    let set = index(service("shop"), policy("narrow", target: "shop", #""circuitBreaker": {"maxRequests": 3}"#))
    #expect(
      decided(set, record("circuit_open_requests", limit: 3))
        == "TrafficPolicy default/narrow, limit 3 requests under way for each worker")
    #expect(
      decided(set, record("circuit_open_pending", limit: 1024))
        == "Service default/shop, limit 1024 waiting requests for each worker, the mesh's default")
    #expect(
      decided(set, record("retry_budget_exhausted")) == "Service default/shop, the mesh's default")
  }

  @Test func whatThePolicyItselfSaidStands() {
    var limited = record("rate_limited", limit: 5)
    limited.policy = "default/few"
    #expect(decided(index(service("shop")), limited) == "TrafficPolicy default/few, limit of 5 requests")
    limited.policy = "default/few/of-guests"
    #expect(
      decided(index(service("shop")), limited) == "TrafficPolicy default/few, rule of-guests, limit of 5 requests")
  }

  @Test func routesAreNamedByTheirKind() {
    let call = """
      {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute",
       "metadata": {"name": "calls", "namespace": "default"},
       "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "shop"}],
                "rules": [{"backendRefs": [{"name": "nowhere", "port": 80}]}]}}
      """
    #expect(
      decided(index(service("shop"), call), record("backend_not_found", route: "default/calls/0"))
        == "GRPCRoute default/calls, rule 0")
  }

  @Test func peerAuthenticationIsNamedWhereOneDemandsIt() {
    var refused = record("tls_plaintext_refused")
    refused.reporter = .destination
    refused.isConnection = true
    refused.proxy = "w1"
    refused.peer = "127.0.0.1:5000"
    let strict = """
      {"apiVersion": "apus.dev/v1", "kind": "PeerAuthentication", "metadata": {"name": "all", "namespace": "default"},
       "spec": {"mode": "STRICT"}}
      """
    var bare = index(service("shop"))
    _ = bare.put(workload("w1", labels: ["app": "shop"]))
    #expect(
      decided(bare, refused) == "Client 127.0.0.1:5000, mutual TLS is demanded by the mesh's default, STRICT")
    var set = index(service("shop"), strict)
    _ = set.put(workload("w1", labels: ["app": "shop"]))
    #expect(decided(set, refused) == "PeerAuthentication default/all, refused 127.0.0.1:5000")
  }
}
