import Foundation
import MeshWire
import Testing

private func sample() -> Snapshot {
  var rule = RouteRuleConfig()
  rule.route = "shop/catalog"
  rule.parentPort = 80
  var match = RouteMatchConfig()
  var path = ValueMatchConfig()
  path.kind = .prefix
  path.value = "/a\"b\\\u{1}ü"
  match.path = path
  rule.matches = [match]
  var backend = BackendConfig()
  backend.service = "catalog-v2"
  backend.weight = 5
  rule.backends = [backend]
  var service = ServiceConfig()
  service.namespace = "shop"
  service.name = "catalog"
  service.routes = [rule]
  var snapshot = Snapshot()
  snapshot.services = [service]
  return snapshot
}

@Suite struct WireTests {
  @Test func aMessageSurvivesBothEncodings() throws {
    let snapshot = sample()
    #expect(try Snapshot(protobuf: snapshot.protobuf()) == snapshot)
    #expect(try Snapshot(json: Array(snapshot.json().utf8)) == snapshot)
  }

  @Test func protobufBytesAreThoseOfTheStandard() {
    var value = HeaderValue(name: "a", value: "bc")
    #expect(value.protobuf() == [0x0a, 1, 0x61, 0x12, 2, 0x62, 0x63])
    value.name = ""
    #expect(value.protobuf() == [0x12, 2, 0x62, 0x63])
    var timeout = TimeoutConfig()
    timeout.requestMilliseconds = 300
    #expect(timeout.protobuf() == [0x08, 0xac, 0x02])
  }

  @Test func unknownProtobufFieldsAreSkipped() throws {
    let bytes = HeaderValue(name: "a", value: "b").protobuf() + [0x78, 0x05, 0x82, 0x01, 0x02, 0x00, 0x01]
    #expect(try HeaderValue(protobuf: bytes) == HeaderValue(name: "a", value: "b"))
  }

  @Test(arguments: [
    ([0x0a, 0x05, 0x61] as [UInt8], "field 1 is cut off"),
    ([0x0a], "a number is cut off"),
    ([0x03], "field number 0 is out of range"),
    ([0x08, 0x01], "name: has the wrong wire type"),
    ([0x0a, 0x01, 0xff], "name: is not valid UTF-8"),
  ])
  func brokenProtobufIsRefusedWithItsReason(bytes: [UInt8], reason: String) {
    #expect { try HeaderValue(protobuf: bytes) } throws: { "\($0)" == reason }
  }

  @Test func nestingIsBounded() {
    var bytes: [UInt8] = []
    for _ in 0..<100_000 { bytes += [UInt8(ascii: "[")] }
    #expect(throws: WireError.self) { try Snapshot(json: bytes) }
  }

  @Test(arguments: [
    (#"{"services": [{"nmae": "x"}]}"#, "services[0].nmae: is not a field here"),
    (#"{"services": 1}"#, "services: is a number; an array was expected"),
    (#"{"services": [{"ports": [{"number": -1}]}]}"#, "services[0].ports[0].number: -1 is not a whole number"),
    ("{\"node\":\n{\"uid\": \"a\u{1}\"}}", "line 2, column 11: a control character stands in a string"),
    (#"{"node": {"uid": "a"}, "node": {}}"#, "\"node\" comes twice in one object"),
    (#"{} x"#, "something follows the value"),
  ])
  func brokenJSONIsRefusedWithPlaceAndReason(text: String, reason: String) {
    #expect { try Snapshot(json: Array(text.utf8)) } throws: { "\($0)".contains(reason) }
  }

  @Test func collectorsCredentialsAreBlottedOutWhereverTheyStand() {
    var exporter = ExporterConfig()
    exporter.endpoint = "https://collector"
    exporter.headers = ["authorization": "Bearer hush", "x-tenant": "hush"]
    var telemetry = TelemetryConfig()
    telemetry.tracing = TracingConfig()
    telemetry.tracing?.exporter = exporter
    telemetry.metrics = MetricsExportConfig()
    telemetry.metrics?.exporter = exporter
    var log = AccessLogConfig()
    log.exporter = exporter
    telemetry.accessLogs = [log, AccessLogConfig()]
    #expect(telemetry.json().components(separatedBy: "hush").count == 7)
    let redacted = telemetry.redacted.json()
    #expect(!redacted.contains("hush"))
    #expect(redacted.components(separatedBy: "[redacted]").count == 7)
    #expect(redacted.components(separatedBy: "https://collector").count == 4)
  }

  @Test func randomBytesNeverTrap() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0..<64, using: &generator)).map { _ in
        UInt8.random(in: 0...255, using: &generator)
      }
      _ = try? Snapshot(protobuf: bytes)
      _ = try? Snapshot(json: bytes)
    }
  }
}
