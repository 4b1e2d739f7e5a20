import MeshModel
import MeshPolicy
import Testing

@Suite struct StreamTableTests {
  private func backend(_ name: String, weight: UInt32 = 1) -> WeightedBackend {
    WeightedBackend(BackendReference(namespace: "shop", name: name, port: 443), weight: weight)
  }

  private func rule(_ name: String, _ names: [String], _ backends: [WeightedBackend]? = nil) -> StreamRule {
    StreamRule(
      origin: RouteOrigin(namespace: "shop", name: name, createdSeconds: 0, ruleIndex: 0), serverNames: names,
      backends: backends ?? [backend(name)])
  }

  private func table(_ rules: [StreamRule]) -> StreamTable { StreamTable(rules) { _ in .cluster(3) } }

  private func match(_ table: StreamTable, _ name: String) -> Int32 {
    defer { keep(table) }
    return Array(name.utf8).withUnsafeBufferPointer { table.view.match(serverName: $0) }
  }

  @Test func `the whole name goes before wildcards, and the longer wildcard before the shorter`() {
    let table = table([
      rule("org", ["*.example.org"]), rule("shop", ["*.shop.example.org"]), rule("www", ["www.shop.example.org"]),
    ])
    for (name, expected) in [
      ("www.shop.example.org", 2), ("WWW.Shop.Example.ORG", 2), ("www.shop.example.org.", 2), ("a.shop.example.org", 1),
      ("a.b.shop.example.org", 1), ("shop.example.org", 0), ("example.org", -1), ("xexample.org", -1), ("", -1),
      ("org", -1), (String(repeating: "a.", count: 126) + "example.org", -1), (".", -1), (".example.org", -1),
    ] {
      #expect(match(table, name) == expected, "\(name)")
    }
    #expect(table.view.needsServerName)
  }

  @Test func `of the same name twice the first route has it`() {
    #expect(match(table([rule("a", ["x.org"]), rule("b", ["X.org", "y.org"])]), "x.org") == 0)
    #expect(match(table([rule("a", ["x.org"]), rule("b", ["X.org", "y.org"])]), "y.org") == 1)
  }

  @Test func `a rule without names takes every connection`() {
    let table = table([rule("all", [])])
    #expect(!table.view.needsServerName)
    #expect(match(table, "") == 0 && match(table, "anything") == 0)
    #expect(match(self.table([rule("x", ["x.org"]), rule("all", [])]), "z.org") == 1)
  }

  @Test func `no rules take nothing`() {
    #expect(match(table([]), "x.org") == -1)
  }

  @Test func `connections are divided by weight`() {
    let table = StreamTable([
      rule("r", [], [backend("a", weight: 70), backend("none", weight: 0), backend("b", weight: 30)])
    ]) { $0.name == "a" ? .cluster(1) : .cluster(2) }
    defer { keep(table) }
    var random = FastRandom(seed: 5)
    var counts: [Int32: Int] = [:]
    for _ in 0..<10_000 {
      guard case .backend(let index) = table.view.pickBackend(0, &random) else {
        Issue.record("there is a backend")
        return
      }
      counts[table.view.backends[Int(index)].cluster, default: 0] += 1
    }
    #expect((6_700...7_300).contains(counts[1] ?? 0) && (counts[1] ?? 0) + (counts[2] ?? 0) == 10_000)
  }

  @Test func `what cannot be reached says why`() {
    var random = FastRandom(seed: 1)
    let missing = StreamTable([rule("r", [])]) { _ in .unusable(.backendNotFound) }
    defer { keep(missing) }
    guard case .unavailable(.backendNotFound) = missing.view.pickBackend(0, &random),
      case .unavailable(.noRoute) = missing.view.pickBackend(-1, &random)
    else {
      Issue.record("the reason is missing")
      return
    }
    let empty = table([rule("r", [], [backend("a", weight: 0)])])
    defer { keep(empty) }
    guard case .unavailable(.noBackendWeight) = empty.view.pickBackend(0, &random) else {
      Issue.record("the reason is missing")
      return
    }
  }
}
