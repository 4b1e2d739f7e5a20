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
