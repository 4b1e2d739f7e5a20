import MeshTelemetry
import Testing

/// What a loop does for a scrape in one turn is bounded, however much it has counted; the parts together are everything.
@Suite struct MetricsGatheringTests {
  private static let full = 4_096

  /// A loop that has as many series as there may be, and exemplars.
  private func fullMetrics() -> LoopMetrics {
    let metrics = LoopMetrics()
    for edge in 0..<UInt32(Self.full) {
      let key = RequestKey(edge: edge, responseCode: 200)
      metrics.recordRequest(
        key, durationNanoseconds: 1, requestBytes: UInt64(edge), responseBytes: 0, now: Int64(edge))
      metrics.noteExemplar(
        key, durationNanoseconds: Int64(edge) * 1_000_000, TraceMark(), wallNanoseconds: 1)
      metrics.connectionOpened(ConnectionKey(edge: edge), now: Int64(edge))
      metrics.connectionClosed(ConnectionKey(edge: edge), now: Int64(edge))
    }
    return metrics
  }

  @Test(arguments: [1, 7, 128, 1_000_000]) func noPartIsLargerThanItMayBe(_ most: Int) {
    let metrics = fullMetrics()
    var gathering = MetricsGathering(MetricsCursor(now: 0))
    var parts = 0
    while let next = gathering.next {
      let part = metrics.part(from: next, most: most)
      #expect(part.work <= most && part.seriesCount <= most)
      #expect(part.exemplarCount <= most * 8)
      gathering.add(part)
      parts += 1
    }
    // Every series is looked at and copied: none of it is done in passing.
    #expect(parts >= 4 * Self.full / most)
    let snapshot = gathering.snapshot
    #expect(Set(snapshot.requests.map(\.key.edge)).count == Self.full && snapshot.requests.count == Self.full)
    #expect(Set(snapshot.connections.map(\.key.edge)).count == Self.full && snapshot.connections.count == Self.full)
    #expect(snapshot.exemplars.count > 100 && snapshot[.requestSeries] == Int64(Self.full))
  }

  @Test func forgettingIsBoundedToo() {
    let metrics = fullMetrics()
    // Half of them are too old: that half goes in steps, and the others keep what they counted.
    var next: MetricsCursor? = MetricsCursor(
      now: LoopMetrics.idleNanoseconds + Int64(Self.full / 2), hasRequests: false)
    while let cursor = next {
      let before = metrics.snapshot()[.requestSeries]
      let part = metrics.part(from: cursor, most: 100)
      #expect(before - metrics.snapshot()[.requestSeries] <= 100)
      next = part.next
    }
    let left = metrics.snapshot()
    #expect(Set(left.requests.map(\.key.edge)) == Set(UInt32(Self.full / 2)..<UInt32(Self.full)))
    #expect(left.requests.allSatisfy { $0.requestBytes.sum == UInt64($0.key.edge) && $0.duration.count == 1 })
    #expect(left.connections.count == Self.full / 2)
    // Those that are left are found, and those that come again are new.
    for edge in 0..<UInt32(Self.full) {
      metrics.recordRequest(
        RequestKey(edge: edge, responseCode: 200), durationNanoseconds: 1, requestBytes: 0, responseBytes: 0, now: 9)
    }
    for series in metrics.snapshot().requests {
      #expect(series.duration.count == (series.key.edge < UInt32(Self.full / 2) ? 1 : 2))
    }
  }

  /// Series that are forgotten between two parts move others to places that were copied already.
  @Test func whatMovesMeanwhileIsNotToldTwice() {
    let metrics = fullMetrics()
    var gathering = MetricsGathering(MetricsCursor(now: nil))
    var parts = 0
    while let next = gathering.next {
      gathering.add(metrics.part(from: next, most: 100))
      parts += 1
      // Somebody else's report forgets the oldest hundred.
      if parts == 10 { _ = metrics.snapshot(now: LoopMetrics.idleNanoseconds + 100) }
    }
    let edges = gathering.snapshot.requests.map(\.key.edge)
    #expect(Set(edges) == Set(100..<UInt32(Self.full)) && edges.count == Self.full - 100)
    #expect(gathering.snapshot.connections.count == Self.full - 100)
  }

  @Test func itComesToAnEndWhereSeriesMoveAllTheTime() {
    let metrics = fullMetrics()
    var gathering = MetricsGathering(MetricsCursor(now: nil))
    var parts = 0
    while let next = gathering.next, parts < 10_000 {
      gathering.add(metrics.part(from: next, most: 100))
      parts += 1
      _ = metrics.snapshot(now: LoopMetrics.idleNanoseconds + Int64(parts))
    }
    #expect(gathering.next == nil && parts < 500)
  }

  @Test func keysAreFoundWhateverWasForgotten() {
    var state: UInt64 = 5
    func random(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    let metrics = LoopMetrics()
    var expected: [UInt32: (count: UInt64, at: Int64)] = [:]
    for time in 1...20_000 as ClosedRange<Int64> {
      let edge = UInt32(random(600))
      metrics.recordRequest(
        RequestKey(edge: edge, responseCode: 200), durationNanoseconds: 1, requestBytes: 0, responseBytes: 0, now: time)
      expected[edge] = ((expected[edge]?.count ?? 0) + 1, time)
      guard time % 400 == 0 else { continue }
      _ = metrics.snapshot(now: time - 500 + LoopMetrics.idleNanoseconds)
      expected = expected.filter { $0.value.at >= time - 500 }
      let found = metrics.snapshot().requests.map { ($0.key.edge, $0.duration.count) }
      #expect(Dictionary(uniqueKeysWithValues: found) == expected.mapValues(\.count))
    }
  }

  @Test func edgesAreToldInPartsAndOnce() {
    let statistics = EdgeStatistics()
    for edge in 0..<1_000 as Range<UInt32> {
      statistics.record(edge: edge, durationNanoseconds: 1, failed: edge % 3 == 0)
    }
    for round in 0..<2 {
      var next: Int? = 0
      var told: [UInt32] = []
      while let first = next {
        let part = statistics.drain(from: first, most: 64)
        #expect(part.reports.count <= 64 && part.work <= 64)
        told += part.reports.map(\.edge)
        next = part.next
      }
      #expect(told == (round == 0 ? Array(0..<1_000) : []))
    }
  }
}
