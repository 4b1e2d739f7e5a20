internal import Glibc

/// Bytes waiting to be parsed or sent: a growable buffer that is consumed from the front.
///
/// Owns memory only while it holds something (or until `release`); the empty queue of an idle connection costs 32 bytes.
/// Not copied in meaning: whoever holds the struct frees it.
package struct ByteQueue {
  package private(set) var base: UnsafeMutablePointer<UInt8>?
  package private(set) var start = 0
  package private(set) var end = 0
  package private(set) var capacity = 0

  /// Smallest block that is taken from the allocator.
  static let minimumCapacity = 1024
  /// From here on blocks are the kernel's own (M_MMAP_THRESHOLD): they grow where they are, page by page.
  static let largeCapacity = 256 * 1024

  package init() {}

  package var count: Int { end &- start }
  package var isEmpty: Bool { end == start }
  /// The bytes held; valid until the next change. Must not be asked of a queue that never held anything.
  package var bytes: UnsafeMutablePointer<UInt8>? { base.map { $0 + start } }

  /// Makes room for `extra` bytes behind the end and returns where they go.
  package mutating func reserve(_ extra: Int) -> UnsafeMutablePointer<UInt8> {
    if let base, capacity &- end >= extra { return base + end }
    return grow(extra)
  }

  private mutating func grow(_ extra: Int) -> UnsafeMutablePointer<UInt8> {
    let held = count
    if let base, start > 0, capacity &- held >= extra, start >= held {
      memmove(base, base + start, held)
      start = 0
      end = held
      return base + end
    }
    if held &+ extra > Self.largeCapacity { return growLarge(held, extra) }
    let wanted = max(Self.minimumCapacity, (held &+ extra).nextPowerOfTwo)
    // Memory that cannot be had is fatal: there is nothing sensible left to do with a peer's bytes.
    guard let fresh = malloc(wanted)?.assumingMemoryBound(to: UInt8.self) else { fatalError("out of memory") }
    if let base {
      memcpy(fresh, base + start, held)
      free(base)
    }
    base = fresh
    start = 0
    end = held
    capacity = wanted
    return fresh + held
  }

  /// A queue of somebody who reads slowly: by a sixth at most larger than what it holds, and never a second block
  /// beside it.
  private mutating func growLarge(_ held: Int, _ extra: Int) -> UnsafeMutablePointer<UInt8> {
    if let base, start > 0 {
      memmove(base, base + start, held)
      start = 0
      end = held
    }
    // Room for a twelfth at least, so that moving costs twelve bytes a byte at most.
    let needed = held &+ extra
    if let base, capacity >= needed &+ needed / 12 { return base + held }
    let wanted = (needed &+ needed / 6 &+ 0xFFFF) & ~0xFFFF
    guard let grown = realloc(base, wanted)?.assumingMemoryBound(to: UInt8.self) else { fatalError("out of memory") }
    base = grown
    capacity = wanted
    return grown + held
  }

  /// Counts `written` bytes, put where `reserve` said, as held.
  package mutating func commit(_ written: Int) { end &+= written }

  package mutating func append(_ source: UnsafePointer<UInt8>, _ length: Int) {
    guard length > 0 else { return }
    memcpy(reserve(length), source, length)
    end &+= length
  }

  /// Takes `length` bytes from the front.
  package mutating func consume(_ length: Int) {
    start &+= length
    if start >= end {
      start = 0
      end = 0
    }
  }

  /// Forgets what it holds and keeps the memory.
  package mutating func clear() {
    start = 0
    end = 0
  }

  /// Gives the memory back if nothing is held and it is larger than `keep` bytes.
  package mutating func shrink(keep: Int) {
    if isEmpty, capacity > keep { release() }
  }

  /// Frees everything.
  package mutating func release() {
    free(base)
    base = nil
    start = 0
    end = 0
    capacity = 0
  }
}

extension Int {
  fileprivate var nextPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
