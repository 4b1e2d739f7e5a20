import MeshModel
import MeshPolicy
import Testing

/// A rule that forwards to a backend named like it.
func rule(_ name: String, _ matches: [RouteMatch], index: Int = 0, created: Int64 = 0) -> RouteRule {
  RouteRule(
    origin: RouteOrigin(namespace: "shop", name: name, createdSeconds: created, ruleIndex: index), matches: matches,
    action: .forward([WeightedBackend(BackendReference(namespace: "shop", name: name, port: 80))]))
}

func table(_ rules: [RouteRule]) throws -> RouteTable {
  try RouteTable(rules) { _ in .cluster(0) }
}

@Suite struct RouteTableTests {
  /// The name of the route that takes the request, nil for none.
  private func winner(_ rules: [RouteRule], _ fixture: HeadFixture) throws -> String? {
    let table = try table(rules)
    defer { keep(table, fixture) }
    let hit = table.view.match(fixture.head)
    return hit.isNone ? nil : rules[Int(hit.rule)].origin.name
  }

  @Test func noRulesMatchNothingAndARuleWithoutMatchesMatchesEverything() throws {
    #expect(try winner([], HeadFixture("/a")) == nil)
    #expect(try winner([rule("all", [])], HeadFixture("/a")) == "all")
    #expect(try winner([rule("all", [])], HeadFixture("*")) == "all")
    #expect(try winner([rule("all", [])], HeadFixture("")) == "all")
  }

  @Test func prefixesMatchElementByElement() throws {
    for prefix in ["/abc", "/abc/"] {
      let rules = [rule("p", [RouteMatch(path: .prefix(prefix))])]
      for path in ["/abc", "/abc/", "/abc/def"] {
        #expect(try winner(rules, HeadFixture(path)) == "p", "\(prefix) \(path)")
      }
      for path in ["/abcd", "/ab", "/", "/x/abc", "/ABC"] {
        #expect(try winner(rules, HeadFixture(path)) == nil, "\(prefix) \(path)")
      }
    }
  }

  @Test func exactPathsIncludeTheFinalSlash() throws {
    let rules = [rule("e", [RouteMatch(path: .exact("/abc"))])]
    #expect(try winner(rules, HeadFixture("/abc")) == "e")
    #expect(try winner(rules, HeadFixture("/abc/")) == nil)
    #expect(try winner(rules, HeadFixture("/abc/d")) == nil)
  }

  @Test func precedenceIsThatOfGatewayAPI() throws {
    let header = NamedMatch(name: "x", value: .exact("1"))
    let other = NamedMatch(name: "y", value: .exact("2"))
    let query = NamedMatch(name: "q", value: .exact("1"))
    // Each goes before all that follow.
    let order: [RouteRule] = [
      rule("exact", [RouteMatch(path: .exact("/a/b"))]),
      rule("long-regex", [RouteMatch(path: .regex("/a/[b]"))]),
      rule("regex", [RouteMatch(path: .regex("/a/."))]),
      rule("long-prefix", [RouteMatch(path: .prefix("/a/b"))]),
      rule("method", [RouteMatch(path: .prefix("/a"), method: .get)]),
      rule("two-headers", [RouteMatch(path: .prefix("/a"), headers: [header, other])]),
      rule("header-query", [RouteMatch(path: .prefix("/a"), headers: [header], query: [query])]),
      rule("header", [RouteMatch(path: .prefix("/a"), headers: [header])]),
      rule("query", [RouteMatch(path: .prefix("/a"), query: [query])]),
      rule("old", [RouteMatch(path: .prefix("/a"))], created: 5),
      rule("apple", [RouteMatch(path: .prefix("/a"))], created: 9),
      rule("berry", [RouteMatch(path: .prefix("/a"))], created: 9),
      rule("root", [RouteMatch(path: .prefix("/"), headers: [header])], created: 1),
    ]
    let fixture = HeadFixture("/a/b", query: "q=1", headers: [("X", "1"), ("y", "2")])
    var random = FastRandom(seed: 1)
    for first in order.indices {
      for _ in 0..<4 {
        let rules = order[first...].shuffled(using: &random)
        #expect(try winner(rules, fixture) == order[first].origin.name)
      }
    }
  }

  @Test func equalMatchesOfOneRouteGoByTheOrderOfItsRules() throws {
    let second = rule("r", [RouteMatch(path: .prefix("/a"))], index: 1)
    let first = rule("r", [RouteMatch(path: .prefix("/a"))], index: 0)
    let table = try table([second, first])
    let fixture = HeadFixture("/a")
    defer { keep(table, fixture) }
    #expect(table.view.match(fixture.head).rule == 1)
  }

  @Test func headerNamesIgnoreCaseAndRepeatedFieldsAreJoined() throws {
    func rules(_ name: String, _ value: TextMatch) -> [RouteRule] {
      [rule("h", [RouteMatch(headers: [NamedMatch(name: name, value: value)])])]
    }
    let cases: [(String, TextMatch, [(String, String)], Bool)] = [
      ("X-Env", .exact("canary"), [("x-env", "canary")], true),
      ("x-env", .exact("canary"), [("X-ENV", "canary")], true),
      ("x-env", .exact("canary"), [("x-env", "Canary")], false),
      ("x-env", .exact("canary"), [("x-envy", "canary")], false),
      ("x-env", .exact("canary"), [], false),
      ("x-env", .exact("a,b"), [("x-env", "a"), ("other", "z"), ("X-Env", "b")], true),
      ("x-env", .exact("a"), [("x-env", "a"), ("x-env", "b")], false),
      ("x-env", .exact("ab"), [("x-env", "a"), ("x-env", "b")], false),
      ("x-env", .exact(""), [("x-env", "")], true),
      ("x-env", .exact(""), [("x-env", "x")], false),
      ("x-env", .regex("a,b+"), [("x-env", "a"), ("x-env", "bb")], true),
      ("x-env", .regex("can.*"), [("x-env", "canary")], true),
      ("x-env", .regex("can"), [("x-env", "canary")], false),
      ("x-env", .regex(".*"), [], false),
      ("Cookie", .exact("a=1; b=2"), [("cookie", "a=1"), ("cookie", "b=2")], true),
      ("cookie", .regex(".*b=2.*"), [("cookie", "a=1"), ("cookie", "b=2")], true),
      ("Host", .exact("shop"), [], true),
      (":authority", .regex("sh.*"), [], true),
      ("host", .exact("other"), [], false),
      ("grpc-timeout", .exact("1S"), [("grpc-timeout", "1S")], true),
    ]
    for (name, value, headers, expected) in cases {
      let result = try winner(rules(name, value), HeadFixture("/", headers: headers))
      #expect((result != nil) == expected, "\(name) \(value) \(headers)")
    }
  }

  @Test func queryParametersAreComparedDecodedAndTheFirstCounts() throws {
    let cases: [(String, TextMatch, String, Bool)] = [
      ("v", .exact("2"), "v=2", true),
      ("v", .exact("2"), "a=1&v=2&b", true),
      ("v", .exact("2"), "v=1&v=2", false),
      ("v", .exact("2"), "V=2", false),
      ("v", .exact("2"), "v=22", false),
      ("v", .exact("2"), "", false),
      ("v", .exact(""), "v", true),
      ("v", .exact(""), "v=", true),
      ("v", .exact("a b"), "v=a%20b", true),
      ("v", .exact("a b"), "v=a+b", false),
      ("v", .exact("a%2"), "v=a%2", true),
      ("é", .exact("ü"), "%C3%A9=%c3%bc", true),
      ("v", .exact("a=b"), "v=a=b", true),
      ("v", .regex("[0-9]+"), "x=a&v=12", true),
      ("v", .regex("[0-9]+"), "v=12a", false),
      ("v", .regex("a b"), "v=a%20b", true),
      ("v", .regex(".*"), "w=1", false),
    ]
    for (name, value, query, expected) in cases {
      let rules = [rule("q", [RouteMatch(query: [NamedMatch(name: name, value: value)])])]
      let result = try winner(rules, HeadFixture("/", query: query))
      #expect((result != nil) == expected, "\(name) \(value) \(query)")
    }
  }

  @Test func everyViolationOfEveryRuleIsListed() throws {
    var bad = rule("bad", [RouteMatch(path: .exact("abc"), headers: [NamedMatch(name: "a b", value: .regex("("))])])
    bad.requestHeaders.set = [HeaderValue(name: "Content-Length", value: "1"), HeaderValue(name: "x", value: "a\r\nb")]
    bad.rewrite = URLRewrite(hostname: "no host", path: .replacePrefix("/x"))
    var other = rule("other", [])
    other.action = .redirect(RequestRedirect(scheme: "ftp", port: 0, path: .replaceFull("/a?b"), status: 200))
    #expect(throws: RouteTableError.self) { try table([bad, other]) }
    do {
      _ = try table([bad, other])
    } catch {
      let paths = (error as? RouteTableError)?.violations.map(\.path) ?? []
      #expect(
        paths == [
          "rules[0].matches[0].path.value", "rules[0].matches[0].headers[0].name",
          "rules[0].matches[0].headers[0].value", "rules[0].filters.requestHeaderModifier.set[0].name",
          "rules[0].filters.requestHeaderModifier.set[1].value", "rules[0].filters.urlRewrite.hostname",
          "rules[0].filters.urlRewrite.path", "rules[1].filters.requestRedirect.scheme",
          "rules[1].filters.requestRedirect.statusCode", "rules[1].filters.requestRedirect.port",
          "rules[1].filters.requestRedirect.path",
        ])
    }
  }
}

@Suite struct ManyHeaderNamesTests {
  @Test func moreNamesThanAreRememberedMatchAsWell() throws {
    let rules = (0..<60).map { number in
      rule("r\(number)", [RouteMatch(headers: [NamedMatch(name: "x-\(number)", value: .exact("\(number)"))])])
    }
    let table = try table(rules)
    for number in 0..<60 {
      let fixture = HeadFixture("/", headers: [("a", "b"), ("X-\(number)", "\(number)"), ("x-61", "61")])
      defer { keep(table, fixture) }
      #expect(table.view.match(fixture.head).rule == Int32(number))
      let other = HeadFixture("/", headers: [("x-\(number)", "x\(number)")])
      defer { keep(other) }
      #expect(table.view.match(other.head).isNone)
    }
  }
}
