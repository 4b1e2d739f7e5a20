// Unsafe by design: places are reached through plain pointers and atomics by all workers.
internal import MeshPolicy
internal import Synchronization

/// One key of a limit that proxies share: how many requests were let in, and up to how many may be.
struct SharedSlot: ~Copyable {
  /// The number of the key; 0: nobody's.
  let key = Atomic<UInt64>(0)
  /// Requests let in.
  let used = Atomic<Int64>(0)
  /// Requests that may be let in, besides the advance.
  let until = Atomic<Int64>(0)
  /// Requests that came since the side thread last looked.
  let arrived = Atomic<UInt32>(0)
  /// When more may be expected, monotonic nanoseconds.
  let retryAt = Atomic<Int64>(0)
}

/// What this proxy may let in by a limit that all proxies of the mesh share. Workers count here and nothing else; the
/// side thread says how far they may go (`QuotaKeeper`). A key that is new gets a small advance, so that its first
/// requests need not wait for an answer.
final class SharedLimit: @unchecked Sendable {
  // Unchecked: the memory is changed by atomic operations only.
  let view: SharedLimitView
  /// Its name in the mesh.
  let name: String
  let settings: RateLimitSettings

  /// Keys that are counted apart at a time; 160 KiB. Further ones are counted together.
  static let keyedCapacity = 4_096
  /// The key of what is counted together.
  static let commonKey: UInt64 = 1

  init(_ name: String, _ settings: RateLimitSettings, isKeyed: Bool) {
    self.name = name
    self.settings = settings
    let capacity = isKeyed ? Self.keyedCapacity : 0
    let slots = UnsafeMutablePointer<SharedSlot>.allocate(capacity: capacity + 1)
    for index in 0...capacity { (slots + index).initialize(to: SharedSlot()) }
    slots[capacity].key.store(Self.commonKey, ordering: .relaxed)
    view = SharedLimitView(slots: slots, capacity: capacity, advance: max(1, Int64(settings.burst) / 4))
  }

  deinit {
    view.slots.deinitialize(count: view.capacity + 1)
    view.slots.deallocate()
  }
}

/// A `SharedLimit` as plain pointers; valid while it lives.
struct SharedLimitView {
  /// Those of single keys, and behind them the one of everything else.
  let slots: UnsafeMutablePointer<SharedSlot>
  /// A power of two, or 0 where all requests are counted together.
  let capacity: Int
  /// Requests of a key that are let in before the first answer.
  let advance: Int64
  /// Places that a key may have.
  private static let probes = 8
  /// The shortest wait that is told.
  private static let leastWait: Int64 = 100_000_000

  init(slots: UnsafeMutablePointer<SharedSlot>, capacity: Int, advance: Int64) {
    self.slots = slots
    self.capacity = capacity
    self.advance = advance
  }

  /// Whether one more request of `key` may pass now; counts it in any case.
  func decide(key: UInt64, now: Int64) -> RateLimitDecision {
    let slot = slots + place(of: key <= SharedLimit.commonKey ? 2 : key)
    slot.pointee.arrived.wrappingAdd(1, ordering: .relaxed)
    let until = slot.pointee.until.load(ordering: .relaxed) &+ advance
    var used = slot.pointee.used.load(ordering: .relaxed)
    while used < until {
      let (isDone, found) = slot.pointee.used.weakCompareExchange(
        expected: used, desired: used &+ 1, ordering: .relaxed)
      if isDone { return .allowed(remaining: UInt32(clamping: until &- used &- 1), resetNanoseconds: 0) }
      used = found
    }
    return .limited(retryAfterNanoseconds: max(Self.leastWait, slot.pointee.retryAt.load(ordering: .relaxed) &- now))
  }

  /// The slot of a key: its own, else a free one, else the one of everything else.
  private func place(of key: UInt64) -> Int {
    guard capacity > 0 else { return 0 }
    let start = Int(truncatingIfNeeded: key >> 17)
    var step = 0
    while step < Self.probes {
      let index = (start &+ step) & (capacity &- 1)
      step &+= 1
      let held = slots[index].key.load(ordering: .relaxed)
      if held == key { return index }
      guard held == 0 else { continue }
      let (isDone, found) = slots[index].key.compareExchange(expected: 0, desired: key, ordering: .relaxed)
      if isDone || found == key { return index }
    }
    return capacity
  }
}
