// Unsafe by design: counts lie in memory of the workers.
internal import CMeshSystem
internal import Glibc
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry
internal import MeshWire

/// What one worker tells of itself.
struct WorkerReport: Sendable {
  var metrics: MetricsSnapshot
  var edges: [EdgeReport] = []
  var refusals: [UInt64] = []
  var downstream = 0
  var upstream = 0
  /// For scrapes only.
  var clusters = ClusterPage()
  /// The longest turn of the loop since the last scrape, nanoseconds.
  var longestTurn: UInt64 = 0
}

/// What all connections of an edge came to.
struct TunnelSums {
  var opened: UInt64 = 0
  var closed: UInt64 = 0
  var sentBytes: UInt64 = 0
  var receivedBytes: UInt64 = 0
}

extension Worker {
  /// Measures what is counted nowhere.
  func refreshGauges() {
    telemetry.metrics.set(.downstreamConnections, to: Int64(downstreamCount))
    telemetry.metrics.set(.upstreamConnections, to: Int64(upstreamCount))
    telemetry.metrics.set(.activeRequests, to: Int64(exchangeCount))
    var pending: Int64 = 0
    var ejected: Int64 = 0
    var idle: Int64 = 0
    for cluster in endpoints.clusters {
      pending += Int64(cluster.pointee.breaker.count(.pending))
      ejected += Int64(cluster.pointee.set.ejectedCount)
      for index in 0..<Int(cluster.pointee.set.count) {
        idle += Int64(cluster.pointee.endpoints[index].pointee.idleCount)
      }
    }
    telemetry.metrics.set(.pendingRequests, to: pending)
    telemetry.metrics.set(.ejectedEndpoints, to: ejected)
    telemetry.metrics.set(.idleUpstreamConnections, to: idle)
  }

  /// Everything counted; `takingEdges` begins the edges anew.
  func report(takingEdges: Bool) -> WorkerReport {
    refreshGauges()
    telemetry.metrics.expireIdle(now: clock)
    return WorkerReport(
      metrics: telemetry.metrics.snapshot(hasRequests: false), edges: takingEdges ? telemetry.edges.drain() : [],
      refusals: Array(UnsafeBufferPointer(start: telemetry.refusals, count: 256)), downstream: downstreamCount,
      upstream: upstreamCount, clusters: takingEdges ? ClusterPage() : clusterPage(onlyUsed: true),
      longestTurn: takingEdges ? 0 : takeLongestTurn())
  }
}

extension Proxy {
  /// The exposition for Prometheus, a page at a time: with many series the whole is far larger than the proxy.
  func metrics(accept: String, _ done: @escaping (AdminResponse) -> Void) {
    gatherReports { [self] reports in
      let format = ExpositionFormat(accept: accept)
      var writer = ExpositionWriter(format)
      writer.family("apus_refusals", .counter, help: "Connections refused before there was a request, by reason.")
      for reason in Reason.allCases {
        let count = reports.reduce(0) { $0 + $1.refusals[Int(reason.rawValue)] }
        if count > 0 {
          writer.sample(ExpositionWriter.labels([(name: "error_reason", value: "\(reason.name)")]), count: count)
        }
      }
      writer.family("apus_certificate_expiry_seconds", .gauge, help: "When the certificate ends, seconds since 1970.")
      writer.sample([], Double(certificateNotAfter))
      writer.family("apus_certificate_begin_seconds", .gauge, help: "When the certificate began, seconds since 1970.")
      writer.sample([], Double(certificateNotBefore))
      writeClusters(reports.map(\.clusters), into: &writer)
      carrier.write(into: &writer)
      writer.family("apus_loop_turn_seconds", .gauge, help: "The longest turn of a loop since the last scrape.")
      for (index, report) in reports.enumerated() {
        writer.sample(
          ExpositionWriter.labels([(name: "worker", value: "\(index)")]), Double(report.longestTurn) / 1_000_000_000)
      }
      writer.family("process_resident_memory_bytes", .gauge, help: "Resident memory.")
      writer.sample([], Double(Self.residentBytes))
      let texts = labels.texts()
      let metrics = MetricsSnapshot.merged(reports.map(\.metrics)).byRouteName(texts)
      var exposition = IstioExposition(metrics, texts, after: writer)
      var response = AdminResponse(contentType: "\(format.contentType)")
      response.nextPage = { exposition.nextPage() }
      done(response)
    }
  }

  /// What passed since the last report, for the control plane.
  func statistics(_ done: @escaping (StatisticsReport) -> Void) {
    onAllWorkers({ $0.report(takingEdges: true) }) { [self] reports in
      var report = StatisticsReport()
      report.downstreamConnections = UInt32(clamping: reports.reduce(0) { $0 + $1.downstream })
      report.upstreamConnections = UInt32(clamping: reports.reduce(0) { $0 + $1.upstream })
      report.certificateNotAfter = UInt64(clamping: certificateNotAfter)
      report.residentBytes = Self.residentBytes
      var merged: [UInt64: EdgeReport] = [:]
      for edge in reports.flatMap(\.edges) {
        let key = UInt64(edge.edge) << 32 | UInt64(edge.route)
        if merged[key] == nil { merged[key] = edge } else { merged[key]?.merge(edge) }
      }
      let texts = labels.texts()
      report.edges = merged.values.map { Self.edge($0, texts) }
      addTunnels(.merged(reports.map(\.metrics)), texts, to: &report)
      done(report)
    }
  }

  private static func edge(_ counted: EdgeReport, _ texts: LabelTexts) -> MeshWire.EdgeStatistics {
    var edge = named(texts.edge(counted.edge))
    edge.route = texts.route(counted.route)
    let asked = texts.asked(counted.route).split(separator: "/", maxSplits: 1)
    if asked.count == 2, edge.reporter == .source {
      (edge.askedNamespace, edge.askedService) = (String(asked[0]), String(asked[1]))
    }
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

  private static func named(_ labels: EdgeLabels) -> MeshWire.EdgeStatistics {
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
    return edge
  }

  /// TCP connections, as differences to the last report.
  private func addTunnels(_ metrics: MetricsSnapshot, _ texts: LabelTexts, to report: inout StatisticsReport) {
    var sums: [UInt32: TunnelSums] = [:]
    for series in metrics.connections {
      var sum = sums[series.key.edge] ?? TunnelSums()
      sum.opened += series.opened
      sum.closed += series.closed
      sum.sentBytes += series.sentBytes
      sum.receivedBytes += series.receivedBytes
      sums[series.key.edge] = sum
    }
    for (number, sum) in sums {
      let before = lastTunnels[number] ?? TunnelSums()
      guard sum.opened != before.opened || sum.closed != before.closed || sum.opened > sum.closed else { continue }
      var edge = Self.named(texts.edge(number))
      edge.tcpOpened = sum.opened &- before.opened
      edge.tcpActive = UInt32(clamping: Int64(sum.opened) - Int64(sum.closed))
      edge.sentBytes = sum.sentBytes &- before.sentBytes
      edge.receivedBytes = sum.receivedBytes &- before.receivedBytes
      report.edges.append(edge)
    }
    lastTunnels = sums
  }

  /// Resident memory of this process.
  static var residentBytes: UInt64 {
    guard let bytes = try? Files.read("/proc/self/statm") else { return 0 }
    let parts = bytes.split(separator: 0x20)
    guard parts.count > 1, let pages = UInt64(String(decoding: parts[1], as: UTF8.self)) else { return 0 }
    return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
  }
}
