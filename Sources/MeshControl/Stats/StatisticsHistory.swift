import MeshModel
package import MeshWire

import struct MeshTelemetry.LatencySketch

/// The last hour of what passed through the mesh, in steps of ten seconds, within a bound of memory.
///
/// A pure state machine: time is an argument. The step under way is a dictionary; a step that is over is packed into
/// bytes (some sixty for an edge), in which edges are numbers. Beyond the bound of bytes the oldest steps are dropped;
/// beyond the bound of edges new ones are added up under one name.
package struct StatisticsHistory: Sendable {
  /// Bounds.
  package struct Limits: Sendable {
    /// Length of a step, seconds.
    package var stepSeconds: Int64 = 10
    /// Steps that are kept: an hour.
    package var steps = 360
    /// Edges that are told apart within the hour; the others are added up under `other`.
    package var edges = 50_000
    /// Bytes of all packed steps together. Default 192 MiB.
    package var bytes = 192 << 20

    package init() {}
  }

  /// A step that is over.
  private struct Packed: Sendable {
    var number: Int64
    var bytes: [UInt8]
  }

  private let limits: Limits
  private var steps: [Packed] = []
  private var openNumber: Int64 = .min
  /// The second of the first report: what lies before it was not watched.
  private var firstSecond: Int64?
  private var open: [UInt32: EdgeCell] = [:]
  private var numbers: [EdgeKey: UInt32] = [:]
  /// Edges by number; the step in which each was last seen.
  private var edges: [(key: EdgeKey, lastStep: Int64)?] = []
  private var free: [UInt32] = []
  /// Bytes of all packed steps.
  package private(set) var storedBytes = 0

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// Edges that are told apart now.
  package var edgeCount: Int { numbers.count }

  /// Length of a step, seconds.
  package var stepSeconds: Int64 { limits.stepSeconds }
  /// How far back it can look, seconds.
  package var limitSeconds: Int64 { limits.stepSeconds * Int64(limits.steps) }

  /// Adds a report; it counts for the step in which it comes.
  package mutating func add(_ report: StatisticsReport, edgeLimit: Int, now: Duration) {
    if firstSecond == nil { firstSecond = now.components.seconds - 1 }
    advance(to: now.components.seconds / limits.stepSeconds)
    for edge in report.edges.prefix(edgeLimit) where edge.isCounted {
      open[number(of: EdgeKey(edge)), default: EdgeCell()].add(edge)
    }
  }

  /// Packs the step that was under way, if another one has begun, and drops what is too old.
  private mutating func advance(to number: Int64) {
    guard number > openNumber else { return }
    if !open.isEmpty {
      let packed = StepPacking.pack(open)
      storedBytes += packed.count
      steps.append(Packed(number: openNumber, bytes: packed))
      open.removeAll(keepingCapacity: true)
    }
    openNumber = number
    var dropped = steps.prefix { $0.number <= number - Int64(limits.steps) }.count
    var excess = storedBytes - steps.prefix(dropped).reduce(0) { $0 + $1.bytes.count }
    while excess > limits.bytes, dropped < steps.count {
      excess -= steps[dropped].bytes.count
      dropped += 1
    }
    guard dropped > 0 else { return }
    storedBytes = excess
    steps.removeFirst(dropped)
    forgetEdges(before: steps.first?.number ?? number)
  }

  /// Gives free the numbers of edges that no step names any more.
  private mutating func forgetEdges(before oldest: Int64) {
    for index in edges.indices {
      guard let edge = edges[index], edge.lastStep < oldest else { continue }
      numbers[edge.key] = nil
      edges[index] = nil
      free.append(UInt32(truncatingIfNeeded: index))
    }
  }

  private mutating func number(of key: EdgeKey) -> UInt32 {
    if let known = numbers[key] {
      edges[Int(known)]?.lastStep = openNumber
      return known
    }
    if numbers.count >= limits.edges {
      let other = EdgeKey.other(key.reporter)
      return key == other ? give(key) : number(of: other)
    }
    return give(key)
  }

  private mutating func give(_ key: EdgeKey) -> UInt32 {
    if let known = numbers[key] { return known }
    let number: UInt32
    if let reused = free.popLast() {
      number = reused
      edges[Int(reused)] = (key, openNumber)
    } else {
      number = UInt32(truncatingIfNeeded: edges.count)
      edges.append((key, openNumber))
    }
    numbers[key] = number
    return number
  }

  /// Everything of the last `window`, by edge and reporter: whole steps, and the one under way.
  func totals(window: Duration, now: Duration) -> [EdgeKey: EdgeCell] {
    var sums: [UInt32: EdgeCell] = [:]
    visit(after: first(of: window, now)) { _, number, cell in sums[number, default: EdgeCell()].add(cell) }
    var result: [EdgeKey: EdgeCell] = [:]
    for (number, cell) in sums {
      if let edge = edges[Int(number)] { result[edge.key, default: EdgeCell()].add(cell) }
    }
    return result
  }

  /// The edges that `isWanted` says yes to, step by step, oldest first, over the last `window`. Every step of the window
  /// is there, steps without traffic too; `secondsAgo` is to the end of a step.
  func series(
    window: Duration, now: Duration, where isWanted: (EdgeKey) -> Bool
  ) -> [(secondsAgo: Int64, cells: [EdgeKey: EdgeCell])] {
    let begin = first(of: window, now)
    let end = now.components.seconds / limits.stepSeconds
    var wanted: [UInt32: EdgeKey] = [:]
    for (index, edge) in edges.enumerated() {
      if let edge, isWanted(edge.key) { wanted[UInt32(truncatingIfNeeded: index)] = edge.key }
    }
    var cells: [Int64: [EdgeKey: EdgeCell]] = [:]
    visit(after: begin) { step, number, cell in
      if let key = wanted[number] { cells[step, default: [:]][key] = cell }
    }
    guard begin < end else { return [] }
    return ((begin + 1)...end).map { step in
      ((now.components.seconds - (step + 1) * limits.stepSeconds), cells[step] ?? [:])
    }
  }

  /// The step after which a window begins.
  private func first(of window: Duration, _ now: Duration) -> Int64 {
    let wanted = max(1, (window.components.seconds + limits.stepSeconds - 1) / limits.stepSeconds)
    return now.components.seconds / limits.stepSeconds - min(wanted, Int64(limits.steps))
  }

  private func visit(after first: Int64, _ body: (Int64, UInt32, EdgeCell) -> Void) {
    for step in steps where step.number > first { StepPacking.unpack(step.bytes) { body(step.number, $0, $1) } }
    if openNumber > first { for (number, cell) in open { body(openNumber, number, cell) } }
  }
}

extension StatisticsHistory {
  /// Traffic of the query's window, told apart by what it names.
  package func traffic(_ query: TrafficQuery, now: Duration) -> [TrafficRow] {
    totals(query.window, now).traffic(query)
  }

  func totals(_ window: Duration, _ now: Duration) -> StatisticsTotals {
    let wanted = min(max(window.components.seconds, 1), limitSeconds)
    let watched = firstSecond.map { max(1, now.components.seconds - $0) } ?? wanted
    return StatisticsTotals(edges: totals(window: window, now: now), seconds: Double(min(wanted, watched)))
  }

  /// The same traffic added up, step by step, oldest first.
  /// - Parameter step: a multiple of the history's own steps; what lies between is rounded down.
  package func points(_ query: TrafficQuery, step: Duration, now: Duration) -> [TrafficPoint] {
    let wanted = edges.reduce(into: Set<StatisticsName>()) { found, edge in
      if let key = edge?.key, query.matches(key) { found.insert(key.called) }
    }
    // Whose word counts is decided by both ends' reports, and over the whole time: the two may fall on different steps.
    let series = series(window: query.window, now: now) { query.matches($0) || wanted.contains($0.called) }
    let believed = BelievedEnd(series.reduce(into: Set<EdgeKey>()) { $0.formUnion($1.cells.keys) })
    let width = max(1, Int(clamping: step.components.seconds / stepSeconds))
    return stride(from: 0, to: series.count, by: width).map { start in
      let part = series[start..<min(start + width, series.count)]
      var sums: [EdgeKey: EdgeCell] = [:]
      for (_, cells) in part {
        for (key, cell) in cells { sums[key, default: EdgeCell()].add(cell) }
      }
      // The step under way covers only what has passed of it.
      let ahead = max(0, -(part.last?.secondsAgo ?? 0))
      let seconds = max(1, Int64(part.count) * stepSeconds - ahead)
      let totals = StatisticsTotals(edges: sums, seconds: Double(seconds), believed: believed)
      return TrafficPoint(secondsAgo: part.last?.secondsAgo ?? 0, figures: totals.whole(query))
    }
  }
}

/// The cells of a step as bytes: numbers of seven bits each, the least first.
enum StepPacking {
  static func pack(_ cells: [UInt32: EdgeCell]) -> [UInt8] {
    var bytes: [UInt8] = []
    for (number, cell) in cells {
      append(UInt64(number), &bytes)
      append(cell.requests, &bytes)
      append(cell.failures, &bytes)
      append(cell.retries, &bytes)
      append(cell.tcpOpened, &bytes)
      append(cell.sentBytes, &bytes)
      append(cell.receivedBytes, &bytes)
      let latency = LatencySketch(sparse: cell.latency).sparse
      append(UInt64(latency.count / 2), &bytes)
      var last: UInt32 = 0
      for index in stride(from: 0, to: latency.count - 1, by: 2) {
        append(UInt64(latency[index] &- last), &bytes)
        append(UInt64(latency[index + 1]), &bytes)
        last = latency[index]
      }
      append(UInt64(cell.reasons.count), &bytes)
      for tally in cell.reasons {
        bytes.append(tally.reason.rawValue)
        append(tally.count, &bytes)
      }
    }
    // Without the room that growing has left behind.
    return bytes.map { $0 }
  }

  static func unpack(_ bytes: [UInt8], _ body: (UInt32, EdgeCell) -> Void) {
    var reader = Reader(bytes: bytes)
    while reader.position < bytes.count {
      let number = UInt32(truncatingIfNeeded: reader.next())
      var cell = EdgeCell()
      cell.requests = reader.next()
      cell.failures = reader.next()
      cell.retries = reader.next()
      cell.tcpOpened = reader.next()
      cell.sentBytes = reader.next()
      cell.receivedBytes = reader.next()
      var bucket: UInt32 = 0
      for _ in 0..<reader.next() {
        bucket &+= UInt32(truncatingIfNeeded: reader.next())
        cell.latency.append(bucket)
        cell.latency.append(UInt32(truncatingIfNeeded: reader.next()))
      }
      for _ in 0..<reader.next() {
        let raw = UInt8(truncatingIfNeeded: reader.next())
        let count = reader.next()
        if let reason = Reason(rawValue: raw) { cell.reasons.append(.init(reason: reason, count: count)) }
      }
      body(number, cell)
    }
  }

  private static func append(_ number: UInt64, _ bytes: inout [UInt8]) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  private struct Reader {
    let bytes: [UInt8]
    var position = 0

    mutating func next() -> UInt64 {
      var value: UInt64 = 0
      var shift: UInt64 = 0
      while position < bytes.count {
        let byte = bytes[position]
        position += 1
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 || shift >= 63 { break }
        shift += 7
      }
      return value
    }
  }
}
