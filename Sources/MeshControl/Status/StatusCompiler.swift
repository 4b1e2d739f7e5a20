extension MeshIndex {
  /// The conditions of a route towards one of its parents.
  package func conditions(of route: RouteObject, parent: ParentReference) -> [Condition] {
    conditions(of: route, parent: parent, RouteDecisions(self))
  }

  private func conditions(
    of route: RouteObject, parent: ParentReference, _ decisions: RouteDecisions
  ) -> [Condition] {
    let accepted = acceptance(of: route, parent: parent, decisions)
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

  private func acceptance(
    of route: RouteObject, parent: ParentReference, _ decisions: RouteDecisions
  ) -> Condition {
    func refused(_ reason: RouteReason, _ message: String) -> Condition {
      Condition(type: "Accepted", isTrue: false, reason: reason, message: message)
    }
    let unsupported = route.unsupported
    let port: Int?
    switch attachment(of: parent, route: route) {
    case .refused(let message): return refused(.noMatchingParent, message)
    case .attached(let number): port = number
    }
    guard unsupported.isEmpty else {
      return refused(
        .unsupportedValue,
        "cannot be done yet: \(unsupported.joined(separator: ", ")); take it out for the route to work")
    }
    var notes = ""
    if !route.hostnames.isEmpty, route.kind.isHTTP {
      notes += "; hostnames have no effect where the parent is a Service"
    }
    if let name = route.service(of: parent) {
      let deciding = decisions.routes(of: name, from: route.metadata.namespace)
      switch claim(of: route, on: name, port: port, deciding: deciding) {
      case .whole: break
      case .part(let kept, let other):
        notes +=
          "; on ports \(kept.map(String.init).joined(separator: ", ")) only: \(other.kind.name) "
          + "\(other.qualifiedName) has the others"
      case .none(let other):
        return refused(
          .conflicted,
          "\(other.kind.name) \(other.qualifiedName) has the same port of Service \(name), where only the more "
            + "specific kind of route is in force; remove one of them, or give them different ports")
      }
    }
    return Condition(type: "Accepted", isTrue: true, reason: .accepted, message: "the route is in force\(notes)")
  }

  private func referenceFaults(
    of route: RouteObject
  ) -> [(path: String, reason: RouteReason, message: String)] {
    var faults: [(path: String, reason: RouteReason, message: String)] = []
    func add(_ path: String, _ fault: (reason: RouteReason, message: String)?) {
      guard let fault else { return }
      faults.append((path, fault.reason, fault.message))
    }
    for (index, rule) in route.rules.enumerated() {
      let here = "spec.rules[\(index)]"
      for (place, filter) in rule.filters.enumerated() {
        add("\(here).filters[\(place)].extensionRef", filter.extensionRef.flatMap { fault(of: $0, route: route) })
        add(
          "\(here).filters[\(place)].requestMirror.backendRef",
          filter.requestMirror.flatMap { fault(of: $0.backendRef.reference, route: route) })
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
      let conditions = route.parentRefs.flatMap { self.conditions(of: route, parent: $0) }
      let faults = conditions.filter { !$0.isTrue }.map { "\($0.type) is False (\($0.reason.rawValue)): \($0.message)" }
      let none = "the route has no parentRefs and is attached to nothing; name a Service there"
      return route.parentRefs.isEmpty ? [none] : Array(Set(faults)).sorted()
    }
    if let policy = policies[key] {
      let conditions =
        policy.targets.map { condition(of: policy, target: $0) }
        + policy.routeTargets.map { condition(of: policy, route: $0) }
      return conditions.filter { !$0.isTrue }
        .map { "\($0.type) is False (\($0.reason.rawValue)): \($0.message)" }
    }
    if let policy = backendPolicies[key] { return warnings(about: policy) }
    if let slice = slices[key], let service = slice.service, services[service]?.spec.resolvedName != nil {
      return ["Service \(service) is of type ExternalName: its endpoints come from its name, not from the slice"]
    }
    if let slice = slices[key], slice.service == nil {
      return ["the slice has no label \(EndpointSliceSpec.serviceLabel) and belongs to no service; add it"]
    }
    return []
  }

  /// The status of a route. What other controllers have written about parents of their own stays.
  func status(of route: RouteObject, now: Timestamp, _ decisions: RouteDecisions) -> Value {
    status(
      "parents", "parentRef", before: route.status, generation: route.metadata.generation, now: now,
      own: route.parentRefs.map { ($0.written ?? .null, conditions(of: route, parent: $0, decisions)) })
  }

  /// The status of a TrafficPolicy: an ancestor for each service or route it is attached to (GEP-713).
  package func status(of policy: Typed<TrafficPolicySpec>, now: Timestamp) -> Value {
    let targets =
      policy.targets.map { (GroupKind(group: "", kind: "Service"), $0.name, condition(of: policy, target: $0)) }
      + policy.routeTargets.map { ($0.groupKind, $0.name, condition(of: policy, route: $0)) }
    return status(
      "ancestors", "ancestorRef", before: policy.status, generation: policy.metadata.generation, now: now,
      own: targets.map { kind, name, condition in
        let reference = Value.object([
          Value.Member("group", .string(kind.group)), Value.Member("kind", .string(kind.kind)),
          Value.Member("name", .string(name)),
        ])
        return (reference, [condition])
      })
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
