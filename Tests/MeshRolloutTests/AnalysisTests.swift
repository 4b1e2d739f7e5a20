import Foundation
import MeshControl
import Testing

@Suite struct AnalysisTests {
  static let services = [
    service("shop"), service("shop-v1", selector: #"{"app": "shop", "version": "v1"}"#), service("shop-v2"),
  ]

  static func service(_ name: String, selector: String = #"{"app": "shop"}"#) -> String {
    """
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "\(name)"},
     "spec": {"selector": \(selector), "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}
    """
  }

  static func route(_ rules: String, name: String = "shop", parent: String = "shop") -> String {
    """
    {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "\(name)"},
     "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "\(parent)"}], "rules": \(rules)}}
    """
  }

  static func policy(_ name: String, _ spec: String) -> String {
    """
    {"apiVersion": "apus.dev/v1", "kind": "TrafficPolicy", "metadata": {"name": "\(name)"},
     "spec": {"targetRefs": [{"kind": "Service", "name": "shop"}], \(spec)}}
    """
  }

  static let workload = MeshWorkload(
    uid: "u", name: "shop-1", namespace: "default", account: "shop", trustDomain: "cluster.local",
    labels: ["app": "shop", "version": "v1"], address: "127.0.0.1", ports: [.init(name: "http", appPort: 8080)])

  static func findings(_ objects: [String], isLive: Bool = true) throws -> [Finding] {
    let read = try objects.map { json in
      let report = ViolationReport()
      let document = value(json)
      let resource = Resource.read(document, namespace: "default", into: report)
      #expect(report.violations == [])
      return MeshAnalysis.Object(try #require(resource), document: document)
    }
    return MeshAnalysis.findings(read, world: .init(workloads: isLive ? [workload] : nil, isComplete: isLive))
  }

  /// `CODE path` of each.
  static func lines(_ objects: [String], isLive: Bool = true) throws -> [String] {
    try findings(objects, isLive: isLive).map { "\($0.code.rawValue) \($0.path)" }
  }

  static func telemetry(_ name: String, _ spec: String, namespace: String = "default") -> String {
    """
    {"apiVersion": "apus.dev/v1", "kind": "Telemetry", "metadata": {"name": "\(name)", "namespace": "\(namespace)"},
     "spec": {\(spec)}}
    """
  }

  @Test func `what is to be sent needs a collector somewhere`() throws {
    let all = Self.telemetry(
      "all",
      #""tracing": {}, "metrics": {"interval": "1m"}, "accessLogging": [{"format": "JSON"}, {"destination": "OTLP"}]"#)
    let wanted = ["AP801 spec.accessLogging[1]", "AP801 spec.metrics", "AP801 spec.tracing"]
    #expect(try Self.lines([all]) == wanted)
    let collector = #""exporter": {"endpoint": "http://127.0.0.1:4317"}"#
    #expect(try Self.lines([all, Self.telemetry("elsewhere", collector, namespace: "other")]) == wanted)
    #expect(try Self.lines([all, Self.telemetry("mesh", collector, namespace: "apus-system")]) == [])
    #expect(try Self.lines([all, Self.telemetry("own", collector)]) == [])
    let traces = Self.telemetry("traces", #""tracing": {\#(collector)}"#)
    #expect(try Self.lines([all, traces]) == Array(wanted.dropLast()))
    #expect(try Self.lines([Self.telemetry("off", #""tracing": {"disabled": true}"#)]) == [])
  }

  @Test(
    arguments: [
      ("/.*", "/foo", true), (".*", "/foo", true), ("^/.*$", "/", true), ("/foo.*", "/foo/bar", true),
      ("/foo/.*", "/foo/bar", true), ("/foo/.*", "/foo", false), ("/foo/.*", "/fo", false),
      ("/fo[ox].*", "/foo", false),
      ("/foo.+", "/foo", false), ("/a|/foo.*", "/foo", false),
    ]) func `an expression for all below a path hides the prefixes there`(
      expression: String, prefix: String, isHidden: Bool
    ) throws
  {
    let backend = #""backendRefs": [{"name": "shop-v1", "port": 80}]"#
    let path = #"{"matches": [{"path": {"type": "RegularExpression", "value": "\#(expression)"}}], \#(backend)}"#
    let rest = #"{"matches": [{"path": {"value": "\#(prefix)"}, "method": "GET"}], \#(backend)}"#
    let wanted = isHidden ? ["AP201 spec.rules[0].matches[0]"] : []
    #expect(try Self.lines(Self.services + [Self.route("[\(rest), \(path)]")]) == wanted)
    let other = Self.route("[\(path)]", name: "all")
    let conflict = isHidden ? ["AP202 spec.rules[0].matches[0]"] : []
    #expect(try Self.lines(Self.services + [Self.route("[\(rest)]"), other]) == conflict)
    // What asks for more than a path leaves the others to the prefix.
    let narrow = path.replacingOccurrences(of: #""matches": [{"#, with: #""matches": [{"method": "POST", "#)
    #expect(try Self.lines(Self.services + [Self.route("[\(rest), \(narrow)]")]) == [])
  }

  @Test func `of two kinds of routes on one port the second is not accepted`() throws {
    let grpc = Self.route(#"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}]"#, name: "calls")
      .replacingOccurrences(of: "HTTPRoute", with: "GRPCRoute")
    let http = Self.route(#"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}]"#)
    #expect(try Self.lines(Self.services + [http, grpc]) == ["AP205 spec.parentRefs[0]"])
    let found = try Self.findings(Self.services + [http, grpc]).first
    #expect(found?.message.contains("GRPCRoute default/calls's") == true)
    #expect(found?.object?.groupKind.kind == "HTTPRoute")
    // A second port is left for the other kind.
    let twoPorts = Self.services[0].replacingOccurrences(
      of: #""targetPort": 8080}"#, with: #""targetPort": 8080}, {"name": "calls", "port": 81, "targetPort": 8080}"#)
    let onOne = grpc.replacingOccurrences(of: #""name": "shop"}]"#, with: #""name": "shop", "port": 81}]"#)
    #expect(try Self.lines([twoPorts] + Self.services[1...] + [http, onOne]) == [])
  }

  @Test func `what policies are attached to, and trust, is there`() throws {
    func tls(_ target: String, _ map: String) -> String {
      """
      {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": "tls"},
       "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "\(target)"}], "validation": {"hostname": "a.test",
       "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "\(map)"}]}}}
      """
    }
    func map(_ key: String) -> String {
      #"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "roots"}, "data": {"\#(key)": "x"}}"#
    }
    let authority = "AP108 spec.validation.caCertificateRefs[0]"
    #expect(try Self.lines(Self.services + [tls("shop", "roots"), map("ca.crt")]) == [])
    #expect(try Self.lines(Self.services + [tls("shop", "roots"), map("other")]) == [authority])
    #expect(try Self.lines(Self.services + [tls("gone", "roots")]) == ["AP103 spec.targetRefs[0]", authority])
    #expect(try Self.findings([tls("gone", "roots")], isLive: false).allSatisfy { $0.severity == .warning })
    let telemetry = Self.telemetry(
      "one", #""targetRefs": [{"kind": "Service", "name": "gone"}], "exporter": {"endpoint": "http://127.0.0.1:4317"}"#)
    #expect(try Self.lines(Self.services + [telemetry]) == ["AP103 spec.targetRefs[0]"])
  }

  @Test func `a route of gateways only is in force nowhere`() throws {
    let route = Self.route(#"[{"backendRefs": [{"name": "shop", "port": 80}]}]"#).replacingOccurrences(
      of: #""group": "", "kind": "Service", "name": "shop""#, with: #""name": "gateway""#)
    #expect(try Self.lines(Self.services + [route]) == ["AP107 spec.parentRefs"])
  }

  @Test func `a sound configuration has no findings`() throws {
    let rules =
      #"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}, {"matches": [{"path": {"value": "/a"}}], "backendRefs": [{"name": "shop-v1", "port": 80}]}]"#
    #expect(try Self.lines(Self.services + [Self.route(rules)]) == [])
  }

  @Test(
    arguments: [
      (#"[{"backendRefs": [{"name": "gone", "port": 80}]}]"#, "AP102 spec.rules[0].backendRefs[0]"),
      (#"[{"backendRefs": [{"name": "shop-v1", "port": 81}]}]"#, "AP106 spec.rules[0].backendRefs[0].port"),
      (
        #"[{"filters": [{"type": "ExtensionRef", "extensionRef": {"group": "apus.dev", "kind": "DirectResponse", "name": "no"}}]}]"#,
        "AP104 spec.rules[0].filters[0].extensionRef"
      ),
      (
        #"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}, {"backendRefs": [{"name": "shop-v2", "port": 80}]}]"#,
        "AP201 spec.rules[1].matches[0]"
      ),
      (
        #"[{"matches": [{"path": {"value": "/a/"}, "headers": [{"name": "X", "value": "1"}]}], "backendRefs": [{"name": "shop-v1", "port": 80}]}, {"matches": [{"headers": [{"name": "x", "value": "1"}], "path": {"value": "/a"}}], "backendRefs": [{"name": "shop-v1", "port": 80}]}]"#,
        "AP201 spec.rules[1].matches[0]"
      ),
      (
        #"[{"backendRefs": [{"name": "shop-v1", "port": 80}, {"name": "shop-v2", "port": 80, "weight": 0}]}]"#,
        "AP203 spec.rules[0].backendRefs[1]"
      ),
      (
        #"[{"backendRefs": [{"name": "shop-v1", "port": 80}, {"name": "shop-v1", "port": 80}]}]"#,
        "AP204 spec.rules[0].backendRefs[1]"
      ),
      (
        #"[{"timeouts": {"request": "1s", "backendRequest": "800ms"}, "retry": {"attempts": 2}, "backendRefs": [{"name": "shop-v1", "port": 80}]}]"#,
        "AP301 spec.rules[0].retry"
      ),
      (
        #"[{"timeouts": {"request": "2s", "backendRequest": "800ms"}, "retry": {"attempts": 2}, "backendRefs": [{"name": "shop-v1", "port": 80}]}]"#,
        "AP302 spec.rules[0].retry"
      ),
      (
        #"[{"timeouts": {"request": "2s"}, "retry": {"attempts": 2}, "backendRefs": [{"name": "shop-v1", "port": 80}]}]"#,
        "AP303 spec.rules[0].retry"
      ),
      (
        #"[{"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shop-v1", "port": 80}}}], "backendRefs": [{"name": "shop-v1", "port": 80}]}]"#,
        "AP401 spec.rules[0].filters[0].requestMirror.backendRef"
      ),
    ]) func `each fault of a route has its code and its place`(rules: String, line: String) throws
  {
    #expect(try Self.lines(Self.services + [Self.route(rules)]) == [line])
  }

  @Test func `of two routes with one match the older decides`() throws {
    let rules = #"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}]"#
    let found = try Self.findings(Self.services + [Self.route(rules), Self.route(rules, name: "shop-later")])
    #expect(found.map(\.code) == [.routesConflict] && found.first?.object?.name == "shop-later")
  }

  @Test func `references that lead out of the files are warnings there, and errors in the mesh`() throws {
    let objects = [Self.route(#"[{"backendRefs": [{"name": "gone", "port": 80}]}]"#, parent: "nowhere")]
    #expect(try Self.findings(objects, isLive: false).map(\.severity) == [.warning, .warning])
    #expect(try Self.findings(objects).map(\.severity) == [.error, .error])
  }

  @Test func `selectors are held against the workloads that run`() throws {
    #expect(
      try Self.lines([Self.service("lonely", selector: #"{"app": "nobody"}"#)]) == ["AP501 spec.selector"])
    #expect(try Self.lines([Self.service("lonely", selector: #"{"app": "nobody"}"#)], isLive: false) == [])
    let named = """
      {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
       "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80, "targetPort": "grpc"}]}}
      """
    #expect(try Self.lines([named]) == ["AP502 spec.ports[0].targetPort"])
  }

  @Test func `policies: targets, conflicts, retries that cannot fit`() throws {
    let shop = [Self.service("shop")]
    #expect(
      try Self.lines([Self.policy("one", #""retryBudget": {"percent": 0, "minRetriesPerSecond": 0}"#)]).sorted()
        == ["AP103 spec.targetRefs[0]", "AP304 spec.retryBudget"])
    #expect(
      try Self.lines(
        shop + [Self.policy("one", #""retry": {"attempts": 1}"#), Self.policy("two", #""retry": {"attempts": 1}"#)])
        == ["AP601 spec.targetRefs[0]"])
    #expect(
      try Self.lines(
        shop + [Self.policy("one", #""retry": {"attempts": 3, "perTryTimeout": "4s"}, "timeouts": {"request": "5s"}"#)])
        == ["AP301 spec.retry"])
  }

  @Test func `limits that no proxy keeps: endpoints outside the mesh`() throws {
    let outside =
      #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}}"#
    let slice = """
      {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
       "metadata": {"name": "shop", "labels": {"kubernetes.io/service-name": "shop"}}, "addressType": "IPv4",
       "endpoints": [{"addresses": ["192.0.2.1"]}], "ports": [{"port": 80}]}
      """
    func limits(_ sides: String...) -> String {
      let list = sides.enumerated().map { #"{"name": "l\#($0)", "requests": 5\#($1)}"# }.joined(separator: ", ")
      return Self.policy("one", #""rateLimits": [\#(list)]"#)
    }
    let mixed = limits(#", "side": "Client""#, "", #", "side": "Server", "scope": "Global""#)
    #expect(
      try Self.lines([outside, slice, mixed]) == ["AP603 spec.rateLimits[1]", "AP603 spec.rateLimits[2]"])
    #expect(
      try Self.lines([outside, slice, Self.policy("one", #""adaptiveConcurrency": {}"#)])
        == ["AP603 spec.adaptiveConcurrency"])
    #expect(try Self.lines([outside, slice, limits(#", "side": "Client""#)]) == [])
    #expect(try Self.lines([Self.service("shop"), mixed]) == [])
    let finding = try #require(try Self.findings([outside, slice, limits("")]).first)
    #expect(finding.severity == .warning && finding.mend.contains("side: Client") && finding.line == 2)
  }

  @Test func `external names: no answer, and slices that have no say`() throws {
    func external(_ status: String) -> String {
      """
      {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
       "spec": {"type": "ExternalName", "externalName": "shop.test", "ports": [{"port": 80}]}, "status": \(status)}
      """
    }
    func condition(_ status: String, _ reason: String) -> String {
      #"{"conditions": [{"type": "Resolved", "status": "\#(status)", "reason": "\#(reason)", "message": "why"}]}"#
    }
    let slice = """
      {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
       "metadata": {"name": "shop", "labels": {"kubernetes.io/service-name": "shop"}}, "addressType": "IPv4",
       "endpoints": [{"addresses": ["192.0.2.1"]}], "ports": [{"port": 80}]}
      """
    #expect(try Self.lines([external("{}")]) == [])
    #expect(try Self.lines([external(condition("True", "Answered"))]) == [])
    #expect(try Self.lines([external(condition("False", "Pending"))]) == [])
    for reason in NameFailure.allCases {
      let finding = try #require(try Self.findings([external(condition("False", reason.rawValue))]).first)
      #expect(finding.code == .nameUnresolved && finding.path == "spec.externalName" && finding.message == "why")
      #expect(finding.mend == reason.remedy)
    }
    #expect(try Self.lines([external(condition("False", "AddressesRefused"))]) == ["AP505 spec.externalName"])
    #expect(try Self.lines([external("{}"), slice]) == ["AP504 metadata.labels"])
    #expect(
      try Self.lines([external("{}"), Self.policy("one", #""adaptiveConcurrency": {}"#)])
        == ["AP603 spec.adaptiveConcurrency"])
  }

  @Test func `external names that lead to a workload of the mesh, past its proxy`() throws {
    func external(_ port: String, _ addresses: String, name: String = "shop.test") -> String {
      """
      {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
       "spec": {"type": "ExternalName", "externalName": "shop.test", "ports": [\(port)]},
       "status": {"resolved": {"name": "\(name)", "addresses": \(addresses)}}}
      """
    }
    let (itsPort, itsAddress) = (#"{"port": 80, "targetPort": 8080}"#, #"["192.0.2.1", "127.0.0.1"]"#)
    let finding = try #require(try Self.findings([external(itsPort, itsAddress)]).first)
    #expect(finding.code == .nameWithinMesh && finding.path == "spec.externalName" && finding.severity == .warning)
    #expect(finding.message.contains("127.0.0.1:8080, the workload default/shop-1"))
    #expect(finding.mend.contains("selector"))
    #expect(try Self.lines([external(#"{"port": 8080}"#, itsAddress)]) == ["AP506 spec.externalName"])
    // Another program of that machine, another machine, an answer for another name, files alone.
    #expect(try Self.lines([external(#"{"port": 80}"#, itsAddress)]) == [])
    #expect(try Self.lines([external(itsPort, #"["192.0.2.1"]"#)]) == [])
    #expect(try Self.lines([external(itsPort, itsAddress, name: "before.test")]) == [])
    #expect(try Self.lines([external(itsPort, itsAddress)], isLive: false) == [])
  }

  @Test func `policies that are passed by: routes that lead to what is no version`() throws {
    let breaker = Self.policy("one", #""circuitBreaker": {"maxRequests": 1}, "timeouts": {"request": "1s"}"#)
    let away = Self.route(#"[{"backendRefs": [{"name": "other", "port": 80}]}]"#)
    let other = Self.service("other", selector: #"{"app": "shop", "tier": "x"}"#).replacing("app", with: "team")
    let base = [Self.service("shop"), Self.services[1], other]
    func passedBy(_ objects: [String]) throws -> [String] {
      try Self.lines(objects).filter { $0.hasPrefix("AP604") }
    }
    #expect(try passedBy(base + [away, breaker]) == ["AP604 spec.circuitBreaker"])
    // A version takes the policy; so does the service itself, and ports that no route has.
    #expect(try passedBy(base + [Self.route(#"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}]"#), breaker]) == [])
    let both = #"[{"backendRefs": [{"name": "other", "port": 80}, {"name": "shop", "port": 80}]}]"#
    #expect(try passedBy(base + [Self.route(both), breaker]) == [])
    #expect(
      try passedBy(base + [away.replacing(#""name": "shop"}]"#, with: #""name": "shop", "port": 80}]"#), breaker]) == []
    )
    // What holds where the request comes in is not passed by.
    #expect(try passedBy(base + [away, Self.policy("one", #""timeouts": {"request": "1s"}"#)]) == [])
    #expect(try passedBy(base + [breaker]) == [])
  }

  @Test func `rollouts: shared routes, routes elsewhere, routes with others`() throws {
    func rollout(_ name: String) -> String {
      #"{"apiVersion": "apus.dev/v1", "kind": "Rollout", "metadata": {"name": "\#(name)"}, "spec": {"service": "shop", "version": "v1"}}"#
    }
    let good = Self.route(#"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}]"#)
    #expect(try Self.lines(Self.services + [good, rollout("a")]) == [])
    #expect(try Self.lines(Self.services + [good, rollout("a"), rollout("b")]) == ["AP701 spec.route"])
    let mixed = Self.route(
      #"[{"backendRefs": [{"name": "shop-v1", "port": 80}, {"name": "other", "port": 80}]}]"#)
    #expect(
      try Self.lines(Self.services + [Self.service("other"), mixed, rollout("a")]) == ["AP703 spec.route"])
    let away = Self.route(#"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}]"#, parent: "shop-v2")
    #expect(try Self.lines(Self.services + [away, rollout("a")]) == ["AP704 spec.route"])
  }

  @Test func `a finding knows its line`() throws {
    let found = try Self.findings([
      Self.route("[\n{\"backendRefs\": [\n{\"name\": \"gone\", \"port\": 80}]}]")
    ])
    #expect(found.first { $0.code == .backendMissing }?.line == 4)
  }

  @Test func `every code has its row in the documentation`() throws {
    let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = try String(contentsOf: top.appendingPathComponent("docs/analyze.md"), encoding: .utf8)
    for code in FindingCode.allCases {
      #expect(page.contains("| \(code.rawValue) | \(code.name) | \(code.severity.rawValue) |"))
    }
    #expect(Set(FindingCode.allCases.map(\.name)).count == FindingCode.allCases.count)
  }
}
