package import MeshPolicy
package import MeshWire

/// The limits that all proxies of the mesh share, as the control plane counts them: reports go in, grants come out.
/// Pure: the clock is an argument.
package struct QuotaTable: Sendable {
  /// Keys of all limits that are counted at a time. What comes above that is not granted anything: proxies hold to their
  /// share of the limit for such a key, each for itself.
  package static let maximumKeys = 65_536
  /// Keys that one proxy may have a part of at a time.
  package static let maximumKeysOfProxy = 16_384

  private struct BucketName: Hashable, Sendable {
    var quota: String
    var key: UInt64
  }

  private struct Stream: Sendable {
    /// The last report that was taken.
    var sequence: UInt64 = 0
    var isOwed = false
    var buckets: Set<BucketName> = []
  }

  private var buckets: [BucketName: QuotaBucket] = [:]
  private var streams: [UInt64: Stream] = [:]
  /// What is to be divided in the next round.
  private var due: Set<BucketName> = []
  /// Buckets without a proxy, that fill up and are forgotten then.
  private var resting: Set<BucketName> = []
  private var lastSweep: Int64 = 0
  /// How often that is looked at.
  private static let sweepNanoseconds: Int64 = 10_000_000_000

  package init() {}

  /// Something is left to be done in a further round.
  package var isActive: Bool { !due.isEmpty || streams.values.contains { $0.isOwed } }

  /// How many keys are counted.
  package var count: Int { buckets.count }

  /// Takes a report.
  /// - Parameter settings: the limits by name; what is not among them is passed over.
  package mutating func report(
    _ report: QuotaReport, stream: UInt64, settings: [String: RateLimitSettings], now: Int64
  ) {
    var held = streams[stream] ?? Stream()
    held.sequence = report.sequence
    held.isOwed = true
    for use in report.quotas {
      guard let limit = settings[use.quota] else { continue }
      for key in use.keys {
        take(key, BucketName(quota: use.quota, key: key.key), limit, stream: stream, held: &held, now: now)
      }
    }
    streams[stream] = held
  }

  private mutating func take(
    _ use: QuotaKeyUse, _ name: BucketName, _ settings: RateLimitSettings, stream: UInt64, held: inout Stream,
    now: Int64
  ) {
    guard held.buckets.contains(name) || held.buckets.count < Self.maximumKeysOfProxy else { return }
    guard buckets[name] != nil || buckets.count < Self.maximumKeys else { return }
    var bucket = buckets.removeValue(forKey: name) ?? QuotaBucket(settings, now: now)
    bucket.settings = settings
    bucket.report(
      stream: stream, used: Int64(clamping: use.used), arrived: use.isReleased ? 0 : Int64(use.arrived), now: now)
    if use.isReleased {
      bucket.leave(stream: stream)
      held.buckets.remove(name)
    } else {
      held.buckets.insert(name)
    }
    buckets[name] = bucket
    settle(name)
  }

  private mutating func settle(_ name: BucketName) {
    guard let bucket = buckets[name] else { return }
    if bucket.isUnused {
      due.remove(name)
      resting.insert(name)
    } else {
      due.insert(name)
      resting.remove(name)
    }
  }

  /// Forgets full buckets without a proxy: a new one is full too.
  private mutating func sweep(_ now: Int64) {
    lastSweep = now
    for name in resting where buckets[name]?.isFull(now: now) != false {
      buckets[name] = nil
      resting.remove(name)
    }
  }

  /// A proxy has gone.
  package mutating func close(stream: UInt64) {
    guard let held = streams.removeValue(forKey: stream) else { return }
    for name in held.buckets {
      buckets[name]?.leave(stream: stream)
      settle(name)
    }
  }

  /// Divides everything that has changed. Returns what each stream is to be told.
  package mutating func round(now: Int64) -> [UInt64: QuotaGrants] {
    var grants: [UInt64: [String: [QuotaKeyGrant]]] = [:]
    for name in due {
      guard let division = buckets[name]?.divide(now: now) else { continue }
      for grant in division {
        var key = QuotaKeyGrant()
        key.key = name.key
        key.allowed = UInt64(clamping: grant.allowed)
        key.waitMilliseconds = UInt32(clamping: (grant.waitNanoseconds + 999_999) / 1_000_000)
        key.sharePerMillion = grant.sharePerMillion
        grants[grant.stream, default: [:]][name.quota, default: []].append(key)
      }
    }
    due = due.filter { buckets[$0]?.isUnused == false && buckets[$0]?.isShort == true }
    if now - lastSweep > Self.sweepNanoseconds { sweep(now) }
    var messages: [UInt64: QuotaGrants] = [:]
    for (stream, held) in streams where held.isOwed || grants[stream] != nil {
      var message = QuotaGrants()
      message.sequence = held.sequence
      for (quota, keys) in (grants[stream] ?? [:]).sorted(by: { $0.key < $1.key }) {
        var grant = QuotaGrant()
        grant.quota = quota
        grant.keys = keys
        message.quotas.append(grant)
      }
      streams[stream]?.isOwed = false
      messages[stream] = message
    }
    return messages
  }
}
