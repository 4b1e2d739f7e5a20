/// When a loop waits a moment before it asks for events, so as to find more of them at once.
///
/// Where many streams share a connection, everything that becomes ready within one turn leaves in one system call; a
/// loop that is woken for every single event sends every answer on its own. Network cards coalesce interrupts for the
/// same reason. What is decided here is when the wait is worth it: many exchanges are under way, and turns come thick
/// and bring little. Neither a lone request nor a loop that is busy anyway is ever held up.
package struct Coalescing: Sendable, Equatable {
  /// How long a loop waits where it does, nanoseconds; 0: never. Default 50 µs, at most 1 ms.
  package var pauseNanoseconds: UInt64 = 50_000

  /// Exchanges that must be under way: with fewer, those who wait would pay for too little.
  package static let crowd = 16
  /// A turn that worked so long, nanoseconds, finds enough the next time without waiting.
  package static let busyTurn: UInt64 = 200_000
  /// A loop that had to wait so long for its last event, nanoseconds, has nothing to gather.
  package static let quietWait: UInt64 = 200_000

  package init() {}

  /// How long to wait before the next events are asked for, nanoseconds.
  ///
  /// - Parameters:
  ///   - inFlight: exchanges under way; 0 where the loop has no connection that many share.
  ///   - wait: how long the last turn's events let wait for themselves, nanoseconds.
  ///   - work: how long they took, nanoseconds.
  package func pause(inFlight: Int, wait: UInt64, work: UInt64) -> UInt64 {
    inFlight >= Self.crowd && wait < Self.quietWait && work < Self.busyTurn ? pauseNanoseconds : 0
  }
}
