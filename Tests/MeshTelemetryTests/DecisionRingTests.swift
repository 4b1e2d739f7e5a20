import MeshModel
import MeshTelemetry
import Testing

@Suite struct DecisionRingTests {
  private func note(
    _ ring: DecisionRing, _ id: String, status: UInt16 = 200, reason: Reason? = nil, path: String = "/",
    service: String = "shop/catalog"
  ) {
    var decision = Decision()
    decision.status = status
    if status >= 500 { decision.flags.insert(.failed) }
    decision.reason = reason?.rawValue ?? 0
    var (id, path, service) = (id, path, service)
    id.withUTF8 { idBytes in
      path.withUTF8 { pathBytes in
        service.withUTF8 { serviceBytes in
          var texts = DecisionTexts()
          texts.requestID = idBytes
          texts.path = pathBytes
          texts.service = serviceBytes
          ring.note(decision, texts)
        }
      }
    }
  }

  @Test func theNewestComeFirstAndAreFoundByTheirID() {
    let ring = DecisionRing(recent: 8, notable: 8)
    for number in 1...5 { note(ring, "id-\(number)") }
    #expect(ring.entries(DecisionFilter()).map(\.requestID) == ["id-5", "id-4", "id-3", "id-2", "id-1"])
    #expect(ring.entries(DecisionFilter(limit: 2)).map(\.requestID) == ["id-5", "id-4"])
    #expect(ring.entries(DecisionFilter(requestID: "id-3")).map(\.decision.sequence) == [3])
    #expect(ring.entries(DecisionFilter(requestID: "id")).isEmpty)
    #expect(ring.entries(DecisionFilter(after: 3)).map(\.requestID) == ["id-5", "id-4"])
    #expect(ring.count == 5)
  }

  @Test func aBusyHourDoesNotWashAFailureAway() {
    let ring = DecisionRing(recent: 4, notable: 4)
    note(ring, "failed", status: 503, reason: .noHealthyEndpoint)
    for number in 0..<100 { note(ring, "ok-\(number)") }
    #expect(ring.entries(DecisionFilter(isNotable: true)).map(\.requestID) == ["failed"])
    #expect(ring.entries(DecisionFilter(requestID: "failed")).count == 1)
    #expect(ring.entries(DecisionFilter()).map(\.requestID) == ["ok-99", "ok-98", "ok-97", "ok-96", "failed"])
    // One that is in both parts is told once.
    note(ring, "again", status: 500)
    #expect(ring.entries(DecisionFilter(requestID: "again")).count == 1)
  }

  @Test func longTextsAreCutAndNothingRunsIntoTheNext() {
    let ring = DecisionRing(recent: 2, notable: 2)
    let long = String(repeating: "x", count: 1_000)
    note(ring, long, path: long, service: long)
    note(ring, "short", path: "/p", service: "")
    let entries = ring.entries(DecisionFilter())
    #expect(entries.map(\.requestID.count) == [5, DecisionTexts.requestIDBytes])
    #expect(entries.map(\.path.count) == [2, DecisionTexts.pathBytes])
    #expect(entries.map(\.service.count) == [0, DecisionTexts.serviceBytes])
    #expect(ring.entries(DecisionFilter(requestID: long)).count == 1)
  }

  @Test func edgesAreToldApartByRouteAndCarryReasons() {
    let statistics = EdgeStatistics()
    statistics.record(edge: 1, route: 1, durationNanoseconds: 1_000, failed: false)
    statistics.record(edge: 1, route: 2, durationNanoseconds: 1_000, failed: true, retries: 2, reason: .connectRefused)
    statistics.record(edge: 1, route: 2, durationNanoseconds: 1_000, failed: true, reason: .connectRefused)
    var reports = statistics.drain(from: 0, most: 1_000).reports
    #expect(reports.map(\.route) == [1, 2])
    #expect(reports.map(\.retries) == [0, 2])
    #expect(reports.map(\.reasons) == [[:], [.connectRefused: 2]])
    let other = reports[1]
    reports[1].merge(other)
    #expect(reports[1].failures == 4 && reports[1].reasons == [.connectRefused: 4] && reports[1].latency.count == 4)
    #expect(statistics.drain(from: 0, most: 1_000).reports.isEmpty)
    statistics.record(edge: 1, route: 2, durationNanoseconds: 1, failed: false)
    #expect(statistics.drain(from: 0, most: 1_000).reports.map(\.reasons) == [[:]])
  }
}
