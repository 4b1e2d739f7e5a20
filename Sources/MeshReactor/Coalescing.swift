/// When a loop waits a moment before it asks for events, so as to find more of them at once.
///
/// Where many streams share a connection, everything that becomes ready within one turn leaves in one system call; a
/// loop that is woken for every single event sends every answer on its own. Network cards coalesce interrupts for the
/// same reason. What is decided here is when the wait is worth it: many exchanges are under way, and turns come thick
/// and bring little. Neither a lone request nor a loop that is busy anyway is ever held up.
package struct Coalescing: Sendable, Equatable {
  /// How long a loop waits where it does, nanoseconds; 0: never. Default 50 µs, at most 1 ms.
  package var pauseNanoseconds: UInt64 = 50_000

  /// Exchanges with work that must be under way: with fewer, those who wait would pay for too little.
  package static let crowd = 16
  /// A turn that worked so long, nanoseconds, finds enough the next time without waiting.
  package static let busyTurn: UInt64 = 200_000
  /// A loop that had to wait so long for its last event, nanoseconds, has nothing to gather.
  package static let quietWait: UInt64 = 200_000

  package init() {}

  /// How long to wait before the next events are asked for, nanoseconds.
  ///
  /// - Parameters:
  ///   - inFlight: exchanges with streams on which something moves: see `StreamCrowd`.
  ///   - wait: how long the last turn's events let wait for themselves, nanoseconds.
  ///   - work: how long they took, nanoseconds.
  package func pause(inFlight: Int, wait: UInt64, work: UInt64) -> UInt64 {
    inFlight >= Self.crowd && wait < Self.quietWait && work < Self.busyTurn ? pauseNanoseconds : 0
  }
}

/// How many exchanges with a stream on a shared connection have work at the same time. One that is silent, like a
/// subscription without news, has none, and one without a stream is not asked.
package struct StreamCrowd: Sendable, Equatable {
  /// How long something that has moved on a stream counts, nanoseconds: up to twice this.
  package static let spanNanoseconds: UInt64 = 4_000_000

  /// Number of the span that runs; never 0, which an exchange bears that has not been counted.
  private var span: UInt32 = 1
  private var began: UInt64 = 0
  /// Exchanges not ended on whose streams something has moved in this span, and in the one before when it ended.
  private var moving = 0
  private var movedBefore = 0

  package init() {}

  /// Something has moved on an exchange's stream.
  ///
  /// - Parameter mark: the exchange's own, at first 0: the span in which it was counted last.
  package mutating func moved(_ mark: inout UInt32) {
    guard mark != span else { return }
    mark = span
    moving &+= 1
  }

  /// An exchange has ended.
  package mutating func ended(_ mark: UInt32) {
    if mark == span { moving &-= 1 }
  }

  /// How many have work; to be asked at the end of each turn.
  package mutating func count(now: UInt64) -> Int {
    let age = now &- began
    guard age >= Self.spanNanoseconds else { return max(moving, movedBefore) }
    // After a pause what moved before it says nothing.
    movedBefore = age < 2 * Self.spanNanoseconds ? moving : 0
    moving = 0
    span = span == .max ? 1 : span &+ 1
    began = now
    return movedBefore
  }
}
