import MeshModel
import MeshPolicy
import Testing

@Suite struct RetryTests {
  private let second: Int64 = 1_000_000_000

  private func decide(
    _ failure: AttemptFailure, _ context: AttemptContext, _ settings: RetrySettings = .init(),
    budget: RetryBudgetSettings = .init(), limits: CircuitLimits = .init()
  ) -> RetryDecision {
    var budget = RetryBudget(budget, now: 0)
    var breaker = Breaker(limits)
    var random = FastRandom(seed: 9)
    let decision = RetryPolicy.decide(
      failure, context, settings, budget: &budget, breaker: &breaker, now: 0, random: &random)
    // What is not retried must have been given back.
    if case .retry = decision {} else { #expect(breaker.count(.retries) == 0) }
    return decision
  }

  private func isRetry(_ decision: RetryDecision) -> Bool {
    if case .retry = decision { true } else { false }
  }

  @Test func methodsDecideWhatMayBeRepeatedAfterWhat() {
    // GET, PUT (idempotent and not safe), POST.
    let cases: [(AttemptFailure, [Bool])] = [
      (.connectFailure, [true, true, true]), (.refusedStream, [true, true, true]),
      (.resetBeforeResponse, [true, true, false]), (.perTryTimeout, [true, true, false]),
      (.status(502), [true, false, false]), (.status(503), [true, false, false]), (.status(504), [true, false, false]),
      (.status(200), [false, false, false]), (.status(429), [false, false, false]),
      (.status(500), [false, false, false]),
    ]
    for (failure, expected) in cases {
      let result = [Method.get, .put, .post].map {
        isRetry(decide(failure, AttemptContext(method: $0, attempts: 1)))
      }
      #expect(result == expected, "\(failure)")
    }
    var wider = RetrySettings()
    wider.conditions.insert(.statusForIdempotent)
    #expect(isRetry(decide(.status(503), AttemptContext(method: .put, attempts: 1), wider)))
    #expect(!isRetry(decide(.status(503), AttemptContext(method: .post, attempts: 1), wider)))
    wider.conditions.insert(.allMethods)
    #expect(isRetry(decide(.status(503), AttemptContext(method: .post, attempts: 1), wider)))
    wider.conditions = []
    #expect(decide(.connectFailure, AttemptContext(method: .get, attempts: 1), wider) == .notRetriable)
  }

  @Test func callsOfGRPCAreRepeatedByTheirStatusWhateverTheMethod() {
    for status in UInt8(0)...17 {
      #expect(isRetry(decide(.grpcStatus(status), AttemptContext(method: .post, attempts: 1))) == (status == 14))
    }
    var wider = RetrySettings()
    wider.conditions.formUnion([.grpcCancelled, .grpcDeadlineExceeded, .grpcInternal, .grpcResourceExhausted])
    let repeated = (UInt8(0)...17).filter {
      isRetry(decide(.grpcStatus($0), AttemptContext(method: .post, attempts: 1), wider))
    }
    #expect(repeated == [1, 4, 8, 13, 14])
  }

  @Test func anEndpointMaySayWhenACallIsRepeatedAndThatItIsNot() {
    let later = AttemptContext(method: .post, attempts: 1, pushback: .after(nanoseconds: 700_000_000))
    #expect(decide(.grpcStatus(14), later) == .retry(afterNanoseconds: 700_000_000))
    let never = AttemptContext(method: .post, attempts: 1, pushback: .never)
    #expect(decide(.grpcStatus(14), never) == .notRetriable)
    let tooLate = AttemptContext(
      method: .post, attempts: 1, deadline: 500_000_000, pushback: .after(nanoseconds: 700_000_000))
    #expect(decide(.grpcStatus(14), tooLate) == .giveUp(.requestTimeout))
  }

  @Test func everyLimitHasItsReason() {
    var none = RetrySettings()
    none.retries = 0
    #expect(decide(.connectFailure, AttemptContext(method: .get, attempts: 1), none) == .notRetriable)
    #expect(isRetry(decide(.connectFailure, AttemptContext(method: .get, attempts: 2))))
    #expect(decide(.connectFailure, AttemptContext(method: .get, attempts: 3)) == .giveUp(.retryLimit))
    let large = AttemptContext(method: .get, attempts: 1, isReplayable: false)
    #expect(decide(.connectFailure, large) == .giveUp(.retryBodyTooLarge))
    let begun = AttemptContext(method: .get, attempts: 1, isAnswerBegun: true)
    #expect(decide(.resetBeforeResponse, begun) == .notRetriable)
    let late = AttemptContext(method: .get, attempts: 1, deadline: 0)
    #expect(decide(.connectFailure, late) == .giveUp(.requestTimeout))
    var noBudget = RetryBudgetSettings()
    noBudget.minPerSecond = 0
    let first = AttemptContext(method: .get, attempts: 1)
    #expect(decide(.connectFailure, first, budget: noBudget) == .giveUp(.retryBudgetExhausted))
    var closed = CircuitLimits()
    closed.retries = .atMost(0)
    #expect(decide(.connectFailure, first, limits: closed) == .giveUp(.circuitOpenRetries))
  }

  @Test func waitsAreSpreadBelowADoublingBound() {
    var random = FastRandom(seed: 2)
    let settings = RetrySettings()
    let bounds: [Int64] = [25, 50, 100, 200, 250, 250, 250]
    for (index, bound) in bounds.enumerated() {
      let waits = (0..<4_000).map { _ in RetryPolicy.backoff(retry: UInt8(index + 1), settings, &random) }
      let longest = waits.max() ?? 0
      #expect(longest < bound * 1_000_000 && longest > bound * 990_000)
      let mean = Double(waits.reduce(0, +)) / 4_000
      #expect(abs(mean - Double(bound) * 500_000) < Double(bound) * 25_000)
    }
    #expect(RetryPolicy.backoff(retry: 255, settings, &random) < 250_000_000)
  }

  @Test func theBudgetHoldsInEveryWindowWhateverComes() {
    for seed in 1...20 as ClosedRange<UInt64> {
      var random = FastRandom(seed: seed)
      var settings = RetryBudgetSettings()
      settings.percent = [20, 5, 100, 0][Int(seed % 4)]
      settings.minPerSecond = [10, 0, 3][Int(seed % 3)]
      var budget = RetryBudget(settings, now: 0)
      var requests: [Int64] = []
      var retries: [Int64] = []
      var now: Int64 = 0
      for _ in 0..<6_000 {
        // Bursts and pauses.
        now += random.below(UInt32(200)) == 0 ? random.below(4 * second) : random.below(Int64(8_000_000))
        if random.below(UInt32(2)) == 0 {
          budget.onRequest(now: now)
          requests.append(now)
        } else if budget.withdraw(now: now) {
          retries.append(now)
          let start = now - 10 * second
          let retried = retries.reversed().prefix { $0 > start }.count
          let asked = requests.reversed().prefix { $0 > start }.count
          #expect(retried <= asked * Int(settings.percent) / 100 + Int(settings.minPerSecond) * 10)
        }
      }
      if settings.percent > 0 { #expect(!retries.isEmpty) }
    }
  }

  @Test func theBudgetGivesWhatItPromisesAndFillsAgain() {
    var settings = RetryBudgetSettings()
    settings.minPerSecond = 1
    var budget = RetryBudget(settings, now: 0)
    for _ in 0..<100 { budget.onRequest(now: 1) }
    #expect(budget.available == 30)
    var granted = 0
    while budget.withdraw(now: 2) { granted += 1 }
    #expect(granted == 30)
    let refilled = budget.withdraw(now: 12 * second)
    #expect(refilled)
    #expect(budget.available == 9)
    // A pause of a year costs no more than one of a window.
    let afterYear = budget.withdraw(now: 365 * 86_400 * second)
    #expect(afterYear)
    #expect(budget.available == 9)
    #expect(RetryBudget(settings, loops: 4, now: 0).available == 3)
  }

  @Test func breakersRefuseAboveTheirLimitsAndShowTheirNumbers() {
    var limits = CircuitLimits()
    limits.connections = .atMost(3)
    limits.requests = .off
    var breaker = Breaker(limits, loops: 2)
    #expect(breaker.limit(.connections) == 2 && breaker.limit(.requests) == nil && breaker.limit(.pending) == 2_048)
    #expect(breaker.acquire(.connections) == nil && breaker.acquire(.connections) == nil)
    #expect(breaker.isOpen(.connections) && !breaker.isOpen(.pending))
    #expect(breaker.acquire(.connections) == .circuitOpenConnections)
    #expect(breaker.count(.connections) == 2 && breaker.refused(.connections) == 1)
    breaker.release(.connections)
    #expect(breaker.acquire(.connections) == nil)
    breaker.release(.pending)
    #expect(breaker.count(.pending) == 0)
    // New limits take hold at once; what is under way may be more.
    limits.connections = .atMost(1)
    breaker.set(limits)
    #expect(breaker.count(.connections) == 2 && breaker.isOpen(.connections))
    for kind in BreakerKind.allCases { #expect(kind.reason.flag == .upstreamOverflow) }
  }
}
