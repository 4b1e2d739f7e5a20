/// What happened on one edge since the last time it was asked for.
package struct EdgeReport: Sendable, Equatable {
  /// The edge's number in the `LabelDictionary`.
  package var edge: UInt32
  package var successes: UInt64
  package var failures: UInt64
  package var latency: LatencySketch

  package init(edge: UInt32, successes: UInt64, failures: UInt64, latency: LatencySketch) {
    self.edge = edge
    self.successes = successes
    self.failures = failures
    self.latency = latency
  }
}

/// Success, failure and latency by edge, of one loop, for reports every second: finer than the histograms, and begun
/// anew with each report. Nothing is allocated once an edge is known. Not to be shared between threads.
package final class EdgeStatistics {
  private struct Entry: BitwiseCopyable {
    var edge: UInt32
    var successes: UInt64 = 0
    var failures: UInt64 = 0
    var buckets: UnsafeMutablePointer<UInt32>
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

  /// - Parameter limit: the most edges, 1…65,536; requests of others are not reported. Default 1,024.
  package init(limit: Int = 1_024) {
    self.limit = min(max(1, limit), 65_536)
    state = .allocate(capacity: 1)
    state.initialize(to: State(entries: .allocate(capacity: self.limit)))
  }

  deinit {
    for index in 0..<state.pointee.count { state.pointee.entries[index].buckets.deallocate() }
    state.pointee.entries.deallocate()
    state.pointee.index.deallocate()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  /// Notes a request that has ended.
  package func record(edge: UInt32, durationNanoseconds: Int64, failed: Bool) {
    guard let entry = entry(edge) else {
      state.pointee.dropped &+= 1
      return
    }
    if failed { entry.pointee.failures &+= 1 } else { entry.pointee.successes &+= 1 }
    let bucket = entry.pointee.buckets + LatencySketch.bucket(nanoseconds: durationNanoseconds)
    bucket.pointee = bucket.pointee == .max ? .max : bucket.pointee &+ 1
  }

  @inline(__always)
  private func entry(_ edge: UInt32) -> UnsafeMutablePointer<Entry>? {
    let last = state.pointee.last
    if last >= 0, state.pointee.entries[last].edge == edge { return state.pointee.entries + last }
    let key = PackedKey(high: 0, low: UInt64(edge))
    var slot = Int(state.pointee.index.find(key))
    if slot < 0 {
      guard state.pointee.count < limit else { return nil }
      slot = state.pointee.count
      let buckets = UnsafeMutablePointer<UInt32>.allocate(capacity: LatencySketch.bucketCount)
      buckets.initialize(repeating: 0, count: LatencySketch.bucketCount)
      (state.pointee.entries + slot).initialize(to: Entry(edge: edge, buckets: buckets))
      state.pointee.index.insert(key, slot: Int32(truncatingIfNeeded: slot))
      state.pointee.count &+= 1
    }
    state.pointee.last = slot
    return state.pointee.entries + slot
  }

  /// Requests that were not noted for want of room, since the beginning.
  package var dropped: UInt64 { state.pointee.dropped }

  /// What happened since the last call, edges without requests left out; begins anew.
  package func drain() -> [EdgeReport] {
    var reports: [EdgeReport] = []
    for index in 0..<state.pointee.count {
      let entry = state.pointee.entries + index
      guard entry.pointee.successes | entry.pointee.failures != 0 else { continue }
      var pairs: [UInt32] = []
      for bucket in 0..<LatencySketch.bucketCount where entry.pointee.buckets[bucket] > 0 {
        pairs += [UInt32(bucket), entry.pointee.buckets[bucket]]
      }
      reports.append(
        EdgeReport(
          edge: entry.pointee.edge, successes: entry.pointee.successes, failures: entry.pointee.failures,
          latency: LatencySketch(sparse: pairs)))
      entry.pointee.successes = 0
      entry.pointee.failures = 0
      entry.pointee.buckets.update(repeating: 0, count: LatencySketch.bucketCount)
    }
    return reports
  }
}
