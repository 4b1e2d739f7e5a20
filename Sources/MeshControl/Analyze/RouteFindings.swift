// Routes: what they refer to, what gets nothing.
extension MeshAnalysis {
  mutating func lookAtReferences() {
    for route in routes {
      if route.parents.allSatisfy({ $0.service == nil }) {
        add(
          .noParent, route.key, "spec.parentRefs",
          "the route is attached to \(route.parents.isEmpty ? "nothing" : "no Service, and is in force nowhere")",
          mend: "name a Service in parentRefs (group: \"\", kind: Service)")
      }
      for parent in route.parents { look(at: parent, of: route) }
      for rule in route.rules {
        for backend in rule.backends { look(at: backend, at: backend.path, of: route) }
        look(atFilters: rule, of: route)
      }
    }
  }

  private mutating func look(at parent: RouteView.Parent, of route: RouteView) {
    guard let name = parent.service else { return }
    guard let service = services[name] else {
      return add(
        .parentMissing, route.key, parent.path, "there is no Service \(name)",
        mend: "create the Service, or correct the name", isReference: true)
    }
    let ports = service.ports.filter { $0.transport == .tcp }
    if let port = parent.port, !ports.contains(where: { $0.port == port }) {
      add(
        .portMissing, route.key, "\(parent.path).port",
        "Service \(name) has no port \(port)", mend: "use one of \(Self.list(ports))")
    }
    if let section = parent.sectionName, !ports.contains(where: { $0.name == section }) {
      add(
        .portMissing, route.key, "\(parent.path).sectionName", "Service \(name) has no port named \(section)",
        mend: "use one of \(Self.list(ports))")
    }
  }

  private static func list(_ ports: [ServiceSpec.Port]) -> String {
    ports.map { port in port.name.map { "\(port.port) (\($0))" } ?? "\(port.port)" }.joined(separator: ", ")
  }

  private mutating func look(at backend: RouteView.Backend, at path: String, of route: RouteView) {
    guard let name = backend.service else { return }
    guard let service = services[name] else {
      let share = backend.weight == 0 ? "; it has weight 0, so that nothing fails yet" : ""
      return add(
        .backendMissing, route.key, path, "there is no Service \(name)\(share)",
        mend: "create the Service, or correct the name", isReference: true)
    }
    let ports = service.ports.filter { $0.transport == .tcp }
    guard let port = backend.port, !ports.contains(where: { $0.port == port }) else { return }
    add(
      .portMissing, route.key, "\(path).port", "Service \(name) has no port \(port)",
      mend: "use one of \(Self.list(ports))")
  }

  private mutating func look(atFilters rule: RouteView.Rule, of route: RouteView) {
    for (index, filter) in rule.filters.enumerated() {
      let path = "\(rule.path).filters[\(index)]"
      if let target = RouteView.mirrorTarget(filter, namespace: route.key.namespace) {
        look(at: target, at: "\(path).requestMirror.backendRef", of: route)
      }
      guard let reference = filter["extensionRef"], reference["kind"]?.text == "DirectResponse",
        let name = reference["name"]?.text
      else { continue }
      let key = ResourceKey(
        groupKind: DirectResponseSpec.kind.groupKind, namespace: route.key.namespace, name: name)
      guard !objects.contains(where: { $0.resource.key == key }) else { continue }
      add(
        .filterMissing, route.key, "\(path).extensionRef",
        "there is no DirectResponse \(route.key.namespace)/\(name), so that these requests get 500",
        mend: "create it, or correct the name", isReference: true)
    }
  }

  // MARK: Weights and mirrors

  mutating func lookAtWeights() {
    for route in routes {
      for rule in route.rules {
        let total = rule.backends.reduce(0) { $0 + $1.weight }
        var seen: [String: String] = [:]
        for backend in rule.backends {
          let target = "\(backend.service?.description ?? backend.path):\(backend.port ?? 0)"
          if let earlier = seen[target] {
            add(
              .duplicateBackend, route.key, backend.path, "is the same backend as \(earlier)",
              mend: "give one of them the weight of both, and remove the other")
          }
          seen[target] = backend.path
          lookAtWeight(backend, rule, route, total: total)
        }
      }
    }
  }

  private mutating func lookAtWeight(
    _ backend: RouteView.Backend, _ rule: RouteView.Rule, _ route: RouteView, total: Int
  ) {
    if rule.answersItself {
      add(
        .weightUnreachable, route.key, backend.path, "never gets a request, since the rule answers by itself",
        mend: "remove the backend, or the filter that answers")
    } else if backend.weight == 0, total > 0, route.owner == nil {
      add(
        .weightUnreachable, route.key, backend.path, "has weight 0 and gets no request",
        mend: "give it a weight, or remove it")
    } else if backend.weight > 0, backend.weight < total / 10_000 {
      add(
        .weightUnreachable, route.key, backend.path,
        "gets \(backend.weight) of \(total) requests, which is next to nothing", mend: "check the weights")
    }
  }

  mutating func lookAtMirrors() {
    for route in routes {
      for rule in route.rules {
        for (index, filter) in rule.filters.enumerated() {
          guard let target = RouteView.mirrorTarget(filter, namespace: route.key.namespace),
            let service = target.service
          else { continue }
          let path = "\(rule.path).filters[\(index)].requestMirror.backendRef"
          if rule.backends.contains(where: { $0.service == service && $0.port == target.port && $0.weight > 0 }) {
            add(
              .mirrorToItself, route.key, path, "copies go to \(service), which gets the requests themselves too",
              mend: "mirror to another Service, or remove the filter")
          } else if rule.backends.isEmpty, route.parents.contains(where: { $0.service == service }) {
            add(
              .mirrorToItself, route.key, path, "copies go to \(service), which the route is attached to",
              mend: "mirror to another Service, or remove the filter")
          }
        }
      }
    }
  }
}
