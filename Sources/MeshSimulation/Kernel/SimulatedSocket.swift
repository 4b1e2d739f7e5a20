// Unsafe by design: events carry the loop's own pointers, as those of epoll do.
internal import MeshPolicy
internal import MeshReactor

/// A socket of the simulated kernel: one end of a byte stream, or a listener. It behaves as a TCP socket of Linux does
/// where a program can tell: what is said at `readyMask`, `receive`, `send` and `close` follows its sources.
final class SimulatedSocket {
  enum State { case fresh, connecting, listening, established, reset }

  let descriptor: Int32
  var state = State.fresh
  var port: UInt16 = 0
  /// The other end.
  var peer: SimulatedSocket?
  /// Connections that nobody has accepted yet.
  var backlog: [SimulatedSocket] = []
  /// Bytes on the way from the peer's `send` to our `receive`, in order: first those that have arrived, then those in
  /// flight, then those that still wait in the peer's send buffer.
  var stream = ByteQueue()
  var arrived = 0
  var inFlight = 0
  /// Room for what has arrived and is in flight; changes as `shape` says.
  var window = 65536
  /// What of ours may wait to be acknowledged.
  var sendCapacity = 65536
  /// How our bytes are cut into segments.
  var shape = SegmentShape()
  /// When the last of what is in flight towards us arrives.
  var lastArrival: UInt64 = 0
  var acknowledged: UInt64 = 0
  /// Asked for room and found none: the next room is announced.
  var wantsRoom = false
  /// We will send no more, and that the peer has been told.
  var isWriteShut = false
  var isFinSent = false
  /// The peer will send no more.
  var isReadShut = false
  var resetsOnClose = false
  /// Closed by its owner; what waits is still sent.
  var isClosed = false
  /// What the next call fails with, once.
  var error: Int32 = 0
  /// Where it is registered.
  var epoll: SimulatedEpoll?
  var context: UnsafeMutableRawPointer?
  var isEdgeTriggered = false
  var isListed = false
  /// Who acts on it, if not a loop.
  weak var watcher: Actor?

  init(_ descriptor: Int32) { self.descriptor = descriptor }
  deinit { stream.release() }

  /// Bytes that `send` took and the peer's kernel has not acknowledged.
  var outstanding: Int { peer.map { $0.stream.count - $0.arrived } ?? 0 }

  var room: Int { max(0, sendCapacity - outstanding) }

  /// Room enough to be announced: a third of the buffer.
  var isWritable: Bool { room * 3 >= sendCapacity }
}

/// How a direction's bytes are cut up; it changes along the stream, so that every stream has stretches of single bytes.
struct SegmentShape {
  /// Longest segment.
  var most = 65536
  /// Segments until the shape changes.
  var left = 0
}

/// A set of descriptors that a loop waits for.
final class SimulatedEpoll {
  /// Those with something to tell, in no order.
  var listed: [SimulatedSocket] = []
}

/// Somebody who acts in a simulation besides the proxies: a client, an application, the clock of a scenario.
class Actor {
  unowned let kernel: SimulatedKernel
  var isRunnable = false

  init(_ kernel: SimulatedKernel) { self.kernel = kernel }

  /// One of its sockets has something to tell, or its time has come.
  func act() {}

  /// Lets `act` be called as soon as it is its turn.
  func wake() {
    guard !isRunnable else { return }
    isRunnable = true
    kernel.runnable.append(self)
  }
}
