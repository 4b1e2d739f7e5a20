/// What a rollout writes into its route: who gets which share, and who is told apart by headers.
package struct RouteShares: Sendable, Equatable {
  package struct Backend: Sendable, Equatable {
    package var service: String
    /// Per cent of the rule's requests.
    package var weight: Int

    package init(service: String, weight: Int) {
      self.service = service
      self.weight = weight
    }
  }

  package var stable: Backend
  package var candidate: Backend?
  /// Port of both services.
  package var port: Int
  /// Requests that go to the candidate whatever its weight.
  package var audience: [Audience] = []
  /// Per cent of the requests that are copied to the candidate; nil: none.
  package var mirrorPercent: Int?

  package init(stable: Backend, candidate: Backend?, port: Int) {
    self.stable = stable
    self.candidate = candidate
    self.port = port
  }
}

/// Reads and writes what a rollout owns in a route, and nothing else of it. Works on the document, so that every kind of
/// route with rules and weighted backends will do, and what it does not know stays as it is.
package struct RouteEditor: Sendable {
  /// Why a route cannot be written.
  package enum Failure: Error, Sendable, Equatable {
    /// No rule sends to the service or one of its versions.
    case nothingToSplit
    /// A rule sends to others too, so that shares would not be those of the rollout.
    case otherBackends(rule: Int, service: String)
    /// Rules for the audience do not fit beside those that are there.
    case noRoom

    package var message: String {
      switch self {
      case .nothingToSplit:
        "no rule of the route sends to the service or one of its versions; add one, or name another route"
      case .otherBackends(let rule, let service):
        "rules[\(rule)] sends to \(service) too; move that backend to a route of its own"
      case .noRoom: "the rules for testers do not fit into the route (16 rules at most); take rules or testers out"
      }
    }
  }

  /// The annotation by which the route says whose it is.
  package static let ownerAnnotation = "apus.dev/rollout"
  /// Rules for an audience are named so, with the number of the rule that they stand before.
  package static let audiencePrefix = "rollout-audience-"
  static let maxRules = 16

  /// The service itself and its versions' Services: backends of these names are the rollout's.
  let services: Set<String>

  package init(services: Set<String>) {
    self.services = services
  }

  private static func isAudience(_ rule: Value) -> Bool {
    rule["name"]?.text?.hasPrefix(audiencePrefix) == true
  }

  private func isOurs(_ backend: Value) -> Bool {
    let kind = backend["kind"]?.text ?? "Service"
    return kind == "Service" && backend["namespace"] == nil && services.contains(backend["name"]?.text ?? "")
  }

  private func isOurs(rule: Value) -> Bool {
    !Self.isAudience(rule) && (rule["backendRefs"]?.elements ?? []).contains { isOurs($0) }
  }

  /// What of the route is the rollout's, in words that compare: the weights of each rule with its backends, and the rules
  /// of the audience.
  package func fingerprint(of spec: Value) -> String {
    var parts: [String] = []
    for rule in spec["rules"]?.elements ?? [] {
      if Self.isAudience(rule) {
        parts.append("\(rule["name"]?.text ?? "")=\(backends(of: rule))")
      } else if isOurs(rule: rule) {
        parts.append(backends(of: rule) + mirrors(of: rule))
      }
    }
    return parts.joined(separator: ";")
  }

  private func backends(of rule: Value) -> String {
    (rule["backendRefs"]?.elements ?? []).map { backend in
      "\(backend["name"]?.text ?? "?"):\(backend["weight"].map { $0.json() } ?? "1")"
    }.joined(separator: ",")
  }

  private func mirrors(of rule: Value) -> String {
    let mirrors = (rule["filters"]?.elements ?? []).filter(isOurMirror).map { filter in
      let mirror = filter["requestMirror"]
      return "\(mirror?["backendRef"]?["name"]?.text ?? "?"):\(mirror?["percent"].map { $0.json() } ?? "100")"
    }
    return mirrors.isEmpty ? "" : "|" + mirrors.joined(separator: ",")
  }

  /// The rules whose requests are split, by name or index as the proxies' counts call them.
  package func ruleNames(of spec: Value) -> [String] {
    (spec["rules"]?.elements ?? []).enumerated().filter { isOurs(rule: $0.element) }.map { index, rule in
      rule["name"]?.text ?? String(index)
    }
  }

  /// The backends of the rollout's that get requests, over all rules.
  package func servicesWithTraffic(in spec: Value) -> [String] {
    var found: [String] = []
    for rule in spec["rules"]?.elements ?? [] where isOurs(rule: rule) {
      for backend in rule["backendRefs"]?.elements ?? [] where isOurs(backend) {
        if case .integer(0)? = backend["weight"]?.content { continue }
        if let name = backend["name"]?.text, !found.contains(name) { found.append(name) }
      }
    }
    return found
  }

  /// The route's spec with these shares; all else stays.
  package func spec(_ spec: Value, with shares: RouteShares) throws(Failure) -> Value {
    var rules: [Value] = []
    var audience: [Value] = []
    let known = (spec["rules"]?.elements ?? []).filter { !Self.isAudience($0) }
    for (index, rule) in known.enumerated() {
      guard isOurs(rule: rule) else {
        rules.append(rule)
        continue
      }
      let backends = rule["backendRefs"]?.elements ?? []
      if let other = backends.first(where: { !isOurs($0) }) {
        throw .otherBackends(rule: index, service: other["name"]?.text ?? "another backend")
      }
      let pattern = backends.first ?? .object([])
      var shared = rule.replacing("backendRefs", with: .list(Self.backends(shares, like: pattern)))
      shared = withMirror(shared, shares)
      rules.append(shared)
      if !shares.audience.isEmpty, let candidate = shares.candidate {
        audience.append(Self.rule(rule, for: shares.audience, to: candidate, port: shares.port, pattern, index))
      }
    }
    guard known.contains(where: { isOurs(rule: $0) }) else { throw .nothingToSplit }
    guard rules.count + audience.count <= Self.maxRules || audience.isEmpty else { throw .noRoom }
    return spec.replacing("rules", with: .list(rules + audience))
  }

  private static func backends(_ shares: RouteShares, like pattern: Value) -> [Value] {
    ([shares.stable] + (shares.candidate.map { [$0] } ?? [])).map { backend in
      Self.backend(backend.service, port: shares.port, weight: backend.weight, like: pattern)
    }
  }

  private static func backend(_ service: String, port: Int, weight: Int, like pattern: Value) -> Value {
    pattern.replacing("name", with: .string(service)).replacing("port", with: .integer(port))
      .replacing("weight", with: .integer(weight))
  }

  /// The rule's twin for an audience: the same requests with its headers too, which takes precedence.
  private static func rule(
    _ rule: Value, for audience: [Audience], to candidate: RouteShares.Backend, port: Int, _ pattern: Value,
    _ index: Int
  ) -> Value {
    let matches = rule["matches"]?.elements ?? []
    let narrowed = (matches.isEmpty ? [Value.object([])] : matches).flatMap { match in
      audience.map { group in
        let headers = (match["headers"]?.elements ?? []) + group.matches.compactMap(\.written)
        return match.replacing("headers", with: .list(headers))
      }
    }
    return rule.replacing("name", with: .string("\(audiencePrefix)\(index)"))
      .replacing("matches", with: .list(narrowed))
      .replacing(
        "backendRefs", with: .list([backend(candidate.service, port: port, weight: 100, like: pattern)]))
  }

  // MARK: Mirrors

  private func isOurMirror(_ filter: Value) -> Bool {
    filter["type"]?.text == "RequestMirror"
      && services.contains(filter["requestMirror"]?["backendRef"]?["name"]?.text ?? "")
  }

  private func withMirror(_ rule: Value, _ shares: RouteShares) -> Value {
    var filters = (rule["filters"]?.elements ?? []).filter { !isOurMirror($0) }
    if let percent = shares.mirrorPercent, let candidate = shares.candidate {
      let backend = Value.object([
        .init("group", .string("")), .init("kind", .string("Service")), .init("name", .string(candidate.service)),
        .init("port", .integer(shares.port)),
      ])
      filters.append(
        .object([
          .init("type", .string("RequestMirror")),
          .init("requestMirror", .object([.init("backendRef", backend), .init("percent", .integer(percent))])),
        ]))
    }
    return filters.isEmpty ? rule.without("filters") : rule.replacing("filters", with: .list(filters))
  }

  /// A route for a service that has none.
  package static func newSpec(service: String, shares: RouteShares) -> Value {
    let parent = Value.object([
      .init("group", .string("")), .init("kind", .string("Service")), .init("name", .string(service)),
    ])
    return .object([
      .init("parentRefs", .list([parent])),
      .init("rules", .list([.object([.init("backendRefs", .list(backends(shares, like: .object([]))))])])),
    ])
  }
}

extension Value {
  /// The object with this member changed or added; the order of the others stays.
  func replacing(_ name: String, with value: Value) -> Value {
    var members = self.members ?? []
    if let index = members.firstIndex(where: { $0.name == name }) {
      members[index].value = value
    } else {
      members.append(Member(name, value))
    }
    return .object(members)
  }

  func without(_ name: String) -> Value { .object((members ?? []).filter { $0.name != name }) }
}
