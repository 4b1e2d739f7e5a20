// Unsafe by design: memory goes from queue to queue.
internal import MeshReactor

/// Memory of queues that are empty again, by size, for the next ones that gather output or wait for a window.
struct SpareQueues {
  /// Sizes are powers of two from 1 KiB to 512 KiB.
  private static let classes = 10
  private static let perClass = 64
  /// Bytes that may lie unused in all.
  private static let limitBytes = 1024 * 1024

  private let queues: UnsafeMutablePointer<ByteQueue>
  private let counts: UnsafeMutablePointer<Int>
  /// The fewest there were of a size since the last `calm`.
  private let unused: UnsafeMutablePointer<Int>
  private var bytes = 0

  init() {
    queues = .allocate(capacity: Self.classes * Self.perClass)
    counts = .allocate(capacity: Self.classes)
    counts.initialize(repeating: 0, count: Self.classes)
    unused = .allocate(capacity: Self.classes)
    unused.initialize(repeating: 0, count: Self.classes)
  }

  mutating func deallocate() {
    for size in 0..<Self.classes { drop(size, counts[size]) }
    queues.deallocate()
    counts.deallocate()
    unused.deallocate()
  }

  /// The class whose memory holds so many bytes.
  private static func size(for count: Int) -> Int {
    count <= 1024 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount - 10
  }

  /// An empty queue with room for `count` bytes, and not for many times as much; nil if there is none.
  mutating func take(_ count: Int) -> ByteQueue? {
    let least = Self.size(for: count)
    var size = least
    while size < min(Self.classes, least + 3) {
      if counts[size] > 0 {
        counts[size] &-= 1
        unused[size] = min(unused[size], counts[size])
        let queue = (queues + (size &* Self.perClass &+ counts[size])).move()
        bytes &-= queue.capacity
        return queue
      }
      size &+= 1
    }
    return nil
  }

  /// Keeps the memory of an empty queue, or gives it back where enough is kept.
  mutating func put(_ queue: inout ByteQueue) {
    guard queue.capacity > 0 else { return }
    let size = Self.size(for: queue.capacity)
    guard size < Self.classes, counts[size] < Self.perClass, bytes &+ queue.capacity <= Self.limitBytes else {
      return queue.release()
    }
    queue.clear()
    bytes &+= queue.capacity
    (queues + (size &* Self.perClass &+ counts[size])).initialize(to: queue)
    counts[size] &+= 1
    queue = ByteQueue()
  }

  /// Call every few seconds: what nobody has taken since is given back.
  mutating func calm() {
    for size in 0..<Self.classes {
      drop(size, min(unused[size], counts[size]))
      unused[size] = counts[size]
    }
  }

  private mutating func drop(_ size: Int, _ count: Int) {
    for _ in 0..<count {
      counts[size] &-= 1
      var queue = (queues + (size &* Self.perClass &+ counts[size])).move()
      bytes &-= queue.capacity
      queue.release()
    }
  }
}

extension Worker {
  /// Least memory of a queue that gathers: most messages fit.
  private static let leastQueue = 16 * 1024

  /// Appends to a queue that gathers output or waits for a window; where it must grow it takes spare memory.
  ///
  /// - Parameter expecting: bytes that are about to be appended in all.
  func keep(_ queue: inout ByteQueue, _ bytes: UnsafePointer<UInt8>, _ count: Int, expecting: Int = 0) {
    guard count > 0 else { return }
    let extra = max(count, expecting)
    let held = queue.count
    if queue.capacity &- queue.end < count, !(queue.capacity &- held >= extra && queue.start >= held),
      var larger = spares.take(max(held &+ extra, Self.leastQueue))
    {
      if held > 0, let kept = queue.bytes { larger.append(kept, held) }
      spares.put(&queue)
      queue = larger
    } else if queue.capacity == 0 {
      _ = queue.reserve(max(extra, Self.leastQueue))
    }
    queue.append(bytes, count)
  }

  /// Keeps the memory of an empty queue for the next one.
  func spare(_ queue: inout ByteQueue) { spares.put(&queue) }
}
