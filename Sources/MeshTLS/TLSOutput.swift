#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Bytes on their way to the network: grown by the session, sent and emptied by whoever owns it.
///
/// A plain value over memory of `malloc`, so that it can live in a connection's structure or, one for all connections,
/// in a loop. The owner calls `deallocate()` at the end.
package struct TLSOutput {
  /// The first byte that is still to be sent; nil while nothing was ever written.
  package private(set) var base: UnsafeMutablePointer<UInt8>?
  /// Bytes that are to be sent.
  package private(set) var count: Int
  /// Bytes for which there is room.
  package private(set) var capacity: Int

  package init() {
    base = nil
    count = 0
    capacity = 0
  }

  /// Makes room for `bytes` more at the end.
  ///
  /// - Returns: where to write them, or nil when there is no memory. Follow with `advance(_:)`.
  package mutating func reserve(_ bytes: Int) -> UnsafeMutablePointer<UInt8>? {
    let (needed, overflow) = count.addingReportingOverflow(bytes)
    guard !overflow, bytes >= 0 else { return nil }
    if needed > capacity {
      guard let grown = realloc(base, max(needed, capacity &* 2, 4096)) else { return nil }
      base = grown.assumingMemoryBound(to: UInt8.self)
      capacity = max(needed, capacity &* 2, 4096)
    }
    return base.map { $0 + count }
  }

  /// Says that `bytes` were written where `reserve(_:)` pointed.
  package mutating func advance(_ bytes: Int) {
    count = min(count &+ max(bytes, 0), capacity)
  }

  /// Copies bytes to the end.
  ///
  /// - Returns: false when there is no memory; nothing was added then.
  package mutating func append(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Bool {
    guard length > 0 else { return true }
    guard let room = reserve(length) else { return false }
    room.update(from: bytes, count: length)
    advance(length)
    return true
  }

  /// Forgets the first `bytes`, which were sent, and moves the rest to the front.
  package mutating func removeFirst(_ bytes: Int) {
    let rest = count - min(max(bytes, 0), count)
    if rest > 0, let base { memmove(base, base + (count - rest), rest) }
    count = rest
  }

  /// Empties it and keeps the memory, unless that is more than `limit` bytes.
  package mutating func reset(keeping limit: Int) {
    count = 0
    if capacity > limit { deallocate() }
  }

  /// Gives the memory back; the value is empty and usable again.
  package mutating func deallocate() {
    free(base)
    base = nil
    count = 0
    capacity = 0
  }
}
