internal import CMeshSystem
internal import Glibc
internal import Synchronization

/// What epoll reported, as the loop's owner reads it.
public struct Readiness: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  package static let readable = Readiness(rawValue: EPOLLIN.rawValue)
  package static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
  /// The peer will send no more.
  package static let readClosed = Readiness(rawValue: EPOLLRDHUP.rawValue)
  /// Broken, by a reset for example.
  package static let failed = Readiness(rawValue: EPOLLERR.rawValue)
  /// The connection has ended in both directions, or is broken. What came before may still wait to be read.
  package static let hangup = Readiness(rawValue: EPOLLHUP.rawValue | EPOLLERR.rawValue)
}

/// One thread's reactor: epoll, a timer wheel, a receive buffer, a mailbox. Nothing in it is shared but the mailbox.
///
/// A turn is: wait (see `Coalescing`), read the clock once, take the mail, hand out readiness, hand out due timers, end the turn (the owner
/// flushes what became dirty and frees what died). Subclasses say what happens at each of these points; the language
/// wants `open` and `public` for that, in a package without public products.
///
/// Exclusive access to the properties of a loop is not checked while it runs (`@exclusivity(unchecked)`): they belong to
/// its thread, and the checks took 2 % of the time of a request.
open class EventLoop {
  /// Bytes one read may take. Large bodies cross in few system calls; an idle loop touches none of it.
  package static let receiveCapacity = 256 * 1024
  /// Room before the receive buffer, so that a longer head can be put in front of a body that was received with it.
  package static let receiveHeadroom = 16 * 1024
  private static let eventCapacity = 256

  package let epoll: Int32
  package let receiveBuffer: UnsafeMutablePointer<UInt8>
  @exclusivity(unchecked) package var timers: TimerWheel
  /// Monotonic nanoseconds at the top of this turn.
  @exclusivity(unchecked) package private(set) var now: UInt64
  /// Wall-clock nanoseconds since 1970 at the top of this turn.
  package var wallNow: UInt64 { now &+ wallOffset }
  /// How long the turn before this one took, nanoseconds: what a newly ready connection may have waited.
  @exclusivity(unchecked) package private(set) var lastTurnNanoseconds: UInt64 = 0
  @exclusivity(unchecked) private var longestTurnNanoseconds: UInt64 = 0
  /// When to wait a moment for more events.
  @exclusivity(unchecked) package var coalescing = Coalescing()
  /// Exchanges with streams that have work: as the owner says at the end of each turn.
  @exclusivity(unchecked) package var sharedInFlight = 0
  @exclusivity(unchecked) private var lastWaitNanoseconds: UInt64 = 0

  /// The longest turn since the last call, nanoseconds: how long an event may have had to wait. On the loop's thread.
  package func takeLongestTurn() -> UInt64 {
    defer { longestTurnNanoseconds = 0 }
    return longestTurnNanoseconds
  }

  @exclusivity(unchecked) private var wallOffset: UInt64
  /// When the time of day was last asked for, monotonic nanoseconds.
  @exclusivity(unchecked) private var wallAskedAt: UInt64
  /// How long its distance from the monotonic clock is believed: people set it, and it goes on while a machine is
  /// suspended.
  private static let wallBeliefNanoseconds: UInt64 = 1_000_000_000
  private let events: UnsafeMutablePointer<epoll_event>
  private let receiveBlock: UnsafeMutableRawPointer
  private let mailbox: Mailbox
  @exclusivity(unchecked) private var isStopping = false

  /// - Throws: `SystemError` if the kernel gives no epoll or event descriptor.
  package init() throws(SystemError) {
    epoll = cms_epoll_create()
    guard epoll >= 0 else { throw SystemError("epoll_create1") }
    mailbox = try Mailbox()
    let size = Self.receiveHeadroom + Self.receiveCapacity + 64
    receiveBlock = .allocate(byteCount: size, alignment: 64)
    receiveBuffer = (receiveBlock + Self.receiveHeadroom).bindMemory(
      to: UInt8.self, capacity: Self.receiveCapacity + 64)
    events = .allocate(capacity: Self.eventCapacity)
    now = cms_monotonic_nanoseconds()
    wallOffset = cms_wall_nanoseconds() &- now
    wallAskedAt = now
    timers = TimerWheel(now: now)
    guard cms_epoll_add_level(epoll, mailbox.descriptor, nil) == 0 else { throw SystemError("epoll_ctl") }
  }

  deinit {
    cms_close(epoll)
    events.deallocate()
    receiveBlock.deallocate()
  }

  /// A descriptor that was registered with `context` is ready.
  open func ready(_ context: UnsafeMutableRawPointer, _ readiness: Readiness) {}
  /// A timer is due; it is unlinked.
  open func expired(_ timer: UnsafeMutablePointer<WheelTimer>) {}
  /// Everything of this turn has been handed out.
  open func turnEnded() {}

  /// Runs `job` on the loop's thread, soon. Callable from any thread.
  package func submit(_ job: @escaping @Sendable () -> Void) { mailbox.put(job) }
  /// The way to reach this loop from other threads without holding it.
  package var submitter: Submitter { Submitter(mailbox: mailbox) }

  /// Ends `run` after the current turn. On the loop's thread.
  package func stop() { isStopping = true }

  /// Turns until `stop`.
  package func run() {
    while !isStopping { turn(limitMilliseconds: 1000) }
  }

  /// One turn, waiting at most `limitMilliseconds`.
  package func turn(limitMilliseconds: Int32) {
    let asked = now &+ lastTurnNanoseconds
    let pause = coalescing.pause(
      inFlight: sharedInFlight, wait: lastWaitNanoseconds, work: lastTurnNanoseconds)
    if pause > 0 { cms_pause(pause) }
    let count = cms_epoll_wait(
      epoll, events, Int32(Self.eventCapacity), timers.millisecondsToNext(limit: limitMilliseconds))
    now = cms_monotonic_nanoseconds()
    if now &- wallAskedAt >= Self.wallBeliefNanoseconds {
      wallOffset = cms_wall_nanoseconds() &- now
      wallAskedAt = now
    }
    let started = now
    lastWaitNanoseconds = started &- asked
    var index = 0
    while index < Int(count) {
      let flags = events[index].events
      if let context = events[index].data.ptr {
        ready(context, Readiness(rawValue: flags))
      } else {
        mailbox.take()
      }
      index &+= 1
    }
    while let timer = timers.nextDue(now: now) { expired(timer) }
    turnEnded()
    if count > 0 {
      let end = cms_monotonic_nanoseconds()
      lastTurnNanoseconds = end &- started
      if lastTurnNanoseconds > longestTurnNanoseconds { longestTurnNanoseconds = lastTurnNanoseconds }
    } else {
      lastTurnNanoseconds = 0
    }
  }
}

/// A way to run something on a loop's thread from any other.
package struct Submitter: Sendable {
  fileprivate let mailbox: Mailbox
  package func submit(_ job: @escaping @Sendable () -> Void) { mailbox.put(job) }
}

/// Jobs for a loop from other threads: a list under a lock, and an event descriptor that wakes the loop. Only
/// configuration, scrapes and shutdown come this way.
private final class Mailbox: Sendable {
  let descriptor: Int32
  private let jobs = Mutex<[@Sendable () -> Void]>([])

  init() throws(SystemError) {
    descriptor = cms_eventfd()
    guard descriptor >= 0 else { throw SystemError("eventfd") }
  }

  deinit { cms_close(descriptor) }

  func put(_ job: @escaping @Sendable () -> Void) {
    jobs.withLock { $0.append(job) }
    cms_event_raise(descriptor)
  }

  func take() {
    cms_event_take(descriptor)
    let waiting = jobs.withLock { held in
      let taken = held
      held = []
      return taken
    }
    for job in waiting { job() }
  }
}

/// A system call failed.
package struct SystemError: Error, CustomStringConvertible {
  package let call: String
  package let code: Int32

  /// Takes the code from `errno`.
  package init(_ call: String) {
    self.call = call
    self.code = errno
  }

  package init(_ call: String, code: Int32) {
    self.call = call
    self.code = code
  }

  package var description: String { "\(call): \(String(cString: strerror(code)))" }
}
