// Unsafe by design: bodies pass from one connection to another through the loop's buffers.
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor

/// The two sides of an exchange, whatever each of them speaks. A side is a connection of its own (HTTP/1, a tunnel) or a
/// stream of HTTP/2; bytes for a stream whose window is shut wait in the exchange, and while they wait their source is
/// not read: a connection is paused, a stream is granted no more.
extension Worker {
  // MARK: Towards the endpoint

  /// Bytes of a body or tunnel for the endpoint. `ends`: nothing comes behind them, not even trailers.
  func giveUpstream(_ exchange: ExchangeRef, _ bytes: UnsafePointer<UInt8>, _ count: Int, ends: Bool) {
    guard let upstream = exchange.pointee.upstream else { return }
    guard exchange.pointee.isUpstreamStream, let session = upstream.pointee.http2 else {
      if !lend(upstream, bytes, count) { write(upstream, bytes, count) }
      if ends { endUpstream(exchange) }
      return settleRequest(exchange)
    }
    var taken = 0
    if exchange.pointee.toUpstream.isEmpty {
      taken = sendBody(upstream, session, exchange.pointee.upstreamStream, bytes, count, endStream: ends)
      if ends, taken == count { exchange.pointee.flags.insert([.requestEnded, .upstreamEnded]) }
      markDirty(upstream)
    }
    if taken < count {
      keep(&exchange.pointee.toUpstream, bytes + taken, count &- taken)
      if ends { exchange.pointee.flags.insert(.requestEnded) }
    }
    settleRequest(exchange)
  }

  /// Nothing more comes for the endpoint; trailers are those that the exchange holds.
  func endUpstream(_ exchange: ExchangeRef) {
    exchange.pointee.flags.insert(.requestEnded)
    if exchange.pointee.toUpstream.isEmpty { finishUpstream(exchange) }
  }

  /// The window has opened: what waited goes out, and the source may go on.
  func flushToUpstream(_ exchange: ExchangeRef) {
    guard let upstream = exchange.pointee.upstream, let session = upstream.pointee.http2 else { return }
    if sendWaiting(&exchange.pointee.toUpstream, on: exchange.pointee.upstreamStream, of: session) {
      exchange.pointee.lastActivity = now
    }
    if exchange.pointee.toUpstream.isEmpty, exchange.pointee.flags.contains(.requestEnded) { finishUpstream(exchange) }
    settleRequest(exchange)
    checkTunnel(exchange)
  }

  /// Tells the endpoint that the request ends here.
  private func finishUpstream(_ exchange: ExchangeRef) {
    guard let upstream = exchange.pointee.upstream, !exchange.pointee.flags.contains(.upstreamEnded) else { return }
    exchange.pointee.flags.insert(.upstreamEnded)
    guard exchange.pointee.isUpstreamStream, let session = upstream.pointee.http2 else {
      if upstream.pointee.role == .tunnel { endDirection(upstream) }
      return
    }
    end(exchange.pointee.upstreamStream, of: session, trailers: exchange.pointee.requestTrailers)
  }

  /// Reads on from the client, or stops, as the endpoint's side can take more or not.
  func settleRequest(_ exchange: ExchangeRef) {
    let downstream = exchange.pointee.downstream
    let waiting = exchange.pointee.toUpstream.count
    let isHeld =
      exchange.pointee.isUpstreamStream ? waiting > 0 : exchange.pointee.upstream.map { isCongested($0) } ?? true
    if exchange.pointee.isDownstreamStream {
      guard !isHeld || exchange.pointee.isUpstreamStream else { return }
      let count = exchange.pointee.downstreamDebt &- waiting
      exchange.pointee.downstreamDebt = waiting
      grant(downstream, exchange.pointee.downstreamStream, count)
    } else if isHeld {
      pause(downstream)
    } else if downstream.pointee.flags.contains(.paused),
      !exchange.pointee.flags.contains(.requestComplete) || exchange.pointee.flags.contains(.joined)
    {
      resume(downstream)
    }
  }

  // MARK: Towards the client

  /// Bytes of a body or tunnel for the client. `ends`: nothing comes behind them, not even trailers.
  func giveDownstream(_ exchange: ExchangeRef, _ bytes: UnsafePointer<UInt8>, _ count: Int, ends: Bool) {
    let downstream = exchange.pointee.downstream
    guard exchange.pointee.isDownstreamStream, let session = downstream.pointee.http2 else {
      if !lend(downstream, bytes, count) { write(downstream, bytes, count) }
      return settleResponse(exchange)
    }
    var taken = 0
    if exchange.pointee.toDownstream.isEmpty {
      taken = sendBody(downstream, session, exchange.pointee.downstreamStream, bytes, count, endStream: ends)
      if ends, taken == count { exchange.pointee.flags.insert(.downstreamEnded) }
      markDirty(downstream)
    }
    if taken < count {
      keep(&exchange.pointee.toDownstream, bytes + taken, count &- taken)
    }
    settleResponse(exchange)
  }

  /// The window has opened: what waited goes out, and the source may go on.
  func flushToDownstream(_ exchange: ExchangeRef) {
    guard let session = exchange.pointee.downstream.pointee.http2 else { return }
    if sendWaiting(&exchange.pointee.toDownstream, on: exchange.pointee.downstreamStream, of: session) {
      exchange.pointee.lastActivity = now
    }
    if exchange.pointee.toDownstream.isEmpty, exchange.pointee.flags.contains(.responseReceived) {
      if !exchange.pointee.flags.contains(.tunnel) { return finishStream(exchange) }
      endStreamDownstream(exchange)
    }
    settleResponse(exchange)
    checkTunnel(exchange)
  }

  /// Ends the client's stream from our side, with the trailers that the exchange holds.
  func endStreamDownstream(_ exchange: ExchangeRef) {
    guard !exchange.pointee.flags.contains(.downstreamEnded), let session = exchange.pointee.downstream.pointee.http2
    else { return }
    exchange.pointee.flags.insert(.downstreamEnded)
    end(exchange.pointee.downstreamStream, of: session, trailers: exchange.pointee.responseTrailers)
  }

  /// Reads on from the endpoint, or stops, as the client's side can take more or not.
  func settleResponse(_ exchange: ExchangeRef) {
    guard let upstream = exchange.pointee.upstream else { return }
    let waiting = exchange.pointee.toDownstream.count
    let isHeld = exchange.pointee.isDownstreamStream ? waiting > 0 : isCongested(exchange.pointee.downstream)
    if exchange.pointee.isUpstreamStream {
      guard !isHeld || exchange.pointee.isDownstreamStream else { return }
      let count = exchange.pointee.upstreamDebt &- waiting
      exchange.pointee.upstreamDebt = waiting
      grant(upstream, exchange.pointee.upstreamStream, count)
    } else if isHeld {
      pause(upstream)
    } else if upstream.pointee.flags.contains(.paused) {
      resume(upstream)
    }
  }

  // MARK: Both

  /// Sends of what waits for a stream as much as its window takes; false where nothing waited.
  private func sendWaiting(_ waiting: inout ByteQueue, on stream: HTTP2Stream, of session: HTTP2SessionRef) -> Bool {
    guard !waiting.isEmpty, let bytes = waiting.bytes else { return false }
    let count = waiting.count
    waiting.consume(session.pointee.codec.sendData(stream, bytes, count, endStream: false) ?? count)
    markDirty(session.pointee.connection)
    return true
  }

  /// Ends a stream from our side, with trailers where there are field lines of any.
  private func end(_ stream: HTTP2Stream, of session: HTTP2SessionRef, trailers: borrowing ByteQueue) {
    if !trailers.isEmpty, let lines = trailers.bytes, session.pointee.codec.beginHead(stream) {
      session.pointee.codec.fieldLines(lines, from: 0, trailers.count)
      session.pointee.codec.endHead(stream, endStream: true)
    } else {
      _ = session.pointee.codec.sendData(stream, headBuffer, 0, endStream: true)
    }
    markDirty(session.pointee.connection)
  }

  /// Lets go of a stream of the exchange's: what it is still owed of the connection's window is given back.
  private func detach(
    _ stream: inout HTTP2Stream, _ debt: inout Int, of connection: ConnectionRef, _ code: HTTP2ErrorCode?
  ) {
    if let session = connection.pointee.http2, !connection.pointee.flags.contains(.dead) {
      session.pointee.codec.setTag(stream, 0)
      if let code { session.pointee.codec.reset(stream, code) }
      session.pointee.codec.consumed(stream, debt)
      session.pointee.idleSince = now
      markDirty(connection)
    }
    debt = 0
    stream = HTTP2Stream()
  }

  /// Lets the sender of a stream send as much again as has been passed on.
  private func grant(_ connection: ConnectionRef, _ stream: HTTP2Stream, _ count: Int) {
    guard count > 0, let session = connection.pointee.http2 else { return }
    session.pointee.codec.consumed(stream, count)
    if session.pointee.codec.hasOutput { markDirty(connection) }
  }

  /// Sends plaintext when the turn ends, with what else there is by then, in one call.
  func writeGathered(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard connection.pointee.tls == nil, !connection.pointee.flags.contains(.writeClosed) else {
      return write(connection, bytes, count)
    }
    guard !connection.pointee.flags.contains(.dead) else { return }
    if lender == connection { sendLent() }
    keep(&connection.pointee.output, bytes, count)
    markDirty(connection)
  }

  /// Payload as one chunk of HTTP/1.1.
  func writeChunk(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard count > 0 else { return }
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writer.chunkHeader(UInt64(count))
    if count <= Self.headCapacity - 32 {
      writer.bytes(bytes, count)
      writer.endOfLine()
      return writeGathered(connection, headBuffer, writer.count)
    }
    writeGathered(connection, headBuffer, writer.count)
    writeGathered(connection, bytes, count)
    let end: StaticString = "\r\n"
    writeGathered(connection, end.utf8Start, 2)
  }

  /// The last chunk, with trailers as field lines (which may or may not bring their empty line along).
  func writeLastChunk(_ connection: ConnectionRef, _ trailers: ByteQueue) {
    let last: StaticString = "0\r\n"
    writeGathered(connection, last.utf8Start, 3)
    if !trailers.isEmpty, let lines = trailers.bytes {
      writeGathered(connection, lines, trailers.count)
      if trailers.count >= 4, lines[trailers.count &- 3] == 0x0A { return }
    }
    let end: StaticString = "\r\n"
    writeGathered(connection, end.utf8Start, 2)
  }

  /// Ends our direction of a tunnel's connection once what waits has been sent.
  func endDirection(_ connection: ConnectionRef) {
    if connection.pointee.output.isEmpty {
      shutdownWrite(connection)
    } else {
      connection.pointee.flags.insert(.finishing)
    }
  }

  /// An exchange that is given back keeps no bytes of bodies.
  func forgetBodies(_ exchange: ExchangeRef) {
    spare(&exchange.pointee.toUpstream)
    spare(&exchange.pointee.toDownstream)
    exchange.pointee.requestTrailers.clear()
    exchange.pointee.requestTrailers.shrink(keep: 4096)
    exchange.pointee.responseTrailers.clear()
    exchange.pointee.responseTrailers.shrink(keep: 4096)
  }

  /// Lets go of the client's stream; what it is still owed of the connection's window is given back.
  func detachDownstream(_ exchange: ExchangeRef) {
    guard exchange.pointee.isDownstreamStream else { return }
    detach(
      &exchange.pointee.downstreamStream, &exchange.pointee.downstreamDebt, of: exchange.pointee.downstream, nil)
  }

  /// Lets go of the endpoint's stream; `code` ends it if it is still open.
  func detachUpstream(_ exchange: ExchangeRef, _ code: HTTP2ErrorCode) {
    guard let upstream = exchange.pointee.upstream, exchange.pointee.isUpstreamStream else { return }
    detach(&exchange.pointee.upstreamStream, &exchange.pointee.upstreamDebt, of: upstream, code)
    exchange.pointee.upstream = nil
    forgetUnsent(exchange)
  }

  /// What waits for a stream that is gone is in the exchange's request as well, where it can be sent again; what a tunnel
  /// got before it was joined is nowhere else.
  func forgetUnsent(_ exchange: ExchangeRef) {
    if exchange.pointee.flags.isDisjoint(with: [.tunnel, .extendedConnect]) || exchange.pointee.flags.contains(.joined)
    {
      exchange.pointee.toUpstream.clear()
    }
  }
}
