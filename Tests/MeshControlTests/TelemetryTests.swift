import MeshControl
import MeshWire
import Testing

/// Which Telemetry decides what for whom.
@Suite struct TelemetryTests {
  private func telemetry(_ name: String, namespace: String, _ spec: String) -> String {
    #"""
    {"apiVersion": "apus.dev/v1", "kind": "Telemetry", "metadata": {"name": "\#(name)", "namespace": "\#(namespace)"},
     "spec": \#(spec)}
    """#
  }

  private let mesh = #"{"exporter": {"endpoint": "http://mesh:4317"}, "tracing": {"samplingPercentage": 1}}"#

  private func config(_ objects: [String], namespace: String = "shop") throws -> TelemetryConfig? {
    let resources = try (objects + [service("pay", namespace: "shop")]).map { try #require(read($0).resource, "\($0)") }
    let index = MeshIndex(
      resources: resources, workloads: [workload("pay-1", namespace: namespace, labels: ["app": "pay"])])
    let description = ProxyDescription(workload: "pay-1", namespace: namespace, account: "app", labels: [:])
    let resource = index.compile(proxy: description, trustDomain: "cluster.local")
    return try ProxyConfig(protobuf: resource.bytes).telemetry
  }

  @Test func `without any object nothing is said`() throws {
    #expect(try config([]) == nil)
    #expect(try config([telemetry("other", namespace: "elsewhere", mesh)]) == nil)
    #expect(
      try config([
        telemetry("one", namespace: "apus-system", #"{"selector": {"matchLabels": {"app": "pay"}}, "metrics": {}}"#)
      ])
        == nil)
  }

  @Test func `each field is the narrowest object's that sets it`() throws {
    let objects = [
      telemetry("mesh", namespace: "apus-system", mesh),
      telemetry("shop", namespace: "shop", #"{"tracing": {"samplingPercentage": 10, "forceHeader": "X-Debug"}}"#),
      telemetry(
        "pay", namespace: "shop",
        #"{"targetRefs": [{"kind": "Service", "name": "pay"}], "tracing": {"samplingPercentage": 100, "propagation": ["B3"]}}"#
      ),
    ]
    let tracing = try #require(try config(objects)?.tracing)
    #expect(tracing.source == "shop/pay" && tracing.samplePerMillion == 1_000_000 && tracing.propagation == ["b3"])
    #expect(tracing.forceHeader == "x-debug" && tracing.exporter?.endpoint == "http://mesh:4317")
    #expect(try config(Array(objects[..<2]))?.tracing?.samplePerMillion == 100_000)
    #expect(try config(Array(objects[..<1]))?.tracing?.samplePerMillion == 10_000)
    // In another namespace only the mesh's object holds.
    #expect(try config(objects, namespace: "other")?.tracing?.source == "apus-system/mesh")
  }

  @Test func `a narrower object switches off`() throws {
    let objects = [
      telemetry(
        "mesh", namespace: "apus-system",
        #"{"exporter": {"endpoint": "http://mesh"}, "tracing": {}, "metrics": {"interval": "5s"}, "accessLogging": [{}]}"#
      ),
      telemetry(
        "shop", namespace: "shop",
        #"{"tracing": {"disabled": true}, "metrics": {"disabled": true}, "accessLogging": [{"disabled": true}]}"#),
    ]
    let wide = try #require(try config(Array(objects[..<1])))
    #expect(wide.tracing != nil && wide.metrics?.intervalMilliseconds == 5_000 && wide.accessLogs.count == 1)
    let narrow = try #require(try config(objects))
    #expect(narrow.tracing == nil && narrow.metrics == nil && narrow.decidesAccessLogs && narrow.accessLogs.isEmpty)
  }

  @Test func `logs carry their formats, conditions and collector`() throws {
    let logs = #"""
      {"exporter": {"endpoint": "http://c:4318", "protocol": "HTTP", "headers": {"a": "b"}, "timeout": "2s"},
       "accessLogging": [
         {"format": "Text", "text": "%DURATION%"}, {"json": {"b": "%PROTOCOL%", "a": "x"}, "destination": "OTLP"},
         {"format": "Text", "when": {"statuses": [404, "5xx", "200-299"], "slowerThan": "1s", "reasons": ["*", "rate_limited"],
          "percentage": 0.5}}]}
      """#
    let found = try #require(try config([telemetry("shop", namespace: "shop", logs)])).accessLogs
    #expect(found.count == 3 && found[0].text == "%DURATION%" && found[0].exporter == nil)
    #expect(found[1].fields.map(\.name) == ["a", "b"] && found[1].exporter?.exportProtocol == .http)
    #expect(found[1].exporter?.headers == ["a": "b"] && found[1].exporter?.timeoutMilliseconds == 2_000)
    let condition = try #require(found[2].condition)
    #expect(found[2].isDefaultText && condition.statuses == [404, 404, 500, 599, 200, 299])
    #expect(condition.slowerThanMilliseconds == 1_000 && condition.anyReason && condition.reasons == ["rate_limited"])
    #expect(condition.sharePerMillion == 5_000)
    // Without a collector a log for one is left out.
    let none = #"{"accessLogging": [{"destination": "OTLP"}]}"#
    #expect(try config([telemetry("shop", namespace: "shop", none)])?.accessLogs == [])
  }
}
