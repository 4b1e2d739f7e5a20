/// Routes of gRPC calls (`gateway.networking.k8s.io/v1 GRPCRoute`), with services as parents.
///
/// Where a GRPCRoute and an HTTPRoute are attached to the same port of a service, the GRPCRoute alone is in force
/// (GEP-1294, "Route types").
package struct GRPCRouteSpec: RequestRouteSpec {
  package static let kind = KindInfo(
    group: "gateway.networking.k8s.io", version: "v1", kind: "GRPCRoute", plural: "grpcroutes")

  package var parentRefs: [ParentReference] = []
  /// Without effect for parents that are services.
  package var hostnames: [String] = []
  package var rules: [GRPCRouteRule] = [GRPCRouteRule()]
  package var useDefaultGateways: String?

  package init() {}
}

/// One rule: which calls, what is done to them, where they go.
package struct GRPCRouteRule: RequestRouteRule {
  package var name: String?
  /// One of them must hold; none: every call.
  package var matches: [GRPCRouteMatch] = []
  package var filters: [HTTPRouteFilter] = []
  package var backendRefs: [BackendReference] = []
  package var sessionPersistence: RouteSessionPersistence?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("name", &name, .length(1...253), .format(.dnsSubdomain))
    visitor.field("matches", &matches, .items(0...64))
    visitor.field("filters", &filters, .items(0...16))
    visitor.field("backendRefs", &backendRefs, .items(0...16))
    visitor.field("sessionPersistence", &sessionPersistence)
  }

  package func check(path: String, into report: ViolationReport) {
    Self.check(filters, path: "\(path).filters", into: report)
    for (index, backend) in backendRefs.enumerated() {
      Self.check(backend.filters, path: "\(path).backendRefs[\(index)].filters", into: report)
    }
    HTTPRouteFilter.checkTogether(filters, path: "\(path).filters", into: report)
    BackendReference.checkWeights(backendRefs, path: "\(path).backendRefs", into: report)
  }

  /// The types of filters that a GRPCRoute has; the others of an HTTPRoute would break calls.
  private static let filterKinds: Set<HTTPRouteFilter.Kind> = [
    .requestHeaderModifier, .responseHeaderModifier, .requestMirror, .extensionRef,
  ]

  private static func check(_ filters: [HTTPRouteFilter], path: String, into report: ViolationReport) {
    for (index, filter) in filters.enumerated() where !filterKinds.contains(filter.type) {
      report.add(
        .notSupported, at: "\(path)[\(index)].type",
        "a GRPCRoute has no filter of type \(filter.type.rawValue); use one of "
          + "\(filterKinds.map(\.rawValue).sorted().joined(separator: ", ")), or an HTTPRoute")
    }
  }
}

/// All parts that are given must hold.
package struct GRPCRouteMatch: FieldObject, Equatable {
  package var method: MethodMatch?
  package var headers: [HTTPRouteMatch.HeaderMatch] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("method", &method)
    visitor.field("headers", &headers, .items(0...16), .uniqueIgnoringCase("name"))
  }

  /// A service and a method of it; what is left out may be any.
  package struct MethodMatch: FieldObject, Equatable {
    package var type = HTTPRouteMatch.ValueMatchKind.exact
    package var service: String?
    package var method: String?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("type", &type)
      visitor.field("service", &service, .length(1...1024))
      visitor.field("method", &method, .length(1...1024))
    }

    package func check(path: String, into report: ViolationReport) {
      if service == nil, method == nil {
        report.add(.required, at: "\(path).service", "is missing; name a service, a method or both")
      }
      switch type {
      case .exact:
        if let service, !Self.isService(service) {
          report.add(
            .invalid, at: "\(path).service",
            "\(quoted(service)) is no name of a gRPC service; write it like shop.v1.Catalog")
        }
        if let method, !Self.isIdentifier(method[...]) {
          report.add(
            .invalid, at: "\(path).method", "\(quoted(method)) is no name of a gRPC method; write it like ListItems")
        }
      case .regularExpression:
        for (name, text) in [("service", service), ("method", method)] {
          guard let text else { continue }
          RegularExpressionCheck.check(text, path: "\(path).\(name)", into: report)
          // A part of the path each: an expression that reaches over the slash would be about both.
          if text.utf8.contains(UInt8(ascii: "/")) {
            report.add(.invalid, at: "\(path).\(name)", "\(quoted(text)) has a slash, which no name has; take it out")
          }
        }
      }
    }

    private static func isService(_ text: String) -> Bool {
      let parts = (text.hasPrefix(".") ? text.dropFirst() : text[...]).split(
        separator: ".", omittingEmptySubsequences: false)
      return parts.allSatisfy(isIdentifier)
    }

    private static func isIdentifier(_ text: Substring) -> Bool {
      guard let first = text.utf8.first, !TextFormat.isDigit(first) else { return false }
      return text.utf8.allSatisfy { TextFormat.isAlphanumeric($0) || $0 == UInt8(ascii: "_") }
    }
  }
}
