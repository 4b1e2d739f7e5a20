package import MeshModel

/// What happened on one edge, by one route, since the last time it was asked for.
package struct EdgeReport: Sendable, Equatable {
  /// The edge's number in the `LabelDictionary`.
  package var edge: UInt32
  /// The route's number there; 0: no route took the requests.
  package var route: UInt32
  package var successes: UInt64
  package var failures: UInt64
  /// Attempts after the first of these requests.
  package var retries: UInt64
  package var latency: LatencySketch
  /// How often the mesh gave which reason.
  package var reasons: [Reason: UInt64]

  package init(
    edge: UInt32, route: UInt32 = 0, successes: UInt64, failures: UInt64, retries: UInt64 = 0, latency: LatencySketch,
    reasons: [Reason: UInt64] = [:]
  ) {
    self.edge = edge
    self.route = route
    self.successes = successes
    self.failures = failures
    self.retries = retries
    self.latency = latency
    self.reasons = reasons
  }

  /// Adds what another loop counted of the same edge and route.
  package mutating func merge(_ other: EdgeReport) {
    successes &+= other.successes
    failures &+= other.failures
    retries &+= other.retries
    latency.merge(other.latency)
    reasons.merge(other.reasons) { $0 &+ $1 }
  }
}

/// Success, failure, retries, reasons and latency by edge and route, of one loop, for reports every second: finer than
/// the histograms, and begun anew with each report. Nothing is allocated once an edge is known. Not to be shared between
/// threads.
package final class EdgeStatistics {
  private struct Entry: BitwiseCopyable {
    var edge: UInt32
    var route: UInt32
    var successes: UInt64 = 0
    var failures: UInt64 = 0
    var retries: UInt64 = 0
    var buckets: UnsafeMutablePointer<UInt32>
    /// By the reasons' raw values.
    var reasons: UnsafeMutablePointer<UInt32>
    var hasReasons = false
  }

  private struct State {
    var index = SeriesIndex()
    var entries: UnsafeMutablePointer<Entry>
    var count = 0
    var last = -1
    var dropped: UInt64 = 0
  }

  private let state: UnsafeMutablePointer<State>
  private let limit: Int

  private static let reasonCount = 256

  /// - Parameter limit: the most edges times their routes, 1…65,536; requests of others are not reported. Default 1,024.
  package init(limit: Int = 1_024) {
    self.limit = min(max(1, limit), 65_536)
    state = .allocate(capacity: 1)
    state.initialize(to: State(entries: .allocate(capacity: self.limit)))
  }

  deinit {
    for index in 0..<state.pointee.count {
      state.pointee.entries[index].buckets.deallocate()
      state.pointee.entries[index].reasons.deallocate()
    }
    state.pointee.entries.deallocate()
    state.pointee.index.deallocate()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  /// Notes a request that has ended.
  ///
  /// - Parameters:
  ///   - route: the number of the route that took it; 0: none.
  ///   - retries: attempts after the first.
  ///   - reason: what the mesh gave as a reason, where it gave one.
  package func record(
    edge: UInt32, route: UInt32 = 0, durationNanoseconds: Int64, failed: Bool, retries: UInt8 = 0,
    reason: Reason? = nil
  ) {
    guard let entry = entry(edge, route) else {
      state.pointee.dropped &+= 1
      return
    }
    if failed { entry.pointee.failures &+= 1 } else { entry.pointee.successes &+= 1 }
    entry.pointee.retries &+= UInt64(retries)
    Self.increment(entry.pointee.buckets + LatencySketch.bucket(nanoseconds: durationNanoseconds))
    if let reason {
      Self.increment(entry.pointee.reasons + Int(reason.rawValue))
      entry.pointee.hasReasons = true
    }
  }

  @inline(__always)
  private static func increment(_ count: UnsafeMutablePointer<UInt32>) {
    count.pointee = count.pointee == .max ? .max : count.pointee &+ 1
  }

  @inline(__always)
  private func entry(_ edge: UInt32, _ route: UInt32) -> UnsafeMutablePointer<Entry>? {
    let last = state.pointee.last
    if last >= 0, state.pointee.entries[last].edge == edge, state.pointee.entries[last].route == route {
      return state.pointee.entries + last
    }
    let key = PackedKey(high: UInt64(route), low: UInt64(edge))
    var slot = Int(state.pointee.index.find(key))
    if slot < 0 {
      guard state.pointee.count < limit else { return nil }
      slot = state.pointee.count
      (state.pointee.entries + slot).initialize(
        to: Entry(
          edge: edge, route: route, buckets: Self.counts(LatencySketch.bucketCount),
          reasons: Self.counts(Self.reasonCount)))
      state.pointee.index.insert(key, slot: Int32(truncatingIfNeeded: slot))
      state.pointee.count &+= 1
    }
    state.pointee.last = slot
    return state.pointee.entries + slot
  }

  private static func counts(_ count: Int) -> UnsafeMutablePointer<UInt32> {
    let counts = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
    counts.initialize(repeating: 0, count: count)
    return counts
  }

  /// Requests that were not noted for want of room, since the beginning.
  package var dropped: UInt64 { state.pointee.dropped }

  /// What happened since the last time, edges without requests left out; begins anew. Some of them: one turn of a loop
  /// must not be kept busy with thousands.
  ///
  /// - Parameters:
  ///   - first: where the part before it ended.
  ///   - most: the most edges that are told of, at eight times as many that are looked at; 1 at least.
  /// - Returns: where the next part begins (nil: there is none), and how many edges it tells of, or what costs as much.
  package func drain(from first: Int, most: Int) -> (reports: [EdgeReport], next: Int?, work: Int) {
    var reports: [EdgeReport] = []
    var index = max(0, first)
    let end = min(state.pointee.count, index &+ 8 &* max(1, most))
    while index < end, reports.count < max(1, most) {
      if let report = take(state.pointee.entries + index) { reports.append(report) }
      index &+= 1
    }
    let looked = index &- min(index, max(0, first))
    return (reports, index < state.pointee.count ? index : nil, max(reports.count, looked / 8))
  }

  private func take(_ entry: UnsafeMutablePointer<Entry>) -> EdgeReport? {
    guard entry.pointee.successes | entry.pointee.failures != 0 else { return nil }
    var pairs: [UInt32] = []
    for bucket in 0..<LatencySketch.bucketCount where entry.pointee.buckets[bucket] > 0 {
      pairs += [UInt32(bucket), entry.pointee.buckets[bucket]]
    }
    let report = EdgeReport(
      edge: entry.pointee.edge, route: entry.pointee.route, successes: entry.pointee.successes,
      failures: entry.pointee.failures, retries: entry.pointee.retries, latency: LatencySketch(sparse: pairs),
      reasons: Self.takeReasons(of: entry))
    entry.pointee.successes = 0
    entry.pointee.failures = 0
    entry.pointee.retries = 0
    entry.pointee.buckets.update(repeating: 0, count: LatencySketch.bucketCount)
    return report
  }

  private static func takeReasons(of entry: UnsafeMutablePointer<Entry>) -> [Reason: UInt64] {
    guard entry.pointee.hasReasons else { return [:] }
    var found: [Reason: UInt64] = [:]
    for reason in Reason.allCases where entry.pointee.reasons[Int(reason.rawValue)] > 0 {
      found[reason] = UInt64(entry.pointee.reasons[Int(reason.rawValue)])
    }
    entry.pointee.reasons.update(repeating: 0, count: reasonCount)
    entry.pointee.hasReasons = false
    return found
  }
}
