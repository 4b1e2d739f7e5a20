// Unsafe by design: counts lie in memory of the workers.
internal import CMeshSystem
internal import MeshReactor
package import MeshTelemetry

/// What is wanted of a worker's counts.
package struct ReportContents: OptionSet, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Series of requests.
  package static let requests = ReportContents(rawValue: 1)
  /// Gauges of services and their endpoints.
  package static let services = ReportContents(rawValue: 2)
  /// What happened on each edge since the last time; begins anew.
  package static let edges = ReportContents(rawValue: 4)
  /// The longest turns since the last time; begins anew.
  package static let turns = ReportContents(rawValue: 8)
}

/// How far a worker has told of itself.
package struct ReportCursor: Sendable {
  enum Stage: Sendable {
    /// Nil: where they begin, which needs the worker's clock.
    case series(MetricsCursor?)
    case services(ServiceCursor)
    case edges(Int)
    case totals
  }

  let contents: ReportContents
  var stage = Stage.series(nil)

  /// The beginning.
  package init(_ contents: ReportContents) { self.contents = contents }

  fileprivate func at(_ stage: Stage) -> ReportCursor {
    var next = self
    next.stage = stage
    return next
  }

  fileprivate var afterSeries: ReportCursor {
    contents.contains(.services) ? at(.services(ServiceCursor())) : afterServices
  }
  fileprivate var afterServices: ReportCursor { contents.contains(.edges) ? at(.edges(0)) : at(.totals) }
}

/// What costs a worker nothing to tell.
package struct WorkerTotals: Sendable {
  /// Connections refused before there was a request, by the reasons' raw values.
  package var refusals = [UInt64](repeating: 0, count: 256)
  package var downstream = 0
  package var upstream = 0
  /// The longest turn of the loop since the last scrape, nanoseconds.
  package var longestTurn: UInt64 = 0
  /// The longest part that was told in one turn since the last scrape, nanoseconds.
  package var longestPart: UInt64 = 0
}

/// What a worker tells in one turn.
package struct ReportPart: Sendable {
  /// The most that one turn is used for, in series copied: a copy is some 0.1 µs, the dearest unit about one.
  package static let mostWork = 128

  var series: [MetricsPart] = []
  var services = ServicePart()
  var edges: [EdgeReport] = []
  var totals: WorkerTotals?
  /// Where the next part begins; nil: this was the last.
  package var next: ReportCursor?
  /// What it cost: series looked at or copied, halves of edges, four endpoints or services looked at, services told of.
  package var work = 0
}

/// What one worker tells of itself, put together of its parts.
package struct WorkerReport: Sendable {
  let worker: Int
  private var metrics: MetricsGathering
  package private(set) var services = ServicePart()
  var edges: [EdgeReport] = []
  private(set) var totals = WorkerTotals()
  package private(set) var next: ReportCursor?
  private let contents: ReportContents

  package init(worker: Int, _ contents: ReportContents) {
    self.worker = worker
    self.contents = contents
    next = ReportCursor(contents)
    metrics = MetricsGathering(MetricsCursor(now: nil))
  }

  package mutating func add(_ part: ReportPart) {
    for series in part.series { metrics.add(series) }
    services.add(part.services)
    edges += part.edges
    if let totals = part.totals { self.totals = totals }
    next = part.next
  }

  /// Series, counters and gauges.
  package var counted: MetricsSnapshot {
    var snapshot = metrics.snapshot
    guard contents.contains(.services) else { return snapshot }
    snapshot.set(.pendingRequests, to: services.pending)
    snapshot.set(.ejectedEndpoints, to: services.ejected)
    snapshot.set(.idleUpstreamConnections, to: services.idle)
    return snapshot
  }
}

extension Worker {
  /// Tells a part of what it counted: as much as one turn may be used for (`ReportPart.mostWork`), whatever there is.
  package func reportPart(_ cursor: ReportCursor) -> ReportPart {
    let began = cms_monotonic_nanoseconds()
    var part = ReportPart(next: cursor)
    while part.work < ReportPart.mostWork, let next = part.next {
      part.work &+= max(1, tell(next, ReportPart.mostWork &- part.work, &part))
    }
    let took = cms_monotonic_nanoseconds() &- began
    telemetry.longestPart = max(telemetry.longestPart, took)
    if cursor.contents.contains(.turns), part.totals != nil {
      part.totals?.longestPart = telemetry.longestPart
      telemetry.longestPart = 0
    }
    return part
  }

  /// Something of a stage; returns what it cost, `room` at most.
  private func tell(_ cursor: ReportCursor, _ room: Int, _ part: inout ReportPart) -> Int {
    switch cursor.stage {
    case .series(let place):
      setGauges()
      let begin = place ?? MetricsCursor(now: clock, hasRequests: cursor.contents.contains(.requests))
      let series = telemetry.metrics.part(from: begin, most: room)
      part.next = series.next.map { cursor.at(.series($0)) } ?? cursor.afterSeries
      part.series.append(series)
      return series.work
    case .services(let place):
      let told = serviceParts(from: place, most: room)
      part.services.add(told.part)
      part.next = told.next.map { cursor.at(.services($0)) } ?? cursor.afterServices
      return told.work
    case .edges(let place):
      let told = telemetry.edges.drain(from: place, most: max(1, room / 2))
      part.edges += told.reports
      part.next = told.next.map { cursor.at(.edges($0)) } ?? cursor.at(.totals)
      return min(room, 2 &* told.work)
    case .totals:
      part.totals = totals(withTurns: cursor.contents.contains(.turns))
      part.next = nil
      return 1
    }
  }

  /// Measures what is counted nowhere.
  private func setGauges() {
    telemetry.metrics.set(.downstreamConnections, to: Int64(downstreamCount))
    telemetry.metrics.set(.upstreamConnections, to: Int64(upstreamCount))
    telemetry.metrics.set(.activeRequests, to: Int64(exchangeCount))
  }

  private func totals(withTurns: Bool) -> WorkerTotals {
    var totals = WorkerTotals()
    totals.refusals = Array(UnsafeBufferPointer(start: telemetry.refusals, count: 256))
    totals.downstream = downstreamCount
    totals.upstream = upstreamCount
    guard withTurns else { return totals }
    totals.longestTurn = takeLongestTurn()
    return totals
  }
}
