// Unsafe by design: a growable run of bytes.

/// Bytes waiting to be sent or completed. It grows by doubling, keeps its memory while it is in use, and gives it back
/// when told that the connection is idle.
struct HTTP2Buffer: ~Copyable {
  private(set) var storage: UnsafeMutablePointer<UInt8>?
  private var capacity = 0
  private var begin = 0
  private var end = 0

  init() {}

  deinit { storage?.deallocate() }

  /// Number of bytes held.
  @inline(__always)
  var count: Int { end &- begin }

  /// The bytes held; valid until the buffer is changed.
  @inline(__always)
  var bytes: UnsafeBufferPointer<UInt8> {
    guard let storage else { return UnsafeBufferPointer(start: nil, count: 0) }
    return UnsafeBufferPointer(start: storage + begin, count: end &- begin)
  }

  /// Room for `length` more bytes, at the returned place; `commit` says how many were written.
  @inline(__always)
  mutating func reserve(_ length: Int) -> UnsafeMutablePointer<UInt8> {
    if let storage, length <= capacity &- end { return storage + end }
    return makeRoom(length)
  }

  @inline(never)
  private mutating func makeRoom(_ length: Int) -> UnsafeMutablePointer<UInt8> {
    let held = end &- begin
    if let storage, held &+ length <= capacity, begin >= held {
      // The front half is free: move what is held there.
      storage.update(from: storage + begin, count: held)
      begin = 0
      end = held
      return storage + held
    }
    var size = max(512, capacity)
    while size < held &+ length { size *= 2 }
    let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
    if let storage {
      fresh.update(from: storage + begin, count: held)
      storage.deallocate()
    }
    storage = fresh
    capacity = size
    begin = 0
    end = held
    return fresh + held
  }

  @inline(__always)
  mutating func commit(_ length: Int) { end &+= length }

  @inline(__always)
  mutating func append(_ source: UnsafePointer<UInt8>, _ length: Int) {
    guard length > 0 else { return }
    reserve(length).update(from: source, count: length)
    end &+= length
  }

  @inline(__always)
  mutating func append(_ byte: UInt8) {
    reserve(1).pointee = byte
    end &+= 1
  }

  /// A place within the bytes held, counted from the first.
  @inline(__always)
  func pointer(at index: Int) -> UnsafeMutablePointer<UInt8>? {
    guard let storage else { return nil }
    return storage + (begin &+ index)
  }

  /// Takes away the first `length` bytes.
  mutating func consume(_ length: Int) {
    begin &+= min(max(0, length), count)
    if begin == end {
      begin = 0
      end = 0
    }
  }

  /// Takes away the bytes from `index` on.
  mutating func truncate(to index: Int) {
    end = begin &+ min(max(0, index), count)
  }

  /// Gives the memory back if nothing is held.
  mutating func trim() {
    guard count == 0 else { return }
    storage?.deallocate()
    storage = nil
    capacity = 0
    begin = 0
    end = 0
  }
}
