// Unsafe by design: stream states live in raw memory.

extension HTTP2Connection {
  /// Whether this side opens streams with such identifiers.
  @inline(__always)
  mutating func isLocal(_ id: UInt32) -> Bool { (id & 1 == 1) == (role == .client) }

  /// Whether no stream with this identifier has been opened yet.
  @inline(__always)
  mutating func isIdle(_ id: UInt32) -> Bool { isLocal(id) ? id >= nextLocalID : id > lastPeerID }

  /// Whether this side has reset the stream lately, and the peer may not know of it yet.
  mutating func wasReset(_ id: UInt32) -> Bool {
    for index in 0..<recentResets.count where recentResets[index] == id { return true }
    return false
  }

  mutating func rememberReset(_ id: UInt32) {
    recentResets[recentReset] = id
    recentReset = (recentReset &+ 1) % recentResets.count
  }

  /// The peer has ended its side.
  mutating func remoteEnd(_ stream: HTTP2Stream, _ slot: UnsafeMutablePointer<HTTP2Slot>) {
    slot.pointee.flags.insert(.remoteEnded)
    if slot.pointee.flags.contains(.localEnded) { retire(stream) }
  }

  /// This side has ended.
  mutating func localEnd(_ stream: HTTP2Stream, _ slot: UnsafeMutablePointer<HTTP2Slot>) {
    slot.pointee.flags.insert(.localEnded)
    // If the peer's last event is being handled, its slot goes with the next call.
    if slot.pointee.flags.contains(.remoteEnded), retired != stream { forget(stream) }
  }

  /// The stream's last event is about to be reported; its slot stays until the next call.
  mutating func retire(_ stream: HTTP2Stream) {
    if let slot = streams.slot(stream) { slot.pointee.flags.formUnion([.localEnded, .remoteEnded]) }
    retired = stream
  }

  /// Gives the slot back.
  mutating func forget(_ stream: HTTP2Stream) {
    guard let slot = streams.slot(stream) else { return }
    if slot.pointee.flags.contains(.ready) { unlinkReady(stream.slot) }
    takeBackGrowth(slot)
    streams.remove(stream)
  }

  /// Ends a stream because the peer broke a rule on it.
  mutating func streamError(_ stream: HTTP2Stream, _ reason: HTTP2Reason) -> HTTP2Event {
    if let flood = countEarlyReset(), case .event(let event) = flood { return event }
    if let flood = queueControl(), case .event(let event) = flood { return event }
    writeReset(stream.id, reason.code)
    rememberReset(stream.id)
    retire(stream)
    return .reset(stream, HTTP2Reset(code: reason.code, origin: .local(reason)))
  }

  /// Refuses a stream that the owner has not heard of.
  mutating func refuse(_ id: UInt32, _ reason: HTTP2Reason) -> Step {
    if let flood = countEarlyReset() { return flood }
    if let flood = queueControl() { return flood }
    writeReset(id, reason.code)
    rememberReset(id)
    return .event(.refused(reason))
  }

  /// Ends a stream early, for a reason of the owner's. No event follows; no data of it is reported any more.
  package mutating func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
    guard phase != .failed, let slot = streams.slot(stream), retired != stream else { return }
    // To the peer, a stream of ours whose head was never sent does not exist.
    if !isLocal(stream.id) || slot.pointee.flags.contains(.headSent) {
      writeReset(stream.id, code)
      rememberReset(stream.id)
    }
    forget(stream)
  }

  // MARK: - Streams that wait to send

  /// Puts every blocked stream that has a window now on the ready list.
  mutating func releaseBlocked() {
    guard sendWindow > 0 else { return }
    for index in 0..<UInt32(truncatingIfNeeded: streams.capacity) {
      guard let slot = streams.slot(index), slot.pointee.id != 0 else { continue }
      markReady(HTTP2Stream(id: slot.pointee.id, slot: index), slot)
    }
  }

  mutating func markReady(_ stream: HTTP2Stream, _ slot: UnsafeMutablePointer<HTTP2Slot>) {
    guard slot.pointee.flags.contains(.blocked), !slot.pointee.flags.contains(.ready), slot.pointee.sendWindow > 0,
      sendWindow > 0
    else { return }
    slot.pointee.flags.insert(.ready)
    slot.pointee.nextReady = HTTP2StreamTable.none
    if let last = streams.slot(readyLast), readyFirst != HTTP2StreamTable.none {
      last.pointee.nextReady = stream.slot
    } else {
      readyFirst = stream.slot
    }
    readyLast = stream.slot
  }

  /// Takes the first stream off the ready list that can indeed send, if the output has room.
  mutating func nextReady() -> HTTP2Stream? {
    while output.count < limits.maxOutputBytes, let slot = streams.slot(readyFirst) {
      let stream = HTTP2Stream(id: slot.pointee.id, slot: readyFirst)
      readyFirst = slot.pointee.nextReady
      if readyFirst == HTTP2StreamTable.none { readyLast = HTTP2StreamTable.none }
      slot.pointee.flags.remove(.ready)
      // What another stream has taken of the connection's window meanwhile is waited for again.
      guard sendWindow > 0, slot.pointee.sendWindow > 0, !slot.pointee.flags.contains(.localEnded) else { continue }
      slot.pointee.flags.remove(.blocked)
      return stream
    }
    return nil
  }

  private mutating func unlinkReady(_ index: UInt32) {
    guard let slot = streams.slot(index) else { return }
    let after = slot.pointee.nextReady
    if readyFirst == index {
      readyFirst = after
      if after == HTTP2StreamTable.none { readyLast = HTTP2StreamTable.none }
      return
    }
    var cursor = readyFirst
    while let current = streams.slot(cursor) {
      if current.pointee.nextReady == index {
        current.pointee.nextReady = after
        if readyLast == index { readyLast = cursor }
        return
      }
      cursor = current.pointee.nextReady
    }
  }
}
