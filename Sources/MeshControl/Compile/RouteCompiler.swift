import MeshWire

extension MeshIndex {
  /// Whether and where a route is attached through one of its parent references.
  enum Attachment: Equatable {
    /// To this port of the service; nil: to all.
    case attached(port: Int?)
    /// Not, and why, for people.
    case refused(String)
  }

  func attachment(of parent: ParentReference, route: Typed<HTTPRouteSpec>) -> Attachment {
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
  func fault(of backend: BackendReference, route: Typed<HTTPRouteSpec>) -> (reason: RouteReason, message: String)? {
    guard let name = route.service(of: backend) else {
      return (.invalidKind, "backends of kind \(backend.kind) are not served here; name a Service")
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

  /// One rule as it goes to the proxies. Backends that cannot work keep their weight, so that their share fails and
  /// nobody else gets it, as the Gateway API asks.
  func compile(_ rule: HTTPRouteRule, of route: Typed<HTTPRouteSpec>) -> RouteRuleConfig {
    var config = RouteRuleConfig()
    config.route = route.qualifiedName
    config.ruleName = rule.name ?? ""
    config.routeCreatedSeconds = UInt64(clamping: route.metadata.creationTimestamp?.secondsSinceEpoch ?? 0)
    config.matches = rule.matches.map(Self.config)
    config.filters = compile(rule.filters, of: route)
    config.backends = rule.backendRefs.map { backend in
      var target = BackendConfig()
      target.namespace = backend.namespace ?? route.metadata.namespace
      target.service = backend.name
      target.port = UInt32(clamping: backend.port ?? 0)
      target.weight = UInt32(clamping: backend.weight)
      target.filters = compile(backend.filters, of: route)
      target.invalidReason = fault(of: backend, route: route)?.reason.rawValue ?? ""
      return target
    }
    if let timeouts = rule.timeouts { config.timeouts = Self.config(timeouts) }
    if let retry = rule.retry {
      var settings = RetryConfig()
      settings.attempts = retry.attempts.map { UInt32(clamping: $0) }
      settings.codes = retry.codes.map { UInt32(clamping: $0) }
      settings.backoffMilliseconds = retry.backoff.map { UInt32(clamping: $0.milliseconds) }
      config.retry = settings
    }
    return config
  }

  static func config(_ match: HTTPRouteMatch) -> RouteMatchConfig {
    var config = RouteMatchConfig()
    var path = ValueMatchConfig()
    path.value = match.path.value
    switch match.path.type {
    case .exact: path.kind = .exact
    case .pathPrefix: path.kind = .prefix
    case .regularExpression: path.kind = .regularExpression
    }
    config.path = path
    config.headers = match.headers.map { value($0.name, $0.type, $0.value) }
    config.queryParams = match.queryParams.map { value($0.name, $0.type, $0.value) }
    config.method = match.method?.rawValue ?? ""
    return config
  }

  private static func value(_ name: String, _ kind: HTTPRouteMatch.ValueMatchKind, _ value: String) -> ValueMatchConfig
  {
    var config = ValueMatchConfig()
    config.name = name
    config.value = value
    config.kind = kind == .exact ? .exact : .regularExpression
    return config
  }
}

// What rules do to requests and responses.
extension MeshIndex {
  func compile(_ filters: [HTTPRouteFilter], of route: Typed<HTTPRouteSpec>) -> FilterConfig? {
    guard !filters.isEmpty else { return nil }
    var config = FilterConfig()
    for filter in filters {
      if let modifier = filter.requestHeaderModifier { config.requestHeaders = Self.config(modifier) }
      if let modifier = filter.responseHeaderModifier { config.responseHeaders = Self.config(modifier) }
      if let redirect = filter.requestRedirect { config.redirect = Self.config(redirect) }
      if let rewrite = filter.urlRewrite { config.rewrite = Self.config(rewrite) }
      if let reference = filter.extensionRef { config.directResponse = directResponse(reference, of: route) }
    }
    return config
  }

  /// Why a reference to a filter leads nowhere; nil when it does not.
  func fault(
    of reference: LocalObjectReference, route: Typed<HTTPRouteSpec>
  ) -> (reason: RouteReason, message: String)? {
    guard reference.group == DirectResponseSpec.kind.group, reference.kind == DirectResponseSpec.kind.kind else {
      return (
        .invalidKind,
        "filters of kind \(reference.kind) (\(quoted(reference.group))) are not served here; name a DirectResponse "
          + "(group: apus.dev)"
      )
    }
    guard directResponses[key(of: reference, route: route)] == nil else { return nil }
    return (
      .filterNotFound,
      "there is no DirectResponse \(route.metadata.namespace)/\(reference.name); create it, or correct extensionRef"
    )
  }

  private func key(of reference: LocalObjectReference, route: Typed<HTTPRouteSpec>) -> ResourceKey {
    ResourceKey(
      groupKind: DirectResponseSpec.kind.groupKind, namespace: route.metadata.namespace, name: reference.name)
  }

  /// A filter that cannot be found must not be left out (Gateway API, `extensionRef`): its requests get an error.
  private func directResponse(
    _ reference: LocalObjectReference, of route: Typed<HTTPRouteSpec>
  ) -> DirectResponseConfig {
    var config = DirectResponseConfig()
    guard fault(of: reference, route: route) == nil, let found = directResponses[key(of: reference, route: route)]
    else {
      config.status = 500
      config.body = "The route refers to a filter that does not exist.\n"
      config.contentType = "text/plain"
      return config
    }
    config.status = UInt32(clamping: found.spec.status)
    config.body = found.spec.body ?? ""
    config.contentType = found.spec.contentType ?? (config.body.isEmpty ? "" : "text/plain")
    return config
  }

  private static func config(_ modifier: HeaderModifier) -> HeaderModifierConfig {
    var config = HeaderModifierConfig()
    config.set = modifier.set.map { HeaderValue(name: $0.name, value: $0.value) }
    config.add = modifier.add.map { HeaderValue(name: $0.name, value: $0.value) }
    config.remove = modifier.remove
    return config
  }

  private static func config(_ redirect: RequestRedirect) -> RedirectConfig {
    var config = RedirectConfig()
    config.scheme = redirect.scheme?.rawValue ?? ""
    config.hostname = redirect.hostname ?? ""
    config.port = redirect.port.map { UInt32(clamping: $0) }
    (config.pathReplacement, config.path) = replacement(redirect.path)
    config.statusCode = UInt32(clamping: redirect.statusCode)
    return config
  }

  private static func config(_ rewrite: URLRewrite) -> RewriteConfig {
    var config = RewriteConfig()
    config.hostname = rewrite.hostname ?? ""
    (config.pathReplacement, config.path) = replacement(rewrite.path)
    return config
  }

  private static func replacement(_ modifier: PathModifier?) -> (PathReplacement, String) {
    switch modifier?.type {
    case .none: (.none, "")
    case .replaceFullPath: (.full, modifier?.replaceFullPath ?? "")
    case .replacePrefixMatch: (.prefixMatch, modifier?.replacePrefixMatch ?? "")
    }
  }
}

extension HTTPRouteSpec {
  /// What the route asks for and the data plane cannot do yet, as paths with words. A route with any of it is not
  /// accepted as a whole: half of a route would be another route.
  var unsupported: [String] {
    var found: [String] = []
    for (index, rule) in rules.enumerated() {
      let here = "rules[\(index)]"
      if rule.sessionPersistence != nil { found.append("\(here).sessionPersistence") }
      for (place, filter) in rule.filters.enumerated() where !filter.type.isSupported {
        found.append("\(here).filters[\(place)] (\(filter.type.rawValue))")
      }
      for (number, backend) in rule.backendRefs.enumerated() {
        for (place, filter) in backend.filters.enumerated() {
          let can: Set<HTTPRouteFilter.Kind> = [.requestHeaderModifier, .responseHeaderModifier, .urlRewrite]
          guard !can.contains(filter.type) else { continue }
          found.append("\(here).backendRefs[\(number)].filters[\(place)] (\(filter.type.rawValue))")
        }
      }
    }
    return found
  }
}
