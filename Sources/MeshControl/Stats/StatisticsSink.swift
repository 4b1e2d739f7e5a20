package import MeshWire

/// Takes the statistics that proxies report.
package protocol StatisticsSink: Sendable {
  /// Adds a report of the proxy of workload `proxy`.
  func record(_ report: StatisticsReport, proxy: String) async
  /// The proxy has gone: what it said of the present (open connections) no longer holds.
  func forget(proxy: String) async
}
