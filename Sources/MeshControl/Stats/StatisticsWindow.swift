package import MeshWire

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
    package var edgesPerSecond = 50_000
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
  /// Whether seconds of the window had to go for want of room.
  private var hasDropped = false
  /// The second of the first report: what lies before it was not watched.
  private var firstSecond: Int64?
  /// Open TCP connections by proxy, as of its last report.
  private var gauges: [String: Gauge] = [:]
  private let limits: Limits

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// How far back it can look.
  package var secondsKept: Int { limits.seconds }

  /// Adds a report. It counts for the second in which it comes.
  package mutating func add(_ report: StatisticsReport, proxy: String, now: Duration) {
    let number = now.components.seconds
    if seconds.last.map({ $0.number < number }) ?? true { seconds.append(Second(number: number)) }
    // A report is about the second before it.
    if firstSecond == nil { firstSecond = number - 1 }
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
    guard edge.isCounted else { return }
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
      hasDropped = true
      dropped += seconds[count].cells.count
      count += 1
    }
    seconds.removeFirst(count)
    cellCount -= dropped
  }

  /// How much of the last `window` was watched, seconds: less than all of it after a start. At least 1.
  package func coveredSeconds(window: Duration, now: Duration) -> Int64 {
    let wanted = min(max(window.components.seconds, 1), Int64(limits.seconds))
    guard let firstSecond else { return wanted }
    return max(1, min(wanted, now.components.seconds - firstSecond))
  }

  /// How far back nothing is missing, seconds: less than `secondsKept` where there are more edges than there is room for.
  package func completeSeconds(now: Duration) -> Int64 {
    guard hasDropped, let oldest = seconds.first else { return Int64(limits.seconds) }
    return min(Int64(limits.seconds), now.components.seconds - oldest.number + 1)
  }

  /// Edges of all seconds that are kept, for tests of the bounds.
  package var storedCells: Int { cellCount }

  /// Everything of the last `window`, by edge and reporter, and the connections that are open now.
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

extension EdgeStatistics {
  /// Whether anything was counted, apart from connections that are open.
  var isCounted: Bool { requests > 0 || failures > 0 || tcpOpened > 0 || sentBytes > 0 || receivedBytes > 0 }
}
