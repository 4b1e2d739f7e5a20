// Routes and rules that never get a request, because others go first.
extension MeshAnalysis {
  /// A match that is in force on a port of a service.
  private struct Place {
    var route: RouteView
    var rule: RouteView.Rule
    var match: RouteView.Match
    /// nil: all ports.
    var port: Int?

    /// A route for all ports takes the requests of this one; one for another port does not.
    func isHidden(by other: Place) -> Bool { other.port == nil || other.port == port }
  }

  /// Where routes compete. Those of another namespace than the service's hold for their own clients only.
  private struct Field: Hashable {
    var service: ServiceName
    var consumer: String

    init(_ service: ServiceName, _ route: RouteView) {
      self.service = service
      consumer = service.namespace == route.key.namespace ? "" : route.key.namespace
    }
  }

  // MARK: Matches

  /// Of two equal matches on one port of a service the older route decides, or the earlier rule; and regular expressions go
  /// before all prefixes. Otherwise the more specific goes first, so that nothing else can hide a rule.
  mutating func lookAtMatches() {
    var equal: [Field: [String: [Place]]] = [:]
    var expressions: [Field: [(place: Place, beginning: String)]] = [:]
    var prefixes: [(field: Field, place: Place, prefix: String)] = []
    let ordered = routes.sorted {
      ($0.created, $0.key.namespace, $0.key.name) < ($1.created, $1.key.namespace, $1.key.name)
    }
    for route in ordered where route.key.groupKind.kind == "HTTPRoute" || route.key.groupKind.kind == "GRPCRoute" {
      for parent in route.parents {
        guard let service = parent.service else { continue }
        let field = Field(service, route)
        for rule in route.rules {
          for match in rule.matches {
            let here = Place(route: route, rule: rule, match: match, port: parent.port)
            if let hiding = equal[field]?[match.text]?.first(where: here.isHidden) {
              report(here, hiddenBy: hiding, service, "asks for the same requests as")
            }
            equal[field, default: [:]][match.text, default: []].append(here)
            guard route.key.groupKind.kind == "HTTPRoute" else { continue }
            if let beginning = match.takesAllBeginning { expressions[field, default: []].append((here, beginning)) }
            if let prefix = match.prefix { prefixes.append((field, here, prefix)) }
          }
        }
      }
    }
    for (field, here, prefix) in prefixes {
      let hiding = expressions[field]?.first { prefix.hasPrefix($0.beginning) && here.isHidden(by: $0.place) }
      if let hiding { report(here, hiddenBy: hiding.place, field.service, "asks for requests that are taken by") }
    }
  }

  private mutating func report(_ hidden: Place, hiddenBy other: Place, _ service: ServiceName, _ words: String) {
    // A route with several parents of one service would tell the same again.
    guard
      !findings.contains(where: {
        $0.object == hidden.route.key && $0.path == hidden.match.path
          && [.shadowedRule, .routesConflict].contains($0.code)
      })
    else { return }
    if hidden.route.key == other.route.key {
      guard hidden.match.path != other.match.path else { return }
      add(
        .shadowedRule, hidden.route.key, hidden.match.path, "\(words) \(other.match.path), which goes first",
        mend: "remove one of them, or make this one more specific")
    } else {
      add(
        .routesConflict, hidden.route.key, hidden.match.path,
        "\(words) \(name(other.route.key)) (\(other.match.path)) for \(service), which goes first",
        mend: "put both into one route, or make this one more specific")
    }
  }

  // MARK: Kinds

  /// On one port of a service one kind of route is in force.
  mutating func lookAtKinds() {
    let order = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"]
    var holders: [Field: [Int: RouteView]] = [:]
    for kind in order {
      let own = routes.filter { $0.key.groupKind.kind == kind }
      for route in own {
        for parent in route.parents {
          guard let service = parent.service, let spec = services[service] else { continue }
          let ports = Self.ports(of: parent, spec)
          let taken = ports.compactMap { port in holders[Field(service, route)]?[port].map { (port, $0) } }
          guard let (port, holder) = taken.first, taken.count == ports.count else { continue }
          add(
            .routeKindsConflict, route.key, parent.path,
            "port \(port) of Service \(service) is \(name(holder.key))'s: a \(kind) beside it is not accepted",
            mend: "give them ports of their own, or put all rules into one kind of route")
        }
      }
      for route in own {
        for parent in route.parents {
          guard let service = parent.service, let spec = services[service] else { continue }
          for port in Self.ports(of: parent, spec) {
            let field = Field(service, route)
            if holders[field]?[port] == nil { holders[field, default: [:]][port] = route }
          }
        }
      }
    }
  }

  /// The ports that a parent reference means.
  private static func ports(of parent: RouteView.Parent, _ service: ServiceSpec) -> [Int] {
    service.ports.filter { port in
      port.transport == .tcp && parent.port.map { $0 == port.port } != false
        && parent.sectionName.map { $0 == port.name } != false
    }.map { Int($0.port) }
  }
}
