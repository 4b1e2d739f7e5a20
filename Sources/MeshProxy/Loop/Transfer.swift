// Unsafe by design: bytes move between kernel, loop buffers and connections.
internal import CMeshSystem
internal import Glibc
internal import MeshHTTP
internal import MeshReactor
internal import MeshTLS

/// Reading and writing sockets, with TLS or without, under backpressure.
extension Worker {
  // MARK: Reading

  /// Hands out what is left over and then what the socket holds, until it is drained or the connection pauses.
  func read(_ connection: ConnectionRef) {
    if connection.pointee.tls != nil { return readSealed(connection) }
    while connection.pointee.flags.isDisjoint(with: [.dead, .paused, .connecting]) {
      guard deliverLeftOver(connection, from: receiveBuffer) else { return }
      let kept = takeInput(connection, into: receiveBuffer)
      var received = 0
      var isShort = true
      var isEnd = false
      if connection.pointee.flags.contains(.unread) {
        let room = min(EventLoop.receiveCapacity - Self.parseScratch - kept, readRoom(connection))
        received = cms_receive(connection.pointee.fd, receiveBuffer + kept, room)
        // The end comes with no event of its own where it was announced together with data.
        isShort = received < room && (received < 0 || !connection.pointee.flags.contains(.endAnnounced))
        if received == 0 {
          isEnd = true
          received = 0
        } else if received < 0 {
          isEnd = errno != EAGAIN && errno != EINTR
          if isEnd { connection.pointee.flags.insert([.readClosed, .failed]) }
          received = 0
        }
      }
      if isShort { connection.pointee.flags.remove(.unread) }
      let count = kept &+ received
      if count > 0 {
        let consumed = deliver(connection, receiveBuffer, count)
        if connection.pointee.flags.contains(.dead) { return }
        if consumed < count { connection.pointee.input.append(receiveBuffer + consumed, count &- consumed) }
      }
      if isEnd {
        // An end seen while paused is remembered: the socket is asked again after `resume`.
        if connection.pointee.flags.contains(.paused), !connection.pointee.input.isEmpty {
          connection.pointee.flags.insert(.unread)
          return
        }
        // A reset is not the end of a body or of a tunnel's direction.
        return connection.pointee.flags.contains(.failed) ? broken(connection) : ended(connection)
      }
      if isShort { return }
    }
  }

  /// Most of what is left over that a loop buffer takes in front of what is received.
  private static let leftOverLimit = EventLoop.receiveCapacity / 2

  /// Hands out, in pieces, more left over than a loop buffer takes at once; false: it is to be left alone for now.
  private func deliverLeftOver(_ connection: ConnectionRef, from buffer: UnsafeMutablePointer<UInt8>) -> Bool {
    while connection.pointee.input.count > Self.leftOverLimit {
      guard connection.pointee.flags.isDisjoint(with: [.dead, .paused]), let bytes = connection.pointee.input.bytes
      else { return false }
      memcpy(buffer, bytes, Self.leftOverLimit)
      let consumed = deliver(connection, buffer, Self.leftOverLimit)
      if connection.pointee.flags.contains(.dead) || consumed == 0 { return false }
      connection.pointee.input.consume(consumed)
    }
    return true
  }

  /// Moves what is left over to the front of a loop buffer; returns how much. Nothing is moved where it would not be all:
  /// the rest must not come behind what is received next.
  private func takeInput(_ connection: ConnectionRef, into buffer: UnsafeMutablePointer<UInt8>) -> Int {
    let kept = connection.pointee.input.count
    guard kept > 0, kept <= Self.leftOverLimit, let bytes = connection.pointee.input.bytes else { return 0 }
    memcpy(buffer, bytes, kept)
    connection.pointee.input.consume(kept)
    connection.pointee.input.shrink(keep: 0)
    return kept
  }

  private func readSealed(_ connection: ConnectionRef) {
    while connection.pointee.flags.isDisjoint(with: [.dead, .paused, .connecting]) {
      guard deliverLeftOver(connection, from: plaintextBuffer) else { return }
      let kept = takeInput(connection, into: plaintextBuffer)
      if kept > 0, !deliverPlaintext(connection, kept) { return }
      guard connection.pointee.flags.contains(.unread), !connection.pointee.flags.contains(.paused) else { return }
      let room = EventLoop.receiveCapacity - Self.parseScratch
      let received = cms_receive(connection.pointee.fd, receiveBuffer, room)
      let isShort = received < room && (received < 0 || !connection.pointee.flags.contains(.endAnnounced))
      if isShort { connection.pointee.flags.remove(.unread) }
      if received > 0 {
        open(connection, receiveBuffer, received)
      } else if received == 0 {
        return connection.pointee.flags.contains(.failed) ? broken(connection) : sealedEnd(connection)
      } else if errno != EAGAIN && errno != EINTR {
        return broken(connection)
      }
      if isShort { return }
    }
  }

  /// The transport has ended. Without a close_notify what came before may have been cut short by anybody (RFC 8446, 6.1):
  /// only a client that has sent whole requests is allowed that.
  private func sealedEnd(_ connection: ConnectionRef) {
    guard let session = connection.pointee.tls, connection.pointee.role != .downstreamHTTP1,
      connection.pointee.http2 == nil,
      !connection.pointee.flags.contains(.pooled), case .failure(let failure) = session.endOfInput()
    else { return ended(connection) }
    sessionFailed(connection, failure)
  }

  /// Decrypts what was received and hands it out piece by piece.
  func open(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    var offset = 0
    while let session = connection.pointee.tls, !connection.pointee.flags.contains(.dead) {
      let kept = takeInput(connection, into: plaintextBuffer)
      let room = Self.plaintextCapacity - Self.parseScratch - kept
      sealed.pointee.reset(keeping: Self.sealedCapacity)
      let result = session.feed(
        bytes + offset, count &- offset, plaintext: plaintextBuffer + kept, capacity: room, output: sealed,
        nowSeconds: nowSeconds)
      offset &+= result.consumed
      transmitSealed(connection)
      if connection.pointee.flags.contains(.dead) { return }
      let produced = kept &+ result.produced
      switch result.state {
      case .failure(let failure): return sessionFailed(connection, failure)
      case .handshakeDone:
        handshakeFinished(connection)
        continue
      case .closeNotify:
        if produced > 0, !deliverPlaintext(connection, produced) { return }
        if connection.pointee.flags.contains(.paused), !connection.pointee.input.isEmpty {
          // Not before what came before it: the socket is asked for its end after `resume`.
          connection.pointee.flags.insert(.unread)
          return
        }
        return ended(connection)
      case .wantMore:
        if produced > 0 { _ = deliverPlaintext(connection, produced) }
        return
      case .plaintextFull:
        if !deliverPlaintext(connection, produced) { return }
      }
    }
  }

  /// Sends what the TLS library has just produced.
  func transmitSealed(_ connection: ConnectionRef) {
    if let base = sealed.pointee.base, sealed.pointee.count > 0 { transmit(connection, base, sealed.pointee.count) }
  }

  /// Hands out `count` bytes of the plaintext buffer and keeps what is not taken; false when the connection has gone.
  private func deliverPlaintext(_ connection: ConnectionRef, _ count: Int) -> Bool {
    // What is left over comes first.
    let mustWait = connection.pointee.flags.contains(.paused) || !connection.pointee.input.isEmpty
    let consumed = mustWait ? 0 : deliver(connection, plaintextBuffer, count)
    if connection.pointee.flags.contains(.dead) { return false }
    if consumed < count { connection.pointee.input.append(plaintextBuffer + consumed, count &- consumed) }
    return true
  }

  /// Gives bytes to whoever the connection's role says; returns how many were taken. Bytes not taken come again with
  /// those that follow them.
  private func deliver(_ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    switch connection.pointee.role {
    case .downstreamHTTP1: requestBytes(connection, bytes, count)
    case .upstreamHTTP1: responseBytes(connection, bytes, count)
    case .downstreamHTTP2, .upstreamHTTP2: streamBytes(connection, bytes, count)
    case .tunnel: tunnelBytes(connection, bytes, count)
    case .detecting: detectedBytes(connection, bytes, count)
    case .undecided: undecidedBytes(connection, bytes, count)
    case .lingering: count
    case .upstreamTunnel, .listener: 0
    }
  }

  /// Stops reading a connection until `resume`.
  func pause(_ connection: ConnectionRef) { connection.pointee.flags.insert(.paused) }

  /// Looks at a connection's input again before this turn ends.
  func resume(_ connection: ConnectionRef) {
    connection.pointee.flags.remove(.paused)
    lookAgain(connection)
  }

  /// Hands out what is left over once more before this turn ends.
  func lookAgain(_ connection: ConnectionRef) {
    guard connection.pointee.flags.isDisjoint(with: [.resuming, .dead]) else { return }
    connection.pointee.flags.insert(.resuming)
    connection.pointee.nextResuming = resumingHead
    resumingHead = connection
  }

  // MARK: Writing

  /// Sends plaintext: sealed under TLS, at once where the socket takes it, kept where not.
  func write(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard count > 0, !connection.pointee.flags.contains(.dead) else { return }
    guard let session = connection.pointee.tls else { return transmit(connection, bytes, count) }
    sealed.pointee.reset(keeping: Self.sealedCapacity)
    if let failure = session.seal(bytes, count, output: sealed) { return sessionFailed(connection, failure) }
    transmitSealed(connection)
  }

  /// Sends bytes as they are, keeping what the kernel does not take.
  func transmit(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    if lender == connection { sendLent() }
    var sent = 0
    if connection.pointee.output.isEmpty {
      sent = cms_send(connection.pointee.fd, bytes, count)
      if sent > 0 { connection.pointee.bytesSent &+= UInt64(sent) }
      if sent == count { return }
      if sent < 0 {
        guard errno == EAGAIN || errno == ENOTCONN || errno == EINTR else {
          return writeFailed(connection)
        }
        sent = 0
      }
    }
    if !connection.pointee.flags.contains(.writeClosed) {
      keep(&connection.pointee.output, bytes + sent, count &- sent)
    }
  }

  /// The peer takes no more. The read side will find the reset, with what the peer may have sent before it; a client that
  /// waits for its answer is looked at although it is paused. The kernel tells of a reset only once.
  func writeFailed(_ connection: ConnectionRef) {
    connection.pointee.flags.insert([.writeClosed, .unread, .failed])
    if connection.pointee.role == .downstreamHTTP1 { connection.pointee.flags.remove(.paused) }
    lookAgain(connection)
  }

  /// Sends what has been kept.
  func flush(_ connection: ConnectionRef) {
    while let bytes = connection.pointee.output.bytes, !connection.pointee.output.isEmpty {
      let sent = cms_send(connection.pointee.fd, bytes, connection.pointee.output.count)
      if sent < 0 {
        if errno == EAGAIN || errno == ENOTCONN || errno == EINTR { return }
        connection.pointee.output.clear()
        return writeFailed(connection)
      }
      connection.pointee.bytesSent &+= UInt64(sent)
      connection.pointee.output.consume(sent)
    }
    spare(&connection.pointee.output)
    drainedOutput(connection)
  }

  /// Everything kept has been sent: whoever waited for that goes on.
  private func drainedOutput(_ connection: ConnectionRef) {
    if connection.pointee.flags.contains(.closing) { return finishClosing(connection) }
    if connection.pointee.flags.contains(.finishing) { shutdownWrite(connection) }
    if connection.pointee.http2 != nil { return markDirty(connection) }
    guard let exchange = connection.pointee.exchange else { return }
    if exchange.pointee.downstream == connection { settleResponse(exchange) } else { settleRequest(exchange) }
  }

  /// Whether so much waits to be sent that nothing more should be read for it.
  func isCongested(_ connection: ConnectionRef) -> Bool { connection.pointee.output.count >= Self.outputHighWater }

  // MARK: Closing

  /// Closes once everything has been sent.
  func closeAfterFlush(_ connection: ConnectionRef) {
    if connection.pointee.flags.contains(.dead) { return }
    connection.pointee.flags.insert(.closing)
    if connection.pointee.output.isEmpty { finishClosing(connection) }
  }

  /// Tells the peer that nothing more comes, and lingers until it closes too.
  private func finishClosing(_ connection: ConnectionRef) {
    shutdownWrite(connection)
    if connection.pointee.flags.contains(.readClosed) || connection.pointee.flags.contains(.dead) {
      return kill(connection)
    }
    connection.pointee.role = .lingering
    connection.pointee.flags.remove([.closing, .paused])
    connection.pointee.input.release()
    connection.pointee.restingSince = now
    arm(connection, after: Self.lingering.step)
    connection.pointee.flags.insert(.unread)
    lookAgain(connection)
  }

  /// How long we linger: a second at a time, and half a minute at most.
  private static let lingering = (step: UInt64(1_000_000_000), most: UInt64(30_000_000_000))

  /// The peer has not closed. Closing now would answer what it still sends with a reset, and a reset would take from a slow
  /// reader what is on its way; so we wait on, as long as something is.
  func lingeringExpired(_ connection: ConnectionRef) {
    let isDelivered = cms_bytes_acknowledged(connection.pointee.fd) >= connection.pointee.bytesSent
    if isDelivered || now &- connection.pointee.restingSince >= Self.lingering.most { return kill(connection) }
    arm(connection, after: Self.lingering.step)
  }

  /// Ends our direction: close_notify under TLS, then FIN.
  func shutdownWrite(_ connection: ConnectionRef) {
    guard !connection.pointee.flags.contains(.writeClosed) else { return }
    if let session = connection.pointee.tls {
      sealed.pointee.reset(keeping: Self.sealedCapacity)
      session.shutdown(output: sealed)
      transmitSealed(connection)
      if !connection.pointee.output.isEmpty {
        connection.pointee.flags.insert(.finishing)
        return
      }
    }
    connection.pointee.flags.insert(.writeClosed)
    cms_shutdown_write(connection.pointee.fd)
  }

  /// Arms the connection's timer.
  func arm(_ connection: ConnectionRef, after nanoseconds: UInt64) {
    timers.arm(
      UnsafeMutableRawPointer(connection).assumingMemoryBound(to: WheelTimer.self), deadline: now &+ nanoseconds)
  }

  /// Keeps the connection's timer from firing.
  func disarm(_ connection: ConnectionRef) {
    timers.cancel(UnsafeMutableRawPointer(connection).assumingMemoryBound(to: WheelTimer.self))
  }
}
