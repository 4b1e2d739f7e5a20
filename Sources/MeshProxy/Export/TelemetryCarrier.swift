// Unsafe by design: log lines pass from the rings to the kernel.
internal import CMeshSystem
internal import Glibc
internal import MeshModel
internal import MeshReactor
internal import MeshTelemetry
internal import MeshWire

/// Calls the carrier: workers raise an event descriptor, which costs them no memory, and the side thread waits for it.
private final class CarrierBell: SideHandler {
  /// What workers raise; negative: there is none, and the carrier comes by itself only.
  let descriptor: Int32
  private let rung: () -> Void

  init(_ loop: SideLoop, rung: @escaping () -> Void) {
    self.rung = rung
    descriptor = cms_eventfd()
    super.init()
    guard descriptor >= 0 else { return }
    // Without it the carrier still comes at its own intervals.
    do throws(SystemError) { try loop.registerLevel(descriptor, self) } catch {}
  }

  override func ready(_ readiness: Readiness) {
    cms_event_take(descriptor)
    rung()
  }
}

/// Carries what workers record to where it goes: lines to standard output, spans, lines and metrics to collectors. Runs on
/// the side thread.
final class TelemetryCarrier {
  /// Spans of one request, and lines.
  private static let itemsPerRequest = 512
  /// Bytes of a line that is put together over the ends of a ring.
  private static let maxEntry = 1 << 18
  private static let lineInterval: UInt64 = 50_000_000
  private static let exportInterval: UInt64 = 500_000_000

  private unowned let proxy: Proxy
  private var rings: [WorkerRings] = []
  private var plan: TelemetryPlan?
  /// By what they were configured with: one for all that goes to one place in one way.
  private var collectors: [Collector] = []
  private var partial: [[UInt8]] = []
  private var isTicking = false
  private var nextExport: UInt64 = 0
  private var nextMetrics: UInt64 = 0
  private let startedWall: UInt64
  /// Of collectors that are no longer in the configuration.
  private var past: [OTLPService: Collector.Figures] = [:]

  private lazy var bell = CarrierBell(proxy.loop) { [weak self] in self?.carryNow() }

  /// The rings of one worker.
  struct WorkerRings {
    var lines: LogRing
    var exported: LogRing
    var spans: SpanRing
  }

  init(_ proxy: Proxy) {
    self.proxy = proxy
    startedWall = cms_wall_nanoseconds()
  }

  /// Takes the rings of another worker, which is yet to run.
  func add(_ telemetry: WorkerTelemetry) {
    rings.append(telemetry.rings)
    partial.append([])
    telemetry.carrierBell = bell.descriptor
  }

  /// A plan is in force.
  func adopt(_ plan: TelemetryPlan) {
    guard self.plan !== plan else { return }
    self.plan = plan
    let wanted = [plan.traces, plan.logs, plan.metrics?.exporter].compactMap { $0 }
    for collector in collectors where !wanted.contains(collector.config) {
      collector.close()
      keep(collector.figures)
    }
    collectors.removeAll { !wanted.contains($0.config) }
    for config in wanted where !collectors.contains(where: { $0.config == config }) {
      collectors.append(Collector(config, proxy: proxy))
    }
    nextMetrics = cms_monotonic_nanoseconds() &+ interval(plan)
    if !isTicking, plan.writesLines || !wanted.isEmpty { tick() }
  }

  private func keep(_ figures: [OTLPService: Collector.Figures]) {
    past.merge(figures) { former, more in
      Collector.Figures(
        sent: former.sent + more.sent, dropped: former.dropped + more.dropped,
        failedRequests: former.failedRequests + more.failedRequests)
    }
  }

  private func interval(_ plan: TelemetryPlan) -> UInt64 {
    UInt64(max(1_000, plan.metrics?.intervalMilliseconds ?? 60_000)) * 1_000_000
  }

  private func collector(_ config: ExporterConfig?) -> Collector? {
    config.flatMap { config in collectors.first { $0.config == config } }
  }

  // MARK: Carrying

  private func tick() {
    isTicking = true
    carryLines()
    let now = cms_monotonic_nanoseconds()
    if now >= nextExport {
      nextExport = now &+ Self.exportInterval
      carrySpans()
      carryExportedLines()
    }
    if let plan, plan.metrics != nil, now >= nextMetrics {
      nextMetrics = now &+ interval(plan)
      pushMetrics()
    }
    let isFast = plan?.writesLines ?? false
    guard isFast || !collectors.isEmpty else {
      isTicking = false
      return
    }
    proxy.loop.after(isFast ? Self.lineInterval : Self.exportInterval) { [weak self] in self?.tick() }
  }

  /// A ring of lines is half full: what there is, is carried now.
  func carryNow() {
    carryLines()
    carryExportedLines()
  }

  /// Lines to standard output.
  private func carryLines() {
    for ring in rings { while ring.lines.read({ max(0, Glibc.write(1, $0.baseAddress, $0.count)) }) {} }
  }

  private func carrySpans() {
    let labels = proxy.labels.texts()
    var spans: [[UInt8]] = []
    for ring in rings {
      while let entry = ring.spans.take() {
        let tags = entry.record.plan == plan?.serial ? plan?.tagNames ?? [] : []
        spans.append(OTLPSpan.encode(entry, labels, tags: tags))
        if spans.count == Self.itemsPerRequest { send(.traces, &spans) }
      }
    }
    send(.traces, &spans)
  }

  private func carryExportedLines() {
    var lines: [[UInt8]] = []
    for index in rings.indices {
      while rings[index].exported.read({ bytes in
        partial[index] += bytes
        return bytes.count
      }) {}
      var rest = partial[index][...]
      while let head = LogEntryHead(rest) {
        let end = LogEntryHead.bytes + Int(head.lineBytes)
        guard end <= Self.maxEntry else {
          rest = []
          break
        }
        guard rest.count >= end else { break }
        let line = rest[(rest.startIndex + LogEntryHead.bytes)..<(rest.startIndex + end)]
        lines.append(OTLPLog.encode(head, line: Array(line.last == 0x0A ? line.dropLast() : line)))
        rest = rest.dropFirst(end)
        if lines.count == Self.itemsPerRequest { send(.logs, &lines) }
      }
      partial[index] = Array(rest)
    }
    send(.logs, &lines)
  }

  private func send(_ service: OTLPService, _ items: inout [[UInt8]]) {
    guard !items.isEmpty else { return }
    let config = service == .traces ? plan?.traces : service == .logs ? plan?.logs : plan?.metrics?.exporter
    if let collector = collector(config) {
      collector.submit(service, resource.request(items), items: items.count)
    } else {
      past[service, default: Collector.Figures()].dropped += UInt64(items.count)
    }
    items = []
  }

  private var resource: OTLPResource {
    let node = proxy.snapshot.common.node ?? proxy.options.node
    var resource = OTLPResource()
    resource.serviceName = node.service.isEmpty ? node.workload : node.service
    resource.serviceNamespace = node.namespace
    resource.serviceVersion = node.version
    resource.instance = node.uid
    resource.workload = node.workload
    resource.proxyVersion = ProxyState.version
    return resource
  }

  private func pushMetrics() {
    proxy.gatherReports([.requests, .services]) { [weak self] reports in
      guard let self else { return }
      let texts = self.proxy.labels.texts()
      let metrics = OTLPMetrics(
        MetricsSnapshot.merged(reports.map(\.counted), byMethod: true).byRouteName(texts), texts,
        startNanoseconds: self.startedWall,
        nowNanoseconds: cms_wall_nanoseconds())
      for batch in metrics.batches() {
        var items = batch
        self.send(.metrics, &items)
      }
    }
  }

  // MARK: Telling of itself

  /// What was sent and dropped, for scrapes.
  func write(into writer: inout ExpositionWriter) {
    var sums = past
    for collector in collectors {
      for (service, figures) in collector.figures {
        sums[service, default: Collector.Figures()].sent += figures.sent
        sums[service, default: Collector.Figures()].dropped += figures.dropped
        sums[service, default: Collector.Figures()].failedRequests += figures.failedRequests
      }
    }
    guard !sums.isEmpty else { return }
    func family(_ name: String, _ help: String, _ value: (Collector.Figures) -> UInt64) {
      writer.family(name, .counter, help: help)
      for service in OTLPService.allCases {
        guard let figures = sums[service] else { continue }
        writer.sample(ExpositionWriter.labels([(name: "signal", value: service.label)]), count: value(figures))
      }
    }
    family("apus_export_items", "Spans, batches of metrics and log lines that collectors have taken.") { $0.sent }
    family("apus_export_items_dropped", "Those that were dropped: refused, too late, or too many.") { $0.dropped }
    family("apus_export_failures", "Requests to collectors that failed.") { $0.failedRequests }
    let names = proxy.names
    guard names.answered &+ names.failed > 0 else { return }
    writer.family(
      "apus_name_lookups", .counter, help: "Host names of collectors that were looked up, by how that ended.")
    writer.sample(ExpositionWriter.labels([(name: "result", value: "answered")]), count: names.answered)
    writer.sample(ExpositionWriter.labels([(name: "result", value: "failed")]), count: names.failed)
  }

  // MARK: Ending

  /// Carries what there is; `done` is called once, when it has arrived or a second is over.
  func finish(_ done: @escaping () -> Void) {
    carryLines()
    carrySpans()
    carryExportedLines()
    var waiting = collectors.filter { !$0.isIdle }.count
    guard waiting > 0 else { return done() }
    var isDone = false
    func end() {
      if isDone { return }
      isDone = true
      done()
    }
    for collector in collectors where !collector.isIdle {
      collector.whenIdle {
        waiting -= 1
        if waiting == 0 { end() }
      }
    }
    proxy.loop.after(1_000_000_000) { end() }
  }
}
