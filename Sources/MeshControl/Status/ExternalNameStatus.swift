extension ServiceName {
  /// The name under which the service is stored.
  var key: ResourceKey { ResourceKey(groupKind: ServiceSpec.kind.groupKind, namespace: namespace, name: name) }
}

extension MeshIndex {
  func service(_ key: ResourceKey) -> Typed<ServiceSpec>? {
    services[ServiceName(namespace: key.namespace, name: key.name)]
  }

  /// Whether the name of a service of type ExternalName is resolved, and what follows; nil where nobody has been asked
  /// since the start and the status remembers an answer.
  package func resolution(of service: Typed<ServiceSpec>, host: String) -> Condition? {
    func condition(_ isTrue: Bool, _ reason: RouteReason, _ message: String) -> Condition {
      Condition(type: "Resolved", isTrue: isTrue, reason: reason, message: message)
    }
    let addresses = addresses(ofExternal: service)
    guard let known = names[host] else {
      guard addresses.used.isEmpty else { return nil }
      return condition(false, .pending, "\(host) is being looked up")
    }
    if let failure = known.failure {
      let reason = RouteReason(rawValue: failure.rawValue) ?? .noAnswer
      let consequence =
        addresses.used.isEmpty
        ? "requests get 503, no_endpoint; \(failure.remedy)"
        : "the \(addresses.used.count) addresses of the last answer stay in use; \(failure.remedy)"
      return condition(false, reason, "\(host) \(failure.sentence): \(consequence)")
    }
    var notes = ""
    if !addresses.refused.isEmpty {
      let shown = addresses.refused.prefix(3).joined(separator: ", ") + (addresses.refused.count > 3 ? ", …" : "")
      notes +=
        "; left out: \(shown) (loopback, link-local, multicast or reserved; loopback is taken with the annotation "
        + "\(ServiceSpec.loopbackAnnotation): \"true\")"
    }
    if addresses.omittedCount > 0 { notes += "; \(addresses.omittedCount) more addresses are left out" }
    guard !addresses.used.isEmpty else {
      let none = addresses.refused.isEmpty ? "; ipFamilies asks for others than it has" : notes
      return condition(false, .addressesRefused, "\(host) has no address that traffic may go to\(none)")
    }
    let count = addresses.used.count
    return condition(true, .answered, "\(host) has \(count) address\(count == 1 ? "" : "es")\(notes)")
  }

  /// The status of a Service: with `type: ExternalName` a condition `Resolved` and the addresses in use, which a control
  /// plane that starts anew begins with. What others have written stays. Nil where there is nothing to write.
  package func status(of service: Typed<ServiceSpec>?, now: Timestamp) -> Value? {
    guard let service else { return nil }
    let before = service.status?.members ?? []
    var members = before.filter { $0.name != "resolved" && $0.name != "conditions" }
    let conditions = service.status?["conditions"]?.elements ?? []
    let foreign = conditions.filter { $0["type"]?.text != "Resolved" }
    guard let host = service.spec.resolvedName else {
      // What stands there is of a time when the service was of that type.
      guard service.status?["resolved"] != nil else { return nil }
      return .object(members + (foreign.isEmpty ? [] : [Value.Member("conditions", .list(foreign))]))
    }
    guard let condition = resolution(of: service, host: host) else { return nil }
    let own = condition.written(generation: service.metadata.generation ?? 1, previous: conditions, now: now)
    members.append(Value.Member("conditions", .list(foreign + [own])))
    let used = addresses(ofExternal: service).used.map(Value.string)
    members.append(
      Value.Member(
        "resolved", .object([Value.Member("name", .string(host)), Value.Member("addresses", .list(used))])))
    return .object(members)
  }
}
