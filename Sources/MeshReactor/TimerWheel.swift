/// The links of a circular list; a timer begins with them, a slot of the wheel is nothing but them.
struct TimerLink {
  var previous: UnsafeMutablePointer<TimerLink>?
  var next: UnsafeMutablePointer<TimerLink>?
}

/// A timer, embedded in what it times. Memory must stay in place while it is linked.
///
/// Arming to a later time only writes the new deadline: the wheel finds out when the old slot comes round. A timer that
/// is pushed back on every request therefore costs one store.
public struct WheelTimer {
  var link = TimerLink()
  /// The tick at which it is to fire; `.max`: not armed.
  var deadline: UInt64 = .max
  /// The tick of the slot it is linked in.
  var slotTick: UInt64 = 0
  /// What the loop is given when it fires.
  package var owner: UnsafeMutableRawPointer?
  /// Tells apart several timers of one owner, and kinds of owners.
  package var kind: UInt8 = 0

  package init() {}
  /// Whether it fires later than `nanoseconds` (monotonic) and the tick after that, or never.
  package func fires(after nanoseconds: UInt64) -> Bool { deadline > nanoseconds / TimerWheel.nanosecondsPerTick &+ 1 }
  /// Whether it will fire.
  package var isArmed: Bool { deadline != .max }
}

/// A hashed timing wheel (Varghese and Lauck, 1987): arming and cancelling in constant time, one tick a millisecond.
package struct TimerWheel: ~Copyable {
  /// Slots, a power of two; a deadline further away stays in its slot for several rounds.
  static let slotCount = 2048
  package static let nanosecondsPerTick: UInt64 = 1_000_000

  private let slots: UnsafeMutablePointer<TimerLink>
  /// A bit for each slot that may hold timers.
  private let occupied: UnsafeMutablePointer<UInt64>
  private var currentTick: UInt64

  package init(now: UInt64) {
    slots = .allocate(capacity: Self.slotCount)
    slots.initialize(repeating: TimerLink(), count: Self.slotCount)
    for index in 0..<Self.slotCount {
      slots[index].previous = slots + index
      slots[index].next = slots + index
    }
    occupied = .allocate(capacity: Self.slotCount / 64)
    occupied.initialize(repeating: 0, count: Self.slotCount / 64)
    currentTick = now / Self.nanosecondsPerTick
  }

  deinit {
    slots.deallocate()
    occupied.deallocate()
  }

  private func slot(_ tick: UInt64) -> Int { Int(truncatingIfNeeded: tick) & (Self.slotCount - 1) }

  private func insert(_ timer: UnsafeMutablePointer<WheelTimer>, tick: UInt64) {
    let index = slot(tick)
    let link = UnsafeMutableRawPointer(timer).assumingMemoryBound(to: TimerLink.self)
    let head = slots + index
    timer.pointee.slotTick = tick
    link.pointee.previous = head.pointee.previous
    link.pointee.next = head
    head.pointee.previous?.pointee.next = link
    head.pointee.previous = link
    occupied[index >> 6] |= 1 << UInt64(index & 63)
  }

  private func unlink(_ timer: UnsafeMutablePointer<WheelTimer>) {
    let link = UnsafeMutableRawPointer(timer).assumingMemoryBound(to: TimerLink.self)
    link.pointee.previous?.pointee.next = link.pointee.next
    link.pointee.next?.pointee.previous = link.pointee.previous
    link.pointee.previous = nil
    link.pointee.next = nil
  }

  /// Lets `timer` fire at `deadline` (monotonic nanoseconds), rounded up to a tick.
  package func arm(_ timer: UnsafeMutablePointer<WheelTimer>, deadline: UInt64) {
    let wanted = deadline / Self.nanosecondsPerTick &+ 1
    let tick = max(wanted, currentTick &+ 1)
    timer.pointee.deadline = tick
    if timer.pointee.link.next != nil {
      if timer.pointee.slotTick <= tick { return }
      unlink(timer)
    }
    insert(timer, tick: tick)
  }

  /// Keeps `timer` from firing; it may stay linked until its slot comes round.
  package func cancel(_ timer: UnsafeMutablePointer<WheelTimer>) { timer.pointee.deadline = .max }

  /// Takes `timer` out for good, before its memory goes.
  package func remove(_ timer: UnsafeMutablePointer<WheelTimer>) {
    timer.pointee.deadline = .max
    if timer.pointee.link.next != nil { unlink(timer) }
  }

  /// Milliseconds until a slot with timers comes round, at most `limit`.
  package func millisecondsToNext(limit: Int32) -> Int32 {
    var distance = 0
    while distance < Self.slotCount {
      let index = slot(currentTick &+ 1 &+ UInt64(distance))
      let word = occupied[index >> 6] >> UInt64(index & 63)
      if word != 0 { return min(limit, Int32(distance + word.trailingZeroBitCount + 1)) }
      distance += 64 - index & 63
    }
    return limit
  }

  /// The next timer that is due at `now`, unlinked and no longer armed; nothing once all due ones were handed out.
  ///
  /// Call it in a loop; the owner's code may arm, cancel and remove any timer between two calls.
  package mutating func nextDue(now: UInt64) -> UnsafeMutablePointer<WheelTimer>? {
    let nowTick = now / Self.nanosecondsPerTick
    if nowTick &- currentTick > UInt64(Self.slotCount), nowTick > currentTick {
      // A long sleep: every slot is visited once.
      currentTick = nowTick &- UInt64(Self.slotCount)
    }
    while currentTick < nowTick {
      let tick = currentTick &+ 1
      let index = slot(tick)
      if occupied[index >> 6] & (1 << UInt64(index & 63)) != 0 {
        if let timer = takeDue(in: index, nowTick: nowTick) { return timer }
        if slots[index].next == slots + index { occupied[index >> 6] &= ~(1 << UInt64(index & 63)) }
      }
      currentTick = tick
    }
    return nil
  }

  /// Unlinks the first due timer of a slot; those pushed back are moved to the slot of their new deadline.
  private func takeDue(in index: Int, nowTick: UInt64) -> UnsafeMutablePointer<WheelTimer>? {
    let head = slots + index
    var current = head.pointee.next
    while let link = current, link != head {
      current = link.pointee.next
      let timer = UnsafeMutableRawPointer(link).assumingMemoryBound(to: WheelTimer.self)
      let deadline = timer.pointee.deadline
      if deadline == .max {
        unlink(timer)
      } else if deadline <= nowTick {
        unlink(timer)
        timer.pointee.deadline = .max
        return timer
      } else if slot(deadline) != index {
        unlink(timer)
        insert(timer, tick: deadline)
      }
    }
    return nil
  }
}
