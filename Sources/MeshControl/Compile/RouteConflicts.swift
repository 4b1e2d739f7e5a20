// Routes of different kinds on one port of a service (GEP-1294, "Route types"): only the most specific kind is in force.

extension MeshIndex {
  /// The routes attached to a service, in order of precedence.
  func attached(to name: ServiceName) -> [RouteObject] {
    (routesByParent[name] ?? []).compactMap { routes[$0] }.sorted(by: RouteObject.hasPrecedence)
  }

  /// The ports of a service that routes can be attached to.
  private func ports(of name: ServiceName) -> [Int] {
    (services[name]?.spec.ports ?? []).filter { $0.transport == .tcp }.map(\.port)
  }

  /// For each port of the service the kind that is in force there, with the oldest route of that kind.
  ///
  /// Routes of the service's own namespace, and those of each other namespace, are groups of their own: what one group
  /// says has no part in another's conflicts.
  func decidingRoutes(of name: ServiceName, from namespace: String) -> [Int: RouteObject] {
    var deciding: [Int: RouteObject] = [:]
    for route in attached(to: name) where route.metadata.namespace == namespace && route.unsupported.isEmpty {
      for parent in route.parentRefs where route.service(of: parent) == name {
        guard case .attached(let port) = attachment(of: parent, route: route) else { continue }
        for number in port.map({ [$0] }) ?? ports(of: name) where deciding[number].map({ route.kind < $0.kind }) ?? true
        {
          deciding[number] = route
        }
      }
    }
    return deciding
  }

  /// What is left of an attachment once more specific kinds have taken their ports.
  enum Claim {
    /// All of it.
    case whole
    /// These ports; the others went to `other`.
    case part([Int], other: RouteObject)
    /// Nothing: `other` has them all.
    case none(other: RouteObject)
  }

  /// - Parameter deciding: of the route's own group.
  func claim(of route: RouteObject, on name: ServiceName, port: Int?, deciding: [Int: RouteObject]) -> Claim {
    let wanted = port.map { [$0] } ?? ports(of: name)
    var kept: [Int] = []
    var other: RouteObject?
    for number in wanted {
      if let winner = deciding[number], winner.kind < route.kind {
        other = other ?? winner
      } else {
        kept.append(number)
      }
    }
    guard let other else { return .whole }
    return kept.isEmpty ? .none(other: other) : .part(kept, other: other)
  }
}

/// Which routes decide on the ports of services, remembered while one index is looked at: finding it takes all routes of
/// a service, and each of them asks.
final class RouteDecisions {
  private struct Group: Hashable {
    let service: ServiceName
    let namespace: String
  }

  private let index: MeshIndex
  private var found: [Group: [Int: RouteObject]] = [:]

  init(_ index: MeshIndex) { self.index = index }

  /// `MeshIndex.decidingRoutes`, looked for once.
  func routes(of service: ServiceName, from namespace: String) -> [Int: RouteObject] {
    let group = Group(service: service, namespace: namespace)
    if let known = found[group] { return known }
    let deciding = index.decidingRoutes(of: service, from: namespace)
    found[group] = deciding
    return deciding
  }
}
