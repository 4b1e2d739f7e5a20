#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The cost of an endpoint: recent latency times the requests in flight (Finagle's "peak EWMA").
///
/// The average rises to a higher latency at once and falls to a lower one with time: an endpoint that turns slow is left
/// alone at the first sign. It also fades while nothing is measured, so that the endpoint gets another chance.
package enum PeakEWMA {
  /// The least latency that a failure counts as: an endpoint that fails fast must not look like a fast one.
  package static let leastFailureNanoseconds: Double = 250_000_000
  /// The most that repeated failures count as.
  package static let mostFailureNanoseconds: Double = 10_000_000_000

  /// Notes how long a request took from its last byte sent to the answer's head, and whether it failed.
  ///
  /// A failure counts as four times what the endpoint cost until now, within the two bounds above.
  package static func note(
    _ latencyNanoseconds: Int64, failed: Bool, now: Int64, decayNanoseconds: Int64, in state: inout EndpointState
  ) {
    var sample = Double(max(0, latencyNanoseconds))
    let share = remaining(after: now &- state.notedAt, decayNanoseconds)
    let faded = state.latencyNanoseconds * share
    if failed {
      sample = max(sample, min(max(faded * 4, leastFailureNanoseconds), mostFailureNanoseconds))
    }
    // A peak counts whole; below it old and new are mixed by the time since the last.
    state.latencyNanoseconds = sample >= faded ? sample : faded + sample * (1 - share)
    state.notedAt = now
  }

  /// The cost to compare: lower is better. An endpoint of which nothing is known is free for one request at a time.
  package static func cost(_ state: EndpointState, now: Int64, decayNanoseconds: Int64) -> Double {
    let waiting = Double(state.inFlight)
    if state.latencyNanoseconds == 0 {
      return state.inFlight == 0 ? 0 : mostFailureNanoseconds * (1 + waiting)
    }
    return latency(state, now: now, decayNanoseconds: decayNanoseconds) * (1 + waiting)
  }

  /// The latency that the cost is made of, nanoseconds: the average as far as it has not faded yet; 0 where nothing is
  /// known.
  package static func latency(_ state: EndpointState, now: Int64, decayNanoseconds: Int64) -> Double {
    state.latencyNanoseconds * remaining(after: now &- state.notedAt, decayNanoseconds)
  }

  /// What is left of an average after a time: e^(-elapsed / decay).
  private static func remaining(after elapsed: Int64, _ decayNanoseconds: Int64) -> Double {
    guard elapsed > 0, decayNanoseconds > 0 else { return 1 }
    let ratio = Double(elapsed) / Double(decayNanoseconds)
    // Good to 10⁻⁵ and much faster where requests follow closely on each other.
    return ratio < 0.03 ? 1 - ratio + ratio * ratio / 2 : exp(-ratio)
  }
}
