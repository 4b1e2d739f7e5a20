import MeshControl
import MeshWire
import Testing

import struct MeshTelemetry.LatencySketch

private func edge(
  _ reporter: Reporter = .source, from source: String = "front", to service: String = "catalog",
  workload: String = "catalog-v1", requests: UInt64, failures: UInt64 = 0, milliseconds: [Int64] = [],
  active: UInt32 = 0
) -> EdgeStatistics {
  var edge = EdgeStatistics()
  edge.reporter = reporter
  edge.sourceNamespace = "shop"
  edge.sourceWorkload = source
  edge.destinationNamespace = "shop"
  edge.destinationService = service
  edge.destinationWorkload = workload
  edge.requests = requests
  edge.failures = failures
  edge.tcpActive = active
  var sketch = LatencySketch()
  for value in milliseconds { sketch.add(nanoseconds: value * 1_000_000) }
  edge.latency = sketch.sparse
  return edge
}

private func report(_ edges: [EdgeStatistics]) -> StatisticsReport {
  var report = StatisticsReport()
  report.edges = edges
  return report
}

private func row(
  _ name: String, _ subject: MeshStatistics.Subject, in statistics: MeshStatistics
) -> MeshStatistics.Row? {
  statistics.rows.first { $0.name == name && $0.subject == subject }
}

@Suite struct StatisticsWindowTests {
  @Test func ratesAreOfWhatWasWatchedAndNotOfTheWholeWindow() throws {
    var window = StatisticsWindow()
    var history = StatisticsHistory()
    for second in 1_000..<1_005 {
      window.add(report([edge(requests: 50)]), proxy: "p", now: .seconds(second))
      history.add(report([edge(requests: 50)]), edgeLimit: 10, now: .seconds(second))
    }
    let rows = window.statistics(window: .seconds(30), now: .seconds(1_004), subjects: []).rows
    #expect(rows.first { $0.subject == .service }?.figures.requestsPerSecond == 50)
    let query = TrafficQuery(window: .seconds(3600), dimensions: .service)
    #expect(history.traffic(query, now: .seconds(1_004)).first?.figures.requestsPerSecond == 50)
    #expect(history.points(query, step: .seconds(10), now: .seconds(1_004)).last?.figures.requestsPerSecond == 62.5)
    // Later a quiet time counts.
    let later = window.statistics(window: .seconds(30), now: .seconds(1_028), subjects: []).rows
    #expect(later.first { $0.subject == .service }?.figures.requestsPerSecond == 250.0 / 29)
    #expect(window.coveredSeconds(window: .seconds(30), now: .seconds(2_000)) == 30)
  }

  @Test func figuresAreThoseOfTheWindow() throws {
    var window = StatisticsWindow()
    window.add(report([edge(requests: 1000, failures: 1000)]), proxy: "p", now: .seconds(50))
    for second in 100..<110 {
      window.add(
        report([edge(requests: 100, failures: 1, milliseconds: Array(1...100))]), proxy: "p",
        now: .milliseconds(second * 1000 + 400))
    }
    let figures = try #require(
      row("catalog", .service, in: window.statistics(window: .seconds(10), now: .seconds(109), subjects: []))?.figures)
    #expect(figures.requests == 1000)
    #expect(figures.successRate == 0.99)
    #expect(figures.requestsPerSecond == 100)
    #expect(abs(try #require(figures.p50Ms) - 50) < 2)
    #expect(abs(try #require(figures.p95Ms) - 95) < 3.5)
    #expect(abs(try #require(figures.p99Ms) - 99) < 3.5)
    let wide = window.statistics(window: .seconds(300), now: .seconds(109), subjects: [])
    #expect(row("catalog", .service, in: wide)?.figures.requests == 2000)
  }

  @Test func aRequestThatBothEndsReportIsOneRequest() throws {
    var window = StatisticsWindow()
    // The client's proxy saw three requests fail that never arrived.
    window.add(report([edge(.source, requests: 10, failures: 3)]), proxy: "front", now: .seconds(1))
    window.add(report([edge(.destination, requests: 7)]), proxy: "catalog", now: .seconds(1))
    let statistics = window.statistics(window: .seconds(10), now: .seconds(1), subjects: [])
    #expect(row("catalog", .service, in: statistics)?.figures.requests == 10)
    #expect(row("catalog", .service, in: statistics)?.figures.successRate == 0.7)
    #expect(row("catalog-v1", .workload, in: statistics)?.figures.requests == 7)
    #expect(row("catalog-v1", .workload, in: statistics)?.figures.successRate == 1)
    #expect(statistics.edges.count == 1)
    #expect(statistics.edges.first?.source == "front" && statistics.edges.first?.destination == "catalog")
    #expect(statistics.edges.first?.figures.requests == 10)
  }

  @Test func whereOneEndHasNoProxyTheOtherIsBelieved() {
    var window = StatisticsWindow()
    window.add(report([edge(.destination, from: "unknown", requests: 5)]), proxy: "p", now: .seconds(1))
    window.add(report([edge(.source, to: "legacy", workload: "legacy", requests: 4)]), proxy: "q", now: .seconds(1))
    let statistics = window.statistics(window: .seconds(10), now: .seconds(1), subjects: [])
    #expect(row("catalog", .service, in: statistics)?.figures.requests == 5)
    #expect(row("legacy", .workload, in: statistics)?.figures.requests == 4)
  }

  /// The caller counts for the service that it asked for, the workload for the one that its port belongs to.
  @Test func whatBothEndsCountUnderDifferentServicesIsCountedOnceForTheWorkload() {
    var window = StatisticsWindow()
    window.add(
      report([edge(.source, to: "catalog", workload: "catalog-v1", requests: 6)]), proxy: "front", now: .seconds(1))
    window.add(
      report([edge(.destination, to: "catalog-v1", workload: "catalog-v1", requests: 6)]), proxy: "v1", now: .seconds(1)
    )
    let statistics = window.statistics(window: .seconds(10), now: .seconds(1), subjects: [])
    #expect(row("catalog", .service, in: statistics)?.figures.requests == 6)
    #expect(row("catalog-v1", .workload, in: statistics)?.figures.requests == 6)
  }

  @Test func workloadsWithoutTrafficHaveRowsAndInstancesAreCounted() {
    let window = StatisticsWindow()
    let subjects = [
      StatisticsSubject(
        namespace: "shop", workload: "catalog-v1", services: ["catalog", "catalog-v1"], isMeshed: true),
      StatisticsSubject(
        namespace: "shop", workload: "catalog-v2", services: ["catalog", "catalog-v2"], isMeshed: false),
    ]
    let statistics = window.statistics(window: .seconds(10), now: .seconds(1), subjects: subjects)
    // Services that only routes name count the workloads that their selectors choose.
    #expect(
      statistics.rows.map { "\($0.subject)/\($0.name) \($0.meshedCount)/\($0.instanceCount)" } == [
        "service/catalog 1/2", "service/catalog-v1 1/1", "service/catalog-v2 0/1", "workload/catalog-v1 1/1",
        "workload/catalog-v2 0/1",
      ])
    #expect(statistics.rows.allSatisfy { $0.figures.successRate == nil && $0.figures.p99Ms == nil })
  }

  @Test func openConnectionsAreThoseOfNow() {
    var window = StatisticsWindow()
    window.add(report([edge(requests: 0, active: 5)]), proxy: "p", now: .seconds(1))
    window.add(report([edge(requests: 0, active: 3)]), proxy: "p", now: .seconds(2))
    window.add(report([edge(requests: 0, active: 2)]), proxy: "q", now: .seconds(2))
    func open() -> UInt64? {
      row("catalog", .service, in: window.statistics(window: .seconds(10), now: .seconds(2), subjects: []))?
        .figures.tcpConnections
    }
    #expect(open() == 5)
    window.forget(proxy: "p")
    #expect(open() == 2)
  }

  @Test func memoryIsBoundedByTimeAndByNumber() {
    var limits = StatisticsWindow.Limits()
    limits.edgesPerSecond = 10
    limits.cells = 100
    var window = StatisticsWindow(limits: limits)
    for second in 0..<1000 {
      let edges = (0..<50).map { edge(from: "w\(second)-\($0)", requests: 1) }
      window.add(report(edges), proxy: "p", now: .seconds(second))
      #expect(window.storedCells <= 111)
    }
    let last = window.statistics(window: .seconds(1), now: .seconds(999), subjects: [])
    #expect(last.edges.reduce(0) { $0 + $1.figures.requests } == 50, "what does not fit is added up, not lost")
    #expect(last.edges.contains { $0.source == "other" })
    window.add(report([]), proxy: "p", now: .seconds(5000))
    #expect(window.storedCells == 0)
  }

  @Test func aPeersNumbersCannotOverflow() {
    var window = StatisticsWindow()
    for _ in 0..<3 {
      var hostile = edge(requests: .max, failures: .max)
      hostile.latency = [0, .max, 1, .max, 400, 1, 9]
      hostile.tcpActive = .max
      window.add(report([hostile, hostile]), proxy: "p", now: .seconds(1))
    }
    let figures = row("catalog", .service, in: window.statistics(window: .seconds(10), now: .seconds(1), subjects: []))
    #expect(figures?.figures.requests == .max)
    #expect(figures?.figures.successRate == 0)
  }

  @Test func whatThereIsNoRoomForIsSaid() {
    var limits = StatisticsWindow.Limits()
    limits.cells = 10
    var window = StatisticsWindow(limits: limits)
    func add(_ second: Int) {
      let edges = (0..<4).map { edge(to: "service-\($0)", requests: 1) }
      window.add(report(edges), proxy: "p", now: .seconds(second))
    }
    for second in 100..<102 { add(second) }
    #expect(window.completeSeconds(now: .seconds(101)) == 300)
    for second in 102..<120 { add(second) }
    #expect(window.completeSeconds(now: .seconds(119)) == 2)
    #expect(window.storedCells <= 10)
  }
}
