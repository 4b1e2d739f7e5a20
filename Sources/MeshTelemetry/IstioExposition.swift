import MeshModel

/// Writes what the loops counted, under the names and labels that Istio's dashboards and alerts know, with two labels
/// more: `route_name` and `error_reason`.
///
/// A series has 64 lines of up to a kilobyte each, so the whole may be large: it is made page by page, and only one page
/// is in memory at a time.
package struct IstioExposition {
  private let snapshot: MetricsSnapshot
  private var writer: ExpositionWriter
  private var edges: EdgeCache
  private var family = 0
  private var item = 0

  /// - Parameter writer: what the caller has written already, families of its own, not finished.
  package init(_ snapshot: MetricsSnapshot, _ texts: LabelTexts, after writer: ExpositionWriter) {
    self.snapshot = snapshot
    self.writer = writer
    edges = EdgeCache(texts)
  }

  /// The next part of the text, of at least `size` bytes unless it is the last; nil after the last.
  package mutating func nextPage(size: Int = 65_536) -> [UInt8]? {
    // A histogram's lines come all at once.
    writer.reserve(size + 32_768)
    while writer.bytes.count < size, family < Self.familyCount {
      step()
      if family == Self.familyCount { writer.finish() }
    }
    return writer.bytes.isEmpty ? nil : writer.take()
  }

  private mutating func step() {
    if item == 0 { declare() }
    if item < itemCount {
      write()
      item += 1
    }
    if item >= itemCount {
      item = 0
      family += 1
    }
  }

  // Families: six of requests, four of connections, then one for each counter and gauge.
  private static let ofRequests = 6
  private static let ownCounters = ofRequests + 4
  private static let ownGauges = ownCounters + ProxyCounter.allCases.count
  private static let familyCount = ownGauges + ProxyGauge.allCases.count

  private var itemCount: Int {
    if family < Self.ofRequests { return snapshot.requests.count }
    return family < Self.ownCounters ? snapshot.connections.count : 1
  }

  private mutating func declare() {
    guard itemCount > 0 else { return }
    switch family {
    case 0: writer.family("istio_requests", .counter, help: "Requests by their outcome.")
    case 1: writer.family("istio_request_duration_milliseconds", .histogram, help: "Duration of requests.")
    case 2: writer.family("istio_request_bytes", .histogram, help: "Size of requests' bodies.")
    case 3: writer.family("istio_response_bytes", .histogram, help: "Size of answers' bodies.")
    case 4: writer.family("istio_request_messages", .counter, help: "Messages from clients in calls of gRPC.")
    case 5: writer.family("istio_response_messages", .counter, help: "Messages to clients in calls of gRPC.")
    case 6: writer.family("istio_tcp_sent_bytes", .counter, help: "Bytes sent to clients over TCP connections.")
    case 7:
      writer.family("istio_tcp_received_bytes", .counter, help: "Bytes received from clients over TCP connections.")
    case 8: writer.family("istio_tcp_connections_opened", .counter, help: "TCP connections opened.")
    case 9: writer.family("istio_tcp_connections_closed", .counter, help: "TCP connections closed.")
    case ..<Self.ownGauges:
      let counter = ProxyCounter.allCases[family - Self.ownCounters]
      writer.family(counter.name.description, .counter, help: counter.help.description)
    default:
      let gauge = ProxyGauge.allCases[family - Self.ownGauges]
      writer.family(gauge.name.description, .gauge, help: gauge.help.description)
    }
  }

  private mutating func write() {
    switch family {
    case ..<Self.ofRequests:
      let series = snapshot.requests[item]
      let labels = edges.labels(series.key)
      switch family {
      case 0: writer.sample(labels, count: series.duration.count)
      case 1:
        let exemplars = snapshot.exemplars
        writer.sample(labels, series.duration, sumScale: 1_000_000) { exemplars.find(series.key, bucket: $0) }
      case 2: writer.sample(labels, series.requestBytes, sumScale: 1)
      case 3: writer.sample(labels, series.responseBytes, sumScale: 1)
      default:
        guard series.key.requestProtocol == .grpc else { return }
        writer.sample(labels, count: family == 4 ? series.requestMessages : series.responseMessages)
      }
    case ..<Self.ownCounters:
      let series = snapshot.connections[item]
      let counts = [series.sentBytes, series.receivedBytes, series.opened, series.closed]
      writer.sample(edges.labels(series.key), count: counts[family - Self.ofRequests])
    case ..<Self.ownGauges: writer.sample(count: snapshot[ProxyCounter.allCases[family - Self.ownCounters]])
    default: writer.sample([], Double(snapshot[ProxyGauge.allCases[family - Self.ownGauges]]))
    }
  }

  /// Makes the text of an edge's labels once, however many series it has.
  struct EdgeCache {
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
          ("route_name", texts.route(key.route)), ("error_reason", key.reason?.name.description ?? ""),
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
