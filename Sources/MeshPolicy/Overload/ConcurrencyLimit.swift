package import MeshModel

/// Finds out by itself how many requests an application can work on at a time, and refuses the rest at once: latency that
/// grows while the number in flight does is a queue, and a queue helps nobody.
///
/// The calm latency is that of the first requests; where the limit held requests back even then it may be a queue's, and
/// is measured again at once. While requests are being refused it is measured again now and then,
/// with only `least` of them in flight, for as long as it takes for `leastSamples` to end: a memory of latencies under
/// load would in time take the queue for calm. Without pressure nothing is refused for the sake of measuring. While the
/// mean stays within the tolerance, and the limit is what holds requests back, the limit grows by its square root; above,
/// it shrinks in proportion (the gradient of Envoy's and Netflix's controllers).
package struct ConcurrencyLimiter: Sendable, BitwiseCopyable {
  private enum Phase: BitwiseCopyable {
    /// Until no more than the least are in flight.
    case emptying
    /// Ends of requests that began before do not count.
    case skipping(UInt32)
    case measuring
    case adapting
  }

  /// Requests that may be in flight, while the calm latency is not being measured.
  package private(set) var limit: Double
  /// Requests in flight.
  package private(set) var inFlight: UInt32 = 0
  /// Requests refused since the beginning.
  package private(set) var refused: UInt64 = 0
  /// Mean latency with the least in flight; 0 before the first measurement.
  package private(set) var calmNanoseconds: Double = 0
  private var phase = Phase.adapting
  private var refusedBefore: UInt64 = 0
  private var sum: Double = 0
  private var samples: UInt32 = 0
  private var wasFull = false
  private var windowEnds: Int64
  private var calmEnds: Int64
  private var least: Double

  package init(_ settings: ConcurrencySettings, now: Int64) {
    least = Double(max(1, settings.least))
    limit = min(max(Double(settings.initial), least), max(Double(settings.most), least))
    windowEnds = now
    calmEnds = now
  }

  /// Takes new settings; what is in flight stays counted, and what was learned stays known.
  package mutating func set(_ settings: ConcurrencySettings) {
    least = Double(max(1, settings.least))
    limit = min(max(limit, least), max(Double(settings.most), least))
  }

  /// Lets one more in; false where it is to be refused with `overload`.
  package mutating func acquire() -> Bool {
    var bound = least
    if case .adapting = phase { bound = limit }
    guard Double(inFlight) < bound else {
      refused &+= 1
      wasFull = true
      return false
    }
    inFlight &+= 1
    if Double(inFlight) * 2 > limit { wasFull = true }
    return true
  }

  /// One has ended after so long. `counts` is false where the time says nothing: the client left, or the answer was an
  /// error of ours.
  package mutating func release(
    latencyNanoseconds: Int64, counts: Bool, _ settings: ConcurrencySettings, now: Int64
  ) {
    if inFlight > 0 { inFlight &-= 1 }
    switch phase {
    case .emptying:
      if Double(inFlight) < least { phase = inFlight == 0 ? .measuring : .skipping(inFlight) }
      return
    case .skipping(let left):
      phase = left <= 1 ? .measuring : .skipping(left &- 1)
      return
    case .measuring, .adapting: break
    }
    if counts, latencyNanoseconds >= 0 {
      sum += Double(latencyNanoseconds)
      samples &+= 1
    }
    guard samples >= max(1, settings.leastSamples), now >= windowEnds else { return }
    let mean = max(1, sum / Double(samples))
    var isMeasured = calmNanoseconds == 0
    if case .measuring = phase { isMeasured = true }
    if isMeasured {
      calmNanoseconds = mean
      let isDoubtful = if case .measuring = phase { false } else { refused > 0 }
      calmEnds = isDoubtful ? now : now &+ max(1_000_000_000, settings.calmNanoseconds)
      phase = .adapting
    } else {
      adapt(mean, settings)
      if now >= calmEnds, refused != refusedBefore { phase = .emptying }
    }
    refusedBefore = refused
    sum = 0
    samples = 0
    wasFull = false
    if case .adapting = phase { windowEnds = now &+ max(1_000_000, settings.windowNanoseconds) }
  }

  private mutating func adapt(_ mean: Double, _ settings: ConcurrencySettings) {
    let allowed = calmNanoseconds * Double(max(100, settings.tolerancePercent)) / 100
    let gradient = min(1, max(0.5, allowed / mean))
    // Without pressure a good latency says nothing about a higher limit.
    if gradient == 1, !wasFull { return }
    let wanted = limit * gradient + (gradient == 1 ? limit.squareRoot() : 0)
    limit = min(max(limit * 0.5 + wanted * 0.5, least), max(Double(settings.most), least))
  }
}
