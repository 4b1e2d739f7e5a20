import MeshModel
import MeshPolicy
import Testing

/// Limits that proxies share, in virtual time: the control plane's bucket, and the proxies' leases.
@Suite struct QuotaTests {
  private static let second: Int64 = 1_000_000_000
  private static let step: Int64 = 1_000_000

  /// A proxy with its lease, as `SharedLimit` and `QuotaKeeper` have it.
  private struct Proxy {
    var stream: UInt64
    /// Requests a second that come.
    var rate: Double
    var phase: Int64
    var lease: QuotaLease?
    var used: Int64 = 0
    var until: Int64 = 0
    var arrived: Int64 = 0
    var came = 0
    var debt = 0.0
    /// What is on its way to it: time of arrival and grant.
    var mail: [(at: Int64, QuotaBucket.Grant)] = []
  }

  private struct World {
    var settings: RateLimitSettings
    var proxies: [Proxy]
    var bucket: QuotaBucket?
    var now: Int64 = 0
    var random = FastRandom(seed: 7)
    var outbox: [(at: Int64, stream: UInt64, QuotaLease.Report)] = []
    /// The control plane hears and answers.
    var isAway = false

    init(_ settings: RateLimitSettings, rates: [Double]) {
      self.settings = settings
      proxies = rates.enumerated().map { index, rate in
        Proxy(stream: UInt64(index) + 1, rate: rate, phase: Int64(index) * 17 * QuotaTests.step)
      }
    }

    var advance: Int64 { max(1, Int64(settings.burst) / 4) }
    var total: Int64 { proxies.reduce(0) { $0 + $1.used } }

    mutating func run(seconds: Double) {
      let end = now + Int64(seconds * Double(QuotaTests.second))
      while now < end {
        now += QuotaTests.step
        for index in proxies.indices { live(index) }
        if !isAway { serve() }
      }
    }

    private mutating func live(_ index: Int) {
      var proxy = proxies[index]
      proxy.debt += proxy.rate / 1_000
      while proxy.debt >= 1 {
        proxy.debt -= 1
        proxy.arrived += 1
        proxy.came += 1
        if proxy.used < proxy.until + advance { proxy.used += 1 }
      }
      while let first = proxy.mail.first, first.at <= now {
        proxy.mail.removeFirst()
        if var lease = proxy.lease {
          proxy.until = lease.grant(allowed: first.1.allowed, sharePerMillion: first.1.sharePerMillion) - advance
          proxy.lease = lease
        }
      }
      if (now + proxy.phase) % (100 * QuotaTests.step) == 0 { look(&proxy) }
      proxies[index] = proxy
    }

    private mutating func look(_ proxy: inout Proxy) {
      guard var lease = proxy.lease ?? (proxy.arrived > 0 ? QuotaLease(used: proxy.until, now: now) : nil) else {
        return
      }
      let report = lease.look(used: proxy.used, arrived: proxy.arrived, isConnected: true, now: now)
      proxy.arrived = 0
      if let until = lease.limitAlone(settings, used: proxy.used, until: proxy.until + advance, now: now) {
        proxy.until = until - advance
      }
      proxy.lease = lease
      if case .release = report {
        proxy.lease = nil
        proxy.until = proxy.used
      }
      if report != .none, !isAway {
        outbox.append((now + random.below(40 * QuotaTests.step), proxy.stream, report))
      }
    }

    private mutating func serve() {
      for (_, stream, report) in outbox.filter({ $0.at <= now }) {
        var served = bucket ?? QuotaBucket(settings, now: now)
        switch report {
        case .none: break
        case .use(let used, let arrived): served.report(stream: stream, used: used, arrived: arrived, now: now)
        case .release(let used):
          served.report(stream: stream, used: used, arrived: 0, now: now)
          served.leave(stream: stream)
        }
        bucket = served
      }
      outbox.removeAll { $0.at <= now }
      guard now % (50 * QuotaTests.step) == 0, let grants = bucket?.divide(now: now) else { return }
      for grant in grants {
        guard let index = proxies.firstIndex(where: { $0.stream == grant.stream }) else { continue }
        let last = proxies[index].mail.last?.at ?? 0
        proxies[index].mail.append((max(last, now + random.below(20 * QuotaTests.step)), grant))
      }
    }
  }

  @Test(arguments: [20, 300, 5_000] as [UInt32]) func threeProxiesAtTenTimesTheLimitLetInTheLimit(_ limit: UInt32) {
    var world = World(
      RateLimitSettings(limit: limit, burst: limit / 10),
      rates: [Double(limit) * 6, Double(limit) * 3, Double(limit)])
    let seconds = 20.0
    world.run(seconds: seconds)
    let expected = Double(limit) * seconds + Double(limit / 10)
    #expect(abs(Double(world.total) - expected) <= expected * 0.02, "\(world.total) of \(expected)")
    // All of them want more than their part: the parts are equal.
    for proxy in world.proxies {
      #expect(abs(Double(proxy.used) * 3 / Double(world.total) - 1) < 0.1, "\(world.proxies.map(\.used))")
    }
  }

  @Test func whoNeedsLittleIsNotHeldBackByWhoFloods() {
    var world = World(RateLimitSettings(limit: 300, burst: 30), rates: [5, 3_000, 40])
    world.run(seconds: 20)
    let quiet = world.proxies[0]
    #expect(Double(quiet.used) >= Double(quiet.came) * 0.97, "\(quiet.used) of \(quiet.came)")
    #expect(Double(world.proxies[2].used) >= Double(world.proxies[2].came) * 0.97)
    #expect(abs(Double(world.total) - 6_030) <= 6_030 * 0.02)
  }

  @Test func belowTheLimitNothingIsRefused() {
    var world = World(RateLimitSettings(limit: 300, burst: 60), rates: [60, 80, 100])
    world.run(seconds: 10)
    for proxy in world.proxies { #expect(proxy.used == Int64(proxy.came)) }
  }

  @Test func aLoadThatMovesFromOneProxyToAnotherTakesTheLimitAlong() {
    var world = World(RateLimitSettings(limit: 200, burst: 20), rates: [2_000, 0, 0])
    for place in [1, 2, 0, 1] {
      world.run(seconds: 5)
      for index in world.proxies.indices { world.proxies[index].rate = index == place ? 2_000 : 0 }
    }
    world.run(seconds: 5)
    #expect(abs(Double(world.total) - 5_020) <= 5_020 * 0.03, "\(world.total)")
  }

  @Test func aFewADayGoToWhoeverComes() {
    let day = RateLimitSettings(limit: 1_000, periodNanoseconds: 86_400 * Self.second)
    var world = World(day, rates: [400, 0, 0])
    world.run(seconds: 1)
    // Three quarters of the burst may wait for the first answers, and no longer.
    world.proxies[1].rate = 400
    world.proxies[0].rate = 0
    world.run(seconds: 9)
    #expect(world.total >= 1_000 && world.total <= 1_251, "\(world.total)")
  }

  @Test func withoutTheControlPlaneEachGoesOnWithItsShare() {
    var world = World(RateLimitSettings(limit: 300, burst: 30), rates: [1_000, 1_000, 1_000])
    world.run(seconds: 5)
    let before = world.total
    world.isAway = true
    world.run(seconds: 20)
    // Nothing for a second at most, then a third of the limit each.
    let alone = Double(world.total - before)
    #expect(alone <= 6_000 * 1.02 && alone >= 5_600 * 0.98, "\(alone)")
    world.isAway = false
    let again = world.total
    world.run(seconds: 10)
    // What passed meanwhile is reported now, and was within the limit.
    #expect(abs(Double(world.total - again) - 3_000) <= 330, "\(world.total - again)")
  }

  @Test func sharesAreFairByNeed() {
    #expect(QuotaBucket.divide(10, among: [1, 100, 100], from: 0) == [1, 5, 4])
    #expect(QuotaBucket.divide(10, among: [1, 100, 100], from: 1) == [1, 4, 5])
    #expect(QuotaBucket.divide(9, among: [0, 0, 0], from: 0) == [3, 3, 3])
    #expect(QuotaBucket.divide(100, among: [10, 0], from: 0) == [55, 45])
    #expect(QuotaBucket.divide(0, among: [5, 5], from: 0) == [0, 0])
    #expect(QuotaBucket.divide(-3, among: [5], from: 0) == [0])
    #expect(QuotaBucket.divide(7, among: [], from: 3) == [])
    var random = FastRandom(seed: 11)
    for _ in 0..<2_000 {
      let needs = (0..<Int(random.below(UInt32(9)))).map { _ in random.below(Int64(50)) }
      let pool = random.below(Int64(200))
      let shares = QuotaBucket.divide(pool, among: needs, from: Int(random.below(UInt32(9))))
      #expect(needs.isEmpty || shares.reduce(0, +) == pool)
      // Nobody gets more than another one who has less than it needs, but for what cannot be divided.
      for (share, need) in zip(shares, needs) where share < need {
        #expect(shares.allSatisfy { $0 <= share + 1 })
      }
    }
  }

  @Test func numbersOfPeersDoNotEndTheProgram() {
    var bucket = QuotaBucket(RateLimitSettings(limit: 10), now: 0)
    for number in [Int64.max, -1, 0, Int64.min, 1 << 62] {
      bucket.report(stream: 1, used: number, arrived: number, now: number)
      _ = bucket.divide(now: number)
    }
    var lease = QuotaLease(used: 0, now: 0)
    for number in [Int64.max, -1, 0, Int64.min] {
      _ = lease.grant(allowed: number, sharePerMillion: UInt32(truncatingIfNeeded: number))
    }
  }
}
