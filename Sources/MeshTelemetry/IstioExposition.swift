import MeshModel

/// Writes what the loops counted, under the names and labels that Istio's dashboards and alerts know, with two labels
/// more: `route_name` and `error_reason`.
package enum IstioExposition {
  /// All of `snapshot` in `writer`, without the end; the caller may add families of its own, then calls `finish`.
  package static func write(_ snapshot: MetricsSnapshot, _ texts: LabelTexts, into writer: inout ExpositionWriter) {
    var edges = EdgeCache(texts)
    let requests = snapshot.requests.map { (labels: edges.labels($0.key), series: $0) }
    if !requests.isEmpty {
      writer.family("istio_requests", .counter, help: "Requests by their outcome.")
      for item in requests { writer.sample(item.labels, count: item.series.duration.count) }
      writer.family("istio_request_duration_milliseconds", .histogram, help: "Duration of requests.")
      for item in requests { writer.sample(item.labels, item.series.duration, sumScale: 1_000_000) }
      writer.family("istio_request_bytes", .histogram, help: "Size of requests' bodies.")
      for item in requests { writer.sample(item.labels, item.series.requestBytes, sumScale: 1) }
      writer.family("istio_response_bytes", .histogram, help: "Size of answers' bodies.")
      for item in requests { writer.sample(item.labels, item.series.responseBytes, sumScale: 1) }
    }
    let connections = snapshot.connections.map { (labels: edges.labels($0.key), series: $0) }
    if !connections.isEmpty {
      writer.family("istio_tcp_sent_bytes", .counter, help: "Bytes sent to clients over TCP connections.")
      for item in connections { writer.sample(item.labels, count: item.series.sentBytes) }
      writer.family("istio_tcp_received_bytes", .counter, help: "Bytes received from clients over TCP connections.")
      for item in connections { writer.sample(item.labels, count: item.series.receivedBytes) }
      writer.family("istio_tcp_connections_opened", .counter, help: "TCP connections opened.")
      for item in connections { writer.sample(item.labels, count: item.series.opened) }
      writer.family("istio_tcp_connections_closed", .counter, help: "TCP connections closed.")
      for item in connections { writer.sample(item.labels, count: item.series.closed) }
    }
    for counter in ProxyCounter.allCases {
      writer.family(counter.name.description, .counter, help: counter.help.description)
      writer.sample(count: snapshot[counter])
    }
    for gauge in ProxyGauge.allCases {
      writer.family(gauge.name.description, .gauge, help: gauge.help.description)
      writer.sample([], Double(snapshot[gauge]))
    }
  }

  /// Makes the text of an edge's labels once, however many series it has.
  private struct EdgeCache {
    let texts: LabelTexts
    private var edges: [UInt32: [UInt8]] = [:]

    init(_ texts: LabelTexts) { self.texts = texts }

    mutating func labels(_ key: RequestKey) -> [UInt8] {
      let grpcStatus = key.grpcStatus.map { String($0 > 16 ? 2 : $0) } ?? ""
      return ExpositionWriter.labels(
        [
          ("request_protocol", key.requestProtocol.label.description), ("response_code", String(key.responseCode)),
          ("grpc_response_status", grpcStatus), ("response_flags", key.flag.code.description),
          ("route_name", texts.route(key.route)), ("error_reason", key.reason?.name.description ?? ""),
        ], after: edge(key.edge))
    }

    mutating func labels(_ key: ConnectionKey) -> [UInt8] {
      ExpositionWriter.labels(
        [
          ("request_protocol", "tcp"), ("response_flags", key.flag.code.description),
          ("error_reason", key.reason?.name.description ?? ""),
        ], after: edge(key.edge))
    }

    private mutating func edge(_ number: UInt32) -> [UInt8] {
      if let known = edges[number] { return known }
      let edge = texts.edge(number)
      let (source, destination) = (edge.source, edge.destination)
      let made = ExpositionWriter.labels([
        ("reporter", edge.reporter == .source ? "source" : "destination"),
        ("source_workload", shown(source.workload)), ("source_workload_namespace", shown(source.namespace)),
        ("source_principal", shown(source.principal)), ("source_app", shown(source.app)),
        ("source_version", shown(source.version)), ("source_canonical_service", shown(source.canonicalService)),
        ("source_canonical_revision", shown(source.canonicalRevision, "latest")),
        ("source_cluster", shown(source.cluster)), ("destination_workload", shown(destination.workload)),
        ("destination_workload_namespace", shown(destination.namespace)),
        ("destination_principal", shown(destination.principal)), ("destination_app", shown(destination.app)),
        ("destination_version", shown(destination.version)), ("destination_service", shown(edge.service)),
        ("destination_canonical_service", shown(destination.canonicalService)),
        ("destination_canonical_revision", shown(destination.canonicalRevision, "latest")),
        ("destination_service_name", shown(edge.serviceName)),
        ("destination_service_namespace", shown(edge.serviceNamespace)),
        ("destination_cluster", shown(destination.cluster)), ("connection_security_policy", edge.security.label),
      ])
      edges[number] = made
      return made
    }

    private func shown(_ text: String, _ missing: String = "unknown") -> String { text.isEmpty ? missing : text }
  }
}
