import MeshModel
import MeshPolicy
import Testing

@Suite struct LimitTests {
  private let second: Int64 = 1_000_000_000

  private func isAllowed(_ decision: RateLimitDecision) -> Bool {
    if case .allowed = decision { true } else { false }
  }

  @Test(arguments: [1, 7, 100, 5_000] as [UInt32]) func tenTimesTheLimitGetsTheLimitWithinTwoPerCent(_ limit: UInt32) {
    let settings = RateLimitSettings(limit: limit, burst: 1)
    var limiter = RateLimiter()
    var random = FastRandom(seed: UInt64(limit))
    var allowed = 0
    var now: Int64 = 0
    let time = max(10 * second, 200 * second / Int64(limit))
    while now < time {
      now += random.below(2 * second / Int64(limit) / 10)
      if isAllowed(limiter.decide(settings, now: now)) { allowed += 1 }
    }
    let expected = Double(limit) * Double(time) / Double(second)
    #expect(Double(allowed) <= expected * 1.02 + 1)
    // Requests come at random, so that a place is taken up to a tenth of an interval late.
    #expect(Double(allowed) >= expected * 0.88)
    let burst = RateLimitSettings(limit: limit, burst: limit + 5)
    var full = RateLimiter()
    var count = 0
    now = 0
    while now < time {
      now += random.below(2 * second / Int64(limit) / 10)
      if isAllowed(full.decide(burst, now: now)) { count += 1 }
    }
    // With a burst no place is lost: exactly the limit and the burst.
    #expect(abs(Double(count) - expected - Double(limit + 5)) <= expected * 0.02 + 2)
  }

  @Test func everyWindowHoldsAtMostBurstAndRate() {
    let settings = RateLimitSettings(limit: 10, burst: 5)
    var limiter = RateLimiter()
    var random = FastRandom(seed: 3)
    var passed: [Int64] = []
    var now: Int64 = 0
    for _ in 0..<20_000 {
      now += random.below(UInt32(50)) == 0 ? random.below(3 * second) : random.below(Int64(20_000_000))
      if isAllowed(limiter.decide(settings, now: now)) { passed.append(now) }
    }
    for (index, start) in passed.enumerated() {
      let inSecond = passed[index...].prefix { $0 < start + second }.count
      #expect(inSecond <= 15)
    }
    #expect(passed.count > 1_000)
  }

  @Test func limitedRequestsLearnWhenToComeAgain() {
    let settings = RateLimitSettings(limit: 2, burst: 2)
    var limiter = RateLimiter()
    #expect(limiter.decide(settings, now: 100) == .allowed(remaining: 1, resetNanoseconds: second / 2))
    #expect(limiter.decide(settings, now: 100) == .allowed(remaining: 0, resetNanoseconds: second))
    #expect(limiter.decide(settings, now: 100) == .limited(retryAfterNanoseconds: second / 2))
    #expect(!isAllowed(limiter.decide(settings, now: 99 + second / 2)))
    #expect(isAllowed(limiter.decide(settings, now: 100 + second / 2)))
    #expect(limiter.decide(settings, cost: 3, now: 100 * second) == .limited(retryAfterNanoseconds: .max))
    #expect(limiter.decide(settings, cost: 2, now: 100 * second) == .allowed(remaining: 0, resetNanoseconds: second))
    // A clock that goes back must not lock the limiter for longer than a full bucket takes.
    #expect(isAllowed(limiter.decide(settings, now: 100 * second + second)))
    let back = limiter.decide(settings, now: 0)
    #expect(back == .limited(retryAfterNanoseconds: second / 2))
    #expect([0, 1, second, second + 1, .max].map(RateLimiter.retryAfterSeconds) == [1, 1, 1, 2, 9_223_372_037])
    var extreme = RateLimiter()
    let most = RateLimitSettings(limit: 1, periodNanoseconds: .max, burst: .max)
    #expect(isAllowed(extreme.decide(most, now: .max / 2)))
  }

  @Test func faultsComeAtTheirRates() {
    var random = FastRandom(seed: 6)
    var settings = FaultSettings()
    #expect(FaultDecision.draw(settings, &random) == FaultDecision())
    settings.delayPerMillion = 100_000
    settings.delayNanoseconds = 5
    settings.abortPerMillion = 300_000
    settings.abortStatus = 999
    let draws = (0..<100_000).map { _ in FaultDecision.draw(settings, &random) }
    #expect(isWithinFiveSigma(draws.filter { $0.delayNanoseconds == 5 }.count, of: 100_000, share: 0.1))
    #expect(isWithinFiveSigma(draws.filter { $0.abortStatus == 599 }.count, of: 100_000, share: 0.3))
    let both = draws.filter { $0.abortStatus != nil && $0.delayNanoseconds != nil }.count
    #expect(isWithinFiveSigma(both, of: 100_000, share: 0.03))
    settings.abortPerMillion = 1_000_000
    #expect((0..<1_000).allSatisfy { _ in FaultDecision.draw(settings, &random).abortStatus != nil })
  }

  /// An application with `workers` that each take 10 ms, and a queue. Gives what was answered within 100 ms a second, in
  /// the second half, the limit at the end, and how many were refused.
  private func overload(
    requestsPerSecond: Double, workers: Int, seed: UInt64 = 5, calmSeconds: Int64 = 3
  ) -> (goodput: Double, limit: Double, refused: UInt64, calm: Double) {
    var settings = ConcurrencySettings()
    settings.calmNanoseconds = calmSeconds * 1_000_000_000
    var limiter = ConcurrencyLimiter(settings, now: 0)
    var random = FastRandom(seed: seed)
    var free = [Double](repeating: 0, count: workers)
    var under: [(end: Double, start: Double)] = []
    var now = 0.0
    var good = 0
    let seconds = 20.0
    while now < seconds {
      now += Double(random.below(UInt32(2_000_000))) / 1_000_000 / requestsPerSecond
      for done in under where done.end <= now {
        limiter.release(
          latencyNanoseconds: Int64((done.end - done.start) * 1e9), counts: true, settings, now: Int64(done.end * 1e9))
        if done.end > seconds / 2, done.end - done.start < 0.1 { good += 1 }
      }
      under.removeAll { $0.end <= now }
      guard limiter.acquire() else { continue }
      let worker = free.indices.min { free[$0] < free[$1] } ?? 0
      let length = 0.005 + Double(random.below(UInt32(10_000))) / 1_000_000
      free[worker] = max(now, free[worker]) + length
      under.append((free[worker], now))
    }
    return (Double(good) / (seconds / 2), limiter.limit, limiter.refused, limiter.calmNanoseconds)
  }

  @Test(arguments: 1...3 as ClosedRange<UInt64>, [5, 20])
  func fiveTimesTheCapacityStillGetsTheCapacity(_ seed: UInt64, _ workers: Int) {
    // Workers at 10 ms: a hundred a second each.
    let capacity = Double(workers) * 100
    let loaded = overload(requestsPerSecond: capacity * 5, workers: workers, seed: seed)
    #expect(loaded.goodput > capacity * 0.95, "\(loaded)")
    #expect(loaded.limit > Double(workers) * 0.9 && loaded.limit < Double(workers) * 6, "\(loaded)")
    let calm = overload(requestsPerSecond: capacity / 2, workers: workers, seed: seed)
    #expect(calm.goodput > capacity / 2 * 0.95, "\(calm)")
    #expect(calm.refused == 0, "\(calm)")
  }

  /// The first latencies are those of a queue, since the limit begins far above what the application can do.
  @Test(arguments: 1...3 as ClosedRange<UInt64>) func aQueueAtTheBeginningIsNotTakenForCalm(_ seed: UInt64) {
    // The next measurement would come after the end.
    let loaded = overload(requestsPerSecond: 2_500, workers: 5, seed: seed, calmSeconds: 60)
    #expect(loaded.calm < 15_000_000, "\(loaded)")
    #expect(loaded.limit < 15 && loaded.goodput > 500 * 0.95, "\(loaded)")
  }
}
