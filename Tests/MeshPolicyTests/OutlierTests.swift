import MeshModel
import MeshPolicy
import Testing

@Suite struct OutlierTests {
  private let second: Int64 = 1_000_000_000

  private func fail(
    _ fixture: EndpointFixture, _ index: Int32, _ outcome: EndpointOutcome, times: Int, _ settings: OutlierSettings,
    now: Int64
  ) -> [OutlierDecision] {
    (0..<times).map { _ in OutlierDetector.onResult(outcome, at: index, in: &fixture.set, settings, now: now) }
  }

  @Test func fiveFailuresInARowEjectForTheBaseTime() {
    let fixture = EndpointFixture(weights: [1, 1, 1])
    let settings = OutlierSettings()
    let decisions = fail(fixture, 1, .serverError, times: 5, settings, now: 100)
    #expect(decisions == Array(repeating: .unchanged, count: 4) + [.ejected(.serverError, until: 100 + 30 * second)])
    #expect(fixture.shares(.random, draws: 1_000)[1] == 0)
    #expect(fixture.set.ejectedCount == 1)
    // Further results do not prolong it.
    #expect(fail(fixture, 1, .serverError, times: 10, settings, now: 200).allSatisfy { $0 == .unchanged })
  }

  @Test func aSuccessBeginsTheCountAgain() {
    let fixture = EndpointFixture(weights: [1, 1])
    let settings = OutlierSettings()
    for _ in 0..<10 {
      #expect(fail(fixture, 0, .serverError, times: 4, settings, now: 0).allSatisfy { $0 == .unchanged })
      #expect(fail(fixture, 0, .success, times: 1, settings, now: 0) == [.unchanged])
    }
  }

  @Test func eachKindHasItsOwnLimit() {
    var settings = OutlierSettings()
    settings.consecutiveServerErrors = .off
    settings.consecutiveGatewayErrors = .atMost(2)
    settings.consecutiveLocalFailures = .atMost(3)
    let cases: [([EndpointOutcome], OutlierDecision)] = [
      ([.gatewayError, .gatewayError], .ejected(.gatewayError, until: 30 * second)),
      ([.gatewayError, .serverError, .gatewayError], .unchanged),
      ([.localFailure, .localFailure], .ejected(.gatewayError, until: 30 * second)),
      ([.serverError, .serverError, .serverError, .serverError, .serverError, .serverError], .unchanged),
    ]
    for (outcomes, last) in cases {
      let fixture = EndpointFixture(weights: [1, 1])
      let decisions = outcomes.map {
        OutlierDetector.onResult($0, at: 0, in: &fixture.set, settings, now: 0)
      }
      #expect(decisions.last == last, "\(outcomes)")
    }
    settings.consecutiveGatewayErrors = .off
    let fixture = EndpointFixture(weights: [1, 1])
    #expect(
      fail(fixture, 0, .localFailure, times: 3, settings, now: 0).last == .ejected(.localFailure, until: 30 * second))
  }

  @Test func atMostTheShareIsEjectedAndAtLeastOneOfSeveral() {
    let cases: [(endpoints: Int, percent: UInt32, ejected: Int)] = [
      (1, 10, 0), (1, 100, 1), (2, 10, 1), (5, 10, 1), (10, 10, 1), (20, 10, 2), (29, 10, 2), (10, 50, 5), (10, 0, 0),
      (4, 100, 4),
    ]
    for item in cases {
      var settings = OutlierSettings()
      settings.maxEjectionPercent = item.percent
      let fixture = EndpointFixture(weights: Array(repeating: 1, count: item.endpoints))
      var atLimit = 0
      for index in 0..<item.endpoints {
        let last = fail(fixture, Int32(index), .localFailure, times: 5, settings, now: 0).last
        if last == .atLimit { atLimit += 1 }
      }
      #expect(Int(fixture.set.ejectedCount) == item.ejected, "\(item)")
      #expect(atLimit == item.endpoints - item.ejected, "\(item)")
    }
  }

  @Test func theTimeGrowsWithEachEjectionUpToTheMaximumAndShrinksWithGoodConduct() {
    let fixture = EndpointFixture(weights: [1, 1])
    let settings = OutlierSettings()
    var now: Int64 = 0
    var times: [Int64] = []
    for _ in 0..<12 {
      guard case .ejected(_, let until) = fail(fixture, 0, .serverError, times: 5, settings, now: now).last else {
        Issue.record("not ejected")
        return
      }
      times.append((until - now) / second)
      #expect(OutlierDetector.sweep(&fixture.set, settings, now: until - 1) == 0)
      #expect(OutlierDetector.sweep(&fixture.set, settings, now: until) == 1)
      #expect(fixture.set.ejectedCount == 0)
      now = until + 1
    }
    #expect(times == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300])
    for _ in 0..<11 {
      now += 30 * second
      _ = OutlierDetector.sweep(&fixture.set, settings, now: now)
    }
    guard case .ejected(_, let until) = fail(fixture, 0, .serverError, times: 5, settings, now: now).last else {
      Issue.record("not ejected")
      return
    }
    #expect((until - now) / second == 60)
  }

  @Test func indicesThatAreNotThereChangeNothing() {
    let fixture = EndpointFixture(weights: [1, 1])
    #expect(fail(fixture, 7, .serverError, times: 9, OutlierSettings(), now: 0).allSatisfy { $0 == .unchanged })
    #expect(fail(fixture, -1, .serverError, times: 9, OutlierSettings(), now: 0).allSatisfy { $0 == .unchanged })
  }
}
