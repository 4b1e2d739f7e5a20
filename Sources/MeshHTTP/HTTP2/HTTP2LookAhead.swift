// Unsafe by design: frame headers are read where they were received.

extension HTTP2Connection {
  /// Looks through bytes that have just come, before `next` reads them, for streams that the client opens and resets in
  /// them (CVE-2023-44487): no work is begun for those, and a client that goes over `maxEarlyResets` with them is found
  /// out before anything of it is decoded. Costs a few nanoseconds a frame.
  ///
  /// - Returns: why the connection is broken: GOAWAY is in the output, as after `.failed`.
  package mutating func lookAhead(_ input: HTTP2Input, _ scratch: HTTP2Scratch) -> HTTP2Reason? {
    doomedAfter = nil
    guard role == .server, phase != .failed, var at = firstFrame(input) else { return nil }
    let before = lastPeerID
    var opened = 0
    var reset = 0
    while at &+ FrameHeader.size <= input.count {
      let header = FrameHeader(input.bytes + at)
      at &+= FrameHeader.size &+ header.length
      guard header.stream > before, header.type == FrameType.headers || header.type == FrameType.reset else { continue }
      if header.type == FrameType.headers {
        opened &+= 1
        continue
      }
      if doomedAfter == nil { scratch.forgetDoomed() }
      doomedAfter = before
      guard scratch.doom(Int((header.stream &- before) / 2)) else { continue }
      reset &+= 1
      if counters.earlyResets &+ reset >= limits.maxEarlyResets, counters.sampledStreams &+ opened < limits.resetSample
      {
        _ = fail(.resetFlood)
        return .resetFlood
      }
    }
    return nil
  }

  /// Where the first frame begins that has not begun before; nil: not in this input.
  private mutating func firstFrame(_ input: HTTP2Input) -> Int? {
    var at = input.position
    if phase == .preface { at &+= Self.preface.utf8CodeUnitCount &- prefaceRead }
    if data.active {
      at &+= data.left &+ data.padding
    } else if stash.count >= FrameHeader.size, let held = stash.pointer(at: 0) {
      at &+= FrameHeader.size &+ FrameHeader(held).length &- stash.count
    } else if stash.count > 0 {
      // Its length is in three bytes, some of which have come.
      var length = 0
      for index in 0..<3 {
        let place = at &+ index &- stash.count
        if index >= stash.count, place >= input.count { return nil }
        guard let byte = index < stash.count ? stash.pointer(at: index)?.pointee : input.bytes[place] else {
          return nil
        }
        length = length &<< 8 | Int(byte)
      }
      at &+= FrameHeader.size &+ length &- stash.count
    }
    return at
  }

  /// Whether the stream is reset further on in the input that is being read: what comes of it before that is read past.
  mutating func isDoomed(_ id: UInt32, _ scratch: HTTP2Scratch) -> Bool {
    guard let doomedAfter, id > doomedAfter else { return false }
    return scratch.isDoomed(Int((id &- doomedAfter) / 2))
  }

  /// The client's reset of a stream has been read: what it sends on the stream after that is a fault (RFC 9113, section
  /// 5.1), whether the stream was doomed or this side has reset it as well.
  mutating func noMoreFrames(_ id: UInt32, _ scratch: HTTP2Scratch) {
    if let doomedAfter, id > doomedAfter { scratch.spare(Int((id &- doomedAfter) / 2)) }
    for index in 0..<recentResets.count where recentResets[index] == id { recentResets[index] = 0 }
  }
}

extension HTTP2Scratch {
  /// Streams of one input that can be told apart.
  private static let doomedStreams = 4096
  /// Bytes of the arena that tell them apart.
  static let doomedBytes = doomedStreams / 8

  func forgetDoomed() { doomed.initialize(repeating: 0, count: Self.doomedBytes) }

  /// Notes that a stream is reset; false if that was known, or it is too far on.
  func doom(_ place: Int) -> Bool {
    guard place >= 0, place < Self.doomedStreams, !isDoomed(place) else { return false }
    doomed[place / 8] |= 1 &<< UInt8(place % 8)
    return true
  }

  func spare(_ place: Int) {
    guard isDoomed(place) else { return }
    doomed[place / 8] &= ~(1 &<< UInt8(place % 8))
  }

  func isDoomed(_ place: Int) -> Bool {
    place >= 0 && place < Self.doomedStreams && doomed[place / 8] &>> UInt8(place % 8) & 1 == 1
  }
}
