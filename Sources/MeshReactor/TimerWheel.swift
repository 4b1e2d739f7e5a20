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

/// A ring of lists of timers, with a bit for each list that may hold some.
private struct TimerRing {
  let count: Int
  private let slots: UnsafeMutablePointer<TimerLink>
  private let occupied: UnsafeMutablePointer<UInt64>

  /// - Parameter count: slots; a power of two, 64 or more.
  init(count: Int) {
    self.count = count
    slots = .allocate(capacity: count)
    for index in 0..<count { (slots + index).initialize(to: TimerLink(previous: slots + index, next: slots + index)) }
    occupied = .allocate(capacity: count / 64)
    occupied.initialize(repeating: 0, count: count / 64)
  }

  func deallocate() {
    slots.deallocate()
    occupied.deallocate()
  }

  /// The slot of a number that counts on for ever.
  func index(_ number: UInt64) -> Int { Int(truncatingIfNeeded: number) & (count - 1) }

  func head(_ index: Int) -> UnsafeMutablePointer<TimerLink> { slots + index }

  func isOccupied(_ index: Int) -> Bool { occupied[index >> 6] & (1 << UInt64(index & 63)) != 0 }

  func append(_ link: UnsafeMutablePointer<TimerLink>, at index: Int) {
    let head = slots + index
    link.pointee.previous = head.pointee.previous
    link.pointee.next = head
    head.pointee.previous?.pointee.next = link
    head.pointee.previous = link
    occupied[index >> 6] |= 1 << UInt64(index & 63)
  }

  /// Takes back the bit of a slot that has become empty.
  func settle(_ index: Int) {
    if slots[index].next == slots + index { occupied[index >> 6] &= ~(1 << UInt64(index & 63)) }
  }

  /// How many slots after `number` the next one comes that may hold timers, 1 to `count`; nil: none does.
  func distance(after number: UInt64) -> Int? {
    var distance = 0
    while distance < count {
      let index = index(number &+ 1 &+ UInt64(distance))
      let word = occupied[index >> 6] >> UInt64(index & 63)
      if word != 0 { return distance + word.trailingZeroBitCount + 1 }
      distance += 64 - index & 63
    }
    return nil
  }
}

/// A hierarchical timing wheel (Varghese and Lauck, 1987): arming and cancelling in constant time, one tick a millisecond.
///
/// What is due within 2048 ticks has a slot of its tick. What is later waits in a coarse slot of 2048 ticks, and gets its
/// own when that begins: timers that are far away wake the loop once in two seconds at most, however many there are.
package struct TimerWheel: ~Copyable {
  /// Ticks that have slots of their own, as a power of two.
  private static let fineBits: UInt64 = 11
  static let slotCount = 1 << Int(fineBits)
  /// Coarse slots: nearly nine minutes; a deadline further away stays in its slot for several rounds.
  private static let coarseCount = 256
  package static let nanosecondsPerTick: UInt64 = 1_000_000

  private struct State {
    let fine = TimerRing(count: TimerWheel.slotCount)
    let coarse = TimerRing(count: TimerWheel.coarseCount)
    var currentTick: UInt64
  }

  /// Behind a pointer, since reading a large property of a class from another module allocates memory for its access.
  private let state: UnsafeMutablePointer<State>

  private var fine: TimerRing { state.pointee.fine }
  private var coarse: TimerRing { state.pointee.coarse }
  private var currentTick: UInt64 {
    get { state.pointee.currentTick }
    nonmutating set { state.pointee.currentTick = newValue }
  }

  package init(now: UInt64) {
    state = .allocate(capacity: 1)
    state.initialize(to: State(currentTick: now / Self.nanosecondsPerTick))
  }

  deinit {
    fine.deallocate()
    coarse.deallocate()
    state.deallocate()
  }

  private func insert(_ timer: UnsafeMutablePointer<WheelTimer>, tick: UInt64) {
    let link = UnsafeMutableRawPointer(timer).assumingMemoryBound(to: TimerLink.self)
    timer.pointee.slotTick = tick
    if tick &- currentTick <= UInt64(Self.slotCount) {
      fine.append(link, at: fine.index(tick))
    } else {
      coarse.append(link, at: coarse.index(tick >> Self.fineBits))
    }
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
    var nearest = UInt64(max(limit, 0))
    if let distance = fine.distance(after: currentTick) { nearest = min(nearest, UInt64(distance)) }
    let round = currentTick >> Self.fineBits
    if let distance = coarse.distance(after: round) {
      nearest = min(nearest, (round &+ UInt64(distance)) << Self.fineBits &- currentTick)
    }
    return Int32(nearest)
  }

  /// The next timer that is due at `now`, unlinked and no longer armed; nothing once all due ones were handed out.
  ///
  /// Call it in a loop; the owner's code may arm, cancel and remove any timer between two calls.
  package mutating func nextDue(now: UInt64) -> UnsafeMutablePointer<WheelTimer>? {
    let nowTick = now / Self.nanosecondsPerTick
    while currentTick < nowTick {
      let tick = currentTick &+ 1
      let index = fine.index(tick)
      if index == 0 { spread(tick >> Self.fineBits) }
      if fine.isOccupied(index) {
        if let timer = takeDue(in: index, nowTick: nowTick) { return timer }
        fine.settle(index)
      }
      // Slots without timers are passed over, up to where the next coarse one begins.
      let boundary = (tick >> Self.fineBits &+ 1) << Self.fineBits &- 1
      let empty = fine.distance(after: tick).map { tick &+ UInt64($0) &- 1 } ?? boundary
      currentTick = min(boundary, empty, nowTick)
    }
    return nil
  }

  /// A coarse slot begins: its timers get slots of their own, but for those of a later round.
  private func spread(_ number: UInt64) {
    let index = coarse.index(number)
    guard coarse.isOccupied(index) else { return }
    let head = coarse.head(index)
    var current = head.pointee.next
    while let link = current, link != head {
      current = link.pointee.next
      let timer = UnsafeMutableRawPointer(link).assumingMemoryBound(to: WheelTimer.self)
      let deadline = timer.pointee.deadline
      let its = deadline >> Self.fineBits
      if deadline != .max, its != number, coarse.index(its) == index { continue }
      unlink(timer)
      if deadline != .max { insert(timer, tick: deadline) }
    }
    coarse.settle(index)
  }

  /// Unlinks the first due timer of a slot; those pushed back are moved to the slot of their new deadline.
  private func takeDue(in index: Int, nowTick: UInt64) -> UnsafeMutablePointer<WheelTimer>? {
    let head = fine.head(index)
    var current = head.pointee.next
    while let link = current, link != head {
      current = link.pointee.next
      let timer = UnsafeMutableRawPointer(link).assumingMemoryBound(to: WheelTimer.self)
      let deadline = timer.pointee.deadline
      unlink(timer)
      if deadline == .max { continue }
      if deadline <= nowTick {
        timer.pointee.deadline = .max
        return timer
      }
      // Its slot is another one: this slot's tick has come, and is not later than now.
      insert(timer, tick: deadline)
    }
    return nil
  }
}
