package import MeshModel

/// Bounds the retries to one service in proportion to its requests, over a sliding window (GEP-3388): retries help while
/// few requests fail, and make an outage worse when most do.
///
/// At every moment the retries of the last window are at most `percent` of the requests of the last window and
/// `minPerSecond` for each of its seconds. Time is cut into tenths of the window; retries are counted over eleven of
/// them, requests over ten, so that the bound holds for every window and not only for aligned ones. O(1), 112 bytes.
package struct RetryBudget: Sendable, BitwiseCopyable {
  private var requests = InlineArray<11, UInt32>(repeating: 0)
  private var retries = InlineArray<11, UInt32>(repeating: 0)
  private var current = 0
  private var currentEnds: Int64
  private var requestSum: UInt64 = 0
  private var retrySum: UInt64 = 0
  private let slice: Int64
  private let percent: UInt64
  private let minimum: UInt64

  /// - Parameter loops: the minimum is divided between so many loops, each of which has a budget; at least 1.
  package init(_ settings: RetryBudgetSettings, loops: Int = 1, now: Int64) {
    let window = min(max(settings.windowNanoseconds, 1_000_000_000), 3_600_000_000_000)
    slice = window / 10
    percent = UInt64(min(settings.percent, 100))
    let whole = UInt64(min(settings.minPerSecond, 1_000_000)) * UInt64(window) / 1_000_000_000
    let parts = UInt64(max(1, loops))
    minimum = (whole + parts - 1) / parts
    currentEnds = now &+ slice
  }

  /// Retries that may still be made in the present window.
  package var available: UInt64 {
    let oldest = UInt64(requests[(current &+ 1) % 11])
    let allowed = (requestSum &- oldest) &* percent / 100 &+ minimum
    return allowed > retrySum ? allowed &- retrySum : 0
  }

  /// A request (not a retry) has come.
  package mutating func onRequest(now: Int64) {
    advance(now)
    requests[current] &+= 1
    requestSum &+= 1
  }

  /// Takes one retry out of the budget. False, and nothing taken, where none is left.
  package mutating func withdraw(now: Int64) -> Bool {
    advance(now)
    guard available > 0 else { return false }
    retries[current] &+= 1
    retrySum &+= 1
    return true
  }

  private mutating func advance(_ now: Int64) {
    var steps = 0
    while now >= currentEnds, steps < 11 {
      current = (current &+ 1) % 11
      requestSum &-= UInt64(requests[current])
      retrySum &-= UInt64(retries[current])
      requests[current] = 0
      retries[current] = 0
      currentEnds &+= slice
      steps &+= 1
    }
    // After a pause longer than the window all is empty: go on from now.
    if now >= currentEnds { currentEnds = now &+ slice }
  }
}
