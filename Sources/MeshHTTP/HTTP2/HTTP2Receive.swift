// Unsafe by design: frames are read from raw bytes.
extension HTTP2Connection {
  /// What reading a piece of input came to.
  enum Step {
    case event(HTTP2Event)
    case proceed
    case needMore
  }

  /// Reads on and returns the next event. `.needMore` means that the input is used up (what was left of it is kept) and
  /// that nothing else is pending.
  package mutating func next(_ input: inout HTTP2Input, _ scratch: HTTP2Scratch) -> HTTP2Event {
    while true {
      if let event = pendingEvent() { return event }
      let step: Step
      switch phase {
      case .failed:
        input.position = input.count
        return .needMore
      case .preface: step = readPreface(&input)
      case .frames: step = data.active ? readData(&input) : readFrame(&input, scratch)
      }
      switch step {
      case .event(let event): return event
      case .proceed: continue
      case .needMore: return .needMore
      }
    }
  }

  /// What waits to be reported without input.
  private mutating func pendingEvent() -> HTTP2Event? {
    if let stream = retired {
      retired = nil
      forget(stream)
    }
    if phase == .failed { return nil }
    if readyFirst != HTTP2StreamTable.none, let stream = nextReady() { return .writable(stream) }
    if goAwaySweep != UInt32.max { return sweep() }
    return nil
  }

  /// Reports the next stream of ours that the peer's GOAWAY leaves out.
  private mutating func sweep() -> HTTP2Event? {
    let last = goAwayReceived ?? 0x7FFF_FFFF
    while goAwaySweep < streams.capacity {
      let index = goAwaySweep
      goAwaySweep += 1
      guard let slot = streams.slot(index), slot.pointee.id > last, isLocal(slot.pointee.id) else { continue }
      let stream = HTTP2Stream(id: slot.pointee.id, slot: index)
      retired = stream
      return .reset(stream, HTTP2Reset(code: .refusedStream, origin: .goAway))
    }
    goAwaySweep = UInt32.max
    return nil
  }

  private mutating func readPreface(_ input: inout HTTP2Input) -> Step {
    let expected = Self.preface
    while prefaceRead < expected.utf8CodeUnitCount {
      guard input.position < input.count else { return .needMore }
      guard input.bytes[input.position] == expected.utf8Start[prefaceRead] else { return .event(fail(.badPreface)) }
      input.position &+= 1
      prefaceRead &+= 1
    }
    phase = .frames
    return .proceed
  }

  /// Ends the connection: GOAWAY is written and nothing is read any more.
  mutating func fail(_ reason: HTTP2Reason) -> HTTP2Event {
    phase = .failed
    // What an earlier GOAWAY has given up is not promised again.
    writeGoAway(min(lastPeerID, goAwaySent ?? lastPeerID), reason.code)
    return .failed(reason)
  }

  // MARK: - Frames

  private mutating func readFrame(_ input: inout HTTP2Input, _ scratch: HTTP2Scratch) -> Step {
    let available = input.count &- input.position
    let start = input.bytes + input.position
    if stash.count == 0 {
      guard available >= FrameHeader.size else { return keep(start, available, &input) }
      let header = FrameHeader(start)
      if let bad = vet(header) { return .event(fail(bad)) }
      if header.type == FrameType.data {
        input.position &+= FrameHeader.size
        return beginData(header, scratch)
      }
      guard available >= FrameHeader.size &+ header.length else { return keep(start, available, &input) }
      input.position &+= FrameHeader.size &+ header.length
      return handle(header, start + FrameHeader.size, scratch)
    }
    return readStashed(&input, start, available, scratch)
  }

  /// Goes on with a frame of which a part came earlier.
  private mutating func readStashed(
    _ input: inout HTTP2Input, _ start: UnsafePointer<UInt8>, _ available: Int, _ scratch: HTTP2Scratch
  ) -> Step {
    var taken = 0
    if stash.count < FrameHeader.size {
      taken = min(FrameHeader.size &- stash.count, available)
      stash.append(start, taken)
      input.position &+= taken
    }
    guard stash.count >= FrameHeader.size, let held = stash.pointer(at: 0) else { return .needMore }
    let header = FrameHeader(held)
    if let bad = vet(header) { return .event(fail(bad)) }
    if header.type == FrameType.data {
      stash.consume(FrameHeader.size)
      return beginData(header, scratch)
    }
    let size = FrameHeader.size &+ header.length
    let more = min(size &- stash.count, available &- taken)
    stash.append(start + taken, more)
    input.position &+= more
    guard stash.count == size, let frame = stash.pointer(at: 0) else { return .needMore }
    let step = handle(header, frame + FrameHeader.size, scratch)
    stash.consume(size)
    return step
  }

  private mutating func keep(_ start: UnsafePointer<UInt8>, _ count: Int, _ input: inout HTTP2Input) -> Step {
    stash.append(start, count)
    input.position = input.count
    return .needMore
  }

  /// Whether a frame may come now, judged by its header alone.
  private func vet(_ header: FrameHeader) -> HTTP2Reason? {
    if header.length > HTTP2Limits.maxFrameBytes { return .frameTooLarge }
    if headerBlock.stream != 0 {
      return header.type == FrameType.continuation && header.stream == headerBlock.stream ? nil : .frameOutOfPlace
    }
    if header.type == FrameType.continuation { return .frameOutOfPlace }
    if !peer.seen, header.type != FrameType.settings || header.has(FrameFlag.ack) { return .badPreface }
    return nil
  }

  private mutating func handle(
    _ header: FrameHeader, _ payload: UnsafePointer<UInt8>, _ scratch: HTTP2Scratch
  ) -> Step {
    switch header.type {
    case FrameType.headers: return headers(header, payload, scratch)
    case FrameType.continuation: return continuation(header, payload, scratch)
    case FrameType.windowUpdate: return windowUpdate(header, payload)
    case FrameType.reset: return reset(header, payload, scratch)
    case FrameType.settings: return settings(header, payload)
    case FrameType.ping: return ping(header, payload)
    case FrameType.goAway: return goAway(header, payload)
    case FrameType.priority: return priority(header, payload)
    case FrameType.pushPromise: return .event(fail(.pushRefused))
    default: return countControl() ?? .proceed
    }
  }

  // MARK: - Header blocks

  private mutating func headers(
    _ header: FrameHeader, _ payload: UnsafePointer<UInt8>, _ scratch: HTTP2Scratch
  ) -> Step {
    guard header.stream != 0 else { return .event(fail(.badStreamID)) }
    var start = 0
    var end = header.length
    if header.has(FrameFlag.padded) {
      guard end >= 1, Int(payload[0]) < end else { return .event(fail(.badPadding)) }
      end &-= Int(payload[0])
      start = 1
    }
    if header.has(FrameFlag.priority) { start &+= 5 }
    guard start <= end else { return .event(fail(header.has(FrameFlag.padded) ? .badPadding : .badFrameSize)) }
    let pending = HeaderBlock(
      stream: header.stream, endStream: header.has(FrameFlag.endStream),
      selfDependent: header.has(FrameFlag.priority) && dependsOnItself(header, payload + (start &- 5)))
    if header.has(FrameFlag.endHeaders) { return head(pending, payload + start, end &- start, scratch) }
    block.append(payload + start, end &- start)
    headerBlock = pending
    return .proceed
  }

  private mutating func continuation(
    _ header: FrameHeader, _ payload: UnsafePointer<UInt8>, _ scratch: HTTP2Scratch
  ) -> Step {
    headerBlock.continuations &+= 1
    guard headerBlock.continuations <= limits.maxContinuations,
      block.count &+ header.length <= limits.maxHeaderListBytes &+ HTTP2Limits.maxFrameBytes
    else { return .event(fail(.continuationFlood)) }
    let last = header.has(FrameFlag.endHeaders)
    if header.length == 0, !last, let flood = countEmpty() { return flood }
    block.append(payload, header.length)
    guard last else { return .proceed }
    let pending = headerBlock
    headerBlock = HeaderBlock()
    let bytes = block.bytes
    guard let start = bytes.baseAddress else {
      return head(pending, payload, 0, scratch)
    }
    let step = head(pending, start, bytes.count, scratch)
    block.consume(bytes.count)
    return step
  }

  // MARK: - Data

  private mutating func beginData(_ header: FrameHeader, _ scratch: HTTP2Scratch) -> Step {
    guard header.stream != 0 else { return .event(fail(.badStreamID)) }
    let length = Int64(header.length)
    guard length <= receiveWindow else { return .event(fail(.windowExceeded)) }
    let padded = header.has(FrameFlag.padded)
    if padded, header.length == 0 { return .event(fail(.badPadding)) }
    receiveWindow &-= length
    let endStream = header.has(FrameFlag.endStream)
    data = DataFrame(
      active: true, stream: nil, left: header.length, padding: 0, padLengthPending: padded, endStream: endStream)
    if header.length == 0, !endStream {
      data.active = false
      if let flood = countEmpty() { return flood }
    } else if header.length > 0 {
      counters.control = 0
    }
    guard let stream = streams.find(header.stream), let slot = streams.slot(stream) else {
      return dataOnClosed(header, scratch)
    }
    if slot.pointee.flags.contains(.remoteEnded) { return discard(stream, .frameOnClosedStream, header.length) }
    if !slot.pointee.flags.contains(.headReceived) { return discard(stream, .frameOutOfPlace, header.length) }
    // A frame that carries nothing needs no window, not even one that our SETTINGS made negative.
    guard length == 0 || length <= slot.pointee.receiveWindow else {
      return discard(stream, .windowExceeded, header.length)
    }
    slot.pointee.receiveWindow &-= length
    data.stream = stream
    return padded ? .proceed : checkLength(stream, slot)
  }

  /// Whether the payload of the frame that begins fits the length that was announced; before any of it is reported, so
  /// that it does not matter in which pieces it comes.
  private mutating func checkLength(_ stream: HTTP2Stream, _ slot: UnsafeMutablePointer<HTTP2Slot>) -> Step {
    let expected = slot.pointee.expected
    guard expected >= 0 else { return .proceed }
    let total = slot.pointee.received &+ Int64(data.left)
    guard total > expected || (data.endStream && total < expected) else { return .proceed }
    return discard(stream, .contentLengthMismatch, data.left)
  }

  /// Resets the stream; the payload still has to be read past.
  private mutating func discard(_ stream: HTTP2Stream, _ reason: HTTP2Reason, _ unread: Int) -> Step {
    data.stream = nil
    credit(unread)
    return .event(streamError(stream, reason))
  }

  private mutating func dataOnClosed(_ header: FrameHeader, _ scratch: HTTP2Scratch) -> Step {
    if isIdle(header.stream) { return .event(fail(.frameOnIdleStream)) }
    credit(header.length)
    if wasReset(header.stream) || isDoomed(header.stream, scratch) { return .proceed }
    // No work is thrown away here, so this counts as a frame that does nothing and not as a stream that ends early.
    if let flood = countControl() ?? queueControl() { return flood }
    writeReset(header.stream, HTTP2Reason.frameOnClosedStream.code)
    rememberReset(header.stream)
    return .event(.refused(.frameOnClosedStream))
  }

  private mutating func readData(_ input: inout HTTP2Input) -> Step {
    if data.padLengthPending {
      guard input.position < input.count else { return .needMore }
      let padding = Int(input.bytes[input.position])
      input.position &+= 1
      data.left &-= 1
      guard padding <= data.left else { return .event(fail(.badPadding)) }
      data.padLengthPending = false
      data.left &-= padding
      data.padding = padding
      if data.left == 0, !data.endStream, let flood = countEmpty() { return flood }
      if let stream = data.stream, let slot = streams.slot(stream) {
        consumed(stream, padding &+ 1)
        return checkLength(stream, slot)
      }
    }
    if data.left > 0 || data.endStream {
      let count = min(data.left, input.count &- input.position)
      if count == 0, data.left > 0 { return .needMore }
      let bytes = UnsafeBufferPointer(start: input.bytes + input.position, count: count)
      input.position &+= count
      data.left &-= count
      let last = data.endStream && data.left == 0
      if last { data.endStream = false }
      if count > 0 { counters.empty = 0 }
      if let stream = data.stream { return deliver(stream, bytes, last) }
      return .proceed
    }
    let skip = min(data.padding, input.count &- input.position)
    input.position &+= skip
    data.padding &-= skip
    if data.padding > 0 { return .needMore }
    data.active = false
    return .proceed
  }

  private mutating func deliver(_ stream: HTTP2Stream, _ bytes: UnsafeBufferPointer<UInt8>, _ last: Bool) -> Step {
    guard let slot = streams.slot(stream) else {
      // Reset by the owner in the middle of the frame.
      data.stream = nil
      credit(bytes.count &+ data.left)
      return .proceed
    }
    slot.pointee.received &+= Int64(bytes.count)
    if last { remoteEnd(stream, slot) }
    return .event(.data(stream, HTTP2Data(bytes: bytes, endStream: last)))
  }
}
