import MeshControl
import MeshWire
import Testing

/// Services whose endpoints are the addresses of a DNS name.
@Suite struct ExternalNameTests {
  static let name = ServiceName(namespace: "default", name: "api")

  private func api(_ spec: String = "", annotations: String = "{}", status: String = "{}") -> String {
    """
    {"apiVersion": "v1", "kind": "Service",
     "metadata": {"name": "api", "namespace": "default", "generation": 3, "annotations": \(annotations)},
     "spec": {"type": "ExternalName", "externalName": "api.example.test", \(spec)
              "ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "admin", "port": 81}]},
     "status": \(status)}
    """
  }

  private func index(_ json: String, _ known: KnownName? = nil, hasIPv6: Bool = true) throws -> MeshIndex {
    var index = MeshIndex(resources: [try #require(read(json).resource)])
    if let known { _ = index.put(names: ["api.example.test": known], hasIPv6: hasIPv6) }
    return index
  }

  private func used(_ index: MeshIndex) throws -> [String] {
    index.addresses(ofExternal: try #require(index.services[Self.name])).used
  }

  @Test(arguments: [
    (#""type": "ExternalName""#, "spec.externalName FieldValueRequired", "api.example.com"),
    (#""externalName": "a.test""#, "spec.externalName FieldValueInvalid", "type: ExternalName"),
    (#""type": "ExternalName", "externalName": "10.0.0.1""#, "spec.externalName FieldValueInvalid", "EndpointSlice"),
    (#""type": "ExternalName", "externalName": "::1""#, "spec.externalName FieldValueInvalid", "EndpointSlice"),
    (#""type": "ExternalName", "externalName": "Api.test""#, "spec.externalName FieldValueInvalid", "lower-case"),
    (#""type": "ExternalName", "externalName": "a..test""#, "spec.externalName FieldValueInvalid", "lower-case"),
    (#""type": "ExternalName", "externalName": """#, "spec.externalName FieldValueInvalid", "lower-case"),
    (
      #""type": "ExternalName", "externalName": "\#(String(repeating: "a", count: 64)).test""#,
      "spec.externalName FieldValueInvalid", "at most 63"
    ),
    (
      #""type": "ExternalName", "externalName": "a.test", "selector": {"app": "a"}"#, "spec.selector FieldValueInvalid",
      "take out the selector"
    ),
    (
      #""type": "ExternalName", "externalName": "a.test", "ports": [{"port": 80, "targetPort": "http"}]"#,
      "spec.ports[0].targetPort FieldValueInvalid", "write the number"
    ),
  ])
  func `what a name cannot be is refused with its place and a mend`(spec: String, expected: String, mend: String) {
    let ports = spec.contains("ports") ? "" : #", "ports": [{"port": 80}]"#
    let violations = read(
      #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {\#(spec)\#(ports)}}"#
    ).violations
    #expect(lines(violations) == [expected])
    #expect(violations.contains { $0.message.contains(mend) })
  }

  @Test func `addresses become endpoints that are named by their address`() throws {
    let index = try index(api(), KnownName(ipv4: ["192.0.2.1"], ipv6: ["2001:db8::1"]))
    let endpoints = try index.compile(external: Self.name).map { try WorkloadConfig(protobuf: $0.bytes) }
    #expect(endpoints.map(\.uid) == ["name/default/api/192.0.2.1", "name/default/api/2001:db8::1"])
    #expect(endpoints.map(\.address) == ["192.0.2.1", "2001:db8::1"])
    #expect(endpoints.allSatisfy { $0.services == ["default/api"] && $0.identity.isEmpty && $0.health == .healthy })
    #expect(
      endpoints.allSatisfy { $0.ports.map(\.appPort) == [8080, 81] && $0.ports.allSatisfy { $0.inboundPort == nil } })
    #expect(endpoints.map(\.name) == ["api.example.test", "api.example.test"])
  }

  @Test func `IPv6 is used where the machine has it, where it is asked for, and where there is nothing else`() throws {
    let both = KnownName(ipv4: ["192.0.2.1"], ipv6: ["2001:db8::1"])
    #expect(try used(index(api(), both)) == ["192.0.2.1", "2001:db8::1"])
    #expect(try used(index(api(), both, hasIPv6: false)) == ["192.0.2.1"])
    #expect(try used(index(api(), KnownName(ipv4: [], ipv6: ["2001:db8::1"]), hasIPv6: false)) == ["2001:db8::1"])
    #expect(try used(index(api(#""ipFamilies": ["IPv6"],"#), both, hasIPv6: false)) == ["2001:db8::1"])
    #expect(try used(index(api(#""ipFamilies": ["IPv4"],"#), both)) == ["192.0.2.1"])
  }

  @Test func `no answer leads to this machine, to a link, or to many`() throws {
    let refused = [
      "0.0.0.0", "127.0.0.1", "127.9.9.9", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::", "::1",
      "::127.0.0.1",
      "::ffff:127.0.0.1", "::ffff:169.254.1.1", "fe80::1", "febf::1", "ff02::1",
    ]
    let taken = ["10.0.0.1", "169.253.0.1", "192.0.2.7", "::ffff:10.0.0.1", "2001:db8::1", "fd00::1"]
    let known = KnownName(
      ipv4: (refused + taken).filter { !$0.contains(":") }, ipv6: (refused + taken).filter { $0.contains(":") })
    let plain = try index(api(), known)
    let service = try #require(plain.services[Self.name])
    #expect(Set(plain.addresses(ofExternal: service).used) == Set(taken))
    #expect(Set(plain.addresses(ofExternal: service).refused) == Set(refused))
    // With the annotation the machine itself, and still nothing else.
    let allowed = try index(api(annotations: #"{"apus.dev/allow-loopback": "true"}"#), known)
    #expect(try Set(used(allowed)) == Set(taken + ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]))
    #expect(
      try used(index(api(annotations: #"{"apus.dev/allow-loopback": "yes"}"#), known)).contains("127.0.0.1") == false)
  }

  @Test func `a thousand addresses are a hundred endpoints, always the same`() throws {
    let addresses = (0..<1000).map { "10.0.\($0 / 250).\($0 % 250 + 1)" }.sorted()
    let index = try index(api(), KnownName(ipv4: addresses))
    #expect(index.compile(external: Self.name).count == ServiceSpec.maxAddresses)
    let status = try #require(index.status(of: index.services[Self.name], now: Timestamp(secondsSinceEpoch: 0)))
    #expect(status["conditions"]?.elements?.first?["message"]?.text?.contains("900 more") == true)
    #expect(status["resolved"]?["addresses"]?.elements?.count == ServiceSpec.maxAddresses)
  }

  @Test func `a failure keeps the addresses and says so`() throws {
    let index = try index(api(), KnownName(ipv4: ["192.0.2.1"], failure: .noAnswer))
    #expect(try used(index) == ["192.0.2.1"])
    let status = try #require(index.status(of: index.services[Self.name], now: Timestamp(secondsSinceEpoch: 60)))
    let condition = try #require(status["conditions"]?.elements?.first)
    #expect(condition["type"]?.text == "Resolved" && condition["status"]?.text == "False")
    #expect(condition["reason"]?.text == "NoAnswer" && condition["observedGeneration"] == .integer(3))
    #expect(condition["message"]?.text?.contains("stay in use") == true)
    #expect(status["resolved"]?["addresses"]?.elements == [.string("192.0.2.1")])
  }

  @Test(arguments: NameFailure.allCases)
  func `every failure is a reason of the condition`(failure: NameFailure) throws {
    let index = try index(api(), KnownName(failure: failure))
    let service = try #require(index.services[Self.name])
    let condition = try #require(index.resolution(of: service, host: "api.example.test"))
    #expect(condition.reason.rawValue == failure.rawValue && !condition.isTrue)
    #expect(condition.message.contains("no_endpoint") && condition.message.contains(failure.remedy))
  }

  @Test func `a control plane that starts anew begins with what the status remembers`() throws {
    let status =
      #"{"resolved": {"name": "api.example.test", "addresses": ["192.0.2.9", "127.0.0.1", "x"]}, "extra": 1}"#
    let remembered = try index(api(status: status))
    #expect(try used(remembered) == ["192.0.2.9"])
    // Nothing is written over it before there is an answer.
    #expect(remembered.status(of: remembered.services[Self.name], now: Timestamp(secondsSinceEpoch: 0)) == nil)
    // A first question that fails changes nothing of it; an answer does.
    #expect(try used(index(api(status: status), KnownName(failure: .noAnswer))) == ["192.0.2.9"])
    let answered = try index(api(status: status), KnownName(ipv4: ["192.0.2.1"]))
    #expect(try used(answered) == ["192.0.2.1"])
    let written = answered.status(of: answered.services[Self.name], now: Timestamp(secondsSinceEpoch: 0))
    #expect(written?["extra"] == .integer(1))
    // Another name's addresses are nobody's.
    #expect(try used(index(api(status: status.replacing("api.example", with: "old.example")))) == [])
  }

  @Test func `a changed answer compiles the endpoints of its services and nothing else`() throws {
    var index = try index(api())
    _ = index.put(try #require(read(service("shop")).resource))
    var mesh = CompiledMesh()
    let first = index.put(names: ["api.example.test": KnownName(ipv4: ["192.0.2.1", "192.0.2.2"])], hasIPv6: false)
    #expect(first.externals == [Self.name] && first.services.isEmpty && first.workloads.isEmpty)
    mesh.update(first, from: index)
    #expect(mesh.workloads.keys.sorted() == ["name/default/api/192.0.2.1", "name/default/api/192.0.2.2"])
    #expect(index.put(names: index.names, hasIPv6: false) == Affected())
    mesh.update(index.put(names: ["api.example.test": KnownName(ipv4: ["192.0.2.2"])], hasIPv6: false), from: index)
    #expect(mesh.workloads.keys.sorted() == ["name/default/api/192.0.2.2"])
    // Its slices have no say, and with its type its endpoints go.
    let slice = """
      {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
       "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "api"}}, "addressType": "IPv4",
       "endpoints": [{"addresses": ["192.0.2.50"]}], "ports": [{"name": "http", "port": 80}]}
      """
    mesh.update(index.put(try #require(read(slice).resource)), from: index)
    #expect(mesh.workloads.keys.sorted() == ["name/default/api/192.0.2.2"])
    let other = api().replacing(#""type": "ExternalName", "externalName": "api.example.test","#, with: "")
    mesh.update(index.put(try #require(read(other).resource)), from: index)
    #expect(mesh.workloads.keys.sorted() == ["slice/default/s/0"])
    #expect(index.wantedNames.isEmpty)
  }
}
