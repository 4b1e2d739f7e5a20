import MeshModel
import Testing

@Suite struct TrafficPolicyTests {
  @Test func theDefaultsAreWithinTheirOwnBounds() {
    #expect(TrafficPolicy().violations().isEmpty)
  }

  @Test func everyViolationIsListedWithItsPath() {
    var policy = TrafficPolicy()
    policy.panicThresholdPercent = 101
    policy.loadBalancer = .peakEWMA(decayNanoseconds: 0)
    policy.circuit.connections = .atMost(0)
    policy.circuit.requests = .atMost(0)
    policy.outlier?.maxEjectionPercent = 200
    policy.outlier?.baseEjectionNanoseconds = 400_000_000_000
    policy.outlier?.consecutiveServerErrors = .atMost(0)
    policy.retry.retries = 11
    policy.retry.statuses = StatusSet([])
    policy.retry.baseBackoffNanoseconds = 0
    policy.retryBudget.percent = 101
    policy.retryBudget.windowNanoseconds = 5
    policy.pool.idleNanoseconds = -1
    #expect(
      policy.violations().map(\.path) == [
        "panicThreshold", "loadBalancer.peakEWMA.decay", "circuitBreaker.maxConnections", "circuitBreaker.maxRequests",
        "outlierDetection.maxEjectionPercent", "outlierDetection.maxEjectionTime",
        "outlierDetection.consecutive5xxErrors", "retry.attempts", "retry.codes", "retry.backoff",
        "retryBudget.percent", "retryBudget.interval", "connectionPool.idleTimeout",
      ])
  }

  @Test func durationsBecomeLimitsWithinBounds() {
    #expect(TimeLimit.after(.zero) == .off)
    #expect(TimeLimit.after(.seconds(-1)) == .off)
    #expect(TimeLimit.after(.milliseconds(5)) == .nanoseconds(5_000_000))
    #expect(TimeLimit.after(.seconds(Int64.max)) == .nanoseconds(TimeLimit.longestNanoseconds))
    #expect(TimeLimit.inherited.or(.off) == .off)
    #expect(TimeLimit.off.or(.nanoseconds(1)) == .off)
    #expect(Duration.seconds(Int64.min).saturatingNanoseconds == .min)
  }

  @Test func limitsAreDividedBetweenLoopsRoundedUp() {
    #expect(CountLimit.atMost(10).share(ofLoops: 4) == .atMost(3))
    #expect(CountLimit.atMost(1).share(ofLoops: 8) == .atMost(1))
    #expect(CountLimit.atMost(7).share(ofLoops: 0) == .atMost(7))
    #expect(CountLimit.off.share(ofLoops: 4) == .off)
  }

  @Test func statusSetsHoldErrorsOnly() {
    let all = (0...700).map(UInt16.init)
    for status in all {
      let set = StatusSet([status])
      let isError = (400...599).contains(status)
      #expect(set.contains(status) == isError)
      #expect(all.filter(set.contains).count == (isError ? 1 : 0))
    }
  }
}
