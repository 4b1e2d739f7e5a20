import MeshModel
import MeshPolicy
import Testing

@Suite struct AdmissionTests {
  private func compiled(_ rules: AdmissionRules) -> AdmissionTable? { try? AdmissionTable(rules) }

  @Test func limitsAreAboutWhatTheirMatchesSay() throws {
    let settings = RateLimitSettings(limit: 5)
    let posts = RateLimitRule(
      policy: "a/b", name: "posts", settings: settings,
      matches: [
        RouteMatch(path: .prefix("/api"), headers: [NamedMatch(name: "x-tier", value: .regex("free|trial"))]),
        RouteMatch(method: .post),
      ])
    let all = RateLimitRule(policy: "a/b", name: "all", settings: settings, key: .header("X-User"))
    let table = try #require(compiled(AdmissionRules(limits: [posts, all])))
    let limit = table.view.limits[0]
    let cases: [(HeadFixture, Bool)] = [
      (HeadFixture("/api/x", headers: [("X-Tier", "trial")]), true),
      (HeadFixture("/api/x", headers: [("x-tier", "paid")]), false),
      (HeadFixture("/apix", headers: [("x-tier", "free")]), false),
      (HeadFixture("/", method: .post), true), (HeadFixture("/"), false),
    ]
    for (fixture, applies) in cases {
      #expect(table.view.applies(limit.condition, fixture.head) == applies)
      #expect(table.view.applies(table.view.limits[1].condition, fixture.head))
      keep(fixture)
    }
    #expect(String(decoding: table.view.text(limit.name), as: UTF8.self) == "posts")
    #expect(String(decoding: table.view.text(limit.policy), as: UTF8.self) == "a/b")
    keep(table)
  }

  @Test func headerKeysAreTheValuesWhateverTheNamesCase() throws {
    let rule = RateLimitRule(
      policy: "", name: "k", settings: RateLimitSettings(limit: 1), key: .header("X-User"))
    let cookie = RateLimitRule(policy: "", name: "c", settings: RateLimitSettings(limit: 1), key: .header("Cookie"))
    let table = try #require(compiled(AdmissionRules(limits: [rule, cookie])))
    func key(_ headers: [(String, String)], _ limit: Int = 0) -> UInt64 {
      let fixture = HeadFixture("/", headers: headers)
      defer { keep(fixture) }
      return table.view.headerKey(table.view.limits[limit], fixture.head)
    }
    #expect(key([("x-user", "ann")]) == key([("a", "b"), ("X-USER", "ann")]))
    #expect(key([("x-user", "ann")]) != key([("x-user", "bob")]))
    #expect(key([]) == key([("x-users", "ann")]) && key([]) != key([("x-user", "ann")]))
    #expect(key([("Cookie", "a=1")], 1) == key([("cookie", "a=1")], 1))
    keep(table)
  }

  @Test func cookiesAreFoundByTheirWholeName() {
    func cookie(_ name: String, _ headers: [(String, String)]) -> String? {
      let fixture = HeadFixture("/", headers: headers)
      defer { keep(fixture) }
      return Array(name.utf8).withUnsafeBufferPointer { name in
        HeaderSearch.cookie(name, fixture.head).map { String(decoding: fixture.head.bytes($0), as: UTF8.self) }
      }
    }
    #expect(cookie("id", [("cookie", "id=1")]) == "1")
    #expect(cookie("id", [("cookie", "xid=0; id=1; id=2")]) == "1")
    #expect(cookie("id", [("cookie", "xid=0;idx=3"), ("cookie", "id=7")]) == "7")
    #expect(cookie("id", [("cookie", "id=")]) == "")
    #expect(cookie("id", [("cookie", "id; ;;=; idx=1")]) == nil)
    #expect(cookie("id", [("x-cookie", "id=1")]) == nil && cookie("id", []) == nil)
  }

  @Test func theFirstFaultThatMatchesDecides() throws {
    var abort = FaultSettings()
    abort.abortPerMillion = 1_000_000
    abort.abortStatus = 418
    var delay = FaultSettings()
    delay.delayPerMillion = 1_000_000
    delay.delayNanoseconds = 7
    let rules = AdmissionRules(
      faults: [
        FaultRule(
          policy: "a/one", settings: abort,
          matches: [RouteMatch(headers: [NamedMatch(name: "x", value: .exact("1"))])]),
        FaultRule(policy: "a/two", settings: delay),
      ])
    let table = try #require(compiled(rules))
    var random = FastRandom(seed: 1)
    let (marked, plain) = (HeadFixture("/", headers: [("x", "1")]), HeadFixture("/"))
    let first = table.view.fault(marked.head, &random)
    #expect(first?.0.abortStatus == 418 && first?.0.delayNanoseconds == nil)
    let second = table.view.fault(plain.head, &random)
    #expect(second?.0.abortStatus == nil && second?.0.delayNanoseconds == 7)
    #expect(second.map { String(decoding: table.view.text($0.policy), as: UTF8.self) } == "a/two")
    keep(table, marked, plain)
  }

  @Test func conditionsThatCannotBeCompiledAreRefusedWithTheirPaths() {
    let rule = RateLimitRule(
      policy: "", name: "x", settings: RateLimitSettings(limit: 1), matches: [RouteMatch(path: .regex("("))])
    #expect(throws: RouteTableError.self) { try AdmissionTable(AdmissionRules(limits: [rule])) }
    #expect(AdmissionRules().isEmpty && !AdmissionRules(limits: [rule]).isEmpty)
  }

  @Test func routesTakeWhatTheirPolicySaysAndTheyDoNot() {
    var policy = RetryOverride(attempts: 4, codes: [500], backoff: .milliseconds(9))
    policy.conditions = [.connectFailure]
    policy.perTryTimeout = .nanoseconds(5)
    let merged = policy.merged(under: RetryOverride(attempts: 1))
    #expect(merged.attempts == 1 && merged.codes == [500] && merged.backoff == .milliseconds(9))
    #expect(policy.merged(under: nil) == policy)
    let settings = merged.applied(to: RetrySettings())
    #expect(settings.retries == 1 && settings.conditions == [.connectFailure])
    #expect(settings.perTryTimeout == .nanoseconds(5) && settings.statuses.contains(500))
  }
}
