import MeshModel
import Synchronization

/// Hands lines from one loop to the side thread: a ring of bytes of a fixed size, one writer and one reader, without
/// locks. When there is no room a line is dropped, whole, and counted; the loop never waits.
package final class LogRing: @unchecked Sendable {
  // Unchecked: bytes between `head` and `tail` belong to the reader, the others to the writer, and both positions are
  // published with release and read with acquire.
  private let memory: UnsafeMutablePointer<UInt8>
  private let capacity: Int
  /// Bytes ever written and read: their difference is what the ring holds.
  private let tail = Atomic<Int>(0)
  private let head = Atomic<Int>(0)
  private let lines = Atomic<UInt64>(0)
  private let dropped = Atomic<UInt64>(0)
  private let isCalled = Atomic<Bool>(false)

  /// - Parameter capacity: in bytes, rounded up to a power of two, 4 KiB…64 MiB. Default 256 KiB.
  package init(capacity: Int = 262_144) {
    var size = 4_096
    while size < min(capacity, 67_108_864) { size *= 2 }
    self.capacity = size
    memory = .allocate(capacity: size)
  }

  deinit { memory.deallocate() }

  /// Puts a line, its line feed included, into the ring. False, and counted, where there is no room. For the one writer.
  package func append(_ line: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let start = line.baseAddress, !line.isEmpty else { return true }
    let end = tail.load(ordering: .relaxed)
    let free = capacity &- (end &- head.load(ordering: .acquiring))
    guard line.count <= free else {
      dropped.wrappingAdd(1, ordering: .relaxed)
      return false
    }
    let place = end & (capacity &- 1)
    let first = min(line.count, capacity &- place)
    (memory + place).update(from: start, count: first)
    memory.update(from: start + first, count: line.count &- first)
    tail.store(end &+ line.count, ordering: .releasing)
    lines.wrappingAdd(1, ordering: .relaxed)
    return true
  }

  /// A place in the ring for a line of at most `bytes`, where so many lie together; nil: not now, `append` may find room.
  /// What is written there is a line once `commit` has said how long it is. For the one writer.
  package func reserve(_ bytes: Int) -> UnsafeMutablePointer<UInt8>? {
    let end = tail.load(ordering: .relaxed)
    let place = end & (capacity &- 1)
    guard bytes <= capacity &- place, bytes <= capacity &- (end &- head.load(ordering: .acquiring)) else { return nil }
    return memory + place
  }

  /// The place that was reserved last holds a line of `count` bytes.
  package func commit(_ count: Int) {
    tail.store(tail.load(ordering: .relaxed) &+ count, ordering: .releasing)
    lines.wrappingAdd(1, ordering: .relaxed)
  }

  /// Whether the reader is to be called: the ring is half full, and it has not been called since it read last. For the
  /// one writer.
  package func callsReader() -> Bool {
    guard tail.load(ordering: .relaxed) &- head.load(ordering: .relaxed) > capacity / 2,
      !isCalled.load(ordering: .relaxed)
    else { return false }
    isCalled.store(true, ordering: .relaxed)
    return true
  }

  /// Lends the oldest bytes that lie together, for the one reader; `body` says how many of them it took. False where
  /// there are none. A ring that wraps around takes two calls.
  package func read(_ body: (UnsafeBufferPointer<UInt8>) -> Int) -> Bool {
    isCalled.store(false, ordering: .relaxed)
    let start = head.load(ordering: .relaxed)
    let count = tail.load(ordering: .acquiring) &- start
    guard count > 0 else { return false }
    let place = start & (capacity &- 1)
    let length = min(count, capacity &- place)
    let taken = body(UnsafeBufferPointer(start: memory + place, count: length))
    head.store(start &+ min(max(0, taken), length), ordering: .releasing)
    return true
  }

  /// Lines put in, since the beginning.
  package var lineCount: UInt64 { lines.load(ordering: .relaxed) }

  /// Lines dropped, since the beginning.
  package var droppedCount: UInt64 { dropped.load(ordering: .relaxed) }
}
