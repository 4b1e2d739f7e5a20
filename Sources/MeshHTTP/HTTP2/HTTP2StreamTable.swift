// Unsafe by design: stream states in one slab, with a free list and a hash table threaded through it.

/// The state of one stream. Plain memory; a slot is used again for a later stream.
struct HTTP2Slot {
  /// What has happened on a stream.
  struct Flags: OptionSet {
    let rawValue: UInt16
    /// This side has sent END_STREAM.
    static let localEnded = Flags(rawValue: 1)
    /// The peer has sent END_STREAM.
    static let remoteEnded = Flags(rawValue: 2)
    /// The peer's final head has come.
    static let headReceived = Flags(rawValue: 4)
    /// The request was HEAD: a length without a body.
    static let bodiless = Flags(rawValue: 8)
    /// `sendData` did not take everything.
    static let blocked = Flags(rawValue: 16)
    /// On the list of streams to be reported as writable.
    static let ready = Flags(rawValue: 32)
    /// This side has sent its final head.
    static let headSent = Flags(rawValue: 64)
    /// A tunnel: no length to check.
    static let connect = Flags(rawValue: 128)
  }

  /// 0 in a free slot.
  var id: UInt32 = 0
  /// The next slot in the same bucket, or the next free one.
  var next: UInt32 = HTTP2StreamTable.none
  /// The next slot on the ready list.
  var nextReady: UInt32 = HTTP2StreamTable.none
  var flags: Flags = []
  /// How much the peer lets us send; below zero after its SETTINGS took some back.
  var sendWindow: Int64 = 0
  /// How much we let the peer send.
  var receiveWindow: Int64 = 0
  /// Consumed, but not announced yet.
  var unannounced: UInt32 = 0
  /// By how much our window of this stream has grown.
  var grown: UInt32 = 0
  /// The announced length of the peer's body, or -1.
  var expected: Int64 = -1
  /// Body bytes received.
  var received: Int64 = 0
  /// The owner's.
  var tag: UInt = 0
}

/// The open streams of a connection: found by slot in one step, by identifier in about one.
struct HTTP2StreamTable: ~Copyable {
  static let none = UInt32.max
  private var slots: UnsafeMutablePointer<HTTP2Slot>?
  private var buckets: UnsafeMutablePointer<UInt32>?
  private(set) var capacity = 0
  private(set) var count = 0
  private var free = Self.none

  init() {}

  deinit {
    slots?.deallocate()
    buckets?.deallocate()
  }

  /// The slot at an index below `capacity`.
  @inline(__always)
  func slot(_ index: UInt32) -> UnsafeMutablePointer<HTTP2Slot>? {
    guard let slots, Int(index) < capacity else { return nil }
    return slots + Int(index)
  }

  /// The slot of a stream that is still open.
  @inline(__always)
  func slot(_ stream: HTTP2Stream) -> UnsafeMutablePointer<HTTP2Slot>? {
    guard let slot = slot(stream.slot), slot.pointee.id == stream.id, stream.id != 0 else { return nil }
    return slot
  }

  @inline(__always)
  private func bucket(_ id: UInt32) -> Int { Int(id &>> 1) & (capacity &- 1) }

  /// The open stream with this identifier.
  @inline(__always)
  func find(_ id: UInt32) -> HTTP2Stream? {
    guard let slots, let buckets else { return nil }
    var index = buckets[bucket(id)]
    while index != Self.none {
      if slots[Int(index)].id == id { return HTTP2Stream(id: id, slot: index) }
      index = slots[Int(index)].next
    }
    return nil
  }

  /// A slot for a new stream.
  mutating func insert(_ id: UInt32) -> HTTP2Stream {
    if free == Self.none { grow() }
    guard let slots, let buckets else { return HTTP2Stream(id: 0, slot: Self.none) }
    let index = free
    let slot = slots + Int(index)
    free = slot.pointee.next
    slot.pointee = HTTP2Slot()
    slot.pointee.id = id
    slot.pointee.next = buckets[bucket(id)]
    buckets[bucket(id)] = index
    count &+= 1
    return HTTP2Stream(id: id, slot: index)
  }

  /// Ends a stream. It must not be on the ready list.
  mutating func remove(_ stream: HTTP2Stream) {
    guard let slots, let buckets, let slot = slot(stream) else { return }
    let place = bucket(stream.id)
    if buckets[place] == stream.slot {
      buckets[place] = slot.pointee.next
    } else {
      var index = buckets[place]
      while index != Self.none, slots[Int(index)].next != stream.slot { index = slots[Int(index)].next }
      if index != Self.none { slots[Int(index)].next = slot.pointee.next }
    }
    slot.pointee.id = 0
    slot.pointee.flags = []
    slot.pointee.next = free
    free = stream.slot
    count &-= 1
  }

  private mutating func grow() {
    let size = capacity == 0 ? 4 : capacity * 2
    let fresh = UnsafeMutablePointer<HTTP2Slot>.allocate(capacity: size)
    fresh.initialize(repeating: HTTP2Slot(), count: size)
    if let slots {
      fresh.update(from: slots, count: capacity)
      slots.deallocate()
    }
    buckets?.deallocate()
    let table = UnsafeMutablePointer<UInt32>.allocate(capacity: size)
    table.initialize(repeating: Self.none, count: size)
    let old = capacity
    slots = fresh
    buckets = table
    capacity = size
    for index in 0..<old where fresh[index].id != 0 {
      let place = bucket(fresh[index].id)
      fresh[index].next = table[place]
      table[place] = UInt32(truncatingIfNeeded: index)
    }
    for index in stride(from: size - 1, through: old, by: -1) {
      fresh[index].next = free
      free = UInt32(truncatingIfNeeded: index)
    }
  }
}
