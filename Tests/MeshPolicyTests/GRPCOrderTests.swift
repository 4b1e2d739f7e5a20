import MeshModel
import MeshPolicy
import Testing

/// Matches of GRPCRoutes as the control plane writes them, against the standard's order put naively.
@Suite struct GRPCOrderTests {
  private struct Call {
    var service: String
    var method: String
    var headers: [(String, String)]
  }

  private struct Match {
    var service: String?
    var method: String?
    var isExpression: Bool
    var headers: [NamedMatch]

    var compiled: RouteMatch {
      let path: PathMatch =
        switch (isExpression, service, method) {
        case (_, nil, nil): .any
        case (false, let service?, let method?): .exact("/\(service)/\(method)")
        case (false, let service?, nil): .prefix("/\(service)")
        case (false, nil, let method?): .regex("/[^/]+/\(method)")
        default: .regex("/(?:\(service ?? "[^/]+"))/(?:\(method ?? "[^/]+"))")
        }
      return RouteMatch(
        path: path, headers: headers,
        grpc: GRPCRank(serviceLength: service?.utf8.count ?? 0, methodLength: method?.utf8.count ?? 0))
    }

    func holds(_ call: Call) -> Bool {
      func part(_ wanted: String?, _ text: String) -> Bool {
        guard let wanted else { return true }
        if !isExpression { return wanted == text }
        guard let regex = try? Regex(wanted) else { return false }
        return text.wholeMatch(of: regex) != nil
      }
      return part(service, call.service) && part(method, call.method)
        && headers.allSatisfy { match in
          guard case .exact(let value) = match.value else { return false }
          return call.headers.contains { $0.0 == match.name && $0.1 == value }
        }
    }

    /// Lower goes first.
    var rank: [Int] { [-(service?.utf8.count ?? 0), -(method?.utf8.count ?? 0), -headers.count] }
  }

  private func match(_ random: inout FastRandom) -> Match {
    let services = ["shop.Catalog", "shop.Cart", "a.B", "shop.C"]
    let expressions = ["shop\\..*", ".*", "a\\.[A-Z]", "shop\\.(Cart|Catalog)"]
    let isExpression = random.below(UInt32(3)) == 0
    return Match(
      service: random.below(UInt32(3)) == 0
        ? nil : (isExpression ? expressions : services).randomElement(using: &random),
      method: random.below(UInt32(2)) == 0
        ? nil : (isExpression ? ["Get.*", ".*"] : ["Get", "GetAll", "Put"]).randomElement(using: &random),
      isExpression: isExpression,
      headers: ["one", "two"].filter { _ in random.below(UInt32(4)) == 0 }.map {
        NamedMatch(name: $0, value: .exact("1"))
      })
  }

  @Test func `tables agree with the standard's order on random routes`() throws {
    var random = FastRandom(seed: 7)
    var hits = 0
    for _ in 0..<200 {
      let matches = (0..<Int(1 + random.below(UInt32(12)))).map { _ in match(&random) }
      let rules = matches.enumerated().map { number, match in
        rule("r\(String(repeating: "x", count: number))", [match.compiled], created: Int64(number))
      }
      let table = try table(rules)
      for _ in 0..<30 {
        let call = Call(
          service: ["shop.Catalog", "shop.Cart", "a.B", "shopxCart"].randomElement(using: &random) ?? "",
          method: ["Get", "GetAll", "Put", "List"].randomElement(using: &random) ?? "",
          headers: ["one", "two"].filter { _ in random.below(UInt32(2)) == 0 }.map { ($0, "1") })
        let fixture = HeadFixture("/\(call.service)/\(call.method)", method: .post, headers: call.headers)
        defer { keep(table, fixture) }
        let expected = matches.indices.filter { matches[$0].holds(call) }.min { left, right in
          matches[left].rank == matches[right].rank
            ? left < right : matches[left].rank.lexicographicallyPrecedes(matches[right].rank)
        }
        #expect(table.view.match(fixture.head).rule == Int32(expected ?? -1), "\(call) against \(matches)")
        if expected != nil { hits += 1 }
      }
    }
    #expect(hits > 2_000 && hits < 6_000)
  }

  @Test func `a service's own match goes before one that names the method only`() throws {
    let rules = [
      rule("method", [Match(service: nil, method: "GetAll", isExpression: false, headers: []).compiled]),
      rule("service", [Match(service: "a.B", method: nil, isExpression: false, headers: []).compiled]),
    ]
    let table = try table(rules)
    let fixture = HeadFixture("/a.B/GetAll", method: .post)
    defer { keep(table, fixture) }
    #expect(table.view.match(fixture.head).rule == 1)
  }

  @Test func `mirrors and the mark of gRPC are in the table`() throws {
    var marked = rule("r", [])
    marked.isGRPC = true
    let here = BackendReference(namespace: "shop", name: "copy", port: 80)
    let gone = BackendReference(namespace: "shop", name: "gone", port: 80)
    marked.mirrors = [Mirror(here, numerator: 1, denominator: 3), Mirror(gone), Mirror(here, numerator: 0)]
    let table = try RouteTable([marked]) { $0 == gone ? .unusable(.backendNotFound) : .cluster(5) }
    defer { keep(table) }
    let rule = table.view.rules[0]
    #expect(rule.isGRPC && rule.sharing == nil)
    #expect(rule.mirrors.count == 1)
    let mirror = table.view.mirrors[Int(rule.mirrors.start)]
    #expect(mirror.cluster == 5 && mirror.numerator == 1 && mirror.denominator == 3)
  }
}
