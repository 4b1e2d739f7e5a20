internal import MeshPolicy
internal import MeshWire
internal import Synchronization

/// Keeps this proxy's parts of the limits that all proxies share: tells the control plane what came and what was let in,
/// and the workers how far they may go. On the side thread.
struct QuotaKeeper {
  private struct Held {
    var slot: Int
    /// The first report that it is in: what is granted before is about an earlier lease of the same key.
    var since: UInt64
    var lease: QuotaLease
  }

  /// One limit's keys, and the share that was last heard of.
  private struct Parts {
    var leases: [UInt64: Held] = [:]
    var sharePerMillion: UInt32 = 1_000_000
  }

  private var parts: [ObjectIdentifier: Parts] = [:]
  private var limits: [SharedLimit] = []
  private var sequence: UInt64 = 0
  /// Keys of a report; what is above that is reported at the next look.
  private static let keysOfReport = 2_048

  /// One look, ten times a second. Returns what is to be reported.
  /// - Parameters:
  ///   - limits: those in force.
  ///   - isConnected: whether a report would be heard.
  mutating func look(_ limits: [SharedLimit], isConnected: Bool, now: Int64) -> QuotaReport? {
    self.limits = limits
    if limits.isEmpty {
      parts = [:]
      return nil
    }
    let known = Set(limits.map { ObjectIdentifier($0) })
    parts = parts.filter { known.contains($0.key) }
    var report = QuotaReport()
    var room = Self.keysOfReport
    for limit in limits {
      var use = QuotaUse()
      use.quota = limit.name
      for slot in 0...limit.view.capacity where room > 0 {
        guard let key = look(limit, slot, isConnected: isConnected, now: now) else { continue }
        use.keys.append(key)
        room -= 1
      }
      if !use.keys.isEmpty { report.quotas.append(use) }
    }
    guard !report.quotas.isEmpty else { return nil }
    sequence &+= 1
    report.sequence = sequence
    return report
  }

  private mutating func look(_ limit: SharedLimit, _ slot: Int, isConnected: Bool, now: Int64) -> QuotaKeyUse? {
    let place = limit.view.slots + slot
    let key = place.pointee.key.load(ordering: .relaxed)
    guard key != 0 else { return nil }
    let arrived = Int64(place.pointee.arrived.exchange(0, ordering: .relaxed))
    let name = ObjectIdentifier(limit)
    let used = place.pointee.used.load(ordering: .relaxed)
    guard var held = parts[name]?.leases[key] ?? begin(limit, slot, arrived: arrived, used: used, now: now) else {
      return nil
    }
    var use: QuotaKeyUse?
    switch held.lease.look(used: used, arrived: arrived, isConnected: isConnected, now: now) {
    case .none: break
    case .use(let used, let arrived):
      use = QuotaKeyUse()
      use?.used = UInt64(clamping: used)
      use?.arrived = UInt32(clamping: arrived)
    case .release(let used):
      use = QuotaKeyUse()
      use?.used = UInt64(clamping: used)
      use?.isReleased = true
      release(limit, slot, key)
      use?.key = key
      return isConnected ? use : nil
    }
    if let until = held.lease.limitAlone(
      limit.settings, used: used, until: place.pointee.until.load(ordering: .relaxed) + limit.view.advance, now: now)
    {
      place.pointee.until.store(until - limit.view.advance, ordering: .relaxed)
    }
    parts[name, default: Parts()].leases[key] = held
    use?.key = key
    return use
  }

  /// A key that requests have come for since it was last looked at.
  private func begin(_ limit: SharedLimit, _ slot: Int, arrived: Int64, used: Int64, now: Int64) -> Held? {
    guard arrived > 0 else { return nil }
    // The advance counts: the lease begins where no request had been let in.
    let before = (limit.view.slots + slot).pointee.until.load(ordering: .relaxed)
    let share = parts[ObjectIdentifier(limit)]?.sharePerMillion ?? 1_000_000
    return Held(
      slot: slot, since: sequence &+ 1, lease: QuotaLease(used: min(before, used), sharePerMillion: share, now: now))
  }

  /// Gives a key up. What it has left is worth nothing any more; the next one has its advance again.
  private mutating func release(_ limit: SharedLimit, _ slot: Int, _ key: UInt64) {
    let place = limit.view.slots + slot
    place.pointee.until.store(place.pointee.used.load(ordering: .relaxed), ordering: .relaxed)
    if slot < limit.view.capacity { place.pointee.key.store(0, ordering: .relaxed) }
    parts[ObjectIdentifier(limit)]?.leases[key] = nil
  }

  /// A stream to the control plane has begun, which knows nothing of what was before.
  mutating func restart() {
    sequence = 0
    for limit in limits {
      let name = ObjectIdentifier(limit)
      for (key, held) in parts[name]?.leases ?? [:] {
        parts[name]?.leases[key]?.since = 1
        parts[name]?.leases[key]?.lease.restart(
          used: limit.view.slots[held.slot].used.load(ordering: .relaxed))
      }
    }
  }

  /// Takes what the control plane grants.
  mutating func take(_ grants: QuotaGrants, now: Int64) {
    for grant in grants.quotas {
      for limit in limits where limit.name == grant.quota {
        let name = ObjectIdentifier(limit)
        for key in grant.keys {
          guard var held = parts[name]?.leases[key.key], grants.sequence >= held.since else { continue }
          let place = limit.view.slots + held.slot
          let until = held.lease.grant(
            allowed: Int64(clamping: key.allowed), sharePerMillion: key.sharePerMillion)
          place.pointee.until.store(until - limit.view.advance, ordering: .relaxed)
          place.pointee.retryAt.store(now &+ Int64(key.waitMilliseconds) * 1_000_000, ordering: .relaxed)
          parts[name]?.leases[key.key] = held
          parts[name]?.sharePerMillion = key.sharePerMillion
        }
      }
    }
  }
}
