/// A proxy's part of a limit that is shared with other proxies: how far it may go, by what it was last told, or, when it
/// hears nothing, by its last share of the limit.
///
/// Pure: the clock is an argument. Counters are those of the proxy, which go on over streams; what is reported begins
/// at 0 with each stream.
package struct QuotaLease: Sendable, Equatable {
  /// After this time without an answer to a report the control plane counts as away.
  package static let patienceNanoseconds: Int64 = 1_000_000_000
  /// After this time without a request the part is given up.
  package static let idleNanoseconds: Int64 = 5_000_000_000

  /// What is to be reported, if anything.
  package enum Report: Equatable, Sendable {
    case none
    /// Requests let in on this stream so far, and those that came since the last report.
    case use(used: Int64, arrived: Int64)
    /// Likewise, and nothing more: the lease has ended.
    case release(used: Int64)
  }

  /// The proxy's counter when the stream began.
  private var base: Int64
  private var reported: Int64 = -1
  private var wasQuiet = false
  private var lastArrival: Int64
  /// When the oldest report that has no answer was sent.
  private var askedAt: Int64?
  /// Since when it goes by its share; nil: by what it is told.
  private var alone: Int64?
  /// Millionths of the limit.
  private var sharePerMillion: Int64
  private var wasTold = false
  /// What was let in by its share: that is not taken out of the common bucket.
  private var excused: Int64 = 0
  private var usedTogether: Int64 = 0
  /// Tokens that its share has brought, in nanoseconds of its rate, while it is alone.
  private var saved: Int64 = 0

  /// - Parameters:
  ///   - used: the proxy's counter of requests let in, before the first of this lease.
  ///   - sharePerMillion: the share of the limit's other keys; all of it where no division was heard of.
  package init(used: Int64, sharePerMillion: UInt32 = 1_000_000, now: Int64) {
    base = used
    lastArrival = now
    self.sharePerMillion = Int64(min(max(sharePerMillion, 1), 1_000_000))
  }

  /// A new stream: the control plane knows nothing of what was before.
  package mutating func restart(used: Int64) {
    base = used
    reported = -1
    askedAt = nil
    excused = 0
    usedTogether = 0
  }

  /// One look, ten times a second.
  /// - Parameters:
  ///   - used: the proxy's counter of requests let in.
  ///   - arrived: requests that came since the last look.
  ///   - isConnected: whether a report would be heard.
  package mutating func look(used: Int64, arrived: Int64, isConnected: Bool, now: Int64) -> Report {
    if arrived > 0 { lastArrival = now }
    if alone == nil { usedTogether = used - base - excused } else { excused = used - base - usedTogether }
    if now - lastArrival > Self.idleNanoseconds { return .release(used: usedTogether) }
    guard isConnected else {
      if alone == nil { alone = now }
      return .none
    }
    if let askedAt, now - askedAt > Self.patienceNanoseconds, alone == nil { alone = now }
    let isNew = usedTogether != reported
    // A last report without requests says that there is no need any more.
    guard arrived > 0 || isNew || !wasQuiet else { return .none }
    wasQuiet = arrived == 0
    reported = usedTogether
    if askedAt == nil { askedAt = now }
    return .use(used: reported, arrived: arrived)
  }

  /// What it is told. Returns how far the proxy's counter may go.
  package mutating func grant(allowed: Int64, sharePerMillion: UInt32) -> Int64 {
    askedAt = nil
    alone = nil
    wasTold = true
    saved = 0
    self.sharePerMillion = Int64(min(max(sharePerMillion, 1), 1_000_000))
    return base + excused + max(0, min(allowed, Int64.max / 4))
  }

  /// While nothing is heard: how far the proxy's counter may go by its share; nil where what it was told holds.
  package mutating func limitAlone(
    _ settings: RateLimitSettings, used: Int64, until: Int64, now: Int64
  ) -> Int64? {
    guard let since = alone else { return nil }
    alone = now
    let interval = Int64(min(Double(settings.interval) * 1_000_000 / Double(sharePerMillion), 1e17))
    // At least what comes between two looks, or the share could not be used.
    let burst = max(1, Int64(settings.burst) * sharePerMillion / 1_000_000, 200_000_000 / max(1, interval))
    guard wasTold else {
      wasTold = true
      return used + burst
    }
    saved += min(max(0, now - since), Int64(1e17))
    let (tokens, left) = saved.quotientAndRemainder(dividingBy: max(1, interval))
    saved = left
    return min(until + tokens, used + burst)
  }
}
