import MeshControl
import MeshWire
import Testing

/// What one end tells of one call.
private struct Told: Sendable {
  var reporter: Reporter
  var source = "front-1"
  var sourceService = "front"
  /// The service of the endpoint.
  var backend = "catalog"
  /// The service that was asked for; empty: the same.
  var asked = ""
  /// Empty: none was reached.
  var workload = "catalog-v1-1"
  var requests: UInt64 = 10
  var failures: UInt64 = 0
  var route = ""
  var isMutualTLS = true

  var edge: EdgeStatistics {
    var edge = EdgeStatistics()
    edge.reporter = reporter
    (edge.sourceNamespace, edge.sourceWorkload, edge.sourceService) = (
      source.isEmpty ? "" : "shop", source, sourceService
    )
    (edge.destinationNamespace, edge.destinationService) = ("shop", backend)
    if !asked.isEmpty { (edge.askedNamespace, edge.askedService) = ("shop", asked) }
    edge.destinationWorkload = workload
    (edge.requests, edge.failures, edge.route, edge.isMutualTLS) = (requests, failures, route, isMutualTLS)
    return edge
  }
}

/// A kind of traffic to `catalog`, as both ends tell of it.
private struct Case: Sendable, CustomTestStringConvertible {
  var name: String
  var told: [Told]
  /// Requests and failures of the service `catalog`.
  var requests: UInt64
  var failures: UInt64 = 0
  /// Requests of the workload `catalog-v1-1`, as it tells of itself.
  var ofWorkload: UInt64
  /// Pairs of caller and service in the topology.
  var edges = 1

  var testDescription: String { name }
}

private let direct = Told(reporter: .source)
private let split = Told(reporter: .source, backend: "catalog-v1", asked: "catalog", route: "shop/catalog/0")
private let arrived = Told(reporter: .destination)
private let failed = Told(
  reporter: .source, workload: "", requests: 1, failures: 1, route: "shop/catalog/1", isMutualTLS: false)
private let stranger = Told(reporter: .destination, source: "", sourceService: "", requests: 5, isMutualTLS: false)

private let cases: [Case] = [
  Case(name: "before an apply", told: [direct, arrived], requests: 10, ofWorkload: 10),
  Case(name: "after it", told: [split, arrived], requests: 10, ofWorkload: 10),
  Case(name: "within it", told: [direct, arrived, split, arrived], requests: 20, ofWorkload: 20),
  Case(name: "one failure of its own", told: [split, arrived, failed], requests: 11, failures: 1, ofWorkload: 10),
  Case(name: "nothing but failures of its own", told: [failed], requests: 1, failures: 1, ofWorkload: 0),
  Case(
    name: "both versions",
    told: [
      split, arrived,
      Told(
        reporter: .source, backend: "catalog-v2", asked: "catalog", workload: "catalog-v2-1", requests: 3,
        route: "shop/catalog/0"), Told(reporter: .destination, workload: "catalog-v2-1", requests: 3),
    ], requests: 13, ofWorkload: 10),
  Case(name: "callers without a proxy", told: [stranger], requests: 5, ofWorkload: 5),
  Case(name: "callers with and without one", told: [split, arrived, stranger], requests: 15, ofWorkload: 15, edges: 2),
  Case(
    name: "a server without a proxy",
    told: [Told(reporter: .source, backend: "catalog-v1", asked: "catalog", isMutualTLS: false)], requests: 10,
    ofWorkload: 10),
  Case(
    name: "one of the servers without a proxy",
    told: [split, arrived, Told(reporter: .source, workload: "catalog-old", requests: 4, isMutualTLS: false)],
    requests: 14, ofWorkload: 10),
  Case(
    name: "a caller whose proxy reports nothing here",
    told: [split, arrived, Told(reporter: .destination, source: "far-1", sourceService: "far", requests: 7)],
    requests: 17, ofWorkload: 17, edges: 2),
  Case(
    name: "callers that share an identity are one name for the called",
    told: [
      split, Told(reporter: .source, source: "front-2", backend: "catalog-v1", asked: "catalog", requests: 4),
      Told(reporter: .destination, requests: 14),
    ], requests: 14, ofWorkload: 14, edges: 2),
  Case(
    name: "a caller of the mesh that the called cannot name",
    told: [split, Told(reporter: .destination, source: "", sourceService: "")], requests: 10, ofWorkload: 10),
  Case(
    name: "attempts that were overtaken at a workload that never ended one",
    told: [
      split, arrived,
      Told(reporter: .destination, workload: "catalog-v2-1", requests: 10, failures: 10),
    ], requests: 10, ofWorkload: 10),
  Case(
    name: "attempts that were overtaken, and somebody without a proxy beside",
    told: [
      split, arrived, Told(reporter: .destination, workload: "catalog-v2-1", requests: 10, failures: 10),
      Told(
        reporter: .destination, source: "", sourceService: "", workload: "catalog-v2-1", requests: 3, failures: 1,
        isMutualTLS: false),
    ], requests: 13, failures: 1, ofWorkload: 10, edges: 2),
  Case(
    name: "more attempts than requests",
    told: [split, Told(reporter: .destination, requests: 12, failures: 2)], requests: 10, ofWorkload: 12),
]

@Suite struct BelievedEndTests {
  private static func window(_ told: [Told]) -> StatisticsWindow {
    var window = StatisticsWindow()
    for (index, one) in told.enumerated() {
      var report = StatisticsReport()
      report.edges = [one.edge]
      window.add(report, proxy: "\(index)", now: .seconds(10))
    }
    return window
  }

  @Test(arguments: cases) private func aRequestIsCountedOnce(_ example: Case) throws {
    let statistics = Self.window(example.told).statistics(window: .seconds(30), now: .seconds(11), subjects: [])
    func row(_ name: String, _ subject: MeshStatistics.Subject) -> MeshStatistics.Row? {
      statistics.rows.first { $0.name == name && $0.subject == subject }
    }
    let service = try #require(row("catalog", .service)?.figures)
    #expect(service.requests == example.requests)
    #expect(service.failures == example.failures)
    #expect((row("catalog-v1-1", .workload)?.figures.requests ?? 0) == example.ofWorkload)
    // The topology has each call once, by the service that was asked for.
    #expect(statistics.edges.count == example.edges)
    #expect(statistics.edges.allSatisfy { $0.destination == "catalog" })
    #expect(statistics.edges.reduce(0) { $0 + $1.figures.requests } == example.requests)
  }

  @Test(arguments: cases) private func theHourSaysTheSame(_ example: Case) throws {
    var history = StatisticsHistory()
    for one in example.told {
      var report = StatisticsReport()
      report.edges = [one.edge]
      history.add(report, edgeLimit: 10, now: .seconds(10))
    }
    let to = TrafficPeer(namespace: "shop", name: "catalog")
    for dimensions: TrafficDimensions in [[], .service, [.sourceService, .service], [.service, .route]] {
      let rows = history.traffic(
        TrafficQuery(window: .seconds(60), dimensions: dimensions, to: to), now: .seconds(11))
      #expect(rows.reduce(0) { $0 + $1.figures.requests } == example.requests)
      #expect(rows.reduce(0) { $0 + $1.figures.failures } == example.failures)
    }
    let points = history.points(
      TrafficQuery(window: .seconds(60), dimensions: [], to: to), step: .seconds(10), now: .seconds(11))
    #expect(points.reduce(0) { $0 + $1.figures.requests } == example.requests)
  }

  @Test func aBackendIsFoundUnderItsOwnNameToo() throws {
    let window = Self.window([split, arrived])
    let rows = window.statistics(window: .seconds(30), now: .seconds(11), subjects: []).rows
    #expect(rows.first { $0.name == "catalog-v1" }?.figures.requests == 10)
    var history = StatisticsHistory()
    var report = StatisticsReport()
    report.edges = [split.edge, arrived.edge]
    history.add(report, edgeLimit: 10, now: .seconds(10))
    func services(_ to: String?) -> [String] {
      history.traffic(
        TrafficQuery(window: .seconds(60), dimensions: [.service, .route], to: TrafficPeer(name: to)),
        now: .seconds(11)
      ).map { "\($0.service) \($0.route) \($0.figures.requests)" }
    }
    #expect(services("catalog") == ["catalog shop/catalog/0 10"])
    #expect(services(nil) == ["catalog shop/catalog/0 10"])
    #expect(services("catalog-v1") == ["catalog-v1 shop/catalog/0 10"])
  }

  @Test func whatTheEndsReportInDifferentStepsIsOneRequest() {
    var history = StatisticsHistory()
    for (told, second) in [(arrived, 9), (split, 10)] {
      var report = StatisticsReport()
      report.edges = [told.edge]
      history.add(report, edgeLimit: 10, now: .seconds(second))
    }
    let points = history.points(
      TrafficQuery(window: .seconds(60), dimensions: [], to: TrafficPeer(name: "catalog")), step: .seconds(10),
      now: .seconds(11))
    #expect(points.reduce(0) { $0 + $1.figures.requests } == 10)
  }
}
