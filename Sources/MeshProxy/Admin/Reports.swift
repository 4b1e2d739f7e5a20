// Unsafe by design: counts lie in memory of the workers.
internal import CMeshSystem
internal import Glibc
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry
internal import MeshWire

extension Proxy {
  /// The exposition for Prometheus, a page at a time: with many series the whole is far larger than the proxy.
  func metrics(accept: String, _ done: @escaping (AdminResponse) -> Void) {
    gatherReports([.requests, .services, .turns]) { [self] reports in
      let format = ExpositionFormat(accept: accept)
      var writer = ExpositionWriter(format)
      writer.family("apus_refusals", .counter, help: "Connections refused before there was a request, by reason.")
      for reason in Reason.allCases {
        let count = reports.reduce(0) { $0 &+ $1.totals.refusals[Int(reason.rawValue)] }
        if count > 0 {
          writer.sample(ExpositionWriter.labels([(name: "error_reason", value: "\(reason.name)")]), count: count)
        }
      }
      writer.family("istio_build", .gauge, help: "1, with the version of this proxy.")
      writer.sample(
        ExpositionWriter.labels([(name: "component", value: "proxy"), (name: "tag", value: ProxyState.version)]), 1)
      writer.family("apus_certificate_expiry_seconds", .gauge, help: "When the certificate ends, seconds since 1970.")
      writer.sample([], Double(certificateNotAfter))
      writer.family("apus_certificate_begin_seconds", .gauge, help: "When the certificate began, seconds since 1970.")
      writer.sample([], Double(certificateNotBefore))
      writeServices(reports.flatMap(\.services.gauges), into: &writer)
      carrier.write(into: &writer)
      writeTurns(reports, into: &writer)
      writer.family("process_resident_memory_bytes", .gauge, help: "Resident memory.")
      writer.sample([], Double(Self.residentBytes))
      let texts = labels.texts()
      let metrics = MetricsSnapshot.merged(reports.map(\.counted)).byRouteName(texts)
      var exposition = IstioExposition(metrics, texts, after: writer)
      var response = AdminResponse(contentType: "\(format.contentType)")
      response.nextPage = { exposition.nextPage() }
      done(response)
    }
  }

  private func writeTurns(_ reports: [WorkerReport], into writer: inout ExpositionWriter) {
    func family(_ name: String, _ help: String, _ nanoseconds: (WorkerTotals) -> UInt64) {
      writer.family(name, .gauge, help: help)
      for report in reports {
        let labels = ExpositionWriter.labels([(name: "worker", value: "\(report.worker)")])
        writer.sample(labels, Double(nanoseconds(report.totals)) / 1_000_000_000)
      }
    }
    family("apus_loop_turn_seconds", "The longest turn of a loop since the last scrape.") { $0.longestTurn }
    family("apus_telling_turn_seconds", "The longest that telling this, or the control plane, kept a loop in one turn.")
    {
      $0.longestPart
    }
  }

  /// What passed since the last report, for the control plane.
  func statistics(_ done: @escaping (StatisticsReport) -> Void) {
    gatherReports([.edges]) { [self] reports in
      var report = StatisticsReport()
      report.downstreamConnections = UInt32(clamping: reports.reduce(0) { $0 + $1.totals.downstream })
      report.upstreamConnections = UInt32(clamping: reports.reduce(0) { $0 + $1.totals.upstream })
      report.certificateNotAfter = UInt64(clamping: certificateNotAfter)
      report.residentBytes = Self.residentBytes
      var merged: [UInt64: EdgeReport] = [:]
      for edge in reports.flatMap(\.edges) {
        let key = UInt64(edge.edge) << 32 | UInt64(edge.route)
        if merged[key] == nil { merged[key] = edge } else { merged[key]?.merge(edge) }
      }
      let texts = labels.texts()
      report.edges = merged.values.map { Self.edge($0, texts) }
      addConnections(MetricsSnapshot.merged(reports.map(\.counted)).connections, texts, to: &report)
      done(report)
    }
  }

  private static func edge(_ counted: EdgeReport, _ texts: LabelTexts) -> MeshWire.EdgeStatistics {
    var edge = named(texts, counted.edge, counted.route)
    edge.requests = counted.successes + counted.failures
    edge.failures = counted.failures
    edge.retries = counted.retries
    edge.reasons = counted.reasons.sorted { $0.key.rawValue < $1.key.rawValue }.map { reason, count in
      var entry = ReasonCount()
      entry.reason = "\(reason.name)"
      entry.count = count
      return entry
    }
    edge.latency = counted.latency.sparse
    return edge
  }

  private static func named(_ texts: LabelTexts, _ number: UInt32, _ route: UInt32) -> MeshWire.EdgeStatistics {
    let labels = texts.edge(number)
    var edge = MeshWire.EdgeStatistics()
    edge.reporter = labels.reporter == .source ? .source : .destination
    edge.sourceNamespace = labels.source.namespace
    edge.sourceWorkload = labels.source.workload
    edge.destinationNamespace = labels.serviceNamespace
    edge.destinationService = labels.serviceName
    edge.destinationWorkload = labels.destination.workload
    edge.destinationVersion = labels.destination.version
    edge.sourceService = labels.source.canonicalService
    // A client's proxy dials an endpoint with an identity by mTLS only.
    edge.isMutualTLS =
      labels.reporter == .source ? !labels.destination.principal.isEmpty : labels.security == .mutualTLS
    edge.route = texts.route(route)
    let asked = texts.asked(route).split(separator: "/", maxSplits: 1)
    if asked.count == 2, edge.reporter == .source {
      (edge.askedNamespace, edge.askedService) = (String(asked[0]), String(asked[1]))
    }
    return edge
  }

  /// TCP connections, as differences to the last report. A series that was forgotten meanwhile begins at 0 again.
  private func addConnections(
    _ all: [ConnectionSeries], _ texts: LabelTexts, to report: inout StatisticsReport
  ) {
    var sums: [UInt64: TunnelSums] = [:]
    for series in all {
      sums[UInt64(series.key.edge) << 32 | UInt64(series.key.route), default: TunnelSums()].add(
        series, since: lastConnections[series.key])
    }
    // A series that moved while it was told may be there twice.
    lastConnections = Dictionary(all.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
    for (number, sum) in sums where sum.opened > 0 || sum.closed > 0 || sum.active > 0 {
      var edge = Self.named(texts, UInt32(truncatingIfNeeded: number >> 32), UInt32(truncatingIfNeeded: number))
      edge.tcpOpened = sum.opened
      edge.tcpActive = UInt32(clamping: sum.active)
      edge.sentBytes = sum.sentBytes
      edge.receivedBytes = sum.receivedBytes
      report.edges.append(edge)
    }
  }

  /// Resident memory of this process.
  static var residentBytes: UInt64 {
    guard let bytes = try? Files.read("/proc/self/statm") else { return 0 }
    let parts = bytes.split(separator: 0x20)
    guard parts.count > 1, let pages = UInt64(String(decoding: parts[1], as: UTF8.self)) else { return 0 }
    return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
  }
}

/// What all connections of an edge by one route came to since the last report.
private struct TunnelSums {
  var opened: UInt64 = 0
  var closed: UInt64 = 0
  var sentBytes: UInt64 = 0
  var receivedBytes: UInt64 = 0
  /// Open now.
  var active: Int64 = 0

  mutating func add(_ series: ConnectionSeries, since before: ConnectionSeries?) {
    func grown(_ count: KeyPath<ConnectionSeries, UInt64>) -> UInt64 {
      let (now, then) = (series[keyPath: count], before?[keyPath: count] ?? 0)
      return now >= then ? now &- then : now
    }
    opened &+= grown(\.opened)
    closed &+= grown(\.closed)
    sentBytes &+= grown(\.sentBytes)
    receivedBytes &+= grown(\.receivedBytes)
    active &+= Int64(clamping: series.opened) &- Int64(clamping: series.closed)
  }
}
