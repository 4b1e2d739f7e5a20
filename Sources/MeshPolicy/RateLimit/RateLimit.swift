/// How much a rate limit allows.
package struct RateLimitSettings: Hashable, Sendable, BitwiseCopyable {
  /// Requests per `periodNanoseconds`, 1…1,000,000 a second.
  package var limit: UInt32
  package var periodNanoseconds: Int64
  /// Requests that may come at once after a quiet time; at least 1. Default: `limit`.
  package var burst: UInt32

  package init(limit: UInt32, periodNanoseconds: Int64 = 1_000_000_000, burst: UInt32? = nil) {
    self.limit = limit
    self.periodNanoseconds = periodNanoseconds
    self.burst = max(1, burst ?? limit)
  }

  /// Nanoseconds from one request to the next at the limit.
  var interval: Int64 {
    let period = min(max(periodNanoseconds, 1_000), 86_400_000_000_000)
    return max(1_000, (period + Int64(limit) / 2) / Int64(max(1, limit)))
  }
}

/// What a rate limit says to a request.
package enum RateLimitDecision: Equatable, Sendable, BitwiseCopyable {
  /// It may pass. So many more may follow at once, and after `resetNanoseconds` all of the burst may.
  case allowed(remaining: UInt32, resetNanoseconds: Int64)
  /// It may not; one of the same cost may after this time (`Retry-After`).
  case limited(retryAfterNanoseconds: Int64)
}

/// A rate limit by the generic cell rate algorithm (ITU-T I.371), which is a token bucket kept as one number: the time at
/// which the bucket would be full again. 8 bytes, O(1).
package struct RateLimiter: Sendable, BitwiseCopyable {
  /// When the bucket would be full again, monotonic nanoseconds: all there is, so that it can be kept in one shared
  /// number.
  package private(set) var fullAt: Int64
  private static let mostNanoseconds: Int64 = 31_536_000_000_000_000

  /// - Parameter fullAt: what an earlier value's `fullAt` was; in the beginning every bucket is full.
  package init(fullAt: Int64 = .min) { self.fullAt = fullAt }

  /// Whether `cost` requests may pass now; counts them only if so.
  package mutating func decide(
    _ settings: RateLimitSettings, cost: UInt32 = 1, now: Int64
  ) -> RateLimitDecision {
    let interval = settings.interval
    let (product, isTooLarge) = interval.multipliedReportingOverflow(by: Int64(settings.burst))
    let (price, isTooDear) = interval.multipliedReportingOverflow(by: Int64(cost))
    // A year's worth at most, so that nothing added to a clock overflows.
    let capacity = isTooLarge ? Self.mostNanoseconds : min(product, Self.mostNanoseconds)
    guard !isTooDear, price <= capacity else { return .limited(retryAfterNanoseconds: .max) }
    // Time that passed without requests beyond a full bucket is worth nothing; nor is a clock that went back.
    let start = max(now, min(fullAt, now &+ capacity))
    let after = start &+ price
    guard after &- now <= capacity else { return .limited(retryAfterNanoseconds: after &- now &- capacity) }
    fullAt = after
    let left = (capacity &- (after &- now)) / interval
    return .allowed(remaining: UInt32(clamping: left), resetNanoseconds: after &- now)
  }

  /// Whole seconds for `Retry-After`, rounded up, at least 1.
  package static func retryAfterSeconds(_ nanoseconds: Int64) -> UInt64 {
    guard nanoseconds > 0 else { return 1 }
    return UInt64(nanoseconds) / 1_000_000_000 + (nanoseconds % 1_000_000_000 == 0 ? 0 : 1)
  }
}
