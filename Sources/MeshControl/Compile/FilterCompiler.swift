import MeshWire

// What rules do to requests and responses.

extension MeshIndex {
  func compile(_ filters: [HTTPRouteFilter], of route: RouteObject) -> FilterConfig? {
    guard !filters.isEmpty else { return nil }
    var config = FilterConfig()
    for filter in filters {
      if let modifier = filter.requestHeaderModifier { config.requestHeaders = Self.config(modifier) }
      if let modifier = filter.responseHeaderModifier { config.responseHeaders = Self.config(modifier) }
      if let redirect = filter.requestRedirect { config.redirect = Self.config(redirect) }
      if let rewrite = filter.urlRewrite { config.rewrite = Self.config(rewrite) }
      if let reference = filter.extensionRef { config.directResponse = directResponse(reference, of: route) }
      if let mirror = filter.requestMirror { config.mirrors.append(self.config(mirror, of: route)) }
      if let cors = filter.cors { config.cors = Self.config(cors) }
    }
    return config
  }

  /// Why a reference to a filter leads nowhere; nil when it does not.
  func fault(of reference: LocalObjectReference, route: RouteObject) -> (reason: RouteReason, message: String)? {
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

  private func key(of reference: LocalObjectReference, route: RouteObject) -> ResourceKey {
    ResourceKey(
      groupKind: DirectResponseSpec.kind.groupKind, namespace: route.metadata.namespace, name: reference.name)
  }

  /// A filter that cannot be found must not be left out (Gateway API, `extensionRef`): its requests get an error.
  private func directResponse(_ reference: LocalObjectReference, of route: RouteObject) -> DirectResponseConfig {
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

  private func config(_ mirror: RequestMirror, of route: RouteObject) -> MirrorConfig {
    let backend = mirror.backendRef.reference
    var config = MirrorConfig()
    config.namespace = backend.namespace ?? route.metadata.namespace
    config.service = backend.name
    config.port = UInt32(clamping: backend.port ?? 0)
    config.numerator = UInt32(clamping: mirror.share.numerator)
    config.denominator = UInt32(clamping: mirror.share.denominator)
    config.invalidReason = fault(of: backend, route: route)?.reason.rawValue ?? ""
    return config
  }

  private static func config(_ cors: CORSFilter) -> CORSConfig {
    var config = CORSConfig()
    config.allowOrigins = cors.allowOrigins
    config.allowMethods = cors.allowMethods.map(\.rawValue)
    config.allowHeaders = cors.allowHeaders
    config.exposeHeaders = cors.exposeHeaders
    config.allowCredentials = cors.allowCredentials ?? false
    config.maxAgeSeconds = UInt32(clamping: cors.maxAge)
    return config
  }

  static func config(_ persistence: RouteSessionPersistence) -> SessionPersistenceConfig {
    var config = SessionPersistenceConfig()
    switch persistence.type {
    case .cookie:
      config.cookie = persistence.cookie?.name ?? "apus-session"
      config.cookiePath = persistence.cookie?.path ?? "/"
      config.isPermanent = persistence.cookie?.lifetimeType == .permanent
    case .header: config.header = persistence.header?.name ?? ""
    }
    config.absoluteTimeoutMilliseconds = persistence.absoluteTimeout.map { UInt32(clamping: $0.milliseconds) }
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
