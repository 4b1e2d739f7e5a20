import MeshModel
import MeshPolicy
import Testing

@Suite struct PriorityTests {
  private func plan(_ levels: [(healthy: Int32, all: Int32)]) -> PriorityPlan {
    PriorityPlan(count: levels.count) { levels[$0] }
  }

  @Test func aLevelTakesWhatItsHealthyPartCarriesAndTheRestSpillsOver() {
    let cases: [([(healthy: Int32, all: Int32)], [Double])] = [
      ([(10, 10), (10, 10)], [1, 0]),
      ([(8, 10), (10, 10)], [1, 0]),  // 80 % healthy with 140 % room carry all.
      ([(5, 10), (10, 10)], [0.7, 0.3]),
      ([(0, 10), (10, 10)], [0, 1]),
      ([(0, 0), (10, 10)], [0, 1]),
      ([(5, 10), (1, 10), (10, 10)], [0.7, 0.14, 0.16]),
      ([(2, 10), (1, 10)], [0.6667, 0.3333]),  // Too few in all: in proportion.
      ([(0, 10), (0, 10)], [0, 0]),
      ([], []),
    ]
    for (levels, shares) in cases {
      let plan = plan(levels)
      for (index, share) in shares.enumerated() {
        #expect(abs(plan.share(index) - share) < 0.0002, "\(levels): level \(index) has \(plan.share(index))")
      }
      let sum = (0..<PriorityPlan.maxLevels).reduce(0.0) { $0 + plan.share($1) }
      #expect(abs(sum - (shares.reduce(0, +) > 0 ? 1 : 0)) < 1e-9)
    }
  }

  @Test func levelsAreDrawnByTheirShares() {
    var random = FastRandom(seed: 8)
    let plan = plan([(5, 10), (1, 10), (10, 10)])
    var counts = [0, 0, 0]
    for _ in 0..<100_000 { counts[Int(plan.pick(&random))] += 1 }
    for (count, share) in zip(counts, [0.7, 0.14, 0.16]) {
      #expect(isWithinFiveSigma(count, of: 100_000, share: share), "\(counts)")
    }
    #expect(self.plan([(0, 10)]).pick(&random) == -1)
    #expect(self.plan([]).pick(&random) == -1)
  }

  @Test func localitiesAreNearInSteps() {
    let here = Locality(region: "eu", zone: "a")
    #expect(here.distance(to: Locality(region: "eu", zone: "a")) == 0)
    #expect(here.distance(to: Locality(region: "eu", zone: "b")) == 1)
    #expect(here.distance(to: Locality(region: "us", zone: "a")) == 2)
    #expect(here.distance(to: Locality()) == 2 && Locality().distance(to: Locality()) == 2)
    #expect(Locality(region: "eu").distance(to: Locality(region: "eu")) == 1)
  }

  @Test func aNewEndpointGrowsIntoItsShare() {
    let start = SlowStart(windowNanoseconds: 1_000)
    #expect(
      [0, 50, 100, 500, 999, 1_000, 5_000, -5].map { start.weight(2, age: $0) } == [
        20, 20, 20, 100, 198, 200, 200, 20,
      ])
    #expect(start.weight(0, age: 0) == 0 && start.weight(1, age: 0) == 10)
    #expect(start.weight(.max, age: 0) > 0)
    // One of four at a tenth of its weight gets a tenth of the others' share.
    let weights = [start.weight(1, age: 0)] + Array(repeating: start.weight(1, age: 9_999), count: 3)
    let counts = EndpointFixture(weights: weights).shares(.random, draws: 62_000)
    #expect(isWithinFiveSigma(counts[0], of: 62_000, share: 1.0 / 31), "\(counts)")
  }
}
