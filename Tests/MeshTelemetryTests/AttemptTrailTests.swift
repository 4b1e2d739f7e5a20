import MeshTelemetry
import Testing

@Suite struct AttemptTrailTests {
  private func attempt(_ status: UInt16) -> FailedAttempt {
    var attempt = FailedAttempt()
    attempt.status = status
    return attempt
  }

  @Test func theFirstThreeAndTheLastAreKept() {
    var trail = AttemptTrail()
    #expect(trail.kept.isEmpty && trail.count == 0)
    for status in 501...503 { trail.note(attempt(UInt16(status))) }
    #expect(trail.kept.map(\.status) == [501, 502, 503])
    for status in 504...600 { trail.note(attempt(UInt16(status))) }
    #expect(trail.kept.map(\.status) == [501, 502, 503, 600])
    #expect(trail.count == 100)
    for status in 0..<1_000 { trail.note(attempt(UInt16(status))) }
    #expect(trail.count == 255 && trail.kept.last?.status == 999)
  }

  @Test func numbersAreGivenAgainAndNoRequestSeesAnothersAttempts() {
    let trails = AttemptTrails()
    #expect(trails[0] == nil)
    let first = trails.note(attempt(501), in: 0)
    let second = trails.note(attempt(502), in: 0)
    #expect(trails.note(attempt(503), in: first) == first)
    #expect(trails[first]?.kept.map(\.status) == [501, 503])
    #expect(trails[second]?.kept.map(\.status) == [502])
    trails.free(first)
    let third = trails.note(attempt(504), in: 0)
    #expect(third == first)
    #expect(trails[third]?.kept.map(\.status) == [504])
    trails.free(0)
  }

  @Test func thereIsRoomForSoManyAndNoMore() {
    let trails = AttemptTrails()
    let numbers = (0..<AttemptTrails.capacity).map { _ in trails.note(attempt(503), in: 0) }
    #expect(Set(numbers).count == AttemptTrails.capacity && !numbers.contains(0))
    #expect(trails.note(attempt(503), in: 0) == 0)
    for number in numbers { trails.free(number) }
    #expect(trails.note(attempt(503), in: 0) > 0)
  }

  @Test func theRingKeepsAttemptsBesideTheDecision() {
    let ring = DecisionRing(recent: 4, notable: 2)
    var trail = AttemptTrail()
    trail.note(attempt(503))
    var decision = Decision()
    decision.retries = 1
    ring.note(decision, DecisionTexts(), trail: trail)
    ring.note(Decision(), DecisionTexts())
    decision.retries = 0
    decision.delayMilliseconds = 10
    ring.note(decision, DecisionTexts())
    let entries = ring.entries(DecisionFilter())
    #expect(entries.map { $0.trail?.kept.map(\.status) ?? [] } == [[], [], [503]])
    #expect(ring.entries(DecisionFilter(isNotable: true)).map(\.decision.sequence) == [3, 1])
    // The place of a trail that is written over holds nothing of it.
    ring.note(decision, DecisionTexts())
    #expect(ring.entries(DecisionFilter(isNotable: true)).allSatisfy { $0.trail == nil })
  }
}
