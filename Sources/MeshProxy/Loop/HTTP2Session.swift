// Unsafe by design: the HTTP/2 end of a connection, in memory of its own.
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor
internal import MeshTLS

typealias HTTP2SessionRef = UnsafeMutablePointer<HTTP2Session>

/// The HTTP/2 end of a connection: the codec, and what a clock has to watch. Its streams carry their exchange as tag.
struct HTTP2Session: ~Copyable {
  var codec: HTTP2Connection
  let connection: ConnectionRef
  /// When something last came in.
  var lastRead: UInt64
  /// When the last stream ended, or the connection began.
  var idleSince: UInt64
  /// When a PING went out that has not been answered; 0: none has.
  var pinged: UInt64 = 0
  /// When the clock last found no header block unfinished.
  var settledAt: UInt64
  /// When a drain began; 0: it has not.
  var drainingSince: UInt64 = 0
  /// Links among all sessions of the worker.
  var next: HTTP2SessionRef?
  var previous: HTTP2SessionRef?

  /// How often the clock looks at a session.
  static let tick: UInt64 = 5_000_000_000
  /// What our PINGs carry.
  static let pingMark: UInt64 = 0x6170_7573_2070_696e

  init(codec: consuming HTTP2Connection, connection: ConnectionRef, now: UInt64) {
    self.codec = codec
    self.connection = connection
    lastRead = now
    idleSince = now
    settledAt = now
  }
}

/// HTTP/2 connections as the loop sees them: bytes to events, output gathered until the end of the turn.
extension Worker {
  /// The connection speaks HTTP/2 from here on.
  func becomeHTTP2(_ connection: ConnectionRef, _ role: HTTP2Connection.Role) {
    let limits = connection.pointee.tls == nil ? settings.limits.edge : settings.limits.mesh
    let session = HTTP2SessionRef.allocate(capacity: 1)
    session.initialize(
      to: HTTP2Session(
        codec: HTTP2Connection(role: role, limits: limits, growth: windowGrowth), connection: connection,
        now: now))
    session.pointee.next = sessionHead
    sessionHead?.pointee.previous = session
    sessionHead = session
    connection.pointee.http2 = session
    connection.pointee.tls?.keepMemory()
    connection.pointee.role = role == .server ? .downstreamHTTP2 : .upstreamHTTP2
    arm(connection, after: HTTP2Session.tick)
    markDirty(connection)
  }

  /// Gives a session's memory back; its connection is dead.
  func release(_ session: HTTP2SessionRef) {
    if let previous = session.pointee.previous {
      previous.pointee.next = session.pointee.next
    } else {
      sessionHead = session.pointee.next
    }
    session.pointee.next?.pointee.previous = session.pointee.previous
    session.pointee.codec.giveBackGrowth()
    session.deinitialize(count: 1)
    session.deallocate()
  }

  /// The exchange of a stream.
  @inline(__always)
  func exchange(_ session: HTTP2SessionRef, _ stream: HTTP2Stream) -> ExchangeRef? {
    ExchangeRef(bitPattern: session.pointee.codec.tag(stream))
  }

  // MARK: Reading

  /// Bytes on a connection with HTTP/2; all of them are taken.
  func streamBytes(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    guard let session = connection.pointee.http2 else { return 0 }
    session.pointee.lastRead = now
    var input = HTTP2Input(bytes, count: count)
    if let reason = session.pointee.codec.lookAhead(input, streamScratch) {
      sessionBroken(connection, session, reason)
    } else {
      drive(connection, session, &input)
    }
    return count
  }

  /// Hands out what waits without input: streams that can send again.
  func driveAgain(_ connection: ConnectionRef, _ session: HTTP2SessionRef) {
    var input = HTTP2Input(receiveBuffer, count: 0)
    drive(connection, session, &input)
  }

  private func drive(_ connection: ConnectionRef, _ session: HTTP2SessionRef, _ input: inout HTTP2Input) {
    defer { sendLent() }
    while !connection.pointee.flags.contains(.dead) {
      let event = session.pointee.codec.next(&input, streamScratch)
      if case .data(let stream, let data) = event {
        isLending = true
        dataCame(session, stream, data)
        isLending = false
        continue
      }
      sendLent()
      switch event {
      case .needMore:
        if session.pointee.codec.hasOutput { markDirty(connection) }
        return
      case .head(let stream, let head): headCame(connection, session, stream, head)
      case .data: continue
      case .writable(let stream): streamWritable(session, stream)
      case .reset(let stream, let reset): streamReset(connection, session, stream, reset)
      case .refused(.cancelled): telemetry.count(.clientReset)
      case .refused: refused(connection, .http2ProtocolError)
      case .settings: settingsCame(connection)
      case .pong: session.pointee.pinged = 0
      case .goAway: leaveMultiplexed(connection)
      case .failed(let reason): sessionBroken(connection, session, reason)
      }
    }
  }

  private func headCame(
    _ connection: ConnectionRef, _ session: HTTP2SessionRef, _ stream: HTTP2Stream, _ head: HTTP2Head
  ) {
    if connection.pointee.role == .downstreamHTTP2 {
      if case .request = head.kind { return streamOpened(connection, session, stream, head) }
      guard let exchange = exchange(session, stream) else { return }
      return requestTrailers(exchange, head)
    }
    guard let exchange = exchange(session, stream) else { return }
    exchange.pointee.lastActivity = now
    crowd.moved(&exchange.pointee.crowdMark)
    switch head.kind {
    case .interim: streamInterim(exchange, head)
    case .trailers: streamTrailers(exchange, head)
    case .request, .response: streamResponse(exchange, head)
    }
  }

  private func dataCame(_ session: HTTP2SessionRef, _ stream: HTTP2Stream, _ data: HTTP2Data) {
    let count = data.bytes.count
    guard let exchange = exchange(session, stream) else {
      // Nobody takes it any more; its room in the connection's window is given back.
      session.pointee.codec.consumed(stream, count)
      return
    }
    exchange.pointee.lastActivity = now
    if exchange.pointee.flags.contains([.tunnel, .joined]) { tellSoon(exchange) }
    crowd.moved(&exchange.pointee.crowdMark)
    if session.pointee.connection == exchange.pointee.downstream {
      exchange.pointee.downstreamDebt &+= count
      requestData(exchange, data)
    } else {
      exchange.pointee.upstreamDebt &+= count
      responseData(exchange, data)
    }
  }

  private func streamWritable(_ session: HTTP2SessionRef, _ stream: HTTP2Stream) {
    guard let exchange = exchange(session, stream) else { return }
    if session.pointee.connection == exchange.pointee.downstream {
      flushToDownstream(exchange)
    } else {
      flushToUpstream(exchange)
    }
  }

  /// The codec has ended a connection for its peer's fault: GOAWAY goes out, and every stream is lost.
  private func sessionBroken(_ connection: ConnectionRef, _ session: HTTP2SessionRef, _ reason: HTTP2Reason) {
    refused(connection, reason.meshReason)
    // Requests tell who it was: the endpoint, and not their client.
    let lost: Reason = connection.pointee.role == .upstreamHTTP2 ? .upstreamProtocolError : reason.meshReason
    loseStreams(connection, session, lost)
    guard !connection.pointee.flags.contains(.dead) else { return }
    leaveMultiplexed(connection)
    writeOut(connection, session)
    closeAfterFlush(connection)
    loseAwaiting(connection, lost)
  }

  /// Ends what the streams of a connection carried.
  func loseStreams(_ connection: ConnectionRef, _ session: HTTP2SessionRef, _ reason: Reason) {
    var index = 0
    while let (stream, next) = session.pointee.codec.openStream(from: index) {
      index = next
      guard let exchange = exchange(session, stream) else { continue }
      session.pointee.codec.setTag(stream, 0)
      if connection.pointee.role == .downstreamHTTP2 {
        exchange.pointee.downstreamStream = HTTP2Stream()
        clientGone(exchange)
      } else {
        exchange.pointee.upstreamStream = HTTP2Stream()
        exchange.pointee.upstream = nil
        streamLost(exchange, reason, isUntouched: false)
      }
      if connection.pointee.flags.contains(.dead) { return }
    }
  }

  // MARK: Writing

  /// Puts a connection on the list of those whose output is gathered and sent when the turn ends.
  func markDirty(_ connection: ConnectionRef) {
    guard connection.pointee.flags.isDisjoint(with: [.dirty, .dead]) else { return }
    connection.pointee.flags.insert(.dirty)
    connection.pointee.nextDirty = dirtyHead
    dirtyHead = connection
  }

  /// Sends what a connection has gathered, and lets streams that wait for room go on.
  func pump(_ connection: ConnectionRef) {
    guard let session = connection.pointee.http2 else { return flush(connection) }
    while session.pointee.codec.hasOutput || session.pointee.codec.hasWritable, !isCongested(connection) {
      writeOut(connection, session)
      if connection.pointee.flags.contains(.dead) { return }
      driveAgain(connection, session)
      if connection.pointee.flags.contains(.dead) { return }
    }
    settle(connection, session)
  }

  private func writeOut(_ connection: ConnectionRef, _ session: HTTP2SessionRef) {
    let output = session.pointee.codec.pendingOutput
    guard let start = output.baseAddress else { return }
    write(connection, start, output.count)
    if !connection.pointee.flags.contains(.dead) { session.pointee.codec.didWrite(output.count) }
  }

  /// A connection on which everything has been said closes.
  private func settle(_ connection: ConnectionRef, _ session: HTTP2SessionRef) {
    guard !session.pointee.codec.hasOutput, connection.pointee.flags.isDisjoint(with: [.closing, .dead]),
      connection.pointee.waiting.first == nil
    else { return }
    let takesNothingNew =
      connection.pointee.flags.contains(.readClosed)
      || connection.pointee.role == .upstreamHTTP2 && !connection.pointee.flags.contains(.multiplexed)
    if session.pointee.codec.isDrained || takesNothingNew && session.pointee.codec.openStreams == 0 {
      closeAfterFlush(connection)
    }
  }

  // MARK: Ending

  /// The peer of a connection with HTTP/2 has ended it.
  func sessionEnded(_ connection: ConnectionRef, _ reason: Reason = .upstreamReset) {
    guard let session = connection.pointee.http2 else { return upstreamLost(connection, reason) }
    connection.pointee.flags.insert([.readClosed, .writeClosed])
    leaveMultiplexed(connection)
    loseStreams(connection, session, reason)
    kill(connection)
    loseAwaiting(connection, reason)
  }

  /// Lets a session finish what it has and take nothing new.
  func drainSession(_ connection: ConnectionRef, _ session: HTTP2SessionRef) {
    guard session.pointee.drainingSince == 0 else { return }
    session.pointee.drainingSince = now
    session.pointee.codec.drain()
    markDirty(connection)
  }

  /// The clock looks at a session.
  func sessionTick(_ connection: ConnectionRef, _ session: HTTP2SessionRef) {
    session.pointee.codec.calm()
    connection.pointee.tls?.trim()
    if !session.pointee.codec.isMidHead { session.pointee.settledAt = now }
    // The clock comes every five seconds: after two of them a block has been unfinished for one at least.
    let patience = max(settings.limits.headNanoseconds, 2 &* HTTP2Session.tick)
    if now &- session.pointee.settledAt >= patience || isUnsettled(session) {
      refused(connection, .headerTimeout)
      return sessionEnded(connection)
    }
    if session.pointee.codec.openStreams > 0 {
      session.pointee.idleSince = now
      // Whatever has come since shows that the peer is there: its answer may stand behind it.
      if session.pointee.lastRead > session.pointee.pinged { session.pointee.pinged = 0 }
      if session.pointee.pinged > 0 {
        if now &- session.pointee.pinged >= settings.limits.pingAnswerNanoseconds { return sessionEnded(connection) }
      } else if now &- session.pointee.lastRead >= settings.limits.pingNanoseconds {
        session.pointee.pinged = now
        session.pointee.codec.ping(HTTP2Session.pingMark)
        markDirty(connection)
      }
    } else if now &- session.pointee.idleSince >= idleLimit(connection) {
      drainSession(connection, session)
    }
    if session.pointee.drainingSince > 0, now &- session.pointee.drainingSince >= HTTP2Session.tick {
      session.pointee.codec.finishDrain()
      markDirty(connection)
    }
    let limits = settings.limits
    arm(
      connection,
      after: min(HTTP2Session.tick, idleLimit(connection), limits.pingNanoseconds, limits.pingAnswerNanoseconds))
  }

  /// A peer that opened a connection and never said what it speaks.
  private func isUnsettled(_ session: HTTP2SessionRef) -> Bool {
    !session.pointee.codec.hasPeerSettings && now &- session.pointee.idleSince >= settings.limits.headNanoseconds
  }

  private func idleLimit(_ connection: ConnectionRef) -> UInt64 {
    guard connection.pointee.role == .upstreamHTTP2, let endpoint = connection.pointee.endpoint else {
      return settings.limits.connectionIdleNanoseconds
    }
    return UInt64(max(1, endpoint.pointee.cluster.pointee.policy.pool.idleNanoseconds))
  }
}

extension HTTP2Reason {
  /// The mesh's own word for it.
  var meshReason: Reason {
    switch self {
    case .headerBomb, .continuationFlood, .controlFlood, .emptyFrameFlood, .priorityFlood, .windowUpdateFlood,
      .resetFlood, .controlQueueFull:
      .http2Flood
    default: .http2ProtocolError
    }
  }
}
