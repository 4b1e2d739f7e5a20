/// Routes of TCP connections (`gateway.networking.k8s.io/v1 TCPRoute`), with services as parents.
package struct TCPRouteSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "gateway.networking.k8s.io", version: "v1", kind: "TCPRoute", plural: "tcproutes",
    otherVersions: ["v1alpha2"])

  package var parentRefs: [ParentReference] = []
  package var rules: [StreamRouteRule] = []
  package var useDefaultGateways: String?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("parentRefs", &parentRefs, .items(0...32))
    visitor.field("rules", &rules, .required, .items(1...1))
    visitor.field("useDefaultGateways", &useDefaultGateways)
  }

  package func check(path: String, into report: ViolationReport) {
    ParentReference.checkTogether(parentRefs, path: "\(path).parentRefs", into: report)
  }
}

/// Routes of TLS connections by the server name that the client sends (`gateway.networking.k8s.io/v1 TLSRoute`), with
/// services as parents. The TLS is not ended: the backend does that.
package struct TLSRouteSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "gateway.networking.k8s.io", version: "v1", kind: "TLSRoute", plural: "tlsroutes",
    otherVersions: ["v1alpha2", "v1alpha3"])

  package var parentRefs: [ParentReference] = []
  /// Server names (RFC 6066, section 3); with `*.` in front, all names below. Compared without regard to case.
  package var hostnames: [String] = []
  package var rules: [StreamRouteRule] = []
  package var useDefaultGateways: String?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("parentRefs", &parentRefs, .items(0...32))
    visitor.field(
      "hostnames", &hostnames, .required, .items(1...1024), .each(.length(1...253)), .each(.format(.hostname)))
    visitor.field("rules", &rules, .required, .items(1...1))
    visitor.field("useDefaultGateways", &useDefaultGateways)
  }

  package func check(path: String, into report: ViolationReport) {
    ParentReference.checkTogether(parentRefs, path: "\(path).parentRefs", into: report)
    for (index, name) in hostnames.enumerated() where IPAddress.isValid(name) {
      report.add(
        .invalid, at: "\(path).hostnames[\(index)]", "\(name) is an address; clients send names only (RFC 6066)")
    }
  }
}

/// The one rule of a TCPRoute or TLSRoute.
package struct StreamRouteRule: FieldObject, Equatable {
  package var name: String?
  package var backendRefs: [BackendReference] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("name", &name, .length(1...253), .format(.dnsSubdomain))
    visitor.field("backendRefs", &backendRefs, .required, .items(1...16))
  }

  package func check(path: String, into report: ViolationReport) {
    BackendReference.checkWeights(backendRefs, path: "\(path).backendRefs", into: report)
    for (index, backend) in backendRefs.enumerated() where !backend.filters.isEmpty {
      report.add(
        .forbidden, at: "\(path).backendRefs[\(index)].filters",
        "does not belong to a route of connections; remove it, or use an HTTPRoute")
    }
  }
}
