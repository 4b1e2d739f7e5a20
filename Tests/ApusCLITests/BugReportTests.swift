import ApusCLI
import ApusHTTP
import Foundation
import MeshControl
import Testing

struct BugReportTests {
  static let routes = """
    {"items":[{"metadata":{"name":"r","namespace":"shop","annotations":{
        "kubectl.kubernetes.io/last-applied-configuration":"{\\"value\\":\\"Bearer hidden-1\\"}"}},
      "spec":{"rules":[{"filters":[{"requestHeaderModifier":{"set":[
        {"name":"Authorization","value":"Bearer hidden-2"},{"name":"X-Api-Key","value":"hidden-3"},
        {"name":"x-tenant","value":"open \\"internal.example\\" text"}]}}],
        "matches":[{"headers":[{"name":"cookie","value":"hidden-4"}]}]}]}}]}
    """

  @Test func secretsOfObjectsAndWhatIsNamedAreTakenOut() throws {
    let api = try FakeAPI([
      "GET /version": .json(#"{"version":"1.0.0"}"#),
      "GET /apis/gateway.networking.k8s.io/v1/httproutes": .json(Self.routes),
    ])
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("report-\(UUID().uuidString).json").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    let result = apus(
      "bug-report", "--file", file, "--redact", "internal.example", "--redact", "shop",
      environment: ["APUS_API": "127.0.0.1:\(api.port)"])
    #expect(result.status == 0, "\(result.errors)")
    let text = try String(contentsOfFile: file, encoding: .utf8)
    #expect(!text.contains("hidden"))
    #expect(!text.contains("internal.example") && !text.contains("shop"))
    #expect(text.contains("x-tenant") && text.contains("[redacted]"))
    // What cannot be had is said in its place, and the report is made.
    let report = try JSONReader.read(Array(text.utf8))
    #expect(report["workloads"]?.text?.hasPrefix("not to be had") == true)
    #expect(report["controlPlane"]?["version"]?.text == "1.0.0")
    let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
    #expect(mode == 0o600, "for its owner only")
  }
}
