import MeshControl
import MeshWire
import Testing

private func rule(
  path: String? = nil, kind: MatchKind = .prefix, headers: [(String, MatchKind, String)] = [],
  query: [(String, String)] = [], rewrite: (PathReplacement, String)? = nil
) -> RouteRuleConfig {
  func condition(_ name: String, _ kind: MatchKind, _ value: String) -> ValueMatchConfig {
    var condition = ValueMatchConfig()
    (condition.name, condition.kind, condition.value) = (name, kind, value)
    return condition
  }
  var match = RouteMatchConfig()
  match.path = path.map { condition("", kind, $0) }
  match.headers = headers.map(condition)
  match.queryParams = query.map { condition($0.0, .exact, $0.1) }
  var rule = RouteRuleConfig()
  rule.route = "shop/canary"
  rule.ruleIndex = 3
  rule.matches = [match]
  if let rewrite {
    var config = RewriteConfig()
    (config.pathReplacement, config.path) = rewrite
    var filters = FilterConfig()
    filters.rewrite = config
    rule.filters = filters
  }
  return rule
}

@Suite struct EvaluationTests {
  @Test func labelsAreThoseOfTheProxies() {
    var named = rule()
    #expect(RuleSketch.label(of: named) == "shop/canary/3")
    named.ruleName = "beta"
    #expect(RuleSketch.label(of: named) == "shop/canary/beta")
  }

  @Test func aRewrittenPathIsTheCallersAgain() {
    let rewritten = rule(path: "/v1/", rewrite: (.prefixMatch, "/api"))
    #expect(RuleSketch.requests(of: rewritten, path: "/api/items", method: "GET").first?.target == "/v1/items")
    #expect(RuleSketch.requests(of: rewritten, path: "/api", method: "GET").first?.target == "/v1")
    let toRoot = rule(path: "/old", rewrite: (.prefixMatch, "/"))
    #expect(RuleSketch.requests(of: toRoot, path: "/x", method: "GET").first?.target == "/old/x")
    #expect(RuleSketch.requests(of: toRoot, path: "/", method: "GET").first?.target == "/old/")
    // A whole path that was put in its place tells nothing: what the rule asks for stands in.
    let whole = rule(path: "/old", rewrite: (.full, "/new"))
    #expect(RuleSketch.requests(of: whole, path: "/new", method: "GET").map(\.target).contains("/old"))
  }

  @Test func whatARuleAsksForIsPutIn() {
    let asking = rule(path: "/a", headers: [("x-canary", .exact, "yes")], query: [("beta", "1")])
    let request = RuleSketch.requests(of: asking, path: "/a/b", method: "PUT").first
    #expect(request?.target == "/a/b?beta=1" && request?.method == "PUT")
    #expect(request?.headers == [.init(name: "x-canary", value: "yes")])
    #expect(request?.conditions == "x-canary: yes, ?beta=1")
    #expect(RuleSketch.asksForMore(asking) && !RuleSketch.asksForMore(rule(path: "/a")))
    #expect(RuleSketch.requests(of: rule(), path: nil, method: nil).map(\.target) == ["/"])
  }

  @Test(arguments: [
    ("yes", "yes"), ("^v2$", "v2"), ("a|b", "a"), (".*", ""), ("v.+", "vx"), ("id-[0-9]+", "id-1"), ("a\\.b", "a.b"),
    ("(a|b)c", nil), ("[^x]", nil), ("a{3}", nil),
  ])
  func examplesOfExpressions(expression: String, example: String?) {
    let found = RuleSketch.requests(
      of: rule(headers: [("x", .regularExpression, expression)]), path: "/", method: "GET")
    #expect(found.first?.headers.first?.value == example)
  }

  @Test func aSentenceSaysWhatMovesBetweenTwo() {
    var flow = Evaluation.Flow(from: "default/checkout", to: "default/payments")
    flow.add(312, before: ["go to payments": 1], after: ["go to v2": 1])
    flow.add(14.2, before: ["go to payments": 1], after: ["match no rule": 1])
    #expect(
      flow.sentence == "312 requests/h from checkout to payments would go to v2; 14/h would match no rule.")
    var split = Evaluation.Flow(from: "shop/a", to: "shop/b")
    split.add(200, before: ["go to b": 1], after: ["go to b": 0.95, "go to b2": 0.05])
    #expect(split.sentence == "10 requests/h from shop/a to shop/b would go to b2.")
    var little = Evaluation.Flow(from: "a", to: "b")
    #expect(little.sentence == nil)
    little.add(0.1, before: [:], after: ["go to c": 1])
    #expect(little.sentence == "less than 1 requests/h from a to b would go to c.")
  }
}
