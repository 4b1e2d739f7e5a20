// Unsafe by design: heads are laid out in the arena that HPACK decoded into.
import MeshModel

extension HTTP2Connection {
  /// A whole header block has come.
  mutating func head(
    _ frame: HeaderBlock, _ block: UnsafePointer<UInt8>, _ count: Int, _ scratch: HTTP2Scratch
  ) -> Step {
    let id = frame.stream
    // Servers open no streams here, and clients only with odd identifiers.
    if isLocal(id) ? isIdle(id) : role == .client { return .event(fail(.badStreamID)) }
    // Whatever becomes of the stream, the block has to pass through the decoder.
    var sink = HeadSink(scratch, limits: limits)
    guard decoder.decode(block, count, into: &sink) else {
      return .event(fail(sink.isBomb ? .headerBomb : .badHeaderBlock))
    }
    if let stream = streams.find(id), let slot = streams.slot(stream) {
      return knownStream(stream, slot, &sink, frame.endStream)
    }
    guard isIdle(id) else {
      if role == .client || wasReset(id) || isDoomed(id, scratch) { return countControl() ?? .proceed }
      return .event(fail(wasOpened(id) ? .frameOnClosedStream : .streamReused))
    }
    return newStream(frame, &sink)
  }

  /// Whether a stream that is not idle was ever open; of streams long ago it is taken for granted.
  private mutating func wasOpened(_ id: UInt32) -> Bool {
    let place = (lastPeerID &- id) / 2
    return place >= 64 || openedBits &>> UInt64(place) & 1 == 1
  }

  private mutating func newStream(_ frame: HeaderBlock, _ sink: inout HeadSink) -> Step {
    let id = frame.stream
    let endStream = frame.endStream
    let step = (id &- lastPeerID &+ 1) / 2
    openedBits = (step < 64 ? openedBits &<< UInt64(step) : 0) | 1
    lastPeerID = id
    countOpened()
    if let last = goAwaySent, !drainPingPending, id > last { return countControl() ?? .proceed }
    if frame.selfDependent { return refuse(id, .badStreamID) }
    if isDoomed(id, sink.scratch) {
      if let flood = countEarlyReset() { return flood }
      return .event(.refused(.cancelled))
    }
    guard streams.count < Int(limits.maxConcurrentStreams) else { return refuse(id, .tooManyStreams) }
    var head = HTTP2Head(sink, kind: .request, endStream: endStream)
    if let problem = HeadBuilder.request(&sink, &head, limits) { return refuse(id, problem) }
    if endStream, let length = head.contentLength, length > 0 { return refuse(id, .contentLengthMismatch) }
    let stream = streams.insert(id)
    guard let slot = streams.slot(stream) else { return .event(fail(.tooManyStreams)) }
    slot.pointee.sendWindow = peer.initialWindow
    slot.pointee.receiveWindow = streamWindow
    slot.pointee.flags = endStream ? [.headReceived, .remoteEnded] : .headReceived
    if let length = head.contentLength { slot.pointee.expected = Int64(truncatingIfNeeded: length) }
    return .event(.head(stream, head))
  }

  private mutating func knownStream(
    _ stream: HTTP2Stream, _ slot: UnsafeMutablePointer<HTTP2Slot>, _ sink: inout HeadSink, _ endStream: Bool
  ) -> Step {
    if slot.pointee.flags.contains(.remoteEnded) { return .event(streamError(stream, .frameOnClosedStream)) }
    if slot.pointee.flags.contains(.headReceived) { return trailers(stream, slot, &sink, endStream) }
    var head = HTTP2Head(sink, kind: .response, endStream: endStream)
    if let problem = HeadBuilder.response(&sink, &head) { return .event(streamError(stream, problem)) }
    if head.head.status < 200 {
      head.kind = .interim
      if endStream { return .event(streamError(stream, .unexpectedHead)) }
      if let flood = countControl() { return flood }
      return .event(.head(stream, head))
    }
    slot.pointee.flags.insert(.headReceived)
    let bodiless = slot.pointee.flags.contains(.bodiless) || head.head.status == 204 || head.head.status == 304
    if let length = head.contentLength, !slot.pointee.flags.contains(.connect) {
      slot.pointee.expected = bodiless ? 0 : Int64(truncatingIfNeeded: length)
      if endStream, slot.pointee.expected > 0 { return .event(streamError(stream, .contentLengthMismatch)) }
    } else if bodiless {
      slot.pointee.expected = 0
    }
    if endStream { remoteEnd(stream, slot) }
    return .event(.head(stream, head))
  }

  private mutating func trailers(
    _ stream: HTTP2Stream, _ slot: UnsafeMutablePointer<HTTP2Slot>, _ sink: inout HeadSink, _ endStream: Bool
  ) -> Step {
    var head = HTTP2Head(sink, kind: .trailers, endStream: endStream)
    if !endStream { return .event(streamError(stream, .unexpectedHead)) }
    if let problem = HeadBuilder.trailers(&sink, &head) { return .event(streamError(stream, problem)) }
    if slot.pointee.expected >= 0, slot.pointee.received != slot.pointee.expected {
      return .event(streamError(stream, .contentLengthMismatch))
    }
    remoteEnd(stream, slot)
    return .event(.head(stream, head))
  }
}

extension HTTP2Head {
  init(_ sink: HeadSink, kind: Kind, endStream: Bool) {
    head = MessageHead(base: UnsafePointer(sink.scratch.arena), fields: sink.scratch.fields)
    self.kind = kind
    scheme = .none
    protocolName = .none
    contentLength = sink.contentLength
    self.endStream = endStream
  }
}

/// Makes heads of decoded fields, checking what concerns the head as a whole (RFC 9113, section 8.3).
enum HeadBuilder {
  static func request(_ sink: inout HeadSink, _ head: inout HTTP2Head, _ limits: HTTP2Limits) -> HTTP2Reason? {
    if sink.tooLarge { return .headTooLarge }
    if let problem = sink.problem { return problem }
    if sink.status != nil { return .badPseudoField }
    guard let method = sink.method else { return .missingPseudoField }
    sink.joinCookies()
    head.head.fieldCount = sink.fieldCount
    head.head.method = method
    let name = UnsafePointer(sink.pointer(method))
    for index in 0..<method.size where !ByteTables.isToken(name[index]) { return .badMethod }
    guard method.size > 0 else { return .badMethod }
    head.head.methodToken = Method.lookup(name, method.size)
    if let protocolName = sink.protocolName {
      // Extended CONNECT (RFC 8441): a request like others, for a protocol.
      guard limits.extendedConnect, head.head.methodToken.equals(.connect), protocolName.size > 0 else {
        return .badPseudoField
      }
      head.protocolName = protocolName
    } else if head.head.methodToken.equals(.connect) {
      guard sink.scheme == nil, sink.path == nil else { return .badPseudoField }
      guard sink.authority != nil else { return .missingPseudoField }
      return authority(sink, &head)
    }
    guard let scheme = sink.scheme, let path = sink.path else { return .missingPseudoField }
    guard scheme.size > 0 else { return .badPseudoField }
    head.scheme = scheme
    if let problem = self.path(path, sink, &head, limits) { return problem }
    return authority(sink, &head)
  }

  private static func path(
    _ path: ByteRange, _ sink: HeadSink, _ head: inout HTTP2Head, _ limits: HTTP2Limits
  ) -> HTTP2Reason? {
    head.head.target = path
    if path.size == 1, sink.pointer(path).pointee == 0x2A, head.head.methodToken.equals(.options) {
      head.head.path = path
      return nil
    }
    var room = HeadScratch(offset: sink.used, capacity: sink.room)
    let problem = PathNormalizer.canonicalize(
      path, base: head.head.base, scratch: &room, path: &head.head.path,
      query: &head.head.query)
    return problem == nil ? nil : .badPath
  }

  /// One authority: that of the pseudo-header field, else of `host`; if both are there they must agree.
  private static func authority(_ sink: HeadSink, _ head: inout HTTP2Head) -> HTTP2Reason? {
    guard let authority = sink.authority ?? sink.host, authority.size > 0 else { return .badAuthority }
    let bytes = sink.pointer(authority)
    for index in 0..<authority.size {
      guard ByteTables.isAuthority(bytes[index]) else { return .badAuthority }
      if ByteTables.isUpper(bytes[index]) { bytes[index] |= 0x20 }
    }
    head.head.authority = authority
    if let host = sink.host, !head.head.sameIgnoringCase(host, authority) { return .authorityMismatch }
    return nil
  }

  static func response(_ sink: inout HeadSink, _ head: inout HTTP2Head) -> HTTP2Reason? {
    if sink.tooLarge { return .headTooLarge }
    if let problem = sink.problem { return problem }
    guard sink.method == nil, sink.scheme == nil, sink.path == nil, sink.authority == nil, sink.protocolName == nil
    else { return .badPseudoField }
    guard let status = sink.status else { return .missingPseudoField }
    guard status.size == 3, let code = Decimal.parse(sink.pointer(status), 3), code >= 100, code != 101 else {
      return .badStatus
    }
    sink.joinCookies()
    head.head.fieldCount = sink.fieldCount
    head.head.status = UInt16(truncatingIfNeeded: code)
    return nil
  }

  static func trailers(_ sink: inout HeadSink, _ head: inout HTTP2Head) -> HTTP2Reason? {
    if sink.tooLarge { return .headTooLarge }
    if let problem = sink.problem { return problem }
    guard sink.method == nil, sink.scheme == nil, sink.path == nil, sink.authority == nil, sink.protocolName == nil,
      sink.status == nil
    else { return .badTrailers }
    head.head.fieldCount = sink.fieldCount
    for index in 0..<sink.fieldCount where HTTP1Parser.isForbiddenTrailer(sink.scratch.fields[index].known) {
      return .badTrailers
    }
    return nil
  }
}
