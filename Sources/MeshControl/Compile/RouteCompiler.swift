import MeshWire

extension MeshIndex {
  /// Whether and where a route is attached through one of its parent references.
  enum Attachment: Equatable {
    /// To this port of the service; nil: to all.
    case attached(port: Int?)
    /// Not, and why, for people.
    case refused(String)
  }

  func attachment(of parent: ParentReference, route: RouteObject) -> Attachment {
    guard let name = route.service(of: parent) else {
      return .refused(
        "parents of kind \(parent.kind) are not served here; name a Service (group: \"\", kind: Service)")
    }
    guard let service = services[name] else {
      return .refused("there is no Service \(name); create it, or correct parentRefs")
    }
    let ports = service.spec.ports.filter { $0.transport == .tcp }
    let known = ports.map { $0.name.map { "\($0) " } ?? "" }
    let list = zip(known, ports).map { "\($0)\($1.port)" }.joined(separator: ", ")
    var number = parent.port
    if let number, !ports.contains(where: { $0.port == number }) {
      return .refused("Service \(name) has no port \(number); its ports are \(list)")
    }
    if let section = parent.sectionName {
      guard let found = ports.first(where: { $0.name == section }), number == nil || number == found.port else {
        return .refused("Service \(name) has no such port named \(section); its ports are \(list)")
      }
      number = found.port
    }
    return .attached(port: number)
  }

  /// Why a backend cannot be sent to; nil when it can.
  func fault(of backend: BackendReference, route: RouteObject) -> (reason: RouteReason, message: String)? {
    guard let name = route.service(of: backend) else {
      return (.invalidKind, "backends of kind \(backend.kind) are not served here; name a Service")
    }
    if requiresGrants, name.namespace != route.metadata.namespace, !isGranted(name, to: route) {
      return (
        .refNotPermitted,
        "Service \(name) is in another namespace, which does not permit it; create a ReferenceGrant there, from "
          + "\(route.kind.name) of \(route.metadata.namespace) to Service"
      )
    }
    guard let service = services[name] else {
      return (.backendNotFound, "there is no Service \(name); create it, or correct backendRefs")
    }
    guard let port = backend.port, service.spec.ports.contains(where: { $0.port == port && $0.transport == .tcp })
    else {
      let list = service.spec.ports.map { String($0.port) }.joined(separator: ", ")
      return (.backendNotFound, "Service \(name) has no port \(backend.port ?? 0); its ports are \(list)")
    }
    return nil
  }

  private func isGranted(_ name: ServiceName, to route: RouteObject) -> Bool {
    grants.values.contains { grant in
      grant.metadata.namespace == name.namespace
        && grant.spec.permits(route.key.groupKind, in: route.metadata.namespace, service: name.name)
    }
  }

  /// One rule as it goes to the proxies. Backends that cannot work keep their weight, so that their share fails and
  /// nobody else gets it, as the Gateway API asks.
  func compile(_ rule: RouteObject.Rule, of route: RouteObject) -> RouteRuleConfig {
    var config = RouteRuleConfig()
    config.route = route.qualifiedName
    config.ruleName = rule.name ?? ""
    config.routeCreatedSeconds = route.createdSeconds
    config.isGRPC = route.kind == .grpc
    config.matches = rule.matches
    config.filters = compile(rule.filters, of: route)
    config.backends = rule.backendRefs.map { self.config($0, of: route) }
    if let timeouts = rule.timeouts { config.timeouts = Self.config(timeouts) }
    if let retry = rule.retry {
      var settings = RetryConfig()
      settings.attempts = retry.attempts.map { UInt32(clamping: $0) }
      settings.codes = retry.codes.map { UInt32(clamping: $0) }
      settings.backoffMilliseconds = retry.backoff.map { UInt32(clamping: $0.milliseconds) }
      config.retry = settings
    }
    config.sessionPersistence = rule.sessionPersistence.map { Self.config($0) }
    return config
  }

  /// One rule for connections as it goes to the proxies.
  func compileStream(_ rule: RouteObject.Rule, of route: RouteObject) -> StreamRouteConfig {
    var config = StreamRouteConfig()
    config.route = route.qualifiedName
    config.ruleName = rule.name ?? ""
    config.routeCreatedSeconds = route.createdSeconds
    config.serverNames = route.hostnames
    config.backends = rule.backendRefs.map { self.config($0, of: route) }
    return config
  }

  private func config(_ backend: BackendReference, of route: RouteObject) -> BackendConfig {
    var target = BackendConfig()
    target.namespace = backend.namespace ?? route.metadata.namespace
    target.service = backend.name
    target.port = UInt32(clamping: backend.port ?? 0)
    target.weight = UInt32(clamping: backend.weight)
    target.filters = compile(backend.filters, of: route)
    target.invalidReason = fault(of: backend, route: route)?.reason.rawValue ?? ""
    return target
  }
}

extension RouteObject {
  /// Seconds since 1970.
  var createdSeconds: UInt64 { UInt64(clamping: metadata.creationTimestamp?.secondsSinceEpoch ?? 0) }
}
