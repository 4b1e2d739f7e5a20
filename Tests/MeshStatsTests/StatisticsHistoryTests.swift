import MeshControl
import MeshWire
import Testing

import struct MeshTelemetry.LatencySketch

private func edge(
  _ reporter: Reporter = .source, from source: String = "front-1", service: String = "front",
  to destination: String = "catalog", version: String = "v1", route: String = "shop/catalog/0", requests: UInt64,
  failures: UInt64 = 0, retries: UInt64 = 0, reasons: [String: UInt64] = [:], milliseconds: Int64 = 10
) -> EdgeStatistics {
  var edge = EdgeStatistics()
  edge.reporter = reporter
  edge.sourceNamespace = "shop"
  edge.sourceWorkload = source
  edge.sourceService = service
  edge.destinationNamespace = "shop"
  edge.destinationService = destination
  edge.destinationWorkload = "\(destination)-\(version)"
  edge.destinationVersion = version
  edge.route = route
  edge.isMutualTLS = true
  edge.requests = requests
  edge.failures = failures
  edge.retries = retries
  var sketch = LatencySketch()
  for _ in 0..<min(requests, 1000) { sketch.add(nanoseconds: milliseconds * 1_000_000) }
  edge.latency = sketch.sparse
  edge.reasons = reasons.sorted { $0.key < $1.key }.map { name, count in
    var entry = MeshWire.ReasonCount()
    entry.reason = name
    entry.count = count
    return entry
  }
  return edge
}

private func report(_ edges: EdgeStatistics...) -> StatisticsReport {
  var report = StatisticsReport()
  report.edges = edges
  return report
}

@Suite struct StatisticsHistoryTests {
  @Test func anHourIsToldExactlyAndWhatIsOlderIsForgotten() {
    var history = StatisticsHistory()
    for second in 0..<7200 {
      history.add(report(edge(requests: 10, failures: 1)), edgeLimit: 10, now: .seconds(second))
    }
    let hour = history.traffic(TrafficQuery(window: .seconds(3600), dimensions: .service), now: .seconds(7199))
    #expect(hour.count == 1)
    #expect(hour.first?.figures.requests == 36_000)
    #expect(hour.first?.figures.failures == 3_600)
    let day = history.traffic(TrafficQuery(window: .seconds(86_400), dimensions: .service), now: .seconds(7199))
    #expect(day.first?.figures.requests == 36_000)
    let half = history.traffic(TrafficQuery(window: .seconds(1800), dimensions: .service), now: .seconds(7199))
    #expect(half.first?.figures.requests == 18_000)
  }

  @Test func whatIsPackedComesBackWhole() throws {
    var history = StatisticsHistory()
    let sent = edge(
      requests: 300, failures: 7, retries: 5, reasons: ["no_route": 3, "connect_refused": 4], milliseconds: 200)
    history.add(report(sent), edgeLimit: 10, now: .seconds(5))
    let query = TrafficQuery(
      window: .seconds(600), dimensions: [.sourceService, .service, .workload, .version, .route, .security])
    let before = history.traffic(query, now: .seconds(16))
    // Another step begins: the first is packed.
    history.add(report(edge(to: "other", requests: 1)), edgeLimit: 10, now: .seconds(15))
    #expect(history.storedBytes > 0)
    let after = history.traffic(query, now: .seconds(16)).filter { $0.service == "catalog" }
    #expect(before == after)
    let row = try #require(after.first)
    #expect(row.figures.reasons.map(\.reason) == ["connect_refused", "no_route"])
    #expect(row.figures.retries == 5)
    #expect(abs(try #require(row.figures.p95Ms) - 200) < 8)
    #expect(abs(try #require(row.figures.attemptSuccessRate) - 293.0 / 305.0) < 1e-9)
    #expect(row.isMutualTLS == true && row.version == "v1" && row.route == "shop/catalog/0")
  }

  @Test func trafficIsToldApartByWhatIsAskedFor() {
    var history = StatisticsHistory()
    history.add(
      report(
        edge(requests: 60), edge(to: "catalog", version: "v2", route: "shop/catalog/1", requests: 40),
        edge(from: "cart-1", service: "cart", requests: 5), edge(.destination, requests: 60)),
      edgeLimit: 10, now: .seconds(1))
    func rows(_ dimensions: TrafficDimensions, from: String? = nil, route: String? = nil) -> [TrafficRow] {
      history.traffic(
        TrafficQuery(window: .seconds(60), dimensions: dimensions, from: TrafficPeer(name: from), route: route),
        now: .seconds(2))
    }
    #expect(rows(.service).map(\.figures.requests) == [105])
    #expect(rows([.service, .version]).map(\.figures.requests).sorted() == [40, 65])
    #expect(rows([.route]).map(\.figures.requests).sorted() == [40, 65])
    #expect(rows(.service, from: "front").map(\.figures.requests) == [100])
    #expect(rows(.service, from: "front-1").map(\.figures.requests) == [100])
    #expect(rows(.service, from: "front", route: "shop/catalog/1").map(\.figures.requests) == [40])
    #expect(rows([.sourceService, .service]).map(\.sourceService).sorted() == ["cart", "front"])
  }

  @Test func whatBothEndsReportIsOneRequestHoweverItIsToldApart() {
    var history = StatisticsHistory()
    var refused = edge(route: "shop/catalog/1", requests: 3, failures: 3)
    (refused.destinationWorkload, refused.destinationVersion, refused.isMutualTLS) = ("", "", false)
    // The proxy of the called knows no route, and nothing of what was refused before it.
    history.add(
      report(edge(requests: 60), refused, edge(.destination, route: "", requests: 60)), edgeLimit: 10, now: .seconds(1))
    func rows(_ dimensions: TrafficDimensions) -> [TrafficRow] {
      history.traffic(TrafficQuery(window: .seconds(60), dimensions: dimensions), now: .seconds(2))
    }
    #expect(
      rows([.service, .route]).map { [$0.route: $0.figures.requests] } == [
        ["shop/catalog/0": 60], ["shop/catalog/1": 3],
      ])
    #expect(rows([.service, .security]).map(\.isMutualTLS).contains(false) == false)
    #expect(rows([.workload]).map(\.figures.requests) == [60])
    #expect(rows([.service]).map(\.figures.requests) == [63])
  }

  @Test func everyStepOfTheWindowIsThere() {
    var history = StatisticsHistory()
    history.add(report(edge(requests: 10)), edgeLimit: 10, now: .seconds(100))
    history.add(report(edge(requests: 20)), edgeLimit: 10, now: .seconds(131))
    let counts = history.points(
      TrafficQuery(window: .seconds(60), dimensions: []), step: .seconds(10), now: .seconds(135)
    ).map(\.figures.requests)
    #expect(counts == [0, 0, 10, 0, 0, 20])
    let wide = history.points(
      TrafficQuery(window: .seconds(60), dimensions: []), step: .seconds(30), now: .seconds(135))
    #expect(wide.map(\.figures.requests) == [10, 20])
    #expect(wide.map(\.secondsAgo) == [25, -5])
  }

  @Test func memoryIsBoundedByBytesAndByEdges() {
    var limits = StatisticsHistory.Limits()
    limits.bytes = 20_000
    limits.edges = 100
    var history = StatisticsHistory(limits: limits)
    for second in 0..<3000 {
      var many = StatisticsReport()
      many.edges = (0..<40).map { edge(from: "w\(second)-\($0)", requests: 1) }
      history.add(many, edgeLimit: 40, now: .seconds(second))
      #expect(history.storedBytes <= 20_000)
      #expect(history.edgeCount <= 102)
    }
    // What is new is never lost, only told less finely.
    let rows = history.traffic(TrafficQuery(window: .seconds(10), dimensions: .source), now: .seconds(2999))
    #expect(rows.reduce(0) { $0 + $1.figures.requests } == 400)
  }

  @Test func anHourOfAThousandProxiesFitsItsBound() {
    var history = StatisticsHistory()
    // 1,000 proxies with 5 edges each that both ends report, for a minute of the hour: a sixtieth of the bound.
    for step in 0..<7 {
      var whole = StatisticsReport()
      whole.edges = (0..<10_000).map { number in
        var one = edge(
          number % 2 == 0 ? .source : .destination, from: "w\(number / 10)", to: "s\(number % 1000)", requests: 1)
        one.requests = 1000
        one.latency = (0..<20 as Range<UInt32>).flatMap { [100 + 3 * $0, 50 + $0] }
        return one
      }
      history.add(whole, edgeLimit: 10_000, now: .seconds(step * 10))
    }
    #expect(history.storedBytes < (192 << 20) / 60)
    #expect(history.edgeCount == 10_000)
  }
}
