/// When to dial the control plane again: at once after the first loss, give or take a little, then ever more slowly.
///
/// Exponential with full jitter, so that a thousand proxies that lose one control plane do not come back together.
/// Pure: the clock and the chance are arguments.
package struct ReconnectSchedule: Sendable, Equatable {
  /// The first wait is drawn from zero to this; each further failure doubles it.
  package static let firstCeiling: Duration = .milliseconds(400)
  /// No wait is longer. It lies well within the time for which a restarted control plane keeps endpoints.
  package static let longestCeiling: Duration = .seconds(5)
  /// A connection that has lasted this long counts as a success; shorter ones count as failures, so that a control
  /// plane that accepts and drops is not hammered.
  package static let provenAfter: Duration = .seconds(5)

  /// Failures in a row.
  package private(set) var failures = 0
  private var connectedAt: Duration?

  package init() {}

  /// A connection is up.
  package mutating func connected(now: Duration) { connectedAt = now }

  /// The connection was lost, or could not be made. Returns how long to wait before the next attempt.
  ///
  /// - Parameter chance: evenly from 0 up to 1.
  package mutating func lost(now: Duration, chance: Double) -> Duration {
    if let connectedAt, now - connectedAt >= Self.provenAfter { failures = 0 }
    connectedAt = nil
    var ceiling = Self.firstCeiling
    for _ in 0..<min(failures, 8) { ceiling = ceiling * 2 }
    failures = min(failures + 1, 1000)
    return min(ceiling, Self.longestCeiling) * min(max(chance, 0), 1)
  }
}
