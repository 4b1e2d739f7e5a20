import MeshWire

// What a request must be, as it goes to the proxies.

extension MeshIndex {
  static func config(_ match: HTTPRouteMatch) -> RouteMatchConfig { RouteMatchConfig(match) }
}

extension RouteMatchConfig {
  /// A match of an HTTPRoute.
  init(_ match: HTTPRouteMatch) {
    self.init()
    var path = ValueMatchConfig()
    path.value = match.path.value
    switch match.path.type {
    case .exact: path.kind = .exact
    case .pathPrefix: path.kind = .prefix
    case .regularExpression: path.kind = .regularExpression
    }
    self.path = path
    headers = match.headers.map { ValueMatchConfig($0.name, $0.type, $0.value) }
    queryParams = match.queryParams.map { ValueMatchConfig($0.name, $0.type, $0.value) }
    method = match.method?.rawValue ?? ""
  }

  /// A match of a GRPCRoute: a call's path is `/service/method` (gRPC over HTTP/2, "Requests").
  init(_ match: GRPCRouteMatch) {
    self.init()
    path = Self.path(match.method)
    headers = match.headers.map { ValueMatchConfig($0.name, $0.type, $0.value) }
    grpcRank = GRPCRankConfig(
      serviceLength: UInt32(clamping: match.method?.service.map(Self.plain)?.utf8.count ?? 0),
      methodLength: UInt32(clamping: match.method?.method?.utf8.count ?? 0))
  }

  private static func path(_ match: GRPCRouteMatch.MethodMatch?) -> ValueMatchConfig {
    var path = ValueMatchConfig()
    path.kind = .prefix
    path.value = "/"
    guard let match else { return path }
    switch (match.type, match.service, match.method) {
    case (_, nil, nil): break
    case (.exact, let service?, let method?):
      path.kind = .exact
      path.value = "/\(plain(service))/\(method)"
    case (.exact, let service?, nil): path.value = "/\(plain(service))"
    case (.exact, nil, let method?):
      path.kind = .regularExpression
      path.value = "/[^/]+/\(method)"
    case (.regularExpression, let service, let method):
      path.kind = .regularExpression
      path.value = "/\(group(service))/\(group(method))"
    }
    return path
  }

  /// A name may be written with a dot in front, as protobuf does; calls come without it.
  private static func plain(_ service: String) -> String {
    service.hasPrefix(".") ? String(service.dropFirst()) : service
  }

  private static func group(_ expression: String?) -> String { expression.map { "(?:\($0))" } ?? "[^/]+" }
}

extension ValueMatchConfig {
  init(_ name: String, _ kind: HTTPRouteMatch.ValueMatchKind, _ value: String) {
    self.init()
    self.name = name
    self.value = value
    self.kind = kind == .exact ? .exact : .regularExpression
  }
}
