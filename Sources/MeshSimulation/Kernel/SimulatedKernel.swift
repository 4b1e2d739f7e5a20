// Unsafe by design: it hands bytes to and from memory of the loops.
internal import CMeshSystem
internal import Glibc
internal import MeshPolicy
internal import MeshReactor

/// How a seed's network behaves.
struct NetworkProfile {
  /// Longest time a segment travels, nanoseconds.
  var latency: UInt64 = 200_000
  /// Longest stretch of segments of one shape; short ones change often.
  var stretch = 100
  /// Of ten thousand segments so many are followed by a reset of their connection.
  var resets = 0
  /// Of a thousand connections so many are refused, or never answered.
  var refusals = 0
  var blackHoles = 0
  /// Buffers are wide and segments large, so that a time is made of nothing but distances and of who waits for whom.
  var isEven = false
  /// Nothing is refused that could not be repeated.
  var isCalm = false
  /// Streams of HTTP/2 at clients and applications have windows of a few bytes, and bodies are small.
  var isNarrow = false
}

/// A kernel in virtual time: sockets, epoll and a clock, all decided by one seed. Time stands still while somebody has
/// something to do and jumps to the next event when nobody has.
final class SimulatedKernel {
  var random: FastRandom
  var profile: NetworkProfile
  private(set) var now: UInt64 = 1_000_000_000_000
  /// 2026-06-01 00:00:00 UTC at the beginning.
  static let wallStart: UInt64 = 1_780_272_000_000_000_000
  private let start: UInt64 = 1_000_000_000_000
  private var sockets: [SimulatedSocket?] = []
  /// All there have been: two ends hold each other.
  private var made: [SimulatedSocket] = []
  private var epolls: [Int32: SimulatedEpoll] = [:]
  private var events = EventQueue()
  var listeners: [UInt16: SimulatedSocket] = [:]
  var runnable: [Actor] = []
  /// Calls that moved something: bytes, connections, ends. A loop that turns without them turns for nothing.
  var work: UInt64 = 0
  /// Calls within one turn of a loop.
  var calls: UInt64 = 0
  /// Called for what no program may do, such as using a descriptor after closing it.
  var misuse: (String) -> Void = { _ in }
  /// What happened, for people; nil: nobody reads it.
  var trace: ((String) -> Void)?
  private var nextPort: UInt16 = 40_000
  static let firstDescriptor: Int32 = 1_000_000

  init(seed: UInt64, profile: NetworkProfile) {
    random = FastRandom(seed: seed)
    self.profile = profile
  }

  var wall: UInt64 { Self.wallStart + (now - start) }
  /// Virtual nanoseconds since the beginning.
  var elapsed: UInt64 { now - start }

  // MARK: Time

  func chance(_ share: Int, of whole: Int) -> Bool { share > 0 && random.pick(whole) < share }

  /// Calls `run` at a time.
  func at(_ time: UInt64, _ run: @escaping () -> Void) { events.put(max(time, now), random.next(), run) }

  func after(_ nanoseconds: UInt64, _ run: @escaping () -> Void) { at(now + nanoseconds, run) }

  /// Something takes time.
  func pass(_ nanoseconds: UInt64) { now += nanoseconds }

  /// The next event's time.
  var nextEvent: UInt64? { events.first }

  /// Runs what is due.
  func runDue() {
    while let time = events.first, time <= now, let run = events.take() { run() }
  }

  func jump(to time: UInt64) { now = max(now, time) }

  // MARK: Descriptors

  func makeSocket() -> SimulatedSocket {
    let socket = SimulatedSocket(Self.firstDescriptor + Int32(sockets.count))
    sockets.append(socket)
    made.append(socket)
    return socket
  }

  /// Lets go of everything that holds something else, when the world has ended.
  func dismantle() {
    for socket in made {
      socket.peer = nil
      socket.epoll = nil
      socket.backlog = []
    }
    made = []
    listeners = [:]
    runnable = []
    events = EventQueue()
  }

  func socket(_ descriptor: Int32) -> SimulatedSocket? {
    calls += 1
    let index = Int(descriptor - Self.firstDescriptor)
    guard sockets.indices.contains(index), let socket = sockets[index] else {
      misuse("descriptor \(descriptor) is used and not open")
      return nil
    }
    return socket
  }

  func forget(_ descriptor: Int32) {
    let index = Int(descriptor - Self.firstDescriptor)
    if sockets.indices.contains(index) { sockets[index] = nil }
  }

  func makeEpoll() -> Int32 {
    let descriptor = makeSocket().descriptor
    epolls[descriptor] = SimulatedEpoll()
    return descriptor
  }

  func epoll(_ descriptor: Int32) -> SimulatedEpoll? { epolls[descriptor] }

  func dropEpoll(_ descriptor: Int32) -> Bool { epolls.removeValue(forKey: descriptor) != nil }

  func nextEphemeralPort() -> UInt16 {
    nextPort = nextPort == 65_535 ? 40_000 : nextPort + 1
    return nextPort
  }

  // MARK: Readiness

  /// Something happened to a socket that its owner is told of.
  func raise(_ socket: SimulatedSocket) {
    socket.watcher?.wake()
    guard let epoll = socket.epoll, !socket.isListed else { return }
    socket.isListed = true
    epoll.listed.append(socket)
  }

  /// What epoll would say (tcp_poll).
  func readyMask(_ socket: SimulatedSocket) -> UInt32 {
    switch socket.state {
    case .fresh: return socket.arrived > 0 ? EPOLLIN.rawValue : 0
    case .listening: return socket.backlog.isEmpty ? 0 : EPOLLIN.rawValue
    case .connecting: return 0
    case .established, .reset: break
    }
    var mask: UInt32 = 0
    let isReset = socket.state == .reset
    if socket.error != 0 { mask |= EPOLLERR.rawValue }
    if isReset || socket.isReadShut && socket.isWriteShut { mask |= EPOLLHUP.rawValue }
    if isReset || socket.isReadShut { mask |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
    if socket.arrived > 0 { mask |= EPOLLIN.rawValue }
    if isReset || socket.isWriteShut || socket.isWritable {
      mask |= EPOLLOUT.rawValue
    } else {
      socket.wantsRoom = true
    }
    return mask
  }

  /// Takes what a loop is told: some of what is listed, in any order.
  func take(_ epoll: SimulatedEpoll, most: Int, _ body: (SimulatedSocket, UInt32) -> Void) -> Int {
    guard !epoll.listed.isEmpty else { return 0 }
    for index in epoll.listed.indices.dropFirst().reversed() {
      epoll.listed.swapAt(index, random.pick(index + 1))
    }
    var limit = most
    if chance(1, of: 3) { limit = 1 + random.pick(4) }
    var given = 0
    var again: [SimulatedSocket] = []
    while given < limit, let socket = epoll.listed.popLast() {
      socket.isListed = false
      let mask = readyMask(socket)
      guard mask != 0, socket.epoll === epoll else { continue }
      body(socket, mask)
      given += 1
      if !socket.isEdgeTriggered { again.append(socket) }
    }
    for socket in again { raise(socket) }
    return given
  }
}

/// What is to happen, by time; what is to happen at the same time happens in the order of a random number.
private struct EventQueue {
  private struct Event {
    let time: UInt64
    let order: UInt64
    let run: () -> Void

    func isBefore(_ other: Event) -> Bool { time != other.time ? time < other.time : order < other.order }
  }

  private var heap: [Event] = []

  var first: UInt64? { heap.first?.time }

  mutating func put(_ time: UInt64, _ order: UInt64, _ run: @escaping () -> Void) {
    heap.append(Event(time: time, order: order, run: run))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].isBefore(heap[parent]) else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func take() -> (() -> Void)? {
    guard let last = heap.popLast() else { return nil }
    guard let top = heap.first else { return last.run }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].isBefore(heap[least]) {
        least = child
      }
      if least == parent { return top.run }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}

extension FastRandom {
  /// A number from 0 below `bound`; 0 where `bound` is not above 0.
  mutating func pick(_ bound: Int) -> Int { Int(below(Int64(bound))) }
}
