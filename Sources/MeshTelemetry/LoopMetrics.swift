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

  /// Forgets series that nothing was counted in since `time`: names that are gone must not stay for ever. A series that
  /// comes again begins at 0, which Prometheus takes for a restart. To be called every minute or so with a time ten
  /// minutes back.
  package func expire(before time: Int64) {
    state.pointee.expire(before: time)
  }

  /// How long a series stays without a request: ten minutes.
  package static let idleNanoseconds: Int64 = 600_000_000_000

  /// Forgets series that have been idle for `idleNanoseconds`.
  /// - Parameter now: monotonic nanoseconds.
  package func expireIdle(now: Int64) { expire(before: now &- Self.idleNanoseconds) }

  /// A copy of everything, for another thread.
  /// - Parameter hasRequests: whether the series of requests are wanted, of which there may be many; see `requestPart`.
  package func snapshot(hasRequests: Bool = true) -> MetricsSnapshot {
    state.pointee.snapshot(hasRequests: hasRequests)
  }

  /// A copy of some of the series of requests: copying thousands at once would hold the loop up for a millisecond.
  /// - Parameters:
  ///   - first: how many are left out, those of earlier parts.
  ///   - most: the most that are copied.
  package func requestPart(from first: Int, most: Int = 512) -> SeriesPart {
    state.pointee.requestPart(from: first, most: most)
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
  private var epoch: UInt64 = 0
  private var requests: SeriesStore<RequestSeries>
  private var connections: SeriesStore<ConnectionSeries>

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

  mutating func expire(before time: Int64) {
    if requests.keep({ $0.usedAt >= time }) { epoch &+= 1 }
    // A connection that is open may be silent for long.
    connections.keep { $0.usedAt >= time || $0.opened != $0.closed }
    gauges[Int(ProxyGauge.requestSeries.rawValue)] = Int64(requests.count)
  }

  func requestPart(from first: Int, most: Int) -> SeriesPart {
    let end = min(requests.count, max(0, first) + max(1, most))
    let begin = min(max(0, first), end)
    return SeriesPart(series: requests.copy(begin..<end), epoch: epoch, isLast: end >= requests.count)
  }

  func snapshot(hasRequests: Bool) -> MetricsSnapshot {
    var result = MetricsSnapshot()
    for counter in ProxyCounter.allCases { result.counters[Int(counter.rawValue)] = counters[Int(counter.rawValue)] }
    for gauge in ProxyGauge.allCases { result.gauges[Int(gauge.rawValue)] = gauges[Int(gauge.rawValue)] }
    if hasRequests { result.requests = requests.copy(0..<requests.count) }
    result.connections = connections.copy(0..<connections.count)
    result.exemplars = exemplars.copy()
    return result
  }
}

/// Series side by side, found by key.
struct SeriesStore<Element: BitwiseCopyable> {
  private var index = SeriesIndex()
  private var elements: UnsafeMutablePointer<Element>
  private var keys: UnsafeMutablePointer<PackedKey>
  private var capacity = 16
  private(set) var count = 0
  /// Requests come in runs of the same key.
  private var lastSlot = -1

  init() {
    elements = .allocate(capacity: 16)
    keys = .allocate(capacity: 16)
  }

  func deallocate() {
    index.deallocate()
    elements.deallocate()
    keys.deallocate()
  }

  @inline(__always)
  mutating func find(_ key: PackedKey) -> UnsafeMutablePointer<Element>? {
    if lastSlot >= 0, keys[lastSlot] == key { return elements + lastSlot }
    let slot = Int(index.find(key))
    guard slot >= 0 else { return nil }
    lastSlot = slot
    return elements + slot
  }

  /// Nil where there are `limit` already.
  mutating func insert(_ key: PackedKey, _ element: Element, limit: Int) -> UnsafeMutablePointer<Element>? {
    guard count < limit else { return nil }
    if count == capacity { grow() }
    (elements + count).initialize(to: element)
    (keys + count).initialize(to: key)
    index.insert(key, slot: Int32(truncatingIfNeeded: count))
    lastSlot = count
    count &+= 1
    return elements + lastSlot
  }

  private mutating func grow() {
    let (oldElements, oldKeys) = (elements, keys)
    capacity *= 2
    elements = .allocate(capacity: capacity)
    keys = .allocate(capacity: capacity)
    elements.initialize(from: oldElements, count: count)
    keys.initialize(from: oldKeys, count: count)
    oldElements.deallocate()
    oldKeys.deallocate()
  }

  /// Drops the elements that `isKept` is false for; says whether there were any.
  @discardableResult
  mutating func keep(_ isKept: (Element) -> Bool) -> Bool {
    var kept = 0
    for slot in 0..<count where isKept(elements[slot]) {
      elements[kept] = elements[slot]
      keys[kept] = keys[slot]
      kept += 1
    }
    guard kept < count else { return false }
    count = kept
    lastSlot = -1
    index.removeAll()
    for slot in 0..<count { index.insert(keys[slot], slot: Int32(truncatingIfNeeded: slot)) }
    return true
  }

  /// Those at some places; places beyond the last are left out.
  func copy(_ places: Range<Int>) -> [Element] {
    let places = places.clamped(to: 0..<count)
    return Array(UnsafeBufferPointer(start: elements + places.lowerBound, count: places.count))
  }
}
