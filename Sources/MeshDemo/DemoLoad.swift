import ApusHTTP
import Synchronization

/// Steady traffic: requests begin at even distances, whether or not those before them are answered, as customers do.
package final class DemoLoad: Sendable {
  /// Requests on their way at once, at most; those due beyond it are left out and counted.
  package static let inFlightLimit = 64

  private let call: DemoCall
  private let interval: Duration
  private let inFlight = Atomic(0)
  private let done = Mutex(Counts())

  /// What became of the requests so far.
  package struct Counts: Sendable, Equatable {
    package var answered = 0
    package var failed = 0
    package var leftOut = 0
  }

  /// - Parameter ratePerSecond: 1 to 1000.
  package init(call: DemoCall, ratePerSecond: Int) {
    self.call = call
    interval = .seconds(1) / max(1, min(ratePerSecond, 1000))
  }

  package var counts: Counts { done.withLock { $0 } }

  /// Sends requests, on the calling thread's time, until `isEnough` says so.
  package func run(isEnough: () -> Bool) {
    var next = ContinuousClock.now
    while !isEnough() {
      begin()
      next += interval
      Pause.sleep(next - .now)
    }
  }

  private func begin() {
    guard inFlight.load(ordering: .relaxed) < Self.inFlightLimit else {
      done.withLock { $0.leftOut += 1 }
      return
    }
    inFlight.add(1, ordering: .relaxed)
    let didStart = DetachedThread.start { [self] in
      let status = call.get().status
      done.withLock { if status < 500 { $0.answered += 1 } else { $0.failed += 1 } }
      inFlight.subtract(1, ordering: .relaxed)
    }
    if !didStart { inFlight.subtract(1, ordering: .relaxed) }
  }
}
