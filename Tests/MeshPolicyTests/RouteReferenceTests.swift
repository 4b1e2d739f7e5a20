import MeshModel
import MeshPolicy
import Testing

/// Matching as the standard's text puts it, one rule after the other, with strings and no index.
enum ReferenceMatcher {
  struct Request {
    var method: Method
    var path: String
    var query: [(String, String)]
    var headers: [(String, String)]
  }

  private static func holds(_ match: RouteMatch, _ request: Request) -> Bool {
    switch match.path {
    case .exact(let path): if path != request.path { return false }
    case .regex(let pattern):
      guard let regex = try? Regex(pattern), request.path.wholeMatch(of: regex) != nil else { return false }
    case .prefix(let prefix):
      let wanted = prefix.split(separator: "/")
      let elements = request.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
      if Array(elements.prefix(wanted.count)) != wanted { return false }
    }
    if let method = match.method, method != request.method { return false }
    for header in match.headers {
      let values = request.headers.filter { $0.0.lowercased() == header.name.lowercased() }.map(\.1)
      let separator = header.name.lowercased() == "cookie" ? "; " : ","
      if values.isEmpty || !equals(values.joined(separator: separator), header.value) { return false }
    }
    for parameter in match.query {
      guard let value = request.query.first(where: { $0.0 == parameter.name })?.1 else { return false }
      if !equals(value, parameter.value) { return false }
    }
    return true
  }

  private static func equals(_ text: String, _ match: TextMatch) -> Bool {
    switch match {
    case .exact(let value): text == value
    case .regex(let pattern): (try? Regex(pattern)).map { text.wholeMatch(of: $0) != nil } ?? false
    }
  }

  /// Lower goes first.
  private static func rank(_ match: RouteMatch, _ rule: RouteRule) -> [Int] {
    let (kind, length) =
      switch match.path {
      case .exact(let path): (0, path.utf8.count)
      case .regex(let path): (1, path.utf8.count)
      case .prefix(let path): (2, path.utf8.count)
      }
    return [
      kind, -length, match.method == nil ? 1 : 0, -match.headers.count, -match.query.count,
      Int(rule.origin.createdSeconds),
    ]
  }

  static func winner(_ rules: [RouteRule], _ request: Request) -> Int? {
    var best: (rank: [Int], name: String, rule: Int)?
    for (index, rule) in rules.enumerated() {
      for match in rule.matches where holds(match, request) {
        let candidate = (rank: rank(match, rule), name: "\(rule.origin.namespace)/\(rule.origin.name)", rule: index)
        guard let current = best else {
          best = candidate
          continue
        }
        if candidate.rank == current.rank {
          if candidate.name < current.name { best = candidate }
        } else if candidate.rank.lexicographicallyPrecedes(current.rank) {
          best = candidate
        }
      }
    }
    return best?.rule
  }
}

@Suite struct RouteReferenceTests {
  private static let elements = ["a", "b", "ab", "c", "v1"]

  private func path(_ random: inout FastRandom) -> String {
    var path = (0..<random.below(UInt32(4))).map { _ in "/" + (Self.elements.randomElement(using: &random) ?? "a") }
      .joined()
    if path.isEmpty || random.below(UInt32(5)) == 0 { path += "/" }
    return path
  }

  private func named(_ names: [String], _ random: inout FastRandom) -> [NamedMatch] {
    names.filter { _ in random.below(UInt32(5)) == 0 }.map { name in
      let isRegex = random.below(UInt32(4)) == 0
      return NamedMatch(name: name, value: isRegex ? .regex("[12].*") : .exact(String(random.below(UInt32(3)))))
    }
  }

  private func match(_ random: inout FastRandom) -> RouteMatch {
    let path: PathMatch =
      switch random.below(UInt32(6)) {
      case 0, 1: .exact(path(&random))
      case 2: .regex(["/a/.*", "/[abc]+", ".*v1", "/.*/b/?"].randomElement(using: &random) ?? "/")
      default: .prefix(path(&random))
      }
    return RouteMatch(
      path: path, headers: named(["x-one", "X-Two", "content-type"], &random), query: named(["q", "r"], &random),
      method: random.below(UInt32(4)) == 0 ? [.get, .post].randomElement(using: &random) : nil)
  }

  private func request(_ random: inout FastRandom) -> ReferenceMatcher.Request {
    func pairs(_ names: [String]) -> [(String, String)] {
      names.filter { _ in random.below(UInt32(2)) == 0 }.map { ($0, String(random.below(UInt32(3)))) }
    }
    return .init(
      method: [.get, .post].randomElement(using: &random) ?? .get, path: path(&random), query: pairs(["q", "r", "q"]),
      headers: pairs(["X-One", "x-two", "x-one", "Content-Type", "accept"]))
  }

  @Test func tablesAgreeWithTheNaiveMatcherOnRandomRoutes() throws {
    var random = FastRandom(seed: 42)
    var hits = 0
    for _ in 0..<150 {
      let rules = (0..<Int(1 + random.below(UInt32(25)))).map { number in
        rule(
          "r\(number)", (0..<Int(1 + random.below(UInt32(3)))).map { _ in match(&random) },
          created: Int64(random.below(UInt32(3))))
      }
      let table = try table(rules)
      for _ in 0..<60 {
        let request = request(&random)
        let fixture = HeadFixture(
          request.path, method: request.method, query: request.query.map { "\($0)=\($1)" }.joined(separator: "&"),
          headers: request.headers)
        defer { keep(table, fixture) }
        let hit = table.view.match(fixture.head)
        let expected = ReferenceMatcher.winner(rules, request)
        #expect(hit.rule == Int32(expected ?? -1), "\(request) against \(rules.map(\.matches))")
        if expected != nil { hits += 1 }
      }
    }
    // The cases must not all be misses.
    #expect(hits > 3_000 && hits < 8_900)
  }

  /// Rules of few paths and many headers: those are found by an index, which must not show.
  private func crowded(_ random: inout FastRandom) -> RouteMatch {
    let names = ["x-one", "X-Two", "cookie", "content-type", "x-four", "x-five"]
    var match = match(&random)
    if random.below(UInt32(3)) > 0 {
      match.path = [.exact("/a"), .prefix("/a"), .prefix("/")][Int(random.below(UInt32(3)))]
    }
    match.headers = names.filter { _ in random.below(UInt32(4)) == 0 }.map { name in
      let text = ["1", "2", "1,2", "1; 2", "", "longer than the others"].randomElement(using: &random) ?? ""
      return NamedMatch(name: name, value: random.below(UInt32(6)) == 0 ? .regex("[12].*") : .exact(text))
    }
    return match
  }

  @Test func theIndexByHeadersChangesNothing() throws {
    var random = FastRandom(seed: 7)
    var (hits, indexed) = (0, 0)
    for _ in 0..<100 {
      let rules = (0..<Int(10 + random.below(UInt32(70)))).map { number in
        rule(
          "r\(number)", (0..<Int(1 + random.below(UInt32(3)))).map { _ in crowded(&random) },
          created: Int64(random.below(UInt32(3))))
      }
      let table = try table(rules)
      indexed += table.view.headerIndexCount
      for _ in 0..<60 {
        var request = request(&random)
        request.path = ["/a", "/a/b", "/", "/c"].randomElement(using: &random) ?? "/"
        request.headers = ["x-one", "X-One", "x-two", "Cookie", "cookie", "content-type", "x-four", "x-five"].filter {
          _ in
          random.below(UInt32(2)) == 0
        }.map {
          ($0, ["1", "2", "", "longer than the others", "longer than the longest"].randomElement(using: &random) ?? "")
        }
        let fixture = HeadFixture(
          request.path, method: request.method, query: request.query.map { "\($0)=\($1)" }.joined(separator: "&"),
          headers: request.headers)
        defer { keep(table, fixture) }
        let expected = ReferenceMatcher.winner(rules, request)
        #expect(
          table.view.match(fixture.head).rule == Int32(expected ?? -1), "\(request) against \(rules.map(\.matches))")
        if expected != nil { hits += 1 }
      }
    }
    #expect(hits > 3_000, "the cases must not all be misses: \(hits)")
    #expect(indexed > 100, "\(indexed) indexes")
  }

  @Test func rulesForHostsAreFoundByTheIndex() throws {
    let rules = (0..<40).map { number in
      rule(
        "r\(number)", [RouteMatch(headers: [NamedMatch(name: "Host", value: .exact("h\(number).test"))])], created: 0)
    }
    let table = try table(rules)
    #expect(table.view.headerIndexCount == 1)
    for number in [0, 7, 39] {
      let fixture = HeadFixture("/", authority: "h\(number).test", headers: [("accept", "*/*")])
      defer { keep(table, fixture) }
      #expect(table.view.match(fixture.head).rule == Int32(number))
    }
    let other = HeadFixture("/", authority: "h40.test", headers: [])
    defer { keep(table, other) }
    #expect(table.view.match(other.head).isNone)
  }
}
