// Unsafe by design: the payloads of control frames are raw bytes.

extension HTTP2Connection {
  mutating func settings(_ header: FrameHeader, _ payload: UnsafePointer<UInt8>) -> Step {
    guard header.stream == 0 else { return .event(fail(.badStreamID)) }
    if header.has(FrameFlag.ack) {
      guard header.length == 0 else { return .event(fail(.badFrameSize)) }
      settingsTaken()
      return countControl() ?? .proceed
    }
    guard header.length % 6 == 0 else { return .event(fail(.badFrameSize)) }
    if let flood = countControl() { return flood }
    var index = 0
    while index < header.length {
      let id = BigEndian.load16(payload + index)
      let value = BigEndian.load32(payload + (index &+ 2))
      if let bad = apply(id, value) { return .event(fail(bad)) }
      index &+= 6
    }
    peer.seen = true
    if let flood = queueControl() { return flood }
    writeSettingsAck()
    return .event(.settings)
  }

  /// Our SETTINGS are in force: streams get the window that they announce.
  private mutating func settingsTaken() {
    guard !settingsAcknowledged else { return }
    settingsAcknowledged = true
    let window = Int64(min(limits.streamWindowBytes, 0x7FFF_FFFF))
    let change = window &- streamWindow
    streamWindow = window
    for index in 0..<UInt32(truncatingIfNeeded: streams.capacity) {
      guard let slot = streams.slot(index), slot.pointee.id != 0 else { continue }
      slot.pointee.receiveWindow &+= change
      // What was too little to tell against the larger window may be enough now.
      if !slot.pointee.flags.contains(.remoteEnded) { announce(slot) }
    }
  }

  private mutating func apply(_ id: UInt16, _ value: UInt32) -> HTTP2Reason? {
    switch id {
    case Setting.headerTableSize: encoder.setPeerLimit(Int(value))
    case Setting.enablePush:
      guard value == 0 || (value == 1 && role == .server) else { return .badSetting }
    case Setting.maxConcurrentStreams: peer.maxStreams = value
    case Setting.initialWindowSize: return applyWindow(value)
    case Setting.maxFrameSize:
      guard value >= 16_384, value <= 16_777_215 else { return .badSetting }
      peer.maxFrameBytes = Int(value)
    case Setting.enableConnectProtocol:
      guard value <= 1, value == 1 || !peer.extendedConnect else { return .badSetting }
      peer.extendedConnect = value == 1
    default: break
    }
    return nil
  }

  private mutating func applyWindow(_ value: UInt32) -> HTTP2Reason? {
    guard value <= 0x7FFF_FFFF else { return .windowOverflow }
    let change = Int64(value) &- peer.initialWindow
    peer.initialWindow = Int64(value)
    for index in 0..<UInt32(truncatingIfNeeded: streams.capacity) {
      guard let slot = streams.slot(index), slot.pointee.id != 0 else { continue }
      slot.pointee.sendWindow &+= change
      if slot.pointee.sendWindow > 0x7FFF_FFFF { return .windowOverflow }
    }
    if change > 0 { releaseBlocked() }
    return nil
  }

  mutating func ping(_ header: FrameHeader, _ payload: UnsafePointer<UInt8>) -> Step {
    guard header.stream == 0 else { return .event(fail(.badStreamID)) }
    guard header.length == 8 else { return .event(fail(.badFrameSize)) }
    if let flood = countControl() { return flood }
    let opaque = BigEndian.load64(payload)
    guard header.has(FrameFlag.ack) else {
      if let flood = queueControl() { return flood }
      writePing(opaque, ack: true)
      return .proceed
    }
    if opaque == Self.drainPing, drainPingPending {
      finishDrain()
      return .proceed
    }
    if opaque == Self.windowPing {
      measured()
      return .proceed
    }
    return .event(.pong(opaque))
  }

  mutating func goAway(_ header: FrameHeader, _ payload: UnsafePointer<UInt8>) -> Step {
    guard header.stream == 0 else { return .event(fail(.badStreamID)) }
    guard header.length >= 8 else { return .event(fail(.badFrameSize)) }
    if let flood = countControl() { return flood }
    let last = BigEndian.load32(payload) & 0x7FFF_FFFF
    goAwayReceived = min(goAwayReceived ?? last, last)
    goAwaySweep = 0
    return .event(.goAway(lastStream: last, code: HTTP2ErrorCode(rawValue: BigEndian.load32(payload + 4))))
  }

  /// Whether the priority fields at `payload` name the frame's own stream (RFC 7540, section 5.3.1). Nothing else of
  /// them has a meaning any more (RFC 9113, section 5.3.2).
  func dependsOnItself(_ header: FrameHeader, _ payload: UnsafePointer<UInt8>) -> Bool {
    BigEndian.load32(payload) & 0x7FFF_FFFF == header.stream
  }

  mutating func priority(_ header: FrameHeader, _ payload: UnsafePointer<UInt8>) -> Step {
    guard header.stream != 0 else { return .event(fail(.badStreamID)) }
    counters.priority &+= 1
    guard counters.priority <= limits.maxPriorityFramesPerStream &* (counters.streamsOpened &+ 1) else {
      return .event(fail(.priorityFlood))
    }
    let problem: HTTP2Reason
    if header.length != 5 {
      problem = .badFrameSize
    } else if dependsOnItself(header, payload) {
      problem = .badStreamID
    } else {
      return .proceed
    }
    if let stream = streams.find(header.stream) { return .event(streamError(stream, problem)) }
    return .event(fail(problem))
  }

  mutating func reset(
    _ header: FrameHeader, _ payload: UnsafePointer<UInt8>, _ scratch: HTTP2Scratch
  ) -> Step {
    guard header.stream != 0 else { return .event(fail(.badStreamID)) }
    guard header.length == 4 else { return .event(fail(.badFrameSize)) }
    if isIdle(header.stream) { return .event(fail(.frameOnIdleStream)) }
    guard let stream = streams.find(header.stream) else {
      noMoreFrames(header.stream, scratch)
      return countControl() ?? .proceed
    }
    let code = HTTP2ErrorCode(rawValue: BigEndian.load32(payload))
    if let flood = countEarlyReset() { return flood }
    retire(stream)
    return .event(.reset(stream, HTTP2Reset(code: code, origin: .peer)))
  }

  mutating func windowUpdate(_ header: FrameHeader, _ payload: UnsafePointer<UInt8>) -> Step {
    guard header.length == 4 else { return .event(fail(.badFrameSize)) }
    counters.windowUpdates &+= 1
    let earned = limits.maxWindowUpdatesPerFrame &* (counters.dataFramesSent &+ counters.streamsOpened)
    guard counters.windowUpdates <= earned &+ 100 else { return .event(fail(.windowUpdateFlood)) }
    let increment = Int64(BigEndian.load32(payload) & 0x7FFF_FFFF)
    guard header.stream != 0 else {
      guard increment > 0 else { return .event(fail(.zeroWindowUpdate)) }
      let before = sendWindow
      sendWindow &+= increment
      guard sendWindow <= 0x7FFF_FFFF else { return .event(fail(.windowOverflow)) }
      if before <= 0, sendWindow > 0 { releaseBlocked() }
      return .proceed
    }
    if isIdle(header.stream) { return .event(fail(.frameOnIdleStream)) }
    guard let stream = streams.find(header.stream), let slot = streams.slot(stream) else { return .proceed }
    guard increment > 0 else { return .event(streamError(stream, .zeroWindowUpdate)) }
    slot.pointee.sendWindow &+= increment
    guard slot.pointee.sendWindow <= 0x7FFF_FFFF else { return .event(streamError(stream, .windowOverflow)) }
    markReady(stream, slot)
    return .proceed
  }

  // MARK: - Floods

  /// Counts a frame that does nothing for any stream.
  mutating func countControl() -> Step? {
    counters.control &+= 1
    return counters.control > limits.maxControlFrames ? .event(fail(.controlFlood)) : nil
  }

  /// Counts an answer that is about to be put into the output.
  mutating func queueControl() -> Step? {
    counters.queuedControl &+= 1
    return counters.queuedControl > limits.maxQueuedControlFrames ? .event(fail(.controlQueueFull)) : nil
  }

  mutating func countEmpty() -> Step? {
    counters.empty &+= 1
    return counters.empty > limits.maxEmptyFrames ? .event(fail(.emptyFrameFlood)) : nil
  }

  /// Counts a stream of the client's that ended early, by its reset or by ours for its fault.
  mutating func countEarlyReset() -> Step? {
    guard role == .server else { return nil }
    counters.earlyResets &+= 1
    return counters.earlyResets >= limits.maxEarlyResets ? .event(fail(.resetFlood)) : nil
  }

  mutating func countOpened() {
    counters.streamsOpened &+= 1
    counters.control = 0
    counters.sampledStreams &+= 1
    if counters.sampledStreams >= limits.resetSample {
      counters.sampledStreams = 0
      counters.earlyResets = 0
    }
  }
}
