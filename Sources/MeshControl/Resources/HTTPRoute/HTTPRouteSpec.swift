/// Routes of HTTP requests (`gateway.networking.k8s.io/v1 HTTPRoute`), with services as parents (GAMMA, GEP-1426).
///
/// Forms, bounds and defaults are those of the Gateway API's resource definition. What this control plane reads and
/// cannot do (external authorization) makes the route not `Accepted`.
package struct HTTPRouteSpec: RequestRouteSpec {
  package static let kind = KindInfo(
    group: "gateway.networking.k8s.io", version: "v1", kind: "HTTPRoute", plural: "httproutes")

  package var parentRefs: [ParentReference] = []
  /// Without effect for parents that are services.
  package var hostnames: [String] = []
  package var rules: [HTTPRouteRule] = [HTTPRouteRule()]
  package var useDefaultGateways: String?

  package init() {}
}

/// One rule of a route of requests or calls.
package protocol RequestRouteRule: FieldObject, Equatable {
  associatedtype Match: FieldObject, Equatable
  var matches: [Match] { get }
}

/// What routes of requests and of calls have in common: parents, hostnames, and bounds on their rules.
package protocol RequestRouteSpec: ResourceSpec {
  associatedtype Rule: RequestRouteRule
  var parentRefs: [ParentReference] { get set }
  var hostnames: [String] { get set }
  var rules: [Rule] { get set }
  var useDefaultGateways: String? { get set }
}

extension RequestRouteSpec {
  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("parentRefs", &parentRefs, .items(0...32))
    visitor.field("hostnames", &hostnames, .items(0...16), .each(.length(1...253)), .each(.format(.hostname)))
    visitor.field("rules", &rules, .items(1...16), .uniqueBy("name"))
    visitor.field("useDefaultGateways", &useDefaultGateways)
  }

  package func check(path: String, into report: ViolationReport) {
    let matchCount = rules.reduce(0) { $0 + $1.matches.count }
    if matchCount > 128 {
      report.add(
        .tooMany, at: "\(path).rules", "has \(matchCount) matches in all; keep at most 128, or make two routes of it")
    }
    ParentReference.checkTogether(parentRefs, path: "\(path).parentRefs", into: report)
  }
}

extension ParentReference {
  /// Tells which of a route's parents are the same.
  static func checkTogether(_ parentRefs: [ParentReference], path: String, into report: ViolationReport) {
    for (index, parent) in parentRefs.enumerated() {
      for (earlier, other) in parentRefs[..<index].enumerated() where other.isSameObject(as: parent) {
        let isTold = { (reference: ParentReference) in reference.port != nil || reference.sectionName != nil }
        if !isTold(parent) || !isTold(other) {
          report.add(
            .required, at: "\(path)[\(index)].port",
            "is missing: \(parent.name) is a parent at \(path)[\(earlier)] too; give both a port, or remove one")
        } else if parent.port == other.port, parent.sectionName == other.sectionName {
          report.add(
            .duplicate, at: "\(path)[\(index)]",
            "is the same parent and port as \(path)[\(earlier)]; remove one of them")
        }
      }
    }
  }
}

/// What a route is attached to.
package struct ParentReference: FieldObject, Hashable {
  package var group = "gateway.networking.k8s.io"
  package var kind = "Gateway"
  /// Absent: the route's own.
  package var namespace: String?
  package var name = ""
  package var sectionName: String?
  /// Absent: all ports.
  package var port: Int?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("group", &group, .length(0...253), .format(.apiGroup))
    visitor.field("kind", &kind, .format(.kindName))
    visitor.field("namespace", &namespace, .format(.dnsLabel))
    visitor.field("name", &name, .required, .length(1...253))
    visitor.field("sectionName", &sectionName, .format(.dnsSubdomain))
    visitor.field("port", &port, .range(1...65_535))
  }

  func isSameObject(as other: ParentReference) -> Bool {
    group == other.group && kind == other.kind && name == other.name && (namespace ?? "") == (other.namespace ?? "")
  }
}

/// Where a share of a rule's requests goes.
package struct BackendReference: FieldObject, Equatable {
  package var group = ""
  package var kind = "Service"
  package var name = ""
  /// Absent: the route's own.
  package var namespace: String?
  package var port: Int?
  /// Share among the rule's backends; 0 gets nothing.
  package var weight = 1
  package var filters: [HTTPRouteFilter] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("group", &group, .length(0...253), .format(.apiGroup))
    visitor.field("kind", &kind, .format(.kindName))
    visitor.field("name", &name, .required, .length(1...253))
    visitor.field("namespace", &namespace, .format(.dnsLabel))
    visitor.field("port", &port, .range(1...65_535))
    visitor.field("weight", &weight, .range(0...1_000_000))
    visitor.field("filters", &filters, .items(0...16))
  }

  package func check(path: String, into report: ViolationReport) {
    if group.isEmpty, kind == "Service", port == nil {
      report.add(.required, at: "\(path).port", "is missing; a Service is referred to with one of its ports")
    }
    HTTPRouteFilter.checkTogether(filters, path: "\(path).filters", into: report)
  }
}

extension BackendReference {
  /// Tells of weights that leave no backend anything.
  static func checkWeights(_ backends: [BackendReference], path: String, into report: ViolationReport) {
    guard !backends.isEmpty, backends.allSatisfy({ $0.weight == 0 }) else { return }
    report.add(
      .invalid, at: path,
      "all weights are zero, so that every request would be refused; give one backend a weight above zero")
  }
}
