import MeshControl
import MeshWire
import Testing

/// Routes of every kind: what is refused, what is in force where kinds meet, what needs a grant.
@Suite struct RouteKindTests {
  private func object(
    _ kind: String, _ name: String, spec: String, namespace: String = "default", version: String = "v1"
  ) -> String {
    """
    {"apiVersion": "gateway.networking.k8s.io/\(version)", "kind": "\(kind)",
     "metadata": {"name": "\(name)", "namespace": "\(namespace)"}, "spec": \(spec)}
    """
  }

  private func resource(_ json: String) throws -> Resource {
    let (resource, violations) = read(json)
    #expect(violations == [])
    return try #require(resource)
  }

  private func parent(_ port: Int? = nil, namespace: String = "default") -> String {
    let port = port.map { ", \"port\": \($0)" } ?? ""
    return #"{"group": "", "kind": "Service", "name": "shop", "namespace": "\#(namespace)"\#(port)}"#
  }

  private func routeOf(_ kind: String, _ name: String, port: Int? = nil, namespace: String = "default") -> String {
    let hostnames = kind == "TLSRoute" ? #""hostnames": ["a.org"], "# : ""
    let rules = #""rules": [{"backendRefs": [{"name": "shop", "namespace": "default", "port": 80}]}]"#
    return object(
      kind, name, spec: #"{"parentRefs": [\#(parent(port))], \#(hostnames)\#(rules)}"#, namespace: namespace)
  }

  private let twoPorts = #"[{"name": "a", "port": 80}, {"name": "b", "port": 81}]"#

  private func accepted(_ index: MeshIndex, _ kind: String, _ name: String, namespace: String = "default") -> Condition?
  {
    let route = index.routes.values.first {
      $0.kind.name == kind && $0.metadata.name == name && $0.metadata.namespace == namespace
    }
    return route.flatMap { route in
      route.parentRefs.first.flatMap { index.conditions(of: route, parent: $0).first { $0.type == "Accepted" } }
    }
  }

  private func config(_ index: MeshIndex, for namespace: String = "default") throws -> ServiceConfig {
    let compiled = try #require(index.compile(service: ServiceName(namespace: "default", name: "shop")))
    return try ServiceConfig(protobuf: compiled.resource(for: namespace).bytes)
  }

  @Test func `of kinds on one port the more specific is in force, and the others say so`() throws {
    let kinds = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"]
    for (place, kind) in kinds.enumerated() {
      let present = kinds[place...]
      let index = MeshIndex(
        resources: try [service("shop")].map(resource) + present.map { try resource(routeOf($0, "r")) })
      #expect(accepted(index, kind, "r")?.isTrue == true, "\(kind)")
      for loser in present.dropFirst() {
        let condition = accepted(index, loser, "r")
        #expect(condition?.isTrue == false && condition?.reason == .conflicted, "\(loser) beside \(kind)")
      }
      let config = try config(index)
      #expect(config.routes.count == (place < 2 ? 1 : 0) && config.streamRoutes.count == (place < 2 ? 0 : 1))
      #expect(config.routes.allSatisfy { $0.isGRPC == (kind == "GRPCRoute") })
    }
  }

  @Test func `a route keeps the ports that no more specific kind has`() throws {
    let index = MeshIndex(
      resources: try [
        service("shop", ports: twoPorts), routeOf("HTTPRoute", "wide"), routeOf("GRPCRoute", "calls", port: 81),
      ].map(resource))
    let condition = accepted(index, "HTTPRoute", "wide")
    #expect(condition?.isTrue == true && condition?.message.contains("on ports 80 only") == true)
    let config = try config(index)
    #expect(Set(config.routes.map { "\($0.route) \($0.parentPort ?? 0)" }) == ["default/wide 80", "default/calls 81"])
  }

  @Test func `consumer routes are a group of their own`() throws {
    let index = MeshIndex(
      resources: try [
        service("shop"), routeOf("GRPCRoute", "calls"), routeOf("HTTPRoute", "mine", namespace: "clients"),
      ].map(resource))
    #expect(accepted(index, "HTTPRoute", "mine", namespace: "clients")?.isTrue == true)
    #expect(try config(index).routes.map(\.route) == ["default/calls"])
    #expect(try config(index, for: "clients").routes.map(\.route) == ["clients/mine"])
  }

  @Test func `a route that goes leaves its port to the next kind`() throws {
    var index = MeshIndex(
      resources: try [service("shop"), routeOf("GRPCRoute", "calls"), routeOf("HTTPRoute", "web")].map(resource))
    let key = try resource(routeOf("GRPCRoute", "calls")).key
    let affected = index.remove(key)
    #expect(affected.routes.contains(try resource(routeOf("HTTPRoute", "web")).key))
    #expect(accepted(index, "HTTPRoute", "web")?.isTrue == true)
    #expect(try config(index).routes.map(\.route) == ["default/web"])
  }

  @Test func `grants are needed only where they are demanded`() throws {
    let grant = object(
      "ReferenceGrant", "g",
      spec: """
        {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "clients"}],
         "to": [{"group": "", "kind": "Service", "name": "shop"}]}
        """, version: "v1")
    let resources = try [
      service("shop"), routeOf("HTTPRoute", "r", namespace: "clients"),
      routeOf("TCPRoute", "r", port: 80, namespace: "else"),
    ].map(resource)
    #expect(
      try config(MeshIndex(resources: resources), for: "clients").routes.first?.backends.first?.invalidReason == "")
    var strict = MeshIndex(resources: resources, requiresGrants: true)
    #expect(try config(strict, for: "clients").routes.first?.backends.first?.invalidReason == "RefNotPermitted")
    let affected = strict.put(try resource(grant))
    #expect(affected.services.contains(ServiceName(namespace: "default", name: "shop")))
    #expect(try config(strict, for: "clients").routes.first?.backends.first?.invalidReason == "")
    #expect(try config(strict, for: "else").streamRoutes.first?.backends.first?.invalidReason == "RefNotPermitted")
    _ = strict.remove(try resource(grant).key)
    #expect(try config(strict, for: "clients").routes.first?.backends.first?.invalidReason == "RefNotPermitted")
  }

  @Test(arguments: [
    (
      "GRPCRoute", #"{"rules": [{"matches": [{"method": {"type": "Exact"}}]}]}"#,
      "spec.rules[0].matches[0].method.service"
    ),
    (
      "GRPCRoute", #"{"rules": [{"matches": [{"method": {"service": "a/b"}}]}]}"#,
      "spec.rules[0].matches[0].method.service"
    ),
    (
      "GRPCRoute", #"{"rules": [{"matches": [{"method": {"method": "1st"}}]}]}"#,
      "spec.rules[0].matches[0].method.method"
    ),
    (
      "GRPCRoute", #"{"rules": [{"matches": [{"method": {"type": "RegularExpression", "method": "("}}]}]}"#,
      "spec.rules[0].matches[0].method.method"
    ),
    (
      "GRPCRoute", #"{"rules": [{"matches": [{"method": {"type": "RegularExpression", "service": "a/.*"}}]}]}"#,
      "spec.rules[0].matches[0].method.service"
    ),
    (
      "GRPCRoute", #"{"rules": [{"filters": [{"type": "URLRewrite", "urlRewrite": {}}]}]}"#,
      "spec.rules[0].filters[0].type"
    ),
    ("GRPCRoute", #"{"rules": [{"timeouts": {}}]}"#, "spec.rules[0].timeouts"),
    ("TCPRoute", #"{"rules": []}"#, "spec.rules"),
    ("TCPRoute", #"{"rules": [{"backendRefs": []}]}"#, "spec.rules[0].backendRefs"),
    ("TCPRoute", #"{"hostnames": ["a"], "rules": [{"backendRefs": [{"name": "a", "port": 1}]}]}"#, "spec.hostnames"),
    (
      "TCPRoute", #"{"rules": [{"backendRefs": [{"name": "a", "port": 1, "weight": 0}]}]}"#, "spec.rules[0].backendRefs"
    ),
    ("TLSRoute", #"{"rules": [{"backendRefs": [{"name": "a", "port": 1}]}]}"#, "spec.hostnames"),
    (
      "TLSRoute", #"{"hostnames": ["10.0.0.1"], "rules": [{"backendRefs": [{"name": "a", "port": 1}]}]}"#,
      "spec.hostnames[0]"
    ),
    (
      "HTTPRoute",
      #"{"rules": [{"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a", "port": 1}, "percent": 1, "fraction": {"numerator": 1}}}]}]}"#,
      "spec.rules[0].filters[0].requestMirror.fraction"
    ),
    (
      "HTTPRoute",
      #"{"rules": [{"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a", "port": 1}, "fraction": {"numerator": 5, "denominator": 4}}}]}]}"#,
      "spec.rules[0].filters[0].requestMirror.fraction.numerator"
    ),
    (
      "HTTPRoute",
      #"{"rules": [{"filters": [{"type": "CORS", "cors": {"allowOrigins": ["*", "https://a.org"]}}]}]}"#,
      "spec.rules[0].filters[0].cors.allowOrigins"
    ),
    (
      "HTTPRoute", #"{"rules": [{"filters": [{"type": "CORS", "cors": {"allowOrigins": ["ftp://a.org"]}}]}]}"#,
      "spec.rules[0].filters[0].cors.allowOrigins[0]"
    ),
    (
      "HTTPRoute", #"{"rules": [{"filters": [{"type": "CORS", "cors": {"allowOrigins": ["https://a.org:x"]}}]}]}"#,
      "spec.rules[0].filters[0].cors.allowOrigins[0]"
    ),
    (
      "HTTPRoute", #"{"rules": [{"sessionPersistence": {"type": "Header"}}]}"#,
      "spec.rules[0].sessionPersistence.header"
    ),
    (
      "HTTPRoute", #"{"rules": [{"sessionPersistence": {"cookie": {"lifetimeType": "Permanent"}}}]}"#,
      "spec.rules[0].sessionPersistence.absoluteTimeout"
    ),
    (
      "HTTPRoute", #"{"rules": [{"sessionPersistence": {"cookie": {"path": "/; Domain=x"}}}]}"#,
      "spec.rules[0].sessionPersistence.cookie.path"
    ),
    (
      "BackendTLSPolicy",
      #"{"targetRefs": [{"group": "", "kind": "Service", "name": "a"}], "validation": {"hostname": "a.org"}}"#,
      "spec.validation.caCertificateRefs"
    ),
    (
      "BackendTLSPolicy",
      #"{"targetRefs": [{"group": "", "kind": "Service", "name": "a"}, {"group": "", "kind": "Service", "name": "a", "sectionName": "x"}], "validation": {"hostname": "a.org", "wellKnownCACertificates": "System"}}"#,
      "spec.targetRefs[1].sectionName"
    ),
    (
      "BackendTLSPolicy",
      #"{"targetRefs": [{"group": "", "kind": "Service", "name": "a"}], "validation": {"hostname": "a.org", "wellKnownCACertificates": "System", "subjectAltNames": [{"type": "URI", "hostname": "x.org"}]}}"#,
      "spec.validation.subjectAltNames[0].uri"
    ),
    ("ReferenceGrant", #"{"from": [], "to": [{"group": "", "kind": "Service"}]}"#, "spec.from"),
  ])
  func `what does not belong is told with its place`(kind: String, spec: String, path: String) {
    let version = kind == "ReferenceGrant" ? "v1beta1" : "v1"
    let (resource, violations) = read(object(kind, "r", spec: spec, version: version))
    #expect(resource == nil)
    #expect(violations.map(\.path).contains(path), "\(violations)")
  }

  @Test func `objects of other versions are taken and kept as ours`() throws {
    let spec = #"{"rules": [{"backendRefs": [{"name": "a", "port": 1}]}]}"#
    let taken = try resource(object("TCPRoute", "r", spec: spec, version: "v1alpha2"))
    #expect(taken.value["apiVersion"]?.text == "gateway.networking.k8s.io/v1")
    #expect(read(object("TCPRoute", "r", spec: spec, version: "v1alpha9")).resource == nil)
    #expect(KindRegistry.kind(group: "gateway.networking.k8s.io", version: "v1alpha2", plural: "tcproutes") != nil)
  }

  @Test func `documents come out as they went in`() throws {
    let text = object(
      "HTTPRoute", "r",
      spec: """
        {"rules": [{"filters": [
          {"type": "CORS", "cors": {"allowOrigins": ["https://*.a.org:8443"], "allowMethods": ["*"], "maxAge": 9}},
          {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a", "port": 1}, "percent": 0}}],
          "sessionPersistence": {"cookie": {"name": "c"}}}]}
        """)
    let once = try resource(text)
    let twice = try resource(once.value.json())
    #expect(once.hasSameSpec(as: twice))
  }
}
