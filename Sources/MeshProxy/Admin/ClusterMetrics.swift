internal import MeshPolicy
internal import MeshTelemetry
internal import MeshWire

/// Gauges of the services that a proxy calls: what is under way, where its breakers open, what its retry budget allows.
/// Services without endpoints and without refusals are left out, so that a large mesh costs a proxy only what it uses.
extension Proxy {
  /// Most services of one scrape; those with the most under way come first.
  private static let mostServices = 500

  func writeClusters(_ pages: [ClusterPage], into writer: inout ExpositionWriter) {
    var whole = ClusterPage()
    for page in pages { whole.add(page) }
    let used = whole.clusters.filter { cluster in
      cluster.limits.contains { $0.current > 0 || $0.refused > 0 } || cluster.endpoints.contains { $0.connections > 0 }
    }.sorted { ($1.load, $0.service, $0.port) < ($0.load, $1.service, $1.port) }.prefix(Self.mostServices)
    guard !used.isEmpty else { return }
    writer.family("apus_service_under_way", .gauge, help: "What counts against a limit of the service, by kind.")
    for cluster in used {
      for limit in cluster.limits { writer.sample(cluster.labels(("kind", limit.kind)), Double(limit.current)) }
    }
    writer.family("apus_service_limit", .gauge, help: "The number at which the service's breaker opens, by kind.")
    for cluster in used {
      for limit in cluster.limits {
        if let number = limit.limit { writer.sample(cluster.labels(("kind", limit.kind)), Double(number)) }
      }
    }
    writer.family("apus_service_refusals", .counter, help: "What the service's breaker refused, by kind.")
    for cluster in used {
      for limit in cluster.limits { writer.sample(cluster.labels(("kind", limit.kind)), count: limit.refused) }
    }
    writer.family("apus_service_retry_budget", .gauge, help: "Retries that the service's budget allows now.")
    for cluster in used { writer.sample(cluster.labels(), Double(cluster.retryBudget)) }
    writer.family("apus_service_endpoints", .gauge, help: "Endpoints of the service, by state.")
    for cluster in used {
      for state in EndpointFlags.words {
        writer.sample(cluster.labels(("state", state)), Double(cluster.endpoints.count { $0.state == state }))
      }
    }
    writer.family(
      "apus_service_connections", .gauge, help: "Connections to the service's endpoints; idle: in the pool.")
    for cluster in used {
      let idle = cluster.endpoints.reduce(0) { $0 &+ UInt64($1.idleConnections) }
      let all = cluster.endpoints.reduce(0) { $0 &+ UInt64($1.connections) }
      writer.sample(cluster.labels(("state", "idle")), Double(idle))
      writer.sample(cluster.labels(("state", "busy")), Double(all &- min(all, idle)))
    }
  }
}

extension ClusterReport {
  fileprivate var load: UInt64 { limits.reduce(0) { $0 &+ UInt64($1.current) &+ $1.refused } }

  fileprivate func labels(_ more: (name: StaticString, value: String)...) -> [UInt8] {
    let parts = service.split(separator: "/", maxSplits: 1).map(String.init)
    return ExpositionWriter.labels(
      [
        (name: "destination_service_namespace", value: parts.first ?? ""),
        (name: "destination_service_name", value: parts.dropFirst().first ?? ""), (name: "port", value: "\(port)"),
      ] + more)
  }
}
