// Unsafe by design: stream states live in raw memory.

/// Receive windows: what the peer may send before it is told that what it sent is out of the way.
///
/// A stream's window grows where the way is long and its reader quick: of a transfer, a PING measures now and then how much
/// comes in a round trip, and where that is most of what the window leaves, and all of it has been passed on, the window
/// doubles; over 1 MiB only to an eighth of what the stream has carried, since the kernels' buffers on the way take the first
/// megabytes for a reader that does not read at all. Where its reader falls behind by more than the window it began with, it
/// shrinks again: what the reader takes is not granted anew until the growth is gone. All growth together is bounded, for a
/// connection, whose own window grows along, and for a loop: a reader that stops, with a window grown or not, takes nothing
/// from the others.
extension HTTP2Connection {
  /// What is being measured.
  struct WindowProbe {
    /// The stream whose bytes are counted; nil: nothing is measured.
    var stream: HTTP2Stream?
    /// What it had received when the PING went out.
    var received: Int64 = 0
    /// Announcements to wait before the next measurement.
    var patience = 0
    /// By how much the windows of open streams have grown.
    var grown: Int64 = 0
    /// Of the connection's window, what ended streams had grown by: it is not given back once more.
    var surplus: Int64 = 0
  }

  /// The opaque data of the PING that measures.
  static let windowPing: UInt64 = 0x6170_7573_2077_696e
  /// Announcements of a window between two measurements that came to nothing.
  private static let probeEvery = 8
  /// … and after a reader has fallen behind.
  private static let probeAfterShrinking = 64
  /// What a window grows to at once; further growth is earned.
  private static let unearnedWindow: Int64 = 1024 * 1024
  /// Of what a stream has carried its window may be this part.
  private static let earnedPart: Int64 = 8

  /// Says that `count` bytes of body are out of the way, so that the peer may send as many again. Every byte of a
  /// `.data` event must be told once, also when its stream has ended meanwhile.
  package mutating func consumed(_ stream: HTTP2Stream, _ count: Int) {
    guard count > 0, phase != .failed else { return }
    guard let slot = streams.slot(stream), !slot.pointee.flags.contains(.remoteEnded) else { return credit(count) }
    let waited = waiting(slot)
    slot.pointee.unannounced &+= UInt32(truncatingIfNeeded: count)
    if slot.pointee.grown > 0, waited > streamWindow { shrink(slot) }
    credit(count)
    announce(slot)
    if slot.pointee.unannounced == 0, Int64(limits.streamWindowLimitBytes) > streamWindow { measure(stream, slot) }
  }

  /// Tells the peer of a stream's consumed bytes when they are half of its window.
  mutating func announce(_ slot: UnsafeMutablePointer<HTTP2Slot>) {
    guard slot.pointee.unannounced > 0, Int64(slot.pointee.unannounced) &* 2 >= window(slot) else { return }
    slot.pointee.receiveWindow &+= Int64(slot.pointee.unannounced)
    writeWindowUpdate(slot.pointee.id, slot.pointee.unannounced)
    slot.pointee.unannounced = 0
  }

  /// Gives the connection's window back.
  mutating func credit(_ count: Int) {
    let kept = min(probe.surplus, Int64(count))
    probe.surplus &-= kept
    unannounced &+= Int64(count) &- kept
    guard unannounced &* 2 >= Int64(limits.connectionWindowBytes) || receiveWindow < 16_384, unannounced > 0 else {
      return
    }
    receiveWindow &+= unannounced
    writeWindowUpdate(0, UInt32(truncatingIfNeeded: unannounced))
    unannounced = 0
  }

  private func window(_ slot: UnsafeMutablePointer<HTTP2Slot>) -> Int64 { streamWindow &+ Int64(slot.pointee.grown) }

  /// What has come on a stream and its reader has not taken.
  private func waiting(_ slot: UnsafeMutablePointer<HTTP2Slot>) -> Int64 {
    window(slot) &- slot.pointee.receiveWindow &- Int64(slot.pointee.unannounced)
  }

  // MARK: - Growth

  private mutating func measure(_ stream: HTTP2Stream, _ slot: UnsafeMutablePointer<HTTP2Slot>) {
    guard probe.stream == nil, settingsAcknowledged, window(slot) < Int64(limits.streamWindowLimitBytes),
      probe.grown &+ probe.surplus < Int64(limits.windowGrowthBytes)
    else { return }
    guard probe.patience == 0 else {
      probe.patience &-= 1
      return
    }
    probe.stream = stream
    probe.received = slot.pointee.received
    writePing(Self.windowPing, ack: false)
  }

  /// The PING has been answered: a round trip is over.
  mutating func measured() {
    guard let stream = probe.stream else { return }
    probe.stream = nil
    probe.patience = Self.probeEvery
    guard let slot = streams.slot(stream), !slot.pointee.flags.contains(.remoteEnded) else { return }
    let size = window(slot)
    // The question went out with half of the window: if most of the other half came before its answer, the sender has been
    // waiting for us.
    guard (slot.pointee.received &- probe.received) &* 8 >= size &* 3, waiting(slot) == 0 else { return }
    guard size < Self.unearnedWindow || slot.pointee.received / Self.earnedPart >= 2 &* size else { return }
    var more = min(
      size, Int64(limits.streamWindowLimitBytes) &- size,
      Int64(limits.windowGrowthBytes) &- probe.grown &- probe.surplus, 0x7FFF_FFFF &- receiveWindow)
    if let growth { more = min(more, growth.pointee.limitBytes &- growth.pointee.bytes) }
    guard more > 0 else { return }
    probe.patience = 0
    probe.grown &+= more
    growth?.pointee.bytes &+= more
    slot.pointee.grown &+= UInt32(truncatingIfNeeded: more)
    slot.pointee.receiveWindow &+= more
    receiveWindow &+= more
    writeWindowUpdate(stream.id, UInt32(truncatingIfNeeded: more))
    writeWindowUpdate(0, UInt32(truncatingIfNeeded: more))
  }

  /// The reader has fallen behind: what it has taken is not granted again, as far as the window has grown.
  private mutating func shrink(_ slot: UnsafeMutablePointer<HTTP2Slot>) {
    let less = min(slot.pointee.grown, slot.pointee.unannounced)
    slot.pointee.unannounced &-= less
    slot.pointee.grown &-= less
    takeBack(Int64(less))
    probe.patience = Self.probeAfterShrinking
  }

  /// A stream is over: what its window had grown by is free for others.
  mutating func takeBackGrowth(_ slot: UnsafeMutablePointer<HTTP2Slot>) {
    guard slot.pointee.grown > 0 else { return }
    takeBack(Int64(slot.pointee.grown))
    slot.pointee.grown = 0
  }

  private mutating func takeBack(_ less: Int64) {
    probe.grown &-= less
    probe.surplus &+= less
    growth?.pointee.bytes &-= less
  }

  /// The connection is over: what all its windows had grown by is free for the loop's others. Nothing may come after it.
  package mutating func giveBackGrowth() {
    growth?.pointee.bytes &-= probe.grown
    probe.grown = 0
  }
}

/// By how much the receive windows of all connections of a loop have grown, and may: what readers that stop can make the
/// loop hold beyond the windows that streams begin with.
package struct HTTP2Growth: Sendable {
  /// Most that they may grow by together, bytes.
  package let limitBytes: Int64
  /// By how much they have.
  package internal(set) var bytes: Int64 = 0

  /// - Parameter limitBytes: at least 0.
  package init(limitBytes: Int) { self.limitBytes = Int64(limitBytes) }
}
