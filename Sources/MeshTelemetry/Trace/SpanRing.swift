package import MeshModel
import Synchronization

/// Hands spans from one loop to the side thread: places of a fixed size, one writer and one reader, without locks. When
/// there is no place a span is dropped, which the caller counts; the loop never waits.
package final class SpanRing: @unchecked Sendable {
  // Unchecked: places between `head` and `tail` belong to the reader, the others to the writer, and both positions are
  // published with release and read with acquire.
  /// Room for one record with its texts.
  package static let slotBytes = 2_048
  private static let textOffset = (MemoryLayout<SpanRecord>.stride + 15) & ~15
  /// Room for the texts of one record.
  package static let textBytes = slotBytes - textOffset - 8

  private let memory: UnsafeMutableRawPointer
  private let capacity: Int
  private let tail = Atomic<Int>(0)
  private let head = Atomic<Int>(0)

  /// - Parameter capacity: spans, rounded up to a power of two, 16…65,536. Default 1,024.
  package init(capacity: Int = 1_024) {
    var size = 16
    while size < min(capacity, 65_536) { size *= 2 }
    self.capacity = size
    // Not initialized: places that are never used are never taken from the system.
    memory = .allocate(byteCount: size * Self.slotBytes, alignment: 64)
  }

  deinit { memory.deallocate() }

  /// Puts a span into the ring; `texts` writes its texts where they stay. False where there is no place.
  /// For the one writer.
  package func append(_ record: SpanRecord, texts: (inout FixedWriter) -> Void) -> Bool {
    let end = tail.load(ordering: .relaxed)
    guard end &- head.load(ordering: .acquiring) < capacity else {
      return false
    }
    let slot = memory + (end & (capacity &- 1)) &* Self.slotBytes
    slot.storeBytes(of: record, as: SpanRecord.self)
    let place = slot + Self.textOffset
    var writer = FixedWriter(
      base: (place + 8).assumingMemoryBound(to: UInt8.self), capacity: Self.textBytes)
    texts(&writer)
    place.storeBytes(of: writer.count, as: Int.self)
    tail.store(end &+ 1, ordering: .releasing)
    return true
  }

  /// Takes the oldest span. For the one reader.
  package func take() -> SpanEntry? {
    let start = head.load(ordering: .relaxed)
    guard tail.load(ordering: .acquiring) &- start > 0 else { return nil }
    let slot = memory + (start & (capacity &- 1)) &* Self.slotBytes
    let record = slot.load(as: SpanRecord.self)
    let place = slot + Self.textOffset
    let count = min(max(0, place.load(as: Int.self)), Self.textBytes)
    let texts = Array(UnsafeRawBufferPointer(start: place + 8, count: count))
    head.store(start &+ 1, ordering: .releasing)
    return SpanEntry(record: record, texts: texts)
  }
}
