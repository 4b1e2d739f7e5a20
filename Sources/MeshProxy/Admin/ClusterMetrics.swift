internal import MeshPolicy
internal import MeshTelemetry

/// Gauges of the services that a proxy calls: what is under way, where its breakers open, what its retry budget allows.
/// Services that are not used are left out, so that a large mesh costs a proxy only what it uses.
extension Proxy {
  /// Most services of one scrape; those with the most under way come first.
  private static let mostServices = 500

  /// - Parameter parts: what each worker told; of one service in several pieces.
  func writeServices(_ parts: [ServiceGauges], into writer: inout ExpositionWriter) {
    var whole: [String: ServiceGauges] = [:]
    for part in parts {
      let key = "\(part.service):\(part.port)"
      if whole[key] == nil { whole[key] = part } else { whole[key]?.add(part) }
    }
    let used = whole.values.filter(\.isUsed).sorted {
      ($1.load, $0.service, $0.port) < ($0.load, $1.service, $1.port)
    }.prefix(Self.mostServices)
    guard !used.isEmpty else { return }
    writer.family("apus_service_under_way", .gauge, help: "What counts against a limit of the service, by kind.")
    for service in used {
      for kind in BreakerKind.allCases {
        writer.sample(service.labels(("kind", "\(kind)")), count: service.current[Int(kind.rawValue)])
      }
    }
    writer.family("apus_service_limit", .gauge, help: "The number at which the service's breaker opens, by kind.")
    for service in used {
      for kind in BreakerKind.allCases {
        guard let limit = service.limits[Int(kind.rawValue)] else { continue }
        writer.sample(service.labels(("kind", "\(kind)")), count: limit)
      }
    }
    writer.family("apus_service_refusals", .counter, help: "What the service's breaker refused, by kind.")
    for service in used {
      for kind in BreakerKind.allCases {
        writer.sample(service.labels(("kind", "\(kind)")), count: service.refused[Int(kind.rawValue)])
      }
    }
    writeAdaptive(used, &writer)
    writer.family("apus_service_retry_budget", .gauge, help: "Retries that the service's budget allows now.")
    for service in used { writer.sample(service.labels(), count: service.retryBudget) }
    writer.family("apus_service_endpoints", .gauge, help: "Endpoints of the service, by state.")
    for service in used {
      for (place, state) in EndpointFlags.words.enumerated() {
        writer.sample(service.labels(("state", state)), count: service.states[place])
      }
    }
    writer.family(
      "apus_service_connections", .gauge, help: "Connections to the service's endpoints; idle: in the pool.")
    for service in used {
      let idle = service.idleConnections
      writer.sample(service.labels(("state", "idle")), count: idle)
      writer.sample(service.labels(("state", "busy")), count: service.connections &- min(service.connections, idle))
    }
  }
}

extension Proxy {
  /// Where `adaptiveConcurrency` is on: what it allows, and by what it judges.
  private func writeAdaptive(_ services: ArraySlice<ServiceGauges>, _ writer: inout ExpositionWriter) {
    let limited = services.compactMap { service in service.adaptive.map { (labels: service.labels(), gauges: $0) } }
    guard !limited.isEmpty else { return }
    writer.family("apus_adaptive_limit", .gauge, help: "Requests that adaptiveConcurrency lets in at a time.")
    for (labels, gauges) in limited { writer.sample(labels, count: gauges.limit) }
    writer.family("apus_adaptive_under_way", .gauge, help: "Requests in flight under that limit.")
    for (labels, gauges) in limited { writer.sample(labels, count: gauges.underWay) }
    writer.family("apus_adaptive_refusals", .counter, help: "Requests that it refused.")
    for (labels, gauges) in limited { writer.sample(labels, count: gauges.refused) }
    writer.family("apus_adaptive_calm_seconds", .gauge, help: "The latency that it takes as calm; 0: not measured yet.")
    for (labels, gauges) in limited { writer.sample(labels, Double(gauges.calmNanoseconds) / 1e9) }
  }
}

extension ServiceGauges {
  fileprivate func labels(_ more: (name: StaticString, value: String)...) -> [UInt8] {
    let parts = service.split(separator: "/", maxSplits: 1).map(String.init)
    return ExpositionWriter.labels(
      [
        (name: "destination_service_namespace", value: parts.first ?? ""),
        (name: "destination_service_name", value: parts.dropFirst().first ?? ""), (name: "port", value: "\(port)"),
      ] + more)
  }
}
