// Unsafe by design: bytes pass from one side to the other through the loop's buffer.
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor

/// Bytes that are not HTTP: TCP services, CONNECT (also as a stream of HTTP/2: HBONE), and what an accepted upgrade turns
/// a side into. Each direction ends by itself (half-close); a reader that is slow stops the other side's reading.
extension Worker {
  /// A connection to a TCP service: it goes to an endpoint at once.
  func beginTunnel(_ connection: ConnectionRef) {
    connection.pointee.role = .tunnel
    disarm(connection)
    let exchange = makeExchange(downstream: connection)
    exchange.pointee.flags.insert([.tunnel, .requestComplete])
    if connection.pointee.tls != nil { exchange.pointee.flags.insert(.mutualTLS) }
    exchange.pointee.isInbound = listeners[Int(connection.pointee.listener)].kind == .inbound
    pause(connection)
    let number = generation.pointee.clusterNumber(ofListener: connection.pointee.listener)
    guard let cluster = generation.pointee.cluster(number) else {
      return refuseTunnel(exchange, .noService)
    }
    exchange.pointee.cluster = cluster
    exchange.pointee.asked = cluster
    routeStream(exchange, number)
  }

  /// The endpoint is there: the two sides belong together from now on.
  func establishTunnel(_ exchange: ExchangeRef) {
    exchange.pointee.firstByte = now
    exchange.pointee.flags.insert(.responseStarted)
    if exchange.pointee.flags.contains(.connectMethod) {
      exchange.pointee.status = 200
      if exchange.pointee.isDownstreamStream {
        acceptConnect(exchange)
      } else {
        let answer: StaticString = "HTTP/1.1 200 Connection Established\r\n\r\n"
        write(exchange.pointee.downstream, answer.utf8Start, answer.utf8CodeUnitCount)
      }
    }
    join(exchange)
  }

  /// `200` on the stream of a CONNECT.
  func acceptConnect(_ exchange: ExchangeRef) {
    guard let session = exchange.pointee.downstream.pointee.http2,
      session.pointee.codec.beginResponse(exchange.pointee.downstreamStream, status: 200)
    else { return }
    session.pointee.codec.endHead(exchange.pointee.downstreamStream, endStream: false)
    markDirty(exchange.pointee.downstream)
  }

  /// The endpoint accepted the upgrade: `101` in HTTP/1, a final 2xx to an extended CONNECT in HTTP/2.
  func switchProtocols(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    exchange.pointee.status = exchange.pointee.isDownstreamStream ? 200 : 101
    if exchange.pointee.isDownstreamStream {
      var dropped = exchange.pointee.isUpstreamStream ? FieldSet() : responseInfo.hopByHop
      for index in 0..<head.fieldCount where head.fields[index].known == .secWebSocketAccept { dropped.insert(index) }
      writeHead(exchange, head, status: 200, except: dropped, endStream: false)
    } else {
      writeSwitch(exchange, head)
    }
    exchange.pointee.flags.insert(.tunnel)
    join(exchange)
  }

  /// `101` for a client of HTTP/1.
  private func writeSwitch(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writer.statusLine(101)
    if exchange.pointee.isUpstreamStream {
      writer.fieldLines(of: head, except: FieldSet())
      writer.text("connection: upgrade\r\nupgrade: websocket\r\n")
      if head.first(.secWebSocketAccept) == nil { writeAccept(&writer, exchange) }
    } else {
      writer.fields(of: head, except: responseInfo.hopByHop, fieldsEnd: responseInfo.fieldsEnd)
      writer.text("connection: upgrade\r\nupgrade: ")
      writer.bytes(head.bytes(responseInfo.upgrade))
      writer.endOfLine()
    }
    writer.endOfLine()
    if !writer.overflowed { write(exchange.pointee.downstream, headBuffer, writer.count) }
  }

  /// The proof that a WebSocket server owes a client of HTTP/1, and that one on HTTP/2 does not make.
  private func writeAccept(_ writer: inout HTTP1Writer, _ exchange: ExchangeRef) {
    guard let bytes = exchange.pointee.request.bytes,
      let key = HTTP1Text.value(of: "sec-websocket-key", bytes, exchange.pointee.headLength)
    else { return }
    writer.text("sec-websocket-accept: ")
    WebSocketAccept.write(bytes + key.lowerBound, key.count, &writer)
    writer.endOfLine()
  }

  private func join(_ exchange: ExchangeRef) {
    let downstream = exchange.pointee.downstream
    guard let upstream = exchange.pointee.upstream else { return }
    if downstream.pointee.flags.contains(.dead) || upstream.pointee.flags.contains(.dead) { return }
    exchange.pointee.flags.insert(.joined)
    exchange.pointee.deadline = .max
    exchange.pointee.tryDeadline = .max
    exchange.pointee.lastActivity = now
    armExchange(exchange)
    if !exchange.pointee.isDownstreamStream {
      downstream.pointee.role = .tunnel
      disarm(downstream)
      resume(downstream)
    }
    if !exchange.pointee.isUpstreamStream {
      upstream.pointee.role = .tunnel
      disarm(upstream)
      resume(upstream)
    }
    if !exchange.pointee.flags.contains(.speculative) { telemetry.tunnelOpened(exchange, now: now, peers) }
    noteTunnel(exchange)
    giveEarly(exchange, upstream)
    if exchange.pointee.flags.contains(.clientDone) { endUpstream(exchange) }
  }

  /// What a client on a stream sent before the endpoint was there.
  private func giveEarly(_ exchange: ExchangeRef, _ upstream: ConnectionRef) {
    guard exchange.pointee.isDownstreamStream, !exchange.pointee.toUpstream.isEmpty else { return }
    if exchange.pointee.isUpstreamStream { return flushToUpstream(exchange) }
    if let bytes = exchange.pointee.toUpstream.bytes {
      write(upstream, bytes, exchange.pointee.toUpstream.count)
      exchange.pointee.toUpstream.clear()
    }
    settleRequest(exchange)
  }

  /// Bytes pass through a tunnel: they are told within `RequestPath.tellingInterval`. One that is idle wakes nobody for that.
  func tellSoon(_ exchange: ExchangeRef) {
    let time = now &+ RequestPath.tellingInterval
    guard exchange.pointee.timer.fires(after: time) else { return }
    timers.arm(UnsafeMutableRawPointer(exchange).assumingMemoryBound(to: WheelTimer.self), deadline: time)
  }

  /// Bytes of a side that is a connection, for the other side.
  func tunnelBytes(_ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    guard let exchange = connection.pointee.exchange, exchange.pointee.flags.contains(.joined) else {
      return serverNameBytes(connection, bytes, count)
    }
    if exchange.pointee.flags.contains(.speculative),
      !decideTunnel(exchange, fromClient: exchange.pointee.downstream == connection, bytes, count)
    {
      return 0
    }
    exchange.pointee.lastActivity = now
    tellSoon(exchange)
    if exchange.pointee.downstream == connection {
      exchange.pointee.requestBytes &+= UInt64(count)
      giveUpstream(exchange, bytes, count, ends: false)
    } else {
      exchange.pointee.responseBytes &+= UInt64(count)
      giveDownstream(exchange, bytes, count, ends: false)
    }
    return count
  }

  // MARK: Ends

  /// A side that is a connection has sent all it will.
  func tunnelHalfEnded(_ connection: ConnectionRef) {
    guard let exchange = connection.pointee.exchange, exchange.pointee.flags.contains(.joined) else {
      // Not joined yet: the client may have sent everything before the endpoint is there; join finds the end again.
      connection.pointee.flags.insert(.unread)
      return
    }
    exchange.pointee.downstream == connection ? clientSideEnded(exchange) : endpointSideEnded(exchange)
  }

  /// The client sends no more.
  func clientSideEnded(_ exchange: ExchangeRef) {
    exchange.pointee.flags.insert(.clientDone)
    guard exchange.pointee.flags.contains(.joined) else { return }
    endUpstream(exchange)
    checkTunnel(exchange)
  }

  /// The endpoint sends no more.
  func endpointSideEnded(_ exchange: ExchangeRef) {
    exchange.pointee.flags.insert([.endpointDone, .responseReceived])
    if !exchange.pointee.isDownstreamStream {
      endDirection(exchange.pointee.downstream)
    } else if exchange.pointee.toDownstream.isEmpty {
      endStreamDownstream(exchange)
    }
    checkTunnel(exchange)
  }

  /// Ends a tunnel on which both sides have said everything and everything has been passed on.
  func checkTunnel(_ exchange: ExchangeRef) {
    guard exchange.pointee.flags.contains([.tunnel, .clientDone, .endpointDone]), exchange.pointee.toUpstream.isEmpty,
      exchange.pointee.toDownstream.isEmpty
    else { return }
    record(exchange)
    letGo(exchange) { worker, connection in worker.closeAfterFlush(connection) }
  }

  /// Lets both sides go, connections in the way that is given, and gives the exchange back.
  private func letGo(_ exchange: ExchangeRef, _ end: (Worker, ConnectionRef) -> Void) {
    let downstream = exchange.pointee.downstream
    let isDownstreamStream = exchange.pointee.isDownstreamStream
    if exchange.pointee.isUpstreamStream {
      detachUpstream(exchange, .cancel)
    } else if let upstream = exchange.pointee.upstream {
      upstream.pointee.exchange = nil
      end(self, upstream)
    }
    exchange.pointee.upstream = nil
    if isDownstreamStream {
      detachDownstream(exchange)
      return freeExchange(exchange)
    }
    downstream.pointee.exchange = nil
    freeExchange(exchange)
    end(self, downstream)
  }

  /// A side that is a connection broke: the other must not take that for a proper end.
  func tunnelBroken(_ connection: ConnectionRef) {
    guard let exchange = connection.pointee.exchange else { return kill(connection) }
    if exchange.pointee.reason == nil {
      exchange.pointee.reason = exchange.pointee.downstream == connection ? .clientReset : .upstreamReset
    }
    abortTunnel(exchange)
  }

  /// Ends both sides with a reset.
  func abortTunnel(_ exchange: ExchangeRef) {
    abandonAwaited(exchange)
    record(exchange)
    if exchange.pointee.isDownstreamStream {
      exchange.pointee.downstream.pointee.http2?.pointee.codec.reset(
        exchange.pointee.downstreamStream, .connectError)
    }
    letGo(exchange) { worker, connection in worker.reset(connection) }
  }

  private func abandonAwaited(_ exchange: ExchangeRef) {
    if exchange.pointee.flags.contains(.awaitingStream) { stopAwaiting(exchange) }
  }

  /// A tunnel that cannot be: CONNECT gets an answer, a TCP client a reset.
  func refuseTunnel(_ exchange: ExchangeRef, _ reason: Reason) {
    if exchange.pointee.flags.contains(.connectMethod) {
      exchange.pointee.flags.remove(.keepAlive)
      return reply(exchange, reason)
    }
    leaveLine(exchange)
    exchange.pointee.reason = reason
    abortTunnel(exchange)
  }
}
