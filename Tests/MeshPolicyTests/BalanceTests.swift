import MeshModel
import MeshPolicy
import Testing

/// Endpoints in memory of their own, with a set over them.
final class EndpointFixture {
  let base: UnsafeMutablePointer<EndpointState>
  var set: EndpointSet

  init(weights: [UInt32], panicPercent: UInt32 = 50) {
    base = .allocate(capacity: weights.count + 1)
    base.initialize(from: weights.map { EndpointState(weight: $0) }, count: weights.count)
    set = EndpointSet(base: base, count: Int32(weights.count), panicPercent: panicPercent, sequence: 7)
  }

  deinit { base.deallocate() }

  /// How often each is picked in `draws` picks with nothing in flight.
  func shares(_ balancer: LoadBalancer, draws: Int, seed: UInt64 = 1, tried: TriedEndpoints = .init()) -> [Int] {
    var random = FastRandom(seed: seed)
    var counts = Array(repeating: 0, count: Int(set.count))
    for _ in 0..<draws {
      let index = set.pick(balancer, tried: tried, now: 0, random: &random)
      if index >= 0 { counts[Int(index)] += 1 }
    }
    return counts
  }
}

/// Whether `count` of `draws` lies within five standard deviations of probability `share`.
func isWithinFiveSigma(_ count: Int, of draws: Int, share: Double) -> Bool {
  abs(Double(count) - Double(draws) * share) <= 5 * (Double(draws) * share * (1 - share)).squareRoot() + 1
}

@Suite struct BalanceTests {
  static let balancers: [LoadBalancer] = [.roundRobin, .random, .leastRequest, .standard]

  @Test(arguments: balancers) func nothingToPickHasItsReason(_ balancer: LoadBalancer) {
    var random = FastRandom(seed: 1)
    let empty = EndpointFixture(weights: [])
    #expect(empty.set.pick(balancer, tried: .init(), now: 0, random: &random) == -1)
    #expect(empty.set.emptyReason == .noEndpoint)
    let draining = EndpointFixture(weights: [1, 1, 0])
    draining.set.set(.draining, true, at: 0)
    draining.set.set(.draining, true, at: 1)
    #expect(draining.set.pick(balancer, tried: .init(), now: 0, random: &random) == -1)
    #expect(draining.set.emptyReason == .noHealthyEndpoint)
  }

  @Test(arguments: balancers) func sharesFollowTheWeights(_ balancer: LoadBalancer) {
    let draws = 120_000
    let even = EndpointFixture(weights: [1, 1, 1, 1]).shares(balancer, draws: draws)
    for count in even { #expect(isWithinFiveSigma(count, of: draws, share: 0.25), "\(even)") }
    let uneven = EndpointFixture(weights: [1, 2, 0, 5, 4])
    let counts = uneven.shares(balancer, draws: draws)
    // Peak EWMA and least request take the better of two drawn by weight: with equal costs that is the draw itself.
    for (count, weight) in zip(counts, [1.0, 2, 0, 5, 4]) {
      #expect(isWithinFiveSigma(count, of: draws, share: weight / 12), "\(counts)")
    }
  }

  @Test func roundRobinIsSmooth() {
    var random = FastRandom(seed: 1)
    let even = EndpointFixture(weights: [3, 3, 3])
    let picks = (0..<9).map { _ in even.set.pick(.roundRobin, tried: .init(), now: 0, random: &random) }
    #expect(Set(picks[0..<3]) == [0, 1, 2] && picks[0..<3] == picks[3..<6] && picks[3..<6] == picks[6..<9])
    let uneven = EndpointFixture(weights: [1, 1, 4])
    var longest = 0
    var run = 0
    for _ in 0..<6_000 {
      run = uneven.set.pick(.roundRobin, tried: .init(), now: 0, random: &random) == 2 ? run + 1 : 0
      longest = max(longest, run)
    }
    // Four of six: chance alone would give runs of twenty.
    #expect(longest <= 5)
  }

  @Test(arguments: balancers) func unhealthyAndEjectedEndpointsGetNothingTheRestTheirShare(_ balancer: LoadBalancer) {
    let fixture = EndpointFixture(weights: [1, 1, 1, 2])
    fixture.set.set(.unhealthy, true, at: 0)
    fixture.set.set(.ejected, true, at: 3)
    #expect(!fixture.set.isPanicking && fixture.set.healthyCount == 2 && fixture.set.ejectedCount == 1)
    let counts = fixture.shares(balancer, draws: 40_000)
    #expect(counts[0] == 0 && counts[3] == 0 && counts[1] + counts[2] == 40_000)
    #expect(isWithinFiveSigma(counts[1], of: 40_000, share: 0.5), "\(counts)")
  }

  @Test(arguments: balancers) func underThePanicThresholdHealthIsIgnoredAndDrainingIsNot(_ balancer: LoadBalancer) {
    let fixture = EndpointFixture(weights: [1, 1, 1, 1, 1])
    for index in 0..<2 { fixture.set.set(.unhealthy, true, at: Int32(index)) }
    fixture.set.set(.draining, true, at: 4)
    #expect(!fixture.set.isPanicking)  // Two of four are well: exactly the threshold.
    fixture.set.set(.ejected, true, at: 2)
    #expect(fixture.set.isPanicking)
    let counts = fixture.shares(balancer, draws: 40_000)
    #expect(counts[4] == 0)
    for count in counts[..<4] { #expect(isWithinFiveSigma(count, of: 40_000, share: 0.25), "\(counts)") }
    fixture.set.panicPercent = 0
    fixture.set.recount()
    #expect(fixture.shares(balancer, draws: 100) == [0, 0, 0, 100, 0])
  }

  @Test(arguments: balancers) func triedEndpointsAreLeftAloneWhileThereIsAnother(_ balancer: LoadBalancer) {
    let fixture = EndpointFixture(weights: [1, 3, 1, 1])
    var tried = TriedEndpoints()
    tried.insert(1)
    tried.insert(3)
    let counts = fixture.shares(balancer, draws: 20_000, tried: tried)
    #expect(counts[1] == 0 && counts[3] == 0 && isWithinFiveSigma(counts[0], of: 20_000, share: 0.5), "\(counts)")
    tried.insert(0)
    tried.insert(2)
    #expect(fixture.shares(balancer, draws: 1_000, tried: tried).reduce(0, +) == 1_000)
    for index in 0..<40 { tried.insert(Int32(index)) }
    #expect(tried.count == TriedEndpoints.capacity)
    let one = EndpointFixture(weights: [1])
    #expect(one.shares(balancer, draws: 5, tried: tried) == [5])
  }

  /// Half of the endpoints fail, one of them is ejected, which is the most that the default allows.
  private func halfFailing(_ count: Int) -> EndpointFixture {
    let fixture = EndpointFixture(weights: Array(repeating: 1, count: count))
    for index in 0..<count / 2 {
      for _ in 0..<9 {
        _ = OutlierDetector.onResult(.gatewayError, at: Int32(index), in: &fixture.set, OutlierSettings(), now: 0)
      }
    }
    return fixture
  }

  @Test(arguments: [.leastRequest, .standard] as [LoadBalancer], [8, 20, 100])
  func endpointsThatFailAreTheSecondChoiceEvenWhereNoMoreMayBeEjected(_ balancer: LoadBalancer, _ count: Int) {
    let fixture = halfFailing(count)
    #expect(fixture.set.ejectedCount == max(1, count / 10))
    let draws = 20_000
    let counts = fixture.shares(balancer, draws: draws)
    let failing = counts[..<(count / 2)].reduce(0, +)
    // A third of the draws (with ten ejected of a hundred: 44 %) is of one that fails; three in a row are rare. One in
    // sixteen is kept: they are not forgotten.
    #expect(failing < draws * 13 / 100 && failing > draws / 60, "\(failing) of \(draws)")
    for good in counts[(count / 2)...] {
      let share = Double(draws - failing) / Double(count - count / 2) / Double(draws)
      #expect(isWithinFiveSigma(good, of: draws, share: share), "\(counts)")
    }
  }

  @Test func whatPromisesEachItsShareKeepsToItButForRetries() {
    for balancer: LoadBalancer in [.roundRobin, .random] {
      let fixture = halfFailing(8)
      let first = fixture.shares(balancer, draws: 14_000)
      for count in first[1...] { #expect(isWithinFiveSigma(count, of: 14_000, share: 1.0 / 7), "\(first)") }
      var tried = TriedEndpoints()
      tried.insert(1)
      let again = fixture.shares(balancer, draws: 14_000, tried: tried)
      #expect(again[2] + again[3] < 14_000 / 10 && again[1] == 0, "\(again)")
    }
  }

  @Test func oneSuccessMakesAnEndpointLikeTheOthers() {
    let fixture = halfFailing(4)
    _ = OutlierDetector.onResult(.success, at: 1, in: &fixture.set, OutlierSettings(), now: 0)
    let counts = fixture.shares(.leastRequest, draws: 9_000)
    #expect(counts[0] == 0 && isWithinFiveSigma(counts[1], of: 9_000, share: 1.0 / 3), "\(counts)")
    // Where all fail there is nothing to prefer.
    let all = EndpointFixture(weights: [1, 1, 1])
    for index in 0..<3 { all.base[index].outlier.serverErrors = 50 }
    #expect(all.shares(.leastRequest, draws: 900).allSatisfy { $0 > 200 })
  }

  @Test func leastRequestTakesTheEmptierOfTwo() {
    let fixture = EndpointFixture(weights: [1, 1])
    fixture.base[0].inFlight = 5
    let counts = fixture.shares(.leastRequest, draws: 1_000)
    #expect(counts == [0, 1_000])
    // Five requests on a weight of ten are less than one on a weight of one.
    fixture.base[0].weight = 10
    fixture.base[1].inFlight = 1
    fixture.set.recount()
    #expect(fixture.shares(.leastRequest, draws: 1_000)[0] > 980)
  }

  /// Requests arrive as a Poisson stream; each endpoint serves one at a time. Gives latencies in microseconds, sorted.
  private func simulate(_ balancer: LoadBalancer, serviceMicroseconds: [Double], seed: UInt64) -> [Double] {
    let fixture = EndpointFixture(weights: serviceMicroseconds.map { _ in 1 })
    var random = FastRandom(seed: seed)
    var free = serviceMicroseconds.map { _ in 0.0 }
    var ends: [(time: Double, endpoint: Int, latency: Double)] = []
    var latencies: [Double] = []
    var now = 0.0
    for _ in 0..<20_000 {
      now += Double(random.below(UInt32(400)))  // On average every 200 µs.
      for done in ends where done.time <= now {
        fixture.base[done.endpoint].ended()
        PeakEWMA.note(
          Int64(done.latency * 1_000), failed: false, now: Int64(done.time * 1_000), decayNanoseconds: 10_000_000_000,
          in: &fixture.base[done.endpoint])
      }
      ends.removeAll { $0.time <= now }
      let picked = Int(fixture.set.pick(balancer, tried: .init(), now: Int64(now * 1_000), random: &random))
      fixture.base[picked].began()
      let start = max(now, free[picked])
      free[picked] = start + serviceMicroseconds[picked]
      ends.append((free[picked], picked, free[picked] - now))
      latencies.append(free[picked] - now)
    }
    return latencies.sorted()
  }

  @Test func peakEWMAAvoidsASlowEndpointThatRoundRobinQueuesAt() {
    let service = [200.0, 200, 200, 200, 200, 200, 200, 200, 200, 3_000]
    let robin = simulate(.roundRobin, serviceMicroseconds: service, seed: 3)
    let peak = simulate(.standard, serviceMicroseconds: service, seed: 3)
    let place = 19_800
    #expect(robin[place] > 5 * peak[place], "p99 \(robin[place]) µs against \(peak[place]) µs")
  }

  @Test func peakEWMARisesAtOnceFadesWithTimeAndPunishesFailures() {
    var state = EndpointState()
    let decay: Int64 = 10_000_000_000
    #expect(PeakEWMA.cost(state, now: 0, decayNanoseconds: decay) == 0)
    state.began()
    #expect(PeakEWMA.cost(state, now: 0, decayNanoseconds: decay) > 1e9)
    PeakEWMA.note(1_000_000, failed: false, now: 0, decayNanoseconds: decay, in: &state)
    PeakEWMA.note(50_000_000, failed: false, now: 1_000, decayNanoseconds: decay, in: &state)
    #expect(state.latencyNanoseconds == 50_000_000)
    PeakEWMA.note(1_000_000, failed: false, now: 1_000_000, decayNanoseconds: decay, in: &state)
    #expect(state.latencyNanoseconds > 49_000_000)
    let later = PeakEWMA.cost(state, now: 1_000_000 + decay, decayNanoseconds: decay) / 2
    #expect(abs(later / state.latencyNanoseconds - 0.3679) < 0.001)
    // What pages show is what the cost is made of: an old peak is forgotten.
    #expect(PeakEWMA.latency(state, now: 1_000_000 + decay, decayNanoseconds: decay) == later)
    #expect(PeakEWMA.latency(state, now: 1_000_000 + 30 * decay, decayNanoseconds: decay) < 1)
    #expect(PeakEWMA.latency(EndpointState(), now: 5, decayNanoseconds: decay) == 0)
    // An endpoint that answers 503 in a hundredth of the time must not become the cheapest.
    var failing = EndpointState()
    PeakEWMA.note(1_000_000, failed: false, now: 0, decayNanoseconds: decay, in: &failing)
    PeakEWMA.note(10_000, failed: true, now: 1_000, decayNanoseconds: decay, in: &failing)
    #expect(failing.latencyNanoseconds >= PeakEWMA.leastFailureNanoseconds)
    for step in 2..<20 {
      PeakEWMA.note(10_000, failed: true, now: Int64(step) * 1_000, decayNanoseconds: decay, in: &failing)
    }
    #expect(failing.latencyNanoseconds <= PeakEWMA.mostFailureNanoseconds)
    #expect(failing.latencyNanoseconds > 9_000_000_000)
  }
}
