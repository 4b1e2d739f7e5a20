import Foundation
import MeshControl
import MeshWire
import Testing

/// Compares what is compiled from `Golden/NAME/input.json` with `expected.json` beside it. With APUS_UPDATE_GOLDEN set
/// the expectation is written anew, to be read before it is committed.
@Suite struct GoldenTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
  static let names =
    ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).filter { !$0.hasPrefix(".") }.sorted()

  @Test func `there are cases to compare`() {
    #expect(Self.names.count >= 4)
  }

  @Test(arguments: names) func `compiles to what is expected`(name: String) throws {
    let place = Self.folder.appendingPathComponent(name)
    let input = try JSONReader.read([UInt8](try Data(contentsOf: place.appendingPathComponent("input.json"))))
    let report = ViolationReport()
    let resources = (input["resources"]?.elements ?? []).compactMap {
      Resource.read($0, namespace: "default", into: report)
    }
    #expect(report.violations == [])
    let workloads = (input["workloads"]?.elements ?? []).map(Self.workload)
    let namespaces = (input["namespaces"]?.elements ?? []).compactMap(\.text)
    let result = try Self.compile(resources: resources, workloads: workloads, namespaces: namespaces)
    let expected = place.appendingPathComponent("expected.json")
    if ProcessInfo.processInfo.environment["APUS_UPDATE_GOLDEN"] != nil {
      let object = try JSONSerialization.jsonObject(with: Data(result.json().utf8))
      let pretty = try JSONSerialization.data(
        withJSONObject: object, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
      try (pretty + Data("\n".utf8)).write(to: expected)
    }
    #expect(try JSONReader.read([UInt8](try Data(contentsOf: expected))) == result)
  }

  private static func workload(_ value: Value) -> MeshWorkload {
    func number(_ name: String) -> UInt16? {
      if case .integer(let number) = value[name]?.content { UInt16(number) } else { nil }
    }
    var ports = [
      MeshWorkload.Port(
        name: value["portName"]?.text ?? "", appPort: number("appPort") ?? 0, meshPort: number("meshPort"))
    ]
    if let second = number("secondPort") { ports.append(MeshWorkload.Port(appPort: second)) }
    let labels = (value["labels"]?.members ?? []).map { ($0.name, $0.value.text ?? "") }
    return MeshControlTests.workload(
      value["uid"]?.text ?? "", namespace: value["namespace"]?.text ?? "default",
      labels: Dictionary(uniqueKeysWithValues: labels), ports: ports)
  }

  private static func compile(
    resources: [Resource], workloads: [MeshWorkload], namespaces: [String]
  ) throws -> Value {
    let index = MeshIndex(resources: resources, workloads: workloads)
    var mesh = CompiledMesh()
    var affected = Affected()
    affected.services = Set(index.services.keys)
    affected.workloads = Set(index.workloads.keys)
    affected.slices = Set(index.slices.keys)
    mesh.update(affected, from: index)
    func parse(_ json: String) throws -> Value { try JSONReader.read(Array(json.utf8)) }
    let views = try namespaces.map { namespace in
      let services = try mesh.services(for: namespace).sorted { $0.key < $1.key }.map { name, resource in
        Value.Member(name, try parse(try ServiceConfig(protobuf: resource.bytes).json()))
      }
      return Value.Member(namespace, .object(services))
    }
    let endpoints = try mesh.workloads.sorted { $0.key < $1.key }.map { name, resource in
      Value.Member(name, try parse(try WorkloadConfig(protobuf: resource.bytes).json()))
    }
    let proxies = try workloads.map { workload in
      let proxy = ProxyDescription(
        workload: workload.uid, namespace: workload.namespace, account: workload.account, labels: [:])
      let resource = index.compile(proxy: proxy, trustDomain: "cluster.local")
      return Value.Member(workload.uid, try parse(try ProxyConfig(protobuf: resource.bytes).json()))
    }
    let now = Timestamp(secondsSinceEpoch: 1_800_000_000)
    let statuses = (index.routes.keys + Array(index.policies.keys) + Array(index.backendPolicies.keys)).sorted().map {
      key in
      Value.Member(key.description, index.status(of: key, now: now) ?? .null)
    }
    return .object([
      Value.Member("services", .object(views)), Value.Member("workloads", .object(endpoints)),
      Value.Member("proxies", .object(proxies)), Value.Member("statuses", .object(statuses)),
    ])
  }
}
