import MeshModel
import MeshPolicy
import Testing

@Suite struct RouteActionTests {
  private func single(_ change: (inout RouteRule) -> Void) throws -> RouteTable {
    var one = rule("r", [RouteMatch(path: .prefix("/"))])
    change(&one)
    return try table([one])
  }

  @Test func replacingAPrefixFollowsTheTableOfGatewayAPI() throws {
    let cases: [(path: String, prefix: String, replacement: String, result: String)] = [
      ("/foo/bar", "/foo", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
      ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
      ("/foo", "/foo", "/xyz", "/xyz"), ("/foo/", "/foo", "/xyz", "/xyz/"), ("/foo/bar", "/foo", "", "/bar"),
      ("/foo/", "/foo", "", "/"), ("/foo", "/foo", "", "/"), ("/foo/", "/foo", "/", "/"), ("/foo", "/foo", "/", "/"),
      ("/bar", "/", "/xyz", "/xyz/bar"), ("/", "/", "/xyz", "/xyz/"),
    ]
    for item in cases {
      let table = try single {
        $0.matches = [RouteMatch(path: .prefix(item.prefix))]
        $0.rewrite = URLRewrite(path: .replacePrefix(item.replacement))
      }
      let fixture = HeadFixture(item.path, query: "a=1")
      defer { keep(table, fixture) }
      let hit = table.view.match(fixture.head)
      #expect(!hit.isNone)
      let target = written {
        table.view.writeTarget(hit, table.view.rewrite(hit, backend: -1), fixture.head, into: &$0)
      }
      #expect(target == item.result + "?a=1", "\(item)")
    }
  }

  @Test func withoutARewriteTheTargetIsThePathAndWhatDoesNotFitIsTold() throws {
    let table = try single { _ in }
    let fixture = HeadFixture("/a/b", query: "x")
    defer { keep(table, fixture) }
    let hit = table.view.match(fixture.head)
    #expect(
      written { table.view.writeTarget(hit, table.view.rewrite(hit, backend: -1), fixture.head, into: &$0) } == "/a/b?x"
    )
    #expect(
      written(capacity: 5) {
        table.view.writeTarget(hit, table.view.rewrite(hit, backend: -1), fixture.head, into: &$0)
      } == nil)
    #expect(
      written(capacity: 0) {
        table.view.writeTarget(hit, table.view.rewrite(hit, backend: -1), fixture.head, into: &$0)
      } == nil)
  }

  @Test func aBackendsRewriteGoesBeforeTheRules() throws {
    let table = try single {
      var own = WeightedBackend(BackendReference(namespace: "shop", name: "a", port: 80))
      own.rewrite = URLRewrite(hostname: "a.test", path: .replacePrefix("/new"))
      own.mirrors = [Mirror(BackendReference(namespace: "shop", name: "b", port: 80))]
      let plain = WeightedBackend(BackendReference(namespace: "shop", name: "b", port: 80))
      $0.matches = [RouteMatch(path: .prefix("/old"))]
      $0.action = .forward([own, plain])
      $0.rewrite = URLRewrite(hostname: "rule.test", path: .replaceFull("/whole"))
    }
    let fixture = HeadFixture("/old/x")
    defer { keep(table, fixture) }
    let hit = table.view.match(fixture.head)
    for (backend, host, path) in [(0, "a.test", "/new/x"), (1, "rule.test", "/whole"), (-1, "rule.test", "/whole")] {
      let rewrite = table.view.rewrite(hit, backend: Int32(backend))
      #expect(String(decoding: table.view.text(rewrite.host), as: UTF8.self) == host)
      #expect(written { table.view.writeTarget(hit, rewrite, fixture.head, into: &$0) } == path)
    }
    #expect(table.view.backends[0].mirrors.count == 1 && table.view.backends[1].mirrors.count == 0)
  }

  @Test func redirectsNameSchemeHostAndPortAsGatewayAPISays() throws {
    let cases: [(RequestRedirect, String, UInt16, String)] = [
      (RequestRedirect(hostname: "example.org"), "shop:8080", 80, "http://example.org/p?q=1"),
      (RequestRedirect(hostname: "example.org"), "shop", 8080, "http://example.org:8080/p?q=1"),
      (RequestRedirect(scheme: "https"), "shop:8080", 8080, "https://shop/p?q=1"),
      (RequestRedirect(scheme: "http"), "shop:8080", 8080, "http://shop/p?q=1"),
      (RequestRedirect(scheme: "https", port: 8443), "shop", 80, "https://shop:8443/p?q=1"),
      (RequestRedirect(scheme: "https", port: 443), "shop", 80, "https://shop/p?q=1"),
      (RequestRedirect(port: 80), "[::1]:8080", 8080, "http://[::1]/p?q=1"),
      (RequestRedirect(port: 81), "[::1]", 8080, "http://[::1]:81/p?q=1"),
      (RequestRedirect(path: .replaceFull("/new")), "shop", 80, "http://shop/new?q=1"),
      (RequestRedirect(path: .replacePrefix("/new")), "shop", 80, "http://shop/new/p?q=1"),
    ]
    for (redirect, authority, port, location) in cases {
      let table = try single { $0.action = .redirect(redirect) }
      let fixture = HeadFixture("/p", query: "q=1", authority: authority)
      defer { keep(table, fixture) }
      let hit = table.view.match(fixture.head)
      let text = written { table.view.writeLocation(hit, fixture.head, isTLS: false, port: port, into: &$0) }
      #expect(text == location)
    }
  }

  private func fields(_ table: RouteTable, _ index: Int32?) -> [String] {
    guard let index else { return [] }
    let edit = table.view.edits[Int(index)]
    return (0..<Int(edit.appended.count)).map {
      let field = table.view.fields[Int(edit.appended.start) + $0]
      return String(decoding: table.view.text(field.name), as: UTF8.self) + ": "
        + String(decoding: table.view.text(field.value), as: UTF8.self)
    }
  }

  @Test func changesOfRuleAndBackendBecomeOne() throws {
    let table = try single {
      $0.requestHeaders = HeaderModification(
        set: [HeaderValue(name: "X-A", value: "rule")], add: [HeaderValue(name: "x-b", value: "1")], remove: ["x-c"])
      $0.action = .forward([
        WeightedBackend(
          BackendReference(namespace: "shop", name: "v1", port: 80),
          requestHeaders: HeaderModification(
            set: [HeaderValue(name: "x-a", value: "backend")], add: [HeaderValue(name: "X-B", value: "2")],
            remove: ["Authorization"]))
      ])
    }
    defer { keep(table) }
    let view = table.view
    let edit = try #require(view.backends[0].requestEdit)
    #expect(fields(table, edit) == ["x-a: backend", "x-b: 1", "x-b: 2"])
    #expect(view.backends[0].responseEdit == nil)
    let fixture = HeadFixture(
      "/", headers: [("X-a", "1"), ("X-B", "2"), ("X-C", "3"), ("AUTHORIZATION", "4"), ("accept", "5")])
    defer { keep(fixture) }
    let dropped = (0..<5).map { view.drops(view.edits[Int(edit)], fixture.head.fields[$0], base: fixture.head.base) }
    #expect(dropped == [true, false, true, true, false])
  }

  @Test func weightsHoldWithinFiveSigma() throws {
    let table = try single {
      $0.action = .forward(
        [("v1", 95), ("none", 0), ("v2", 5)].map {
          WeightedBackend(BackendReference(namespace: "shop", name: $0.0, port: 80), weight: $0.1)
        })
    }
    defer { keep(table) }
    var random = FastRandom(seed: 5)
    var second = 0
    let draws = 200_000
    for _ in 0..<draws {
      guard case .backend(let index) = table.view.pickBackend(0, &random) else {
        Issue.record("no backend")
        return
      }
      if index == 1 { second += 1 }
    }
    let sigma = (Double(draws) * 0.05 * 0.95).squareRoot()
    #expect(abs(Double(second) - Double(draws) * 0.05) < 5 * sigma)
    #expect(table.view.backends.count == 2)
  }

  @Test func noWeightAndUnknownBackendsHaveTheirReasons() throws {
    var random = FastRandom(seed: 5)
    let none = try single { $0.action = .forward([]) }
    defer { keep(none) }
    guard case .unavailable(.noBackendWeight) = none.view.pickBackend(0, &random) else {
      Issue.record("weights of zero picked something")
      return
    }
    let unknown = try RouteTable([rule("r", [])]) { _ in .unusable(.backendNotFound) }
    defer { keep(unknown) }
    guard case .unavailable(.backendNotFound) = unknown.view.pickBackend(0, &random) else {
      Issue.record("an unknown backend was picked")
      return
    }
    guard case .unavailable(.noRoute) = unknown.view.pickBackend(7, &random) else {
      Issue.record("a rule that is not there was picked")
      return
    }
  }

  @Test func answersTimeoutsAndRetriesComeFromTheRuleElseFromThePolicy() throws {
    var policy = TrafficPolicy()
    policy.requestTimeout = .nanoseconds(7)
    policy.backendRequestTimeout = .nanoseconds(8)
    var one = rule("r", [])
    one.requestTimeout = .after(.zero)
    one.retry = RetryOverride(attempts: 5, codes: [500], backoff: .milliseconds(400))
    one.action = .respond(DirectAnswer(status: 418, body: Array("teapot".utf8)))
    let table = try RouteTable([one], policy: policy) { _ in .cluster(0) }
    defer { keep(table) }
    let compiled = table.view.rules[0]
    #expect(compiled.requestTimeout == .off)
    #expect(compiled.backendRequestTimeout == .nanoseconds(8))
    #expect(compiled.retry.retries == 5)
    #expect(compiled.retry.statuses.contains(500) && !compiled.retry.statuses.contains(503))
    #expect(compiled.retry.baseBackoffNanoseconds == 400_000_000)
    #expect(compiled.retry.maxBackoffNanoseconds == 400_000_000)
    #expect(compiled.action == .respond && compiled.answerStatus == 418)
    #expect(String(decoding: table.view.text(compiled.answerBody), as: UTF8.self) == "teapot")
    #expect(String(decoding: table.view.text(compiled.label), as: UTF8.self) == "shop/r/0")
  }
}
