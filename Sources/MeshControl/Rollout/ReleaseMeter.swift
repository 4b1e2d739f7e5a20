import MeshTelemetry
package import MeshWire

/// Takes each report of a proxy to several places.
package struct StatisticsFanOut: StatisticsSink {
  private let sinks: [any StatisticsSink]

  package init(_ sinks: [any StatisticsSink]) {
    self.sinks = sinks
  }

  package func record(_ report: StatisticsReport, proxy: String) async {
    for sink in sinks { await sink.record(report, proxy: proxy) }
  }

  package func forget(proxy: String) async {
    for sink in sinks { await sink.forget(proxy: proxy) }
  }
}

/// Adds up what the clients' proxies count of the versions under release, between one look and the next. Only services
/// that are watched are counted, so that it costs nothing while nothing is released.
package actor ReleaseMeter: StatisticsSink {
  /// Routes that are told apart for one service; more are added up under no name.
  static let maxRoutes = 64
  /// Requests that one report can have of one edge; more are not believed.
  static let maxRequests: UInt64 = 1_000_000_000

  private var watched: Set<ServiceName> = []
  private var counts: [ServiceName: [String: VersionCounts]] = [:]

  package init() {}

  /// From now on these services are counted, and no others.
  package func watch(_ services: Set<ServiceName>) {
    watched = services
    counts = counts.filter { services.contains($0.key) }
  }

  package func record(_ report: StatisticsReport, proxy: String) {
    guard !watched.isEmpty else { return }
    for edge in report.edges.prefix(5000) where edge.reporter == .source && edge.requests > 0 {
      let name = ServiceName(namespace: edge.destinationNamespace, name: edge.destinationService)
      guard watched.contains(name) else { continue }
      var routes = counts[name] ?? [:]
      let route = routes[edge.route] != nil || routes.count < Self.maxRoutes ? edge.route : ""
      let requests = min(edge.requests, Self.maxRequests)
      routes[route, default: VersionCounts()].add(
        VersionCounts(
          requests: requests, failures: min(edge.failures, requests), latency: LatencySketch(sparse: edge.latency)))
      counts[name] = routes
    }
  }

  package func forget(proxy: String) {}

  /// What was counted of a service since the last call.
  /// - Parameter route: `namespace/name`; requests that came by another route are left out.
  /// - Returns: by the rule of that route; and what came by no route that the proxies told.
  package func take(
    _ service: ServiceName, route: String
  ) -> (byRule: [String: VersionCounts], unrouted: VersionCounts) {
    var found: [String: VersionCounts] = [:]
    let all = counts.removeValue(forKey: service) ?? [:]
    for (label, entry) in all where label.hasPrefix("\(route)/") {
      found[String(label.dropFirst(route.count + 1)), default: VersionCounts()].add(entry)
    }
    return (found, all[""] ?? VersionCounts())
  }
}
