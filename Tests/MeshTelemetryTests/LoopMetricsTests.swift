import MeshModel
import MeshTelemetry
import Testing

@Suite struct LoopMetricsTests {
  @Test func requestsAreCountedByKeyWithTheirHistograms() {
    let metrics = LoopMetrics()
    let good = RequestKey(edge: 1, route: 2, responseCode: 200)
    let bad = RequestKey(edge: 1, route: 2, responseCode: 503, flag: .noHealthyUpstream, reason: .noHealthyEndpoint)
    for number in 0..<10 {
      metrics.recordRequest(
        number % 5 == 0 ? bad : good, durationNanoseconds: 3_000_000, requestBytes: 0, responseBytes: 1_024, now: 5)
    }
    let snapshot = metrics.snapshot()
    #expect(snapshot.requests.map(\.key) == [bad, good])
    #expect(snapshot.requests.map(\.duration.count) == [2, 8])
    #expect(snapshot.requests[1].duration.sum == 24_000_000)
    #expect(snapshot.requests[1].responseBytes.sum == 8_192)
    #expect(snapshot[.requestSeries] == 2)
  }

  @Test func bucketsHoldValuesUpToTheirBoundInclusive() {
    // In milliseconds, halves allowed; the place of the bucket a value falls into.
    let bounds: [Double] = [
      0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
      3_600_000,
    ]
    for (index, bound) in bounds.enumerated() {
      for (nanoseconds, bucket) in [(Int64(bound * 1_000_000), index), (Int64(bound * 1_000_000) + 1, index + 1)] {
        let metrics = LoopMetrics()
        let key = RequestKey(edge: 1, responseCode: 200)
        let bytes = UInt64(bound.rounded(.down)) + (bucket > index ? 1 : 0)
        metrics.recordRequest(
          key, durationNanoseconds: nanoseconds, requestBytes: bytes, responseBytes: .max, now: 0)
        let series = metrics.snapshot().requests[0]
        #expect(series.duration.counts[bucket] == 1, "\(nanoseconds)")
        if bound >= 1 { #expect(series.requestBytes.counts[bucket] == 1, "\(bytes) bytes") }
        #expect(series.responseBytes.counts[19] == 1)
      }
    }
    let metrics = LoopMetrics()
    let key = RequestKey(edge: 1, responseCode: 200)
    metrics.recordRequest(key, durationNanoseconds: -5, requestBytes: 0, responseBytes: 0, now: 0)
    #expect(metrics.snapshot().requests[0].duration.counts[0] == 1)
  }

  @Test func everyPartOfAKeyTellsSeriesApart() {
    let metrics = LoopMetrics()
    var keys = [RequestKey(edge: 1, responseCode: 200)]
    keys.append(RequestKey(edge: 2, responseCode: 200))
    keys.append(RequestKey(edge: 1, route: 1, responseCode: 200))
    keys.append(RequestKey(edge: 1, responseCode: 201))
    keys.append(RequestKey(edge: 1, responseCode: 200, grpcStatus: 0))
    keys.append(RequestKey(edge: 1, responseCode: 200, grpcStatus: 2))
    keys.append(RequestKey(edge: 1, responseCode: 200, flag: .upstreamTimeout))
    keys.append(RequestKey(edge: 1, responseCode: 200, reason: .requestTimeout))
    keys.append(RequestKey(edge: 1, responseCode: 200, requestProtocol: .grpc))
    for _ in 0..<3 {
      for key in keys {
        metrics.recordRequest(key, durationNanoseconds: 1, requestBytes: 1, responseBytes: 1, now: 0)
      }
    }
    #expect(metrics.snapshot().requests.map(\.key) == keys)
    #expect(metrics.snapshot().requests.allSatisfy { $0.duration.count == 3 })
    // Statuses that gRPC does not have are one series with UNKNOWN.
    metrics.recordRequest(
      RequestKey(edge: 1, responseCode: 200, grpcStatus: 77), durationNanoseconds: 1, requestBytes: 1,
      responseBytes: 1, now: 0)
    #expect(metrics.snapshot().requests[5].duration.count == 4)
  }

  @Test func aboveTheLimitSeriesAreDroppedAndCounted() {
    let metrics = LoopMetrics(seriesLimit: 100)
    for edge in 0..<150 as Range<UInt32> {
      for _ in 0..<2 {
        metrics.recordRequest(
          RequestKey(edge: edge, responseCode: 200), durationNanoseconds: 1, requestBytes: 0, responseBytes: 0, now: 0)
        metrics.connectionOpened(ConnectionKey(edge: edge), now: 0)
      }
    }
    let snapshot = metrics.snapshot()
    #expect(snapshot.requests.count == 100 && snapshot.connections.count == 100)
    #expect(snapshot[.seriesDropped] == 200)
    #expect(snapshot.requests.allSatisfy { $0.duration.count == 2 })
  }

  /// Hours in a virtual clock: a route that is used every nine minutes stays, with all it counted; one that is not used
  /// any more goes after ten, and one that comes again begins anew.
  @Test func aSeriesGoesTenMinutesAfterItsLastRequest() {
    let metrics = LoopMetrics()
    let minute: Int64 = 60_000_000_000
    func count(_ edge: UInt32, at time: Int64) {
      metrics.recordRequest(
        RequestKey(edge: edge, responseCode: 200), durationNanoseconds: 1, requestBytes: 0, responseBytes: 0, now: time)
    }
    func counts() -> [UInt32: UInt64] {
      Dictionary(uniqueKeysWithValues: metrics.snapshot().requests.map { ($0.key.edge, $0.duration.count) })
    }
    count(1, at: 0)
    // A proxy reports every second.
    for second in Int64(0)...7_200 {
      let now = second * 1_000_000_000
      if second % 540 == 0 { count(2, at: now) }
      if second == 7_000 { count(1, at: now) }
      _ = metrics.snapshot(now: now)
      if second == 600 { #expect(counts()[1] == 1, "ten minutes to the second") }
      if second == 601 { #expect(counts()[1] == nil) }
    }
    #expect(counts() == [1: 1, 2: 14])
    _ = metrics.snapshot(now: 7_020 * 1_000_000_000 + 10 * minute + 1)
    #expect(counts() == [:] && metrics.snapshot()[.requestSeries] == 0)
  }

  @Test func idleSeriesExpireAndTheOthersKeepTheirCounts() {
    let metrics = LoopMetrics(seriesLimit: 1_000)
    for edge in 0..<500 as Range<UInt32> {
      metrics.recordRequest(
        RequestKey(edge: edge, responseCode: 200), durationNanoseconds: 1, requestBytes: UInt64(edge),
        responseBytes: 0, now: Int64(edge))
      metrics.connectionOpened(ConnectionKey(edge: edge), now: Int64(edge))
      if edge % 2 == 0 { metrics.connectionClosed(ConnectionKey(edge: edge), now: Int64(edge)) }
    }
    _ = metrics.snapshot(now: 400 + LoopMetrics.idleNanoseconds)
    #expect(metrics.snapshot().requests.map(\.key.edge).sorted() == Array(400..<500))
    // Open connections stay, however silent.
    #expect(metrics.snapshot().connections.count == 300)
    for edge in 0..<500 as Range<UInt32> {
      metrics.recordRequest(
        RequestKey(edge: edge, responseCode: 200), durationNanoseconds: 1, requestBytes: UInt64(edge),
        responseBytes: 0, now: 600)
    }
    let requests = metrics.snapshot().requests
    #expect(requests.count == 500)
    for series in requests {
      let times: UInt64 = series.key.edge >= 400 ? 2 : 1
      #expect(series.duration.count == times && series.requestBytes.sum == times * UInt64(series.key.edge))
    }
  }

  @Test func loopsAddUpToWhatOneWouldHaveCounted() {
    var state: UInt64 = 9
    func random(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    let whole = LoopMetrics()
    let loops = [LoopMetrics(), LoopMetrics(), LoopMetrics()]
    for _ in 0..<5_000 {
      let loop = loops[Int(random(3))]
      let key = RequestKey(edge: UInt32(random(20)), responseCode: random(2) == 0 ? 200 : 500)
      let (duration, size) = (Int64(random(10_000_000_000)), random(1_000_000))
      let connection = ConnectionKey(edge: UInt32(random(5)))
      for target in [whole, loop] {
        target.recordRequest(key, durationNanoseconds: duration, requestBytes: size, responseBytes: size, now: 0)
        target.connectionOpened(connection, now: 0)
        target.connectionBytes(connection, sent: size, received: 1, now: 0)
        target.count(.retries)
        target.add(size % 2 == 0 ? 1 : -1, to: .activeRequests)
      }
    }
    let merged = MetricsSnapshot.merged(loops.map { $0.snapshot() })
    let expected = whole.snapshot()
    #expect(merged[.retries] == 5_000 && merged[.activeRequests] == expected[.activeRequests])
    #expect(merged.requests.count == expected.requests.count)
    for series in expected.requests {
      let found = merged.requests.first { $0.key == series.key }
      for bucket in 0..<Histogram.bucketCount {
        #expect(found?.duration.counts[bucket] == series.duration.counts[bucket])
      }
      #expect(found?.responseBytes.sum == series.responseBytes.sum)
    }
    for series in expected.connections {
      let found = merged.connections.first { $0.key == series.key }
      #expect(found?.sentBytes == series.sentBytes && found?.opened == series.opened)
    }
  }
}
