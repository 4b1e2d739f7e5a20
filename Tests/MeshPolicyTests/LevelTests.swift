import MeshModel
import MeshPolicy
import Testing

/// Endpoints in levels, in memory of their own.
final class LevelFixture {
  private let base: UnsafeMutablePointer<EndpointState>
  private let memory: UnsafeMutableRawPointer
  var levels: EndpointLevels

  init(_ counts: [Int], busy: UInt32 = 0, weights: [UInt32]? = nil) {
    let count = counts.reduce(0, +)
    base = .allocate(capacity: count + 1)
    base.initialize(
      from: (0..<count).map { EndpointState(weight: weights?[$0] ?? 1) }, count: count)
    memory = .allocate(byteCount: EndpointLevels.byteCount(levels: counts.count), alignment: 16)
    levels = EndpointLevels(
      EndpointSet(base: base, count: Int32(count), sequence: 3),
      levels: counts.map { EndpointLevel(count: Int32($0)) }, busy: busy, memory: memory)
  }

  deinit {
    base.deallocate()
    memory.deallocate()
  }

  func shares(_ draws: Int, _ balancer: LoadBalancer = .random, _ request: BalanceRequest = .init()) -> [Int] {
    var random = FastRandom(seed: 4)
    var counts = [Int](repeating: 0, count: Int(levels.all.count))
    for _ in 0..<draws {
      let index = levels.pick(balancer, request, now: 0, random: &random)
      if index >= 0 { counts[Int(index)] += 1 }
    }
    return counts
  }
}

@Suite struct LevelTests {
  @Test func theFirstLevelTakesAllWhileItCanAndSpillsOverWhenItCannot() {
    let fixture = LevelFixture([4, 2, 3])
    #expect(fixture.shares(4_000)[4...].allSatisfy { $0 == 0 })
    fixture.levels.all.set(.ejected, true, at: 0)
    // Three of four are 105 % of what is needed.
    #expect(fixture.shares(4_000)[4...].allSatisfy { $0 == 0 })
    fixture.levels.all.set(.ejected, true, at: 1)
    // Two of four carry 70 %: the rest goes to the next level.
    let counts = fixture.shares(40_000)
    #expect(isWithinFiveSigma(counts[2] + counts[3], of: 40_000, share: 0.7), "\(counts)")
    #expect(counts[4] + counts[5] == 40_000 - counts[2] - counts[3] && counts[6...].allSatisfy { $0 == 0 }, "\(counts)")
    for index in 2..<6 { fixture.levels.all.set(.unhealthy, true, at: Int32(index)) }
    let last = fixture.shares(3_000)
    #expect(last[6] + last[7] + last[8] == 3_000, "\(last)")
  }

  @Test func withoutAHealthyLevelAllAreOneSetInAPanic() {
    let fixture = LevelFixture([2, 2])
    for index in 0..<4 { fixture.levels.all.set(.unhealthy, true, at: Int32(index)) }
    let counts = fixture.shares(8_000)
    for count in counts { #expect(isWithinFiveSigma(count, of: 8_000, share: 0.25), "\(counts)") }
  }

  @Test func aRetryGoesToAnotherLevelWhereItsOwnIsTried() {
    let fixture = LevelFixture([2, 1])
    var request = BalanceRequest()
    request.tried.insert(0)
    #expect(fixture.shares(500, .random, request) == [0, 500, 0])
    request.tried.insert(1)
    #expect(fixture.shares(500, .random, request) == [0, 0, 500])
    request.tried.insert(2)
    #expect(fixture.shares(500, .random, request).reduce(0, +) == 500)
  }

  @Test func aBusyEndpointIsRelievedByTheNextLevel() {
    let fixture = LevelFixture([1, 1], busy: 10)
    for _ in 0..<10 { fixture.levels.all.base[0].began() }
    #expect(fixture.shares(100) == [100, 0])
    fixture.levels.all.base[0].began()
    #expect(fixture.shares(100) == [0, 100])
    for _ in 0..<6 { fixture.levels.all.base[1].began() }
    #expect(fixture.shares(100) == [100, 0], "the next level has no room either")
  }

  @Test func aSubsetIsKeptToWhateverTheBalancer() {
    let fixture = LevelFixture([3, 3])
    for index in [1, 4] { fixture.levels.all.base[index].subset = 7 }
    fixture.levels.all.recount()
    var request = BalanceRequest()
    request.subset = 7
    for balancer in BalanceTests.balancers {
      #expect(fixture.shares(200, balancer, request) == [0, 200, 0, 0, 0, 0])
    }
    request.subset = 9
    #expect(fixture.shares(200, .random, request).reduce(0, +) == 0)
    request.subset = 0
    #expect(fixture.shares(300, .random, request)[..<3].allSatisfy { $0 > 50 })
  }

  @Test func pausesAreGrantedToAtMostHalf() {
    let fixture = LevelFixture([4])
    func ask(_ index: Int32, _ seconds: UInt64) -> Bool {
      RestPolicy.ask(
        seconds: seconds, at: index, in: &fixture.levels.all, longest: 30_000_000_000, now: 0)
    }
    #expect(ask(0, 5) && ask(1, 60) && !ask(2, 5) && ask(0, 7), "half of four, and those again")
    #expect(!ask(9, 5) && !ask(-1, 5) && !ask(3, 0))
    let counts = fixture.shares(1_000)
    #expect(counts[0] == 0 && counts[1] == 0 && counts[2] + counts[3] == 1_000)
    RestPolicy.sweep(&fixture.levels.all, now: 7_000_000_000)
    #expect(fixture.levels.all.healthyCount == 3)
    RestPolicy.sweep(&fixture.levels.all, now: 30_000_000_000)
    #expect(fixture.levels.all.healthyCount == 4)
  }

  @Test func preferencesAreByPriorityThenByDistance() {
    var rules = BalanceRules()
    let own = Locality(named: "eu-west-1a")
    func preference(_ labels: [String: String], _ zone: String) -> Int {
      rules.preference(labels: labels, from: own, to: Locality(named: zone))
    }
    #expect(preference([:], "eu-west-1b") == preference([:], "us-1a"))
    rules.isZoneAware = true
    rules.priorities = [["tier": "gold"], ["tier": "silver", "role": "main"]]
    let ordered = [
      preference(["tier": "gold"], "eu-west-1a"), preference(["tier": "gold"], "eu-west-1b"),
      preference(["tier": "gold"], "us-1a"), preference(["tier": "silver", "role": "main"], "eu-west-1a"),
      preference(["tier": "silver"], "eu-west-1a"), preference([:], ""),
    ]
    #expect(ordered == ordered.sorted() && Set(ordered).count == ordered.count, "\(ordered)")
    #expect(Locality(named: "a/b") == Locality(region: "a", zone: "a/b"))
    #expect(Locality(named: "rack7").distance(to: Locality(named: "rack7")) == 0)
    #expect(Locality(named: "").distance(to: Locality(named: "")) == 2)
  }

  @Test func keysAndSubsetsAreFoundInHeads() {
    var rules = BalanceRules()
    rules.affinity = .cookie(name: "sid", lifetimeSeconds: nil)
    rules.subset = SubsetRule(label: "env", header: "X-Env", fallsBackToAny: false)
    let table = BalanceTable(rules, subsets: ["blue", "green"])
    let cases: [([(String, String)], Bool, UInt16)] = [
      ([("cookie", "sid=7"), ("x-env", "green")], true, 2), ([("cookie", "sid=")], false, 0),
      ([("x-env", "red")], false, BalanceView.unknownSubset), ([("X-ENV", "blue")], false, 1),
    ]
    for (headers, hasKey, subset) in cases {
      let fixture = HeadFixture("/", headers: headers)
      #expect(
        (table.view.key(fixture.head) != nil) == hasKey && table.view.subset(fixture.head) == subset, "\(headers)")
      keep(fixture)
    }
    #expect(!table.view.fallsBackToAny)
    keep(table)
  }
}

extension OutlierTests {
  private func reviewed(_ successes: [Int], _ settings: OutlierSettings) -> [Int] {
    let fixture = EndpointFixture(weights: successes.map { _ in 1 })
    for (index, count) in successes.enumerated() {
      for number in 0..<200 {
        // Failures spread, so that no detector of runs sees them.
        let outcome: EndpointOutcome = number * count / 200 != (number + 1) * count / 200 ? .success : .serverError
        _ = OutlierDetector.onResult(outcome, at: Int32(index), in: &fixture.set, settings, now: 0)
      }
    }
    let ejected = OutlierDetector.review(&fixture.set, settings, now: 0)
    let flagged = successes.indices.filter { fixture.base[$0].flags.contains(.ejected) }
    #expect(ejected == flagged.count)
    #expect(fixture.base[0].outlier.attempts == 0)
    return flagged
  }

  @Test func anEndpointThatSucceedsFarLessThanTheOthersIsEjected() {
    var settings = OutlierSettings()
    settings.consecutiveServerErrors = .off
    settings.consecutiveLocalFailures = .off
    settings.maxEjectionPercent = 50
    #expect(reviewed([200, 200, 200, 200, 200, 100], settings) == [], "both detectors are off")
    settings.successRate = SuccessRateSettings()
    #expect(reviewed([200, 199, 200, 198, 200, 120], settings) == [5])
    #expect(reviewed([120, 121, 119, 120, 122, 118], settings) == [], "all are alike")
    #expect(reviewed([200, 200, 200, 100], settings) == [], "too few to compare")
    settings.successRate = nil
    settings.failurePercentage = FailurePercentageSettings()
    settings.failurePercentage?.threshold = 50
    #expect(reviewed([200, 101, 100, 200, 200, 0], settings) == [2, 5])
    settings.maxEjectionPercent = 20
    #expect(reviewed([0, 0, 0, 200, 200, 200], settings) == [0], "no more than the share, and at least one")
    settings.failurePercentage?.requestVolume = 201
    #expect(reviewed([0, 0, 0, 200, 200, 200], settings) == [], "too few requests")
  }
}

@Suite struct HealthCheckTests {
  @Test func anEndpointIsIllAfterSoManyFailuresInARowAndWellAfterSoManySuccesses() {
    let settings = HealthCheckSettings()
    var state = HealthState()
    func note(_ outcomes: [Bool]) -> [Bool] { outcomes.map { state.note(success: $0, settings) } }
    #expect(note([false, false, true, false, false]) == [false, false, false, false, false])
    #expect(!state.isIll)
    #expect(note([false]) == [true] && state.isIll)
    #expect(note([false, false, true, false, true]) == [false, false, false, false, false] && state.isIll)
    #expect(note([true, true]) == [true, false] && !state.isIll)
    var strict = settings
    strict.unhealthyThreshold = 1
    strict.healthyThreshold = 0
    var other = HealthState()
    #expect(other.note(success: false, strict) && other.note(success: true, strict) && !other.isIll)
  }
}
