import MeshReactor
import Testing

private let tick = TimerWheel.nanosecondsPerTick

@Suite struct TimerWheelTests {
  /// Runs random arms, cancels and re-arms against a list that is searched; both must fire the same timers at the same tick.
  @Test(arguments: 0..<20) func theWheelFiresWhatAListWouldFire(seed: UInt64) {
    var random = SplitMix(state: seed)
    let count = 200
    let timers = UnsafeMutablePointer<WheelTimer>.allocate(capacity: count)
    timers.initialize(repeating: WheelTimer(), count: count)
    defer { timers.deallocate() }
    var deadlines = [UInt64?](repeating: nil, count: count)
    var wheel = TimerWheel(now: 0)
    var now: UInt64 = 0
    for _ in 0..<2000 {
      let index = Int(random.next() % UInt64(count))
      switch random.next() % 4 {
      case 0:
        wheel.cancel(timers + index)
        deadlines[index] = nil
      case 1 where random.next() % 8 == 0:
        wheel.remove(timers + index)
        deadlines[index] = nil
      default:
        let reach: [UInt64] = [50, 9000, 600_000, 3_000_000]
        let deadline = now + random.next() % reach[Int(random.next() % 4)] * tick
        wheel.arm(timers + index, deadline: deadline)
        deadlines[index] = max(deadline / tick + 1, now / tick + 1)
      }
      now += random.next() % (random.next() % 50 == 0 ? [5000, 1_000_000][Int(random.next() % 2)] : 5) * tick
      var fired: Set<Int> = []
      while let timer = wheel.nextDue(now: now) { fired.insert(timer - timers) }
      var expected: Set<Int> = []
      for (index, deadline) in deadlines.enumerated() {
        if let deadline, deadline <= now / tick {
          expected.insert(index)
          deadlines[index] = nil
        }
      }
      #expect(fired == expected)
    }
  }

  @Test func whatFiresLaterThanAMomentIsKnown() {
    let timer = UnsafeMutablePointer<WheelTimer>.allocate(capacity: 1)
    timer.initialize(to: WheelTimer())
    defer { timer.deallocate() }
    let wheel = TimerWheel(now: 0)
    #expect(timer.pointee.fires(after: 0) && timer.pointee.fires(after: 1_000_000 * tick))
    wheel.arm(timer, deadline: 10 * tick)
    #expect(timer.pointee.fires(after: 9 * tick) && !timer.pointee.fires(after: 10 * tick))
    #expect(!timer.pointee.fires(after: 11 * tick))
    wheel.cancel(timer)
    #expect(timer.pointee.fires(after: 10 * tick))
  }

  /// Idle connections have their clocks far away; ten thousand of them wake the loop no oftener than one.
  @Test(arguments: [1, 10_000]) func timersThatAreFarAwayWakeTheLoopOnceInTwoSeconds(count: Int) {
    let timers = UnsafeMutablePointer<WheelTimer>.allocate(capacity: count)
    timers.initialize(repeating: WheelTimer(), count: count)
    defer { timers.deallocate() }
    var wheel = TimerWheel(now: 0)
    for index in 0..<count { wheel.arm(timers + index, deadline: (300_000 + UInt64(index)) * tick) }
    var (now, wakes): (UInt64, Int) = (0, 0)
    while wakes < 1000 {
      now += UInt64(wheel.millisecondsToNext(limit: 1_000_000)) * tick
      guard wheel.nextDue(now: now) == nil else { break }
      wakes += 1
    }
    #expect(now == 300_001 * tick)
    // The slot of two seconds in which the first is due, and nothing before.
    #expect(wakes <= 1)
  }

  @Test func theTimeToSleepNeverPassesADeadline() {
    let timer = UnsafeMutablePointer<WheelTimer>.allocate(capacity: 1)
    timer.initialize(to: WheelTimer())
    defer { timer.deallocate() }
    for distance in [0, 1, 62, 63, 64, 65, 500, 2046, 2047] as [UInt64] {
      var wheel = TimerWheel(now: 7 * tick)
      wheel.arm(timer, deadline: (7 + distance) * tick)
      #expect(wheel.millisecondsToNext(limit: 100_000) == Int32(distance) + 1)
      #expect(wheel.nextDue(now: (7 + distance) * tick) == nil)
      #expect(wheel.nextDue(now: (8 + distance) * tick) == timer)
    }
  }

  @Test func aTimerMayArmAnotherInTheSameSlotWhileFiring() {
    let timers = UnsafeMutablePointer<WheelTimer>.allocate(capacity: 2)
    timers.initialize(repeating: WheelTimer(), count: 2)
    defer { timers.deallocate() }
    var wheel = TimerWheel(now: 0)
    wheel.arm(timers, deadline: 3 * tick)
    var fired = 0
    while let timer = wheel.nextDue(now: 10 * tick) {
      fired += 1
      if timer == timers { wheel.arm(timers + 1, deadline: 3 * tick) }
    }
    #expect(fired == 2)
  }
}

/// A small seeded generator (Steele, Lea and Flood, 2014), so that a failure replays.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
