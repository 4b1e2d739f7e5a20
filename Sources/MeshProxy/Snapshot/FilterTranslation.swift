internal import MeshModel
internal import MeshPolicy
internal import MeshWire

// What rules do beyond headers and paths, from what the wire carries to what route tables take.

extension Mirror {
  init(_ config: MirrorConfig) {
    self.init(
      BackendReference(
        namespace: config.namespace, name: config.service, port: UInt16(truncatingIfNeeded: config.port)),
      numerator: config.numerator, denominator: config.denominator)
  }
}

extension CORSPolicy {
  init(_ config: CORSConfig) {
    self.init(
      origins: config.allowOrigins.map { CORSOrigin($0) }, methods: config.allowMethods, headers: config.allowHeaders,
      exposed: config.exposeHeaders, allowsCredentials: config.allowCredentials,
      maxAgeSeconds: config.maxAgeSeconds == 0 ? 5 : config.maxAgeSeconds)
  }
}

extension SessionPersistence {
  /// Nil where neither a cookie nor a header is named.
  init?(_ config: SessionPersistenceConfig) {
    let timeout = config.absoluteTimeoutMilliseconds.map { Duration.milliseconds(Int64($0)) }
    if !config.cookie.isEmpty {
      self.init(
        .cookie(
          name: config.cookie, path: config.cookiePath.isEmpty ? "/" : config.cookiePath,
          lifetime: config.isPermanent ? timeout : nil), absoluteTimeout: timeout)
    } else if !config.header.isEmpty {
      self.init(.header(name: config.header), absoluteTimeout: timeout)
    } else {
      return nil
    }
  }
}

extension RouteOrigin {
  /// - Parameters:
  ///   - route: `namespace/name`.
  ///   - ruleName: empty for none.
  init(_ route: String, created: UInt64, ruleIndex: UInt32, ruleName: String) {
    let parts = route.split(separator: "/", maxSplits: 1).map(String.init)
    self.init(
      namespace: parts.first ?? "", name: parts.count > 1 ? parts[1] : "", createdSeconds: Int64(clamping: created),
      ruleIndex: Int(ruleIndex), ruleName: ruleName.isEmpty ? nil : ruleName)
  }
}

extension WeightedBackend {
  init(_ config: BackendConfig) {
    self.init(
      BackendReference(
        namespace: config.namespace, name: config.service, port: UInt16(truncatingIfNeeded: config.port)),
      weight: config.weight,
      requestHeaders: HeaderModification(config.filters?.requestHeaders),
      responseHeaders: HeaderModification(config.filters?.responseHeaders))
    rewrite = config.filters?.rewrite.map { URLRewrite($0) }
    mirrors = (config.filters?.mirrors ?? []).filter { $0.invalidReason.isEmpty }.map { Mirror($0) }
  }
}

extension URLRewrite {
  init(_ config: RewriteConfig) {
    self.init(
      hostname: config.hostname.isEmpty ? nil : config.hostname,
      path: PathModifier(config.pathReplacement, config.path))
  }
}

extension StreamRule {
  init(_ config: StreamRouteConfig) {
    self.init(
      origin: RouteOrigin(
        config.route, created: config.routeCreatedSeconds, ruleIndex: config.ruleIndex, ruleName: config.ruleName),
      serverNames: config.serverNames, backends: config.backends.map { WeightedBackend($0) })
  }
}
