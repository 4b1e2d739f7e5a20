// Unsafe by design: stream states live in raw memory.

/// Receive windows: what the peer may send before it is told that what it sent is out of the way.
///
/// A stream's window grows where the way is long and its reader quick: of a transfer, a PING measures now and then how much
/// comes in a round trip, and where that is most of what the window leaves, and all of it has been passed on, the window
/// doubles. All growth together is bounded for a connection, whose own window grows along: a reader that stops, with a window grown or
/// not, takes nothing from the others.
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

  /// Says that `count` bytes of body are out of the way, so that the peer may send as many again. Every byte of a
  /// `.data` event must be told once, also when its stream has ended meanwhile.
  package mutating func consumed(_ stream: HTTP2Stream, _ count: Int) {
    guard count > 0, phase != .failed else { return }
    credit(count)
    guard let slot = streams.slot(stream), !slot.pointee.flags.contains(.remoteEnded) else { return }
    slot.pointee.unannounced &+= UInt32(truncatingIfNeeded: count)
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
    let held = size &- slot.pointee.receiveWindow &- Int64(slot.pointee.unannounced)
    // The question went out with half of the window: if most of the other half came before its answer, the sender has been
    // waiting for us.
    guard (slot.pointee.received &- probe.received) &* 8 >= size &* 3, held == 0 else { return }
    let more = min(
      size, Int64(limits.streamWindowLimitBytes) &- size,
      Int64(limits.windowGrowthBytes) &- probe.grown &- probe.surplus, 0x7FFF_FFFF &- receiveWindow)
    guard more > 0 else { return }
    probe.patience = 0
    probe.grown &+= more
    slot.pointee.grown &+= UInt32(truncatingIfNeeded: more)
    slot.pointee.receiveWindow &+= more
    receiveWindow &+= more
    writeWindowUpdate(stream.id, UInt32(truncatingIfNeeded: more))
    writeWindowUpdate(0, UInt32(truncatingIfNeeded: more))
  }

  /// A stream is over: what its window had grown by is free for others.
  mutating func takeBackGrowth(_ slot: UnsafeMutablePointer<HTTP2Slot>) {
    guard slot.pointee.grown > 0 else { return }
    probe.grown &-= Int64(slot.pointee.grown)
    probe.surplus &+= Int64(slot.pointee.grown)
    slot.pointee.grown = 0
  }
}
