// Unsafe by design: buckets are reached through plain pointers and atomics by all workers.
internal import MeshPolicy
internal import Synchronization

/// A bucket of a rate limit, as two numbers: whose it is, and when it would be full again.
struct LimitSlot: ~Copyable {
  /// The number of the key; 0: nobody's.
  let key = Atomic<UInt64>(0)
  let fullAt = Atomic<Int64>(.min)
}

/// The buckets of one rate limit, shared by all workers of the proxy: it is the one thing that they do share, since a
/// limit that each enforced a part of would refuse what comes over few connections. They outlive configurations in which
/// the limit stays.
final class LimitBuckets: @unchecked Sendable {
  // Unchecked: the memory is changed by atomic operations only.
  let view: LimitBucketsView
  /// The places of a limit that is shared with other proxies; nil: it is this proxy's own.
  let shared: SharedLimit?

  /// Keys of a limit that are counted apart at a time; 64 KiB. Further ones share buckets while all are in use.
  static let keyedCapacity = 4_096

  init(_ rule: RateLimitRule) {
    let isKeyed = rule.key != .everyone
    shared = rule.quota.isEmpty ? nil : SharedLimit(rule.quota, rule.settings, isKeyed: isKeyed)
    let count = isKeyed && shared == nil ? Self.keyedCapacity : 1
    let slots = UnsafeMutablePointer<LimitSlot>.allocate(capacity: count)
    for index in 0..<count { (slots + index).initialize(to: LimitSlot()) }
    view = LimitBucketsView(slots: slots, mask: count - 1, shared: shared?.view)
  }

  deinit {
    view.slots.deinitialize(count: view.mask + 1)
    view.slots.deallocate()
  }
}

/// `LimitBuckets` as plain pointers; valid while they live.
struct LimitBucketsView {
  let slots: UnsafeMutablePointer<LimitSlot>
  let mask: Int
  private let shared: SharedLimitView?
  /// Places that a key may have.
  private static let probes = 8

  init(slots: UnsafeMutablePointer<LimitSlot>, mask: Int, shared: SharedLimitView?) {
    self.slots = slots
    self.mask = mask
    self.shared = shared
  }

  /// Whether one more request of `key` may pass now; counts it only if so.
  func decide(_ settings: RateLimitSettings, key: UInt64, now: Int64) -> RateLimitDecision {
    if let shared { return shared.decide(key: key, now: now) }
    let slot = slots + (mask == 0 ? 0 : place(of: key == 0 ? 1 : key, now: now))
    var known = slot.pointee.fullAt.load(ordering: .relaxed)
    while true {
      var limiter = RateLimiter(fullAt: known)
      let decision = limiter.decide(settings, now: now)
      guard case .allowed = decision else { return decision }
      let (isDone, found) = slot.pointee.fullAt.weakCompareExchange(
        expected: known, desired: limiter.fullAt, ordering: .relaxed)
      if isDone { return decision }
      known = found
    }
  }

  /// The slot of a key: its own, else one whose bucket is full and which therefore says nothing, else the fullest.
  private func place(of key: UInt64, now: Int64) -> Int {
    let start = Int(truncatingIfNeeded: key >> 17) & mask
    var free = -1
    var fullest = start
    var least = Int64.max
    var step = 0
    while step < Self.probes {
      let index = (start &+ step) & mask
      step &+= 1
      if slots[index].key.load(ordering: .relaxed) == key { return index }
      let fullAt = slots[index].fullAt.load(ordering: .relaxed)
      if fullAt <= now, free < 0 { free = index }
      if fullAt < least {
        least = fullAt
        fullest = index
      }
    }
    guard free >= 0 else { return fullest }
    slots[free].key.store(key, ordering: .relaxed)
    return free
  }
}
