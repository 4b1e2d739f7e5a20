/// What one loop counts: plain integers in its own memory, shared with nobody. The side thread asks the loop for a
/// `snapshot` and adds up those of all loops.
///
/// Nothing is allocated once a series exists. There are at most `seriesLimit` series of requests and as many of
/// connections; what comes above that is counted in `ProxyCounter.seriesDropped` only. Not to be shared between threads.
package final class LoopMetrics {
  private let state: UnsafeMutablePointer<MetricsState>

  /// - Parameter seriesLimit: 1…1,000,000. Default 4,096.
  package init(seriesLimit: Int = 4_096) {
    state = .allocate(capacity: 1)
    state.initialize(to: MetricsState(limit: min(max(1, seriesLimit), 1_000_000)))
  }

  deinit {
    state.pointee.deallocate()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  /// Counts a request that has ended.
  ///
  /// - Parameters:
  ///   - durationNanoseconds: from its first byte to the last of the answer; negative counts as 0.
  ///   - now: monotonic nanoseconds.
  package func recordRequest(
    _ key: RequestKey, durationNanoseconds: Int64, requestBytes: UInt64, responseBytes: UInt64, now: Int64
  ) {
    guard let series = state.pointee.requestSlot(key) else { return }
    series.pointee.duration.add(UInt64(max(0, durationNanoseconds)), scale: 1_000_000)
    series.pointee.requestBytes.add(requestBytes, scale: 1)
    series.pointee.responseBytes.add(responseBytes, scale: 1)
    series.pointee.usedAt = now
  }

  /// Keeps a sampled request as the exemplar of its duration's bucket.
  ///
  /// - Parameter wallNanoseconds: when it ended, nanoseconds since 1970.
  package func noteExemplar(
    _ key: RequestKey, durationNanoseconds: Int64, _ mark: TraceMark, wallNanoseconds: UInt64
  ) {
    let duration = UInt64(max(0, durationNanoseconds))
    state.pointee.exemplars.note(
      key.ofAllMethods.packed, bucket: Histogram.bucket(duration, scale: 1_000_000),
      Exemplar(
        high: mark.high, low: mark.low, span: mark.outgoingSpan, durationNanoseconds: duration,
        wallNanoseconds: wallNanoseconds))
  }

  /// Counts the messages of a call of gRPC.
  package func recordMessages(_ key: RequestKey, request: UInt64, response: UInt64) {
    guard let series = state.pointee.requestSlot(key) else { return }
    series.pointee.requestMessages &+= request
    series.pointee.responseMessages &+= response
  }

  /// Counts a TCP connection that was opened.
  package func connectionOpened(_ key: ConnectionKey, now: Int64) {
    guard let series = state.pointee.connectionSlot(key) else { return }
    series.pointee.opened &+= 1
    series.pointee.usedAt = now
  }

  /// Counts a TCP connection that has ended.
  package func connectionClosed(_ key: ConnectionKey, now: Int64) {
    guard let series = state.pointee.connectionSlot(key) else { return }
    series.pointee.closed &+= 1
    series.pointee.usedAt = now
  }

  /// Counts bytes of a TCP connection: `sent` to the client, `received` from it.
  package func connectionBytes(_ key: ConnectionKey, sent: UInt64, received: UInt64, now: Int64) {
    guard let series = state.pointee.connectionSlot(key) else { return }
    series.pointee.sentBytes &+= sent
    series.pointee.receivedBytes &+= received
    series.pointee.usedAt = now
  }

  package func count(_ counter: ProxyCounter, by amount: UInt64 = 1) {
    state.pointee.counters[Int(counter.rawValue)] &+= amount
  }

  package func add(_ amount: Int64, to gauge: ProxyGauge) {
    state.pointee.gauges[Int(gauge.rawValue)] &+= amount
  }

  package func set(_ gauge: ProxyGauge, to value: Int64) {
    state.pointee.gauges[Int(gauge.rawValue)] = value
  }

  /// How long a series stays without a request: ten minutes. Names that are gone must not stay for ever; a series that
  /// comes again begins at 0, which Prometheus takes for a restart.
  package static let idleNanoseconds: Int64 = 600_000_000_000

  /// Copies as much as one turn of the loop may be kept busy with, and forgets series that have been idle for
  /// `idleNanoseconds`: telling all of thousands at once would hold requests up for milliseconds.
  ///
  /// - Parameters:
  ///   - cursor: how far earlier parts got; `MetricsGathering` puts the parts together.
  ///   - most: the most series that are looked at or copied, or what costs as much; 1 at least.
  package func part(from cursor: MetricsCursor, most: Int) -> MetricsPart {
    state.pointee.part(from: cursor, most: max(1, most))
  }

  /// All parts, one after the other, for those who may take their time.
  /// - Parameter now: monotonic nanoseconds; nil: no series is forgotten.
  package func snapshot(now: Int64? = nil) -> MetricsSnapshot {
    var gathering = MetricsGathering(MetricsCursor(now: now))
    while let next = gathering.next { gathering.add(part(from: next, most: 128)) }
    return gathering.snapshot
  }
}

/// The memory behind `LoopMetrics`.
struct MetricsState {
  static let counterCapacity = 32
  static let gaugeCapacity = 16

  let limit: Int
  var counters = InlineArray<32, UInt64>(repeating: 0)
  var gauges = InlineArray<16, Int64>(repeating: 0)
  var exemplars = ExemplarStore()
  /// Changes whenever series move to other places.
  var epoch: UInt64 = 0
  var requests: SeriesStore<RequestSeries>
  var connections: SeriesStore<ConnectionSeries>

  init(limit: Int) {
    self.limit = limit
    requests = SeriesStore()
    connections = SeriesStore()
  }

  func deallocate() {
    requests.deallocate()
    connections.deallocate()
    exemplars.deallocate()
  }

  @inline(__always)
  mutating func requestSlot(_ key: RequestKey) -> UnsafeMutablePointer<RequestSeries>? {
    let packed = key.packed
    if let known = requests.find(packed) { return known }
    guard let fresh = requests.insert(packed, RequestSeries(key: key), limit: limit) else {
      counters[Int(ProxyCounter.seriesDropped.rawValue)] &+= 1
      return nil
    }
    gauges[Int(ProxyGauge.requestSeries.rawValue)] = Int64(requests.count)
    return fresh
  }

  @inline(__always)
  mutating func connectionSlot(_ key: ConnectionKey) -> UnsafeMutablePointer<ConnectionSeries>? {
    let packed = key.packed
    if let known = connections.find(packed) { return known }
    guard let fresh = connections.insert(packed, ConnectionSeries(key: key), limit: limit) else {
      counters[Int(ProxyCounter.seriesDropped.rawValue)] &+= 1
      return nil
    }
    return fresh
  }
}
