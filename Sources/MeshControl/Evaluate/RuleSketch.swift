package import MeshWire

/// A request made up so that a rule takes it.
package struct SketchedRequest: Sendable, Equatable, Hashable {
  package var method: String
  /// Path and query.
  package var target: String
  package var headers: [EvaluationQuestion.Header]

  package init(method: String, target: String, headers: [EvaluationQuestion.Header] = []) {
    self.method = method
    self.target = target
    self.headers = headers
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(method)
    hasher.combine(target)
  }

  /// What it carries besides its path, for people: `x-canary: yes`.
  package var conditions: String {
    let query = target.split(separator: "?", maxSplits: 1).dropFirst().first.map { "?\($0)" }
    return (headers.map { "\($0.name): \($0.value)" } + [query].compactMap { $0 }).joined(separator: ", ")
  }
}

/// What a rule tells of the requests that it takes. Proxies keep of a request its path as it went on and the rule that took
/// it; header fields and queries are not kept, since secrets travel in them. A rule says what it asks for, so that a
/// request that it takes can be made up again.
package enum RuleSketch {
  /// The label by which proxies know a rule: `namespace/name/rule`.
  package static func label(of rule: RouteRuleConfig) -> String {
    "\(rule.route)/\(rule.ruleName.isEmpty ? "\(rule.ruleIndex)" : rule.ruleName)"
  }

  /// Whether the rule asks for more than a path and a method.
  package static func asksForMore(_ rule: RouteRuleConfig) -> Bool {
    rule.matches.contains { !$0.headers.isEmpty || !$0.queryParams.isEmpty }
  }

  /// Requests that the rule may take, the likeliest first; whether it does is for the matcher to say.
  /// - Parameters:
  ///   - path: as it went on, without its query; nil: not known.
  ///   - method: nil: not known.
  package static func requests(
    of rule: RouteRuleConfig, path: String?, method: String?
  ) -> [SketchedRequest] {
    let matches = rule.matches.isEmpty ? [RouteMatchConfig()] : rule.matches
    var found: [SketchedRequest] = []
    for match in matches {
      guard let headers = values(match.headers), let query = values(match.queryParams) else { continue }
      let tail = query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
      for path in paths(match.path, rule.filters?.rewrite, kept: path) {
        let request = SketchedRequest(
          method: match.method.isEmpty ? method ?? "GET" : match.method,
          target: tail.isEmpty ? path : "\(path)?\(tail)", headers: headers)
        if !found.contains(request) { found.append(request) }
      }
    }
    return found
  }

  /// The paths with which the request may have come.
  private static func paths(_ match: ValueMatchConfig?, _ rewrite: RewriteConfig?, kept: String?) -> [String] {
    var paths: [String] = []
    if let kept {
      if rewrite?.pathReplacement == .prefixMatch, let rewrite, let prefix = match?.value {
        paths.append(unwritten(kept, prefix: prefix, replacement: rewrite.path))
      }
      paths.append(kept)
    }
    if let match, match.kind != .regularExpression { paths.append(match.value) }
    if let match, match.kind == .regularExpression, let example = example(of: match.value) { paths.append(example) }
    if match == nil, kept == nil { paths.append("/") }
    return paths.filter { $0.hasPrefix("/") }
  }

  /// The path before its prefix was replaced.
  static func unwritten(_ path: String, prefix: String, replacement: String) -> String {
    func trimmed(_ text: String) -> String { text.hasSuffix("/") ? String(text.dropLast()) : text }
    let replaced = trimmed(replacement)
    guard path.hasPrefix(replaced) else { return path }
    let rest = path.dropFirst(replaced.count)
    let whole = trimmed(prefix) + (rest.isEmpty || rest.hasPrefix("/") ? rest : "/\(rest)")
    return whole.isEmpty ? "/" : whole
  }

  /// Values that satisfy the conditions; nil where one of them is an expression of which no example can be made up.
  private static func values(_ conditions: [ValueMatchConfig]) -> [EvaluationQuestion.Header]? {
    var values: [EvaluationQuestion.Header] = []
    for condition in conditions {
      let value = condition.kind == .regularExpression ? example(of: condition.value) : condition.value
      guard let value else { return nil }
      values.append(.init(name: condition.name, value: value))
    }
    return values
  }

  /// A text that a simple expression matches: letters as they are, the first of alternatives, `.*` as nothing.
  static func example(of expression: String) -> String? {
    var text = expression.split(separator: "|", omittingEmptySubsequences: false).first.map(String.init) ?? ""
    if text.hasPrefix("^") { text.removeFirst() }
    if text.hasSuffix("$") { text.removeLast() }
    for (part, plain) in [(".*", ""), (".+", "x"), ("[0-9]+", "1"), ("\\d+", "1"), ("[a-z]+", "x"), ("\\.", "\u{1}")] {
      text = text.split(separator: part, omittingEmptySubsequences: false).joined(separator: plain)
    }
    guard !text.contains(where: { "[](){}*+?.\\^$|".contains($0) }) else { return nil }
    return String(text.map { $0 == "\u{1}" ? "." : $0 })
  }
}
