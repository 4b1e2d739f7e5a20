extension MeshIndex {
  /// The conditions of a route towards one of its parents.
  package func conditions(of route: Typed<HTTPRouteSpec>, parent: ParentReference) -> [Condition] {
    let accepted: Condition
    let unsupported = route.spec.unsupported
    if case .refused(let message) = attachment(of: parent, route: route) {
      accepted = Condition(type: "Accepted", isTrue: false, reason: .noMatchingParent, message: message)
    } else if !unsupported.isEmpty {
      accepted = Condition(
        type: "Accepted", isTrue: false, reason: .unsupportedValue,
        message: "cannot be done yet: \(unsupported.joined(separator: ", ")); take it out for the route to work")
    } else {
      let note = route.spec.hostnames.isEmpty ? "" : "; hostnames have no effect where the parent is a Service"
      accepted = Condition(type: "Accepted", isTrue: true, reason: .accepted, message: "the route is in force\(note)")
    }
    let faults = referenceFaults(of: route)
    let resolved =
      if let first = faults.first {
        Condition(
          type: "ResolvedRefs", isTrue: false, reason: first.reason,
          message: faults.map { "\($0.path): \($0.message)" }.joined(separator: "; "))
      } else {
        Condition(
          type: "ResolvedRefs", isTrue: true, reason: .resolvedRefs, message: "everything referred to is there")
      }
    return [accepted, resolved]
  }

  private func referenceFaults(
    of route: Typed<HTTPRouteSpec>
  ) -> [(path: String, reason: RouteReason, message: String)] {
    var faults: [(path: String, reason: RouteReason, message: String)] = []
    func add(_ path: String, _ fault: (reason: RouteReason, message: String)?) {
      guard let fault else { return }
      faults.append((path, fault.reason, fault.message))
    }
    for (index, rule) in route.spec.rules.enumerated() {
      let here = "spec.rules[\(index)]"
      for (place, filter) in rule.filters.enumerated() {
        add("\(here).filters[\(place)].extensionRef", filter.extensionRef.flatMap { fault(of: $0, route: route) })
      }
      for (place, backend) in rule.backendRefs.enumerated() {
        add("\(here).backendRefs[\(place)]", fault(of: backend, route: route))
      }
    }
    return faults
  }

  /// What of an object does not work as things stand, in words; empty where all does.
  package func warnings(about key: ResourceKey) -> [String] {
    if let route = routes[key] {
      let conditions = route.spec.parentRefs.flatMap { self.conditions(of: route, parent: $0) }
      let faults = conditions.filter { !$0.isTrue }.map { "\($0.type) is False (\($0.reason.rawValue)): \($0.message)" }
      let none = "the route has no parentRefs and is attached to nothing; name a Service there"
      return route.spec.parentRefs.isEmpty ? [none] : Array(Set(faults)).sorted()
    }
    if let policy = policies[key] {
      let conditions =
        policy.targets.map { condition(of: policy, target: $0) }
        + policy.routeTargets.map { condition(of: policy, route: $0) }
      return conditions.filter { !$0.isTrue }
        .map { "\($0.type) is False (\($0.reason.rawValue)): \($0.message)" }
    }
    if let slice = slices[key], slice.service == nil {
      return ["the slice has no label \(EndpointSliceSpec.serviceLabel) and belongs to no service; add it"]
    }
    return []
  }

  /// The status of a route. What other controllers have written about parents of their own stays.
  package func status(of route: Typed<HTTPRouteSpec>, now: Timestamp) -> Value {
    let existing = route.status?["parents"]?.elements ?? []
    let foreign = existing.filter { $0["controllerName"]?.text != controllerName }
    let own = route.spec.parentRefs.map { parent in
      let reference = parent.written ?? .null
      let previous = existing.first { $0["controllerName"]?.text == controllerName && $0["parentRef"] == reference }
      let conditions = conditions(of: route, parent: parent).map {
        $0.written(
          generation: route.metadata.generation ?? 1, previous: previous?["conditions"]?.elements ?? [], now: now)
      }
      return Value.object([
        Value.Member("parentRef", reference), Value.Member("controllerName", .string(controllerName)),
        Value.Member("conditions", .list(conditions)),
      ])
    }
    return .object([Value.Member("parents", .list(own + foreign))])
  }

  /// The status of a TrafficPolicy: an ancestor for each service or route it is attached to (GEP-713).
  package func status(of policy: Typed<TrafficPolicySpec>, now: Timestamp) -> Value {
    let existing = policy.status?["ancestors"]?.elements ?? []
    let targets =
      policy.targets.map { (GroupKind(group: "", kind: "Service"), $0.name, condition(of: policy, target: $0)) }
      + policy.routeTargets.map { ($0.groupKind, $0.name, condition(of: policy, route: $0)) }
    let ancestors = targets.map { kind, name, condition in
      let reference = Value.object([
        Value.Member("group", .string(kind.group)), Value.Member("kind", .string(kind.kind)),
        Value.Member("name", .string(name)),
      ])
      let previous = existing.first { $0["ancestorRef"] == reference }
      let written = condition.written(
        generation: policy.metadata.generation ?? 1, previous: previous?["conditions"]?.elements ?? [], now: now)
      return Value.object([
        Value.Member("ancestorRef", reference), Value.Member("controllerName", .string(controllerName)),
        Value.Member("conditions", .list([written])),
      ])
    }
    return .object([Value.Member("ancestors", .list(ancestors))])
  }

  func condition(of policy: Typed<TrafficPolicySpec>, target: ServiceName) -> Condition {
    guard services[target] != nil else {
      return Condition(
        type: "Accepted", isTrue: false, reason: .targetNotFound,
        message: "there is no Service \(target); create it, or correct targetRefs")
    }
    if let deciding = decidingPolicy(for: target), deciding.key != policy.key {
      return Condition(
        type: "Accepted", isTrue: false, reason: .conflicted,
        message: "the older TrafficPolicy \(deciding.qualifiedName) decides for \(target); put both into one")
    }
    return Condition(type: "Accepted", isTrue: true, reason: .accepted, message: "the policy is in force")
  }
}
