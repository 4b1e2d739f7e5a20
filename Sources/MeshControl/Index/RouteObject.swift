package import MeshWire

/// The kinds of routes, the more specific first: of different kinds on one port of a service the first is in force
/// (GEP-1294, "Route types").
package enum RouteKind: Int, Sendable, Comparable, CaseIterable {
  case grpc, http, tls, tcp

  package static func < (left: RouteKind, right: RouteKind) -> Bool { left.rawValue < right.rawValue }

  /// The kind's name in documents.
  package var name: String {
    switch self {
    case .grpc: GRPCRouteSpec.kind.kind
    case .http: HTTPRouteSpec.kind.kind
    case .tls: TLSRouteSpec.kind.kind
    case .tcp: TCPRouteSpec.kind.kind
    }
  }

  /// Whether its rules are about requests, and not about connections.
  var isHTTP: Bool { self == .grpc || self == .http }
}

/// A route of any kind, in the one form that compiling and statuses read.
package struct RouteObject: Sendable {
  /// One rule; what its kind does not have is empty.
  package struct Rule: Sendable {
    package var name: String?
    package var matches: [RouteMatchConfig] = []
    package var filters: [HTTPRouteFilter] = []
    package var backendRefs: [BackendReference] = []
    package var timeouts: RouteTimeouts?
    package var retry: RouteRetry?
    package var sessionPersistence: RouteSessionPersistence?
  }

  package let kind: RouteKind
  package let key: ResourceKey
  package let metadata: Metadata
  package let status: Value?
  package let parentRefs: [ParentReference]
  package let hostnames: [String]
  package let rules: [Rule]

  /// Nil for an object that is no route.
  package init?(_ resource: Resource) {
    switch resource.spec {
    case let spec as HTTPRouteSpec:
      self.init(
        .http, resource, spec.parentRefs, spec.hostnames,
        spec.rules.map { rule in
          Rule(
            name: rule.name, matches: rule.matches.map { RouteMatchConfig($0) }, filters: rule.filters,
            backendRefs: rule.backendRefs, timeouts: rule.timeouts, retry: rule.retry,
            sessionPersistence: rule.sessionPersistence)
        })
    case let spec as GRPCRouteSpec:
      self.init(
        .grpc, resource, spec.parentRefs, spec.hostnames,
        spec.rules.map { rule in
          Rule(
            name: rule.name,
            matches: (rule.matches.isEmpty ? [GRPCRouteMatch()] : rule.matches).map { RouteMatchConfig($0) },
            filters: rule.filters, backendRefs: rule.backendRefs, sessionPersistence: rule.sessionPersistence)
        })
    case let spec as TLSRouteSpec:
      self.init(.tls, resource, spec.parentRefs, spec.hostnames, Self.rules(spec.rules))
    case let spec as TCPRouteSpec:
      self.init(.tcp, resource, spec.parentRefs, [], Self.rules(spec.rules))
    default: return nil
    }
  }

  private init(
    _ kind: RouteKind, _ resource: Resource, _ parents: [ParentReference], _ hostnames: [String], _ rules: [Rule]
  ) {
    self.kind = kind
    key = resource.key
    metadata = resource.metadata
    status = resource.status
    parentRefs = parents
    self.hostnames = hostnames
    self.rules = rules
  }

  private static func rules(_ rules: [StreamRouteRule]) -> [Rule] {
    rules.map { Rule(name: $0.name, backendRefs: $0.backendRefs) }
  }

  /// `namespace/name`, as the deciding object is named to people.
  package var qualifiedName: String { "\(metadata.namespace)/\(metadata.name)" }

  /// The Gateway API's order among routes that contradict each other: the older first, then by name.
  package static func hasPrecedence(_ left: Self, _ right: Self) -> Bool {
    let leftTime = left.metadata.creationTimestamp?.secondsSinceEpoch ?? Int64.max
    let rightTime = right.metadata.creationTimestamp?.secondsSinceEpoch ?? Int64.max
    return (leftTime, left.metadata.namespace, left.metadata.name)
      < (rightTime, right.metadata.namespace, right.metadata.name)
  }

  /// The service a parent reference means; nil for a parent of another kind.
  package func service(of parent: ParentReference) -> ServiceName? {
    guard parent.group.isEmpty, parent.kind == "Service" else { return nil }
    return ServiceName(namespace: parent.namespace ?? metadata.namespace, name: parent.name)
  }

  /// The services that it is attached to, or wants to be.
  package var parentServices: [ServiceName] { parentRefs.compactMap { service(of: $0) } }

  /// The service a backend means; nil for a backend of another kind.
  package func service(of backend: BackendReference) -> ServiceName? {
    guard backend.group.isEmpty, backend.kind == "Service" else { return nil }
    return ServiceName(namespace: backend.namespace ?? metadata.namespace, name: backend.name)
  }

  /// All filters, of rules and backends.
  private var filters: [HTTPRouteFilter] {
    rules.flatMap { $0.filters + $0.backendRefs.flatMap(\.filters) }
  }

  /// The services that it sends to, copies included.
  package var backendServices: [ServiceName] {
    let mirrors = filters.compactMap { $0.requestMirror?.backendRef.reference }
    return (rules.flatMap(\.backendRefs) + mirrors).compactMap { service(of: $0) }
  }

  func refersTo(directResponse name: String) -> Bool { filters.contains { $0.extensionRef?.name == name } }

  /// What the route asks for and the data plane cannot do, as paths with words. A route with any of it is not accepted as
  /// a whole: half of a route would be another route.
  var unsupported: [String] {
    var found: [String] = []
    let ofBackends: Set<HTTPRouteFilter.Kind> = [
      .requestHeaderModifier, .responseHeaderModifier, .urlRewrite, .requestMirror,
    ]
    for (index, rule) in rules.enumerated() {
      let here = "rules[\(index)]"
      for (place, filter) in rule.filters.enumerated() where !filter.type.isSupported {
        found.append("\(here).filters[\(place)] (\(filter.type.rawValue))")
      }
      for (number, backend) in rule.backendRefs.enumerated() {
        for (place, filter) in backend.filters.enumerated() where !ofBackends.contains(filter.type) {
          found.append("\(here).backendRefs[\(number)].filters[\(place)] (\(filter.type.rawValue))")
        }
      }
    }
    return found
  }
}
