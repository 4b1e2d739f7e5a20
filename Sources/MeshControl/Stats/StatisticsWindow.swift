package import MeshWire

import struct MeshTelemetry.LatencySketch

/// What was counted of one edge, from one end, in one second.
struct EdgeCell: Sendable {
  var requests: UInt64 = 0
  var failures: UInt64 = 0
  var tcpOpened: UInt64 = 0
  /// Pairs of bucket and count, as `LatencySketch` writes them; several sketches may follow each other.
  var latency: [UInt32] = []
}

/// Who called whom, and which end says so.
struct EdgeKey: Hashable, Sendable {
  var reporter: Reporter
  var sourceNamespace: String
  var source: String
  var destinationNamespace: String
  var destinationService: String
  var destinationWorkload: String
}

/// The last five minutes of what passed through the mesh, in buckets of a second.
///
/// A pure state machine: time is an argument (since any fixed moment). Its memory is bounded: seconds beyond the window
/// are dropped, edges beyond the bound of a second are added up under one name, and when all seconds together are too
/// many the oldest are dropped first.
package struct StatisticsWindow: Sendable {
  /// Bounds; beyond them detail or the oldest seconds are lost, never what is new.
  package struct Limits: Sendable {
    /// Seconds that are kept.
    package var seconds = 300
    /// Edges that are told apart within a second; the others are added up under `other`.
    package var edgesPerSecond = 5_000
    /// Edges of all seconds together.
    package var cells = 100_000
    /// Edges taken from one report; more are ignored.
    package var edgesPerReport = 5_000

    package init() {}
  }

  private struct Second: Sendable {
    var number: Int64
    var cells: [EdgeKey: EdgeCell] = [:]
  }

  private struct Gauge: Sendable {
    var active: [EdgeKey: UInt32] = [:]
  }

  /// Ascending by number.
  private var seconds: [Second] = []
  private var cellCount = 0
  /// Open TCP connections by proxy, as of its last report.
  private var gauges: [String: Gauge] = [:]
  private let limits: Limits

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// Adds a report. It counts for the second in which it comes.
  package mutating func add(_ report: StatisticsReport, proxy: String, now: Duration) {
    let number = now.components.seconds
    if seconds.last.map({ $0.number < number }) ?? true { seconds.append(Second(number: number)) }
    var gauge = Gauge()
    for edge in report.edges.prefix(limits.edgesPerReport) {
      let key = EdgeKey(edge)
      add(edge, key: key)
      if edge.tcpActive > 0 { gauge.active[key, default: 0] &+= edge.tcpActive }
    }
    gauges[proxy] = gauge.active.isEmpty ? nil : gauge
    expire(now: now)
  }

  private mutating func add(_ edge: EdgeStatistics, key: EdgeKey) {
    guard edge.requests > 0 || edge.failures > 0 || edge.tcpOpened > 0 else { return }
    let last = seconds.count - 1
    var key = key
    if seconds[last].cells[key] == nil {
      if seconds[last].cells.count >= limits.edgesPerSecond { key = .other(key.reporter) }
      if seconds[last].cells[key] == nil { cellCount += 1 }
    }
    seconds[last].cells[key, default: EdgeCell()].add(edge)
  }

  /// The proxy has gone: its open connections are no longer.
  package mutating func forget(proxy: String) { gauges[proxy] = nil }

  private mutating func expire(now: Duration) {
    let oldest = now.components.seconds - Int64(limits.seconds)
    var count = seconds.prefix { $0.number <= oldest }.count
    var dropped = seconds.prefix(count).reduce(0) { $0 + $1.cells.count }
    while cellCount - dropped > limits.cells, count < seconds.count - 1 {
      dropped += seconds[count].cells.count
      count += 1
    }
    seconds.removeFirst(count)
    cellCount -= dropped
  }

  /// Edges of all seconds that are kept, for tests of the bounds.
  package var storedCells: Int { cellCount }

  /// Everything of the last `window`, by edge and reporter. `covered` is what there was to look back on.
  func totals(window: Duration, now: Duration) -> (edges: [EdgeKey: EdgeCell], active: [EdgeKey: UInt64]) {
    let first = now.components.seconds - min(max(window.components.seconds, 1), Int64(limits.seconds))
    var edges: [EdgeKey: EdgeCell] = [:]
    for second in seconds where second.number > first {
      for (key, cell) in second.cells { edges[key, default: EdgeCell()].add(cell) }
    }
    var active: [EdgeKey: UInt64] = [:]
    for gauge in gauges.values {
      for (key, count) in gauge.active { active[key, default: 0] &+= UInt64(count) }
    }
    return (edges, active)
  }
}

extension EdgeCell {
  mutating func add(_ edge: EdgeStatistics) {
    requests = requests.saturatingAdd(edge.requests)
    failures = failures.saturatingAdd(min(edge.failures, edge.requests))
    tcpOpened = tcpOpened.saturatingAdd(edge.tcpOpened)
    append(edge.latency.prefix(2 * LatencySketch.bucketCount))
  }

  mutating func add(_ cell: EdgeCell) {
    requests = requests.saturatingAdd(cell.requests)
    failures = failures.saturatingAdd(cell.failures)
    tcpOpened = tcpOpened.saturatingAdd(cell.tcpOpened)
    append(cell.latency[...])
  }

  /// Sketches are kept one after the other until that is longer than one whole sketch.
  private mutating func append(_ pairs: ArraySlice<UInt32>) {
    latency += pairs.count % 2 == 0 ? pairs : pairs.dropLast()
    if latency.count > 2 * LatencySketch.bucketCount { latency = LatencySketch(sparse: latency).sparse }
  }
}

extension EdgeKey {
  /// Longest name that is kept, bytes; names come from peers.
  private static let nameBytes = 253

  init(_ edge: EdgeStatistics) {
    func bounded(_ name: String) -> String {
      name.utf8.count <= Self.nameBytes ? name : String(decoding: name.utf8.prefix(Self.nameBytes), as: UTF8.self)
    }
    self.init(
      reporter: edge.reporter, sourceNamespace: bounded(edge.sourceNamespace), source: bounded(edge.sourceWorkload),
      destinationNamespace: bounded(edge.destinationNamespace), destinationService: bounded(edge.destinationService),
      destinationWorkload: bounded(edge.destinationWorkload))
  }

  /// What is added up when there is no room to tell edges apart.
  static func other(_ reporter: Reporter) -> EdgeKey {
    EdgeKey(
      reporter: reporter, sourceNamespace: "", source: "other", destinationNamespace: "", destinationService: "other",
      destinationWorkload: "other")
  }
}

extension UInt64 {
  fileprivate func saturatingAdd(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
