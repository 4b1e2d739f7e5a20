/// What all kinds of routes have in common, out of their documents.
struct RouteView: Sendable {
  struct Parent: Sendable {
    var path: String
    /// nil for a parent that is no Service.
    var service: ServiceName?
    var port: Int?
    var sectionName: String?
  }

  struct Backend: Sendable {
    var path: String
    /// nil for a backend that is no Service.
    var service: ServiceName?
    var port: Int?
    var weight: Int
  }

  /// A condition, with its place.
  struct Match: Sendable {
    var path: String
    /// In a form that is equal for equal conditions.
    var text: String
    /// The path that an HTTPRoute's match asks for, where it is a prefix.
    var prefix: String?
    /// Where an HTTPRoute's match asks for nothing but a path, by an expression that all paths with this beginning fit.
    var takesAllBeginning: String?
  }

  struct Rule: Sendable {
    var path: String
    var name: String
    var matches: [Match]
    var filters: [Value]
    var backends: [Backend]
    /// Milliseconds; nil: not said, 0: none.
    var request: Int64?
    var backendRequest: Int64?
    var attempts: Int?
    var backoff: Int64?

    /// Whether the client's proxy answers itself.
    var answersItself: Bool {
      filters.contains { ["RequestRedirect", "ExtensionRef"].contains($0["type"]?.text ?? "") }
    }
  }

  let key: ResourceKey
  let created: Int64
  let owner: String?
  let parents: [Parent]
  let rules: [Rule]
  let spec: Value

  /// nil for what is no route.
  init?(_ resource: Resource) {
    guard resource.key.groupKind.group == "gateway.networking.k8s.io", resource.key.groupKind.kind.hasSuffix("Route"),
      let spec = resource.spec.written
    else { return nil }
    let namespace = resource.metadata.namespace
    key = resource.key
    created = resource.metadata.creationTimestamp?.secondsSinceEpoch ?? .max
    owner = resource.metadata.annotations[RouteEditor.ownerAnnotation]
    self.spec = spec
    parents = (spec["parentRefs"]?.elements ?? []).enumerated().map { index, parent in
      let isService = parent["kind"]?.text == "Service" && (parent["group"]?.text ?? "").isEmpty
      return Parent(
        path: "spec.parentRefs[\(index)]",
        service: isService
          ? ServiceName(namespace: parent["namespace"]?.text ?? namespace, name: parent["name"]?.text ?? "") : nil,
        port: parent["port"]?.whole, sectionName: parent["sectionName"]?.text)
    }
    rules = (spec["rules"]?.elements ?? []).enumerated().map { index, rule in
      Self.rule(rule, path: "spec.rules[\(index)]", index: index, namespace: namespace)
    }
  }

  private static func rule(_ rule: Value, path: String, index: Int, namespace: String) -> Rule {
    let given = rule["matches"]?.elements ?? []
    let matches = (given.isEmpty ? [Value.object([])] : given).enumerated().map { place, match in
      Match(
        path: given.isEmpty ? path : "\(path).matches[\(place)]", text: normal(match), prefix: prefix(of: match),
        takesAllBeginning: beginning(takenBy: match))
    }
    let backends = (rule["backendRefs"]?.elements ?? []).enumerated().map { place, backend in
      Self.backend(backend, path: "\(path).backendRefs[\(place)]", namespace: namespace)
    }
    func milliseconds(_ value: Value?) -> Int64? { value?.text.flatMap { GatewayDuration($0)?.milliseconds } }
    return Rule(
      path: path, name: rule["name"]?.text ?? String(index), matches: matches,
      filters: rule["filters"]?.elements ?? [], backends: backends, request: milliseconds(rule["timeouts"]?["request"]),
      backendRequest: milliseconds(rule["timeouts"]?["backendRequest"]), attempts: rule["retry"]?["attempts"]?.whole,
      backoff: milliseconds(rule["retry"]?["backoff"]))
  }

  private static func backend(_ backend: Value, path: String, namespace: String) -> Backend {
    let isService = (backend["kind"]?.text ?? "Service") == "Service" && (backend["group"]?.text ?? "").isEmpty
    let name = ServiceName(namespace: backend["namespace"]?.text ?? namespace, name: backend["name"]?.text ?? "")
    return Backend(
      path: path, service: isService ? name : nil, port: backend["port"]?.whole, weight: backend["weight"]?.whole ?? 1)
  }

  static func mirrorTarget(_ filter: Value, namespace: String) -> Backend? {
    guard filter["type"]?.text == "RequestMirror", let target = filter["requestMirror"]?["backendRef"] else {
      return nil
    }
    return backend(target, path: "", namespace: namespace)
  }

  private static func prefix(of match: Value) -> String? {
    guard let path = match["path"] else { return "/" }
    return (path["type"]?.text ?? "PathPrefix") == "PathPrefix" ? path["value"]?.text ?? "/" : nil
  }

  /// Tells expressions of the form `literal.*`, which are those that people write for everything below a path.
  private static func beginning(takenBy match: Value) -> String? {
    guard match["path"]?["type"]?.text == "RegularExpression", var text = match["path"]?["value"]?.text,
      !["headers", "queryParams", "method"].contains(where: { match[$0].map { $0.elements?.isEmpty != true } == true })
    else { return nil }
    if text.hasPrefix("^") { text.removeFirst() }
    if text.hasSuffix("$") { text.removeLast() }
    guard text.hasSuffix(".*") else { return nil }
    text.removeLast(2)
    return text.contains(where: { #"\.^$*+?()[]{}|"#.contains($0) }) ? nil : text
  }

  /// Headers' names count without their case, and the order of conditions does not count.
  private static func normal(_ match: Value) -> String {
    var match = match
    if let headers = match["headers"]?.elements {
      let named = headers.map { $0.replacing("name", with: .string(($0["name"]?.text ?? "").lowercased())) }
      match = match.replacing("headers", with: .list(named.sorted { $0.json(sorted: true) < $1.json(sorted: true) }))
    }
    if let parameters = match["queryParams"]?.elements {
      match = match.replacing(
        "queryParams", with: .list(parameters.sorted { $0.json(sorted: true) < $1.json(sorted: true) }))
    }
    // A prefix is whole elements of the path: the slash at its end says nothing.
    if match["path"]?["type"]?.text == "PathPrefix", var text = match["path"]?["value"]?.text {
      while text.count > 1, text.hasSuffix("/") { text.removeLast() }
      match = match.replacing("path", with: match["path"]?.replacing("value", with: .string(text)) ?? .null)
    }
    return match.json(sorted: true)
  }
}

extension Value {
  /// The whole number, where this is one.
  var whole: Int? {
    if case .integer(let number) = content { Int(exactly: number) } else { nil }
  }
}
