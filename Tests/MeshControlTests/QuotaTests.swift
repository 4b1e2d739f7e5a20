import MeshControl
import MeshPolicy
import MeshWire
import Testing

@Suite struct QuotaTableTests {
  private let settings = ["q": RateLimitSettings(limit: 10, burst: 10)]

  private func report(_ sequence: UInt64, keys: [(UInt64, used: UInt64, arrived: UInt32)], of quota: String = "q")
    -> QuotaReport
  {
    var use = QuotaUse()
    use.quota = quota
    use.keys = keys.map { key, used, arrived in
      var one = QuotaKeyUse()
      one.key = key
      one.used = used
      one.arrived = arrived
      return one
    }
    var report = QuotaReport()
    report.sequence = sequence
    report.quotas = [use]
    return report
  }

  @Test func everyReportIsAnsweredOnce() {
    var table = QuotaTable()
    table.report(report(1, keys: [(7, 1, 3)]), stream: 1, settings: settings, now: 0)
    #expect(table.isActive)
    let grants = table.round(now: 1)
    #expect(grants[1]?.sequence == 1 && grants[1]?.quotas.first?.keys.first?.allowed == 10)
    #expect(grants[1]?.quotas.first?.keys.first?.sharePerMillion == 1_000_000)
    #expect(table.round(now: 2) == [:])
    table.report(report(2, keys: [(7, 1, 0)]), stream: 1, settings: settings, now: 3)
    #expect(table.round(now: 4)[1]?.sequence == 2)
    // Everybody has what is needed: there is nothing left to do until somebody says otherwise.
    #expect(!table.isActive)
    table.report(report(3, keys: [(7, 1, 40)]), stream: 1, settings: settings, now: 5)
    _ = table.round(now: 6)
    #expect(table.isActive)
    table.close(stream: 1)
    #expect(table.round(now: 7) == [:] && !table.isActive)
  }

  @Test func aLimitThatIsNotThereIsPassedOver() {
    var table = QuotaTable()
    table.report(report(1, keys: [(7, 1, 3)], of: "other"), stream: 1, settings: settings, now: 0)
    #expect(table.round(now: 1)[1]?.quotas == [] && table.count == 0)
  }

  @Test func aProxyThatGoesLeavesItsPartToTheOthers() {
    var table = QuotaTable()
    for stream in [1, 2] as [UInt64] {
      table.report(report(1, keys: [(1, 0, 9)]), stream: stream, settings: settings, now: 0)
    }
    #expect(table.round(now: 0).values.map { $0.quotas.first?.keys.first?.allowed } == [5, 5])
    table.close(stream: 2)
    #expect(table.round(now: 0)[1]?.quotas.first?.keys.first?.allowed == 10)
  }

  @Test func keysAreBounded() {
    var table = QuotaTable()
    for stream in 1...6 as ClosedRange<UInt64> {
      let first = stream * 100_000
      let keys = (first..<first + 20_000).map { ($0, used: UInt64(1), arrived: UInt32(1)) }
      table.report(report(1, keys: keys), stream: stream, settings: settings, now: 0)
    }
    #expect(table.count == QuotaTable.maximumKeys)
    for stream in 1...6 as ClosedRange<UInt64> { table.close(stream: stream) }
    // Once they are full again they are forgotten.
    _ = table.round(now: 100_000_000_000)
    #expect(table.count == 0)
  }

  @Test func namesTellPolicyLimitAndTarget() {
    let policy = ResourceKey(groupKind: TrafficPolicySpec.kind.groupKind, namespace: "shop", name: "p")
    for kind in [ServiceSpec.kind, HTTPRouteSpec.kind, GRPCRouteSpec.kind] {
      let target = ResourceKey(groupKind: kind.groupKind, namespace: "shop", name: "cart")
      let name = QuotaName(policy: policy, limit: "all", target: target)
      #expect(name.text == "shop/p/all@\(kind.kind)/cart")
      #expect(QuotaName(name.text) == name)
    }
    for text in ["", "@", "a/b@Service/c", "a/b/c@Service", "a/b/c@Service/d@e", "a/b/c/d@Service/e"] {
      #expect(QuotaName(text) == nil)
    }
  }
}
