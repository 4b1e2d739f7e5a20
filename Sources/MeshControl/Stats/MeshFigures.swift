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

extension StatisticsWindow {
  struct Name: Hashable {
    var namespace: String
    var name: String
  }

  private struct Sums {
    var cell = EdgeCell()
    var active: UInt64 = 0
  }

  /// What both ends said of one subject. A request that both ends report is one request.
  private struct BothEnds {
    var source: Sums?
    var destination: Sums?

    mutating func add(_ cell: EdgeCell, reporter: Reporter) {
      switch reporter {
      case .source: source = source ?? Sums(); source?.cell.add(cell)
      case .destination: destination = destination ?? Sums(); destination?.cell.add(cell)
      }
    }

    mutating func add(active: UInt64, reporter: Reporter) {
      switch reporter {
      case .source: source = source ?? Sums(); source?.active &+= active
      case .destination: destination = destination ?? Sums(); destination?.active &+= active
      }
    }
  }

  /// Rows and edges for people.
  ///
  /// What a service does is told by its clients, whose proxies see refused connections and retries; what a workload
  /// does is told by itself. Where that end has no proxy, the other end's word is taken.
  package func statistics(window: Duration, now: Duration, subjects: [StatisticsSubject]) -> MeshStatistics {
    let (edges, active) = totals(window: window, now: now)
    var services: [Name: BothEnds] = [:]
    var workloads: [Name: BothEnds] = [:]
    var pairs: [[Name]: BothEnds] = [:]
    for (key, cell) in edges {
      services[key.serviceName, default: BothEnds()].add(cell, reporter: key.reporter)
      workloads[key.workloadName, default: BothEnds()].add(cell, reporter: key.reporter)
      pairs[[key.sourceName, key.serviceName], default: BothEnds()].add(cell, reporter: key.reporter)
    }
    for (key, count) in active {
      services[key.serviceName, default: BothEnds()].add(active: count, reporter: key.reporter)
      workloads[key.workloadName, default: BothEnds()].add(active: count, reporter: key.reporter)
      pairs[[key.sourceName, key.serviceName], default: BothEnds()].add(active: count, reporter: key.reporter)
    }
    let seconds = max(1, Double(min(max(window.components.seconds, 1), 300)))
    var rows = Self.rows(
      of: .service,
      subjects.flatMap { subject in
        subject.services.map { (Name(namespace: subject.namespace, name: $0), subject.isMeshed) }
      }, services, seconds: seconds, preferred: \.source, otherwise: \.destination)
    rows += Self.rows(
      of: .workload, subjects.map { (Name(namespace: $0.namespace, name: $0.workload), $0.isMeshed) }, workloads,
      seconds: seconds, preferred: \.destination, otherwise: \.source)
    let result = pairs.compactMap { names, both -> MeshStatistics.Edge? in
      guard let sums = both.source ?? both.destination, let from = names.first, let to = names.last else { return nil }
      return .init(
        sourceNamespace: from.namespace, source: from.name, destinationNamespace: to.namespace, destination: to.name,
        figures: Self.figures(sums, seconds: seconds))
    }
    return MeshStatistics(
      rows: rows,
      edges: result.sorted {
        ($0.sourceNamespace, $0.source, $0.destinationNamespace, $0.destination)
          < ($1.sourceNamespace, $1.source, $1.destinationNamespace, $1.destination)
      })
  }

  private static func rows(
    of subject: MeshStatistics.Subject, _ instances: [(Name, Bool)], _ sums: [Name: BothEnds], seconds: Double,
    preferred: KeyPath<BothEnds, Sums?>, otherwise: KeyPath<BothEnds, Sums?>
  ) -> [MeshStatistics.Row] {
    var counts: [Name: (meshed: Int, all: Int)] = [:]
    for name in sums.keys where !name.name.isEmpty { counts[name] = (0, 0) }
    for (name, isMeshed) in instances where !name.name.isEmpty {
      let before = counts[name] ?? (0, 0)
      counts[name] = (before.meshed + (isMeshed ? 1 : 0), before.all + 1)
    }
    return counts.sorted { ($0.key.namespace, $0.key.name) < ($1.key.namespace, $1.key.name) }.map { name, count in
      let both = sums[name]
      return MeshStatistics.Row(
        namespace: name.namespace, name: name.name, subject: subject, meshedCount: count.meshed,
        instanceCount: count.all,
        figures: figures(both?[keyPath: preferred] ?? both?[keyPath: otherwise] ?? Sums(), seconds: seconds))
    }
  }

  private static func figures(_ sums: Sums, seconds: Double) -> MeshStatistics.Figures {
    let cell = sums.cell
    let sketch = LatencySketch(sparse: cell.latency)
    func milliseconds(_ quantile: Double) -> Double? { sketch.quantile(quantile).map { $0 / 1_000_000 } }
    return .init(
      requests: cell.requests,
      successRate: cell.requests == 0 ? nil : Double(cell.requests - cell.failures) / Double(cell.requests),
      requestsPerSecond: Double(cell.requests) / seconds, p50Ms: milliseconds(0.5), p95Ms: milliseconds(0.95),
      p99Ms: milliseconds(0.99), tcpConnections: sums.active)
  }
}

extension EdgeKey {
  fileprivate var sourceName: StatisticsWindow.Name { .init(namespace: sourceNamespace, name: source) }
  fileprivate var serviceName: StatisticsWindow.Name {
    .init(namespace: destinationNamespace, name: destinationService)
  }
  fileprivate var workloadName: StatisticsWindow.Name {
    .init(namespace: destinationNamespace, name: destinationWorkload)
  }
}
