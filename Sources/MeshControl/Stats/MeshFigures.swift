import MeshModel
import MeshWire

import struct MeshTelemetry.LatencySketch

/// One workload as far as its rows need it.
package struct StatisticsSubject: Sendable, Equatable {
  package var namespace: String
  package var workload: String
  /// Names of the services that it belongs to, in its namespace.
  package var services: [String]
  package var isMeshed: Bool

  package init(namespace: String, workload: String, services: [String], isMeshed: Bool) {
    self.namespace = namespace
    self.workload = workload
    self.services = services
    self.isMeshed = isMeshed
  }
}

/// A name within a namespace.
struct StatisticsName: Hashable {
  var namespace: String
  var name: String
}

/// Counts, with the TCP connections that are open now.
private struct Sums {
  var cell = EdgeCell()
  var active: UInt64 = 0
}

/// Counts of some stretch of time, and what can be read from them.
///
/// What a service does is told by its clients, whose proxies see refused connections and retries; what a workload does is
/// told by itself. Where that end has no proxy, the other end's word is taken (`BelievedEnd`).
struct StatisticsTotals {
  let edges: [EdgeKey: EdgeCell]
  /// TCP connections that are open now.
  let active: [EdgeKey: UInt64]
  /// What the counts cover, for rates.
  let seconds: Double
  /// Whose word counts.
  private let believed: BelievedEnd

  /// - Parameter believed: absent: as these counts tell.
  init(
    edges: [EdgeKey: EdgeCell], active: [EdgeKey: UInt64] = [:], seconds: Double, believed: BelievedEnd? = nil
  ) {
    (self.edges, self.active, self.seconds) = (edges, active, seconds)
    self.believed = believed ?? BelievedEnd(Set(edges.keys).union(active.keys))
  }

  /// What the edges that `isWanted` says yes to come to, grouped by `name` of each. Of each pair one end is believed: a
  /// request that both report is one request.
  ///
  /// - Parameter preferred: whose word goes before that of the other end.
  private func sums<Name: Hashable>(
    preferring preferred: Reporter, where isWanted: (EdgeKey) -> Bool = { _ in true }, by name: (EdgeKey) -> Name
  ) -> [Name: Sums] {
    var result: [Name: Sums] = [:]
    for (key, cell) in edges where isWanted(key) && believed.counts(key, preferring: preferred) {
      result[name(key), default: Sums()].cell.add(cell)
    }
    for (key, count) in active where isWanted(key) && believed.counts(key, preferring: preferred) {
      result[name(key), default: Sums()].active &+= count
    }
    return result
  }

  // MARK: Rows of services and workloads

  /// Rows and edges for people.
  func statistics(subjects: [StatisticsSubject]) -> MeshStatistics {
    var services = sums(preferring: .source) {
      StatisticsName(namespace: $0.destinationNamespace, name: $0.destinationService)
    }
    // A service that routes name shows what they lead to it.
    let backends = sums(preferring: .source, where: \.isRedirected) {
      StatisticsName(namespace: $0.backendNamespace, name: $0.backendService)
    }
    for (name, sums) in backends {
      services[name, default: Sums()].cell.add(sums.cell)
      services[name, default: Sums()].active &+= sums.active
    }
    let workloads = sums(preferring: .destination, by: \.called)
    let pairs = sums(preferring: .source) { key in
      [
        StatisticsName(namespace: key.sourceNamespace, name: key.source),
        StatisticsName(namespace: key.destinationNamespace, name: key.destinationService),
      ]
    }
    var rows = rows(
      of: .service,
      subjects.flatMap { subject in
        subject.services.map { (StatisticsName(namespace: subject.namespace, name: $0), subject.isMeshed) }
      }, services)
    rows += self.rows(
      of: .workload, subjects.map { (.init(namespace: $0.namespace, name: $0.workload), $0.isMeshed) }, workloads)
    let result = pairs.compactMap { names, sums -> MeshStatistics.Edge? in
      guard let from = names.first, let to = names.last else { return nil }
      return .init(
        sourceNamespace: from.namespace, source: from.name, destinationNamespace: to.namespace, destination: to.name,
        figures: figures(sums))
    }
    return MeshStatistics(
      rows: rows,
      edges: result.sorted {
        ($0.sourceNamespace, $0.source, $0.destinationNamespace, $0.destination)
          < ($1.sourceNamespace, $1.source, $1.destinationNamespace, $1.destination)
      })
  }

  private func rows(
    of subject: MeshStatistics.Subject, _ instances: [(StatisticsName, Bool)], _ sums: [StatisticsName: Sums]
  ) -> [MeshStatistics.Row] {
    var counts: [StatisticsName: (meshed: Int, all: Int)] = [:]
    for name in sums.keys where !name.name.isEmpty { counts[name] = (0, 0) }
    for (name, isMeshed) in instances where !name.name.isEmpty {
      let before = counts[name] ?? (0, 0)
      counts[name] = (before.meshed + (isMeshed ? 1 : 0), before.all + 1)
    }
    return counts.sorted { ($0.key.namespace, $0.key.name) < ($1.key.namespace, $1.key.name) }.map { name, count in
      MeshStatistics.Row(
        namespace: name.namespace, name: name.name, subject: subject, meshedCount: count.meshed,
        instanceCount: count.all, figures: figures(sums[name] ?? Sums()))
    }
  }

  // MARK: Traffic

  /// Rows told apart by the query's dimensions, in order of their names.
  func traffic(_ query: TrafficQuery) -> [TrafficRow] {
    let dimensions = query.dimensions
    // What one instance does is told by itself; everything else by who asked for it.
    let prefersSource = dimensions.isDisjoint(with: [.workload]) || !dimensions.isDisjoint(with: [.route, .source])
    return sums(preferring: prefersSource ? .source : .destination, where: query.matches) { TrafficGroup($0, query) }
      .map { $0.key.row(figures($0.value)) }
      .sorted {
        ($0.destinationNamespace, $0.service, $0.workload, $0.route, $0.sourceNamespace, $0.source + $0.sourceService)
          < (
            $1.destinationNamespace, $1.service, $1.workload, $1.route, $1.sourceNamespace, $1.source + $1.sourceService
          )
      }
  }

  /// All that the query matches, added up.
  func whole(_ query: TrafficQuery) -> MeshStatistics.Figures {
    figures(sums(preferring: .source, where: query.matches) { _ in 0 }[0] ?? Sums())
  }

  private func figures(_ sums: Sums) -> MeshStatistics.Figures {
    let cell = sums.cell
    let sketch = LatencySketch(sparse: cell.latency)
    func milliseconds(_ quantile: Double) -> Double? { sketch.quantile(quantile).map { $0 / 1_000_000 } }
    return .init(
      requests: cell.requests,
      successRate: cell.requests == 0 ? nil : Double(cell.requests - cell.failures) / Double(cell.requests),
      requestsPerSecond: Double(cell.requests) / max(1, seconds), p50Ms: milliseconds(0.5),
      p95Ms: milliseconds(0.95), p99Ms: milliseconds(0.99), tcpConnections: sums.active, failures: cell.failures,
      retries: cell.retries, tcpOpened: cell.tcpOpened, sentBytes: cell.sentBytes, receivedBytes: cell.receivedBytes,
      reasons: cell.reasons.sorted { ($1.count, $0.reason.rawValue) < ($0.count, $1.reason.rawValue) }.map {
        .init(reason: "\($0.reason.name)", count: $0.count)
      })
  }
}

extension TrafficQuery {
  /// Whether an edge is asked for.
  func matches(_ key: EdgeKey) -> Bool {
    from.matches(key.sourceNamespace, key.source, key.sourceService)
      && (to.matches(key.destinationNamespace, key.destinationService, key.destinationWorkload)
        || to.matches(key.backendNamespace, key.backendService, key.destinationWorkload))
      && (route == nil || route == key.route)
  }
}

/// The parts of an edge that a query tells apart.
private struct TrafficGroup: Hashable {
  var sourceNamespace = ""
  var source = ""
  var sourceService = ""
  var destinationNamespace = ""
  var service = ""
  var workload = ""
  var version = ""
  var route = ""
  var isMutualTLS: Bool?

  init(_ key: EdgeKey, _ query: TrafficQuery) {
    let dimensions = query.dimensions
    // Who asks for a backend by name sees it, and not the service that led there.
    let isOfBackend =
      key.isRedirected && query.to.matches(key.backendNamespace, key.backendService, "")
      && !query.to.matches(key.destinationNamespace, key.destinationService, "")
    if !dimensions.isDisjoint(with: [.source, .sourceService]) { sourceNamespace = key.sourceNamespace }
    if dimensions.contains(.source) { source = key.source }
    // A workload whose service is not known stands for itself.
    if dimensions.contains(.sourceService) {
      sourceService = key.sourceService.isEmpty ? key.source : key.sourceService
    }
    if !dimensions.isDisjoint(with: [.service, .workload, .version]) {
      let isOfAsked = dimensions.contains(.service) && !isOfBackend
      destinationNamespace = isOfAsked ? key.destinationNamespace : key.backendNamespace
    }
    if dimensions.contains(.service) { service = isOfBackend ? key.backendService : key.destinationService }
    if dimensions.contains(.workload) { workload = key.destinationWorkload }
    if dimensions.contains(.version) { version = key.destinationVersion }
    if dimensions.contains(.route) { route = key.route }
    // A request that never reached an endpoint was neither encrypted nor not.
    if dimensions.contains(.security), !key.destinationWorkload.isEmpty { isMutualTLS = key.isMutualTLS }
  }

  func row(_ figures: MeshStatistics.Figures) -> TrafficRow {
    var row = TrafficRow(figures: figures)
    (row.sourceNamespace, row.source, row.sourceService) = (sourceNamespace, source, sourceService)
    (row.destinationNamespace, row.service, row.workload) = (destinationNamespace, service, workload)
    (row.version, row.route, row.isMutualTLS) = (version, route, isMutualTLS)
    return row
  }
}

extension StatisticsWindow {
  /// Rows and edges of the last `window`, at most five minutes.
  package func statistics(window: Duration, now: Duration, subjects: [StatisticsSubject]) -> MeshStatistics {
    totals(window, now).statistics(subjects: subjects)
  }

  func totals(_ window: Duration, _ now: Duration) -> StatisticsTotals {
    let (edges, active) = totals(window: window, now: now)
    return StatisticsTotals(
      edges: edges, active: active, seconds: Double(coveredSeconds(window: window, now: now)))
  }
}
