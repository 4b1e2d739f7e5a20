internal import Synchronization

/// Changes of the store that wait to be compiled.
///
/// Compiling what one change touches may take longer than the next change takes to come. Those that came meanwhile are
/// taken together, whole commits each, so that a burst of changes, one object each, costs as many revisions as there is
/// time for and not one for every object.
final class ChangeQueue: Sendable {
  /// Most events that wait; the store's own bound on those who are too slow comes after it.
  static let limit = 10_000

  private let waiting = Mutex<[ResourceEvent]>([])
  private let signal: AsyncStream<Void>.Continuation
  /// Yields where there is something to take; ends with `finish`.
  let arrivals: AsyncStream<Void>

  init() { (arrivals, signal) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1)) }

  /// Adds the changes of one commit; waits where too many wait already.
  func add(_ events: [ResourceEvent]) async throws {
    while waiting.withLock({ $0.count }) >= Self.limit { try await Task.sleep(for: .milliseconds(10)) }
    waiting.withLock { $0 += events }
    signal.yield()
  }

  /// Nothing more comes; what waits can still be taken.
  func finish() { signal.finish() }

  /// All that wait, in the order in which they came.
  func take() -> [ResourceEvent] {
    waiting.withLock { events in
      defer { events = [] }
      return events
    }
  }

  func contains(where isWanted: (ResourceEvent) -> Bool) -> Bool {
    let events = waiting.withLock { $0 }
    return events.contains(where: isWanted)
  }
}
