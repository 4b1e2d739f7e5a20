// Unsafe by design: bytes pass from one socket to the other through the loop's buffer.
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor

/// Bytes that are not HTTP: TCP services, CONNECT, and what an accepted upgrade turns a connection into. Each direction
/// ends by itself (half-close); a reader that is slow stops the other side's reading.
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
    guard
      let cluster = generation.pointee.cluster(
        generation.pointee.clusterNumber(ofListener: connection.pointee.listener))
    else {
      return refuseTunnel(exchange, .noService)
    }
    exchange.pointee.cluster = cluster
    balance(exchange)
  }

  /// The endpoint is there: the two halves belong together from now on.
  func establishTunnel(_ exchange: ExchangeRef, _ upstream: ConnectionRef) {
    let downstream = exchange.pointee.downstream
    exchange.pointee.firstByte = now
    exchange.pointee.flags.insert(.responseStarted)
    if exchange.pointee.flags.contains(.connectMethod) {
      exchange.pointee.status = 200
      let answer: StaticString = "HTTP/1.1 200 Connection Established\r\n\r\n"
      write(downstream, answer.utf8Start, answer.utf8CodeUnitCount)
    }
    join(exchange, downstream, upstream)
  }

  /// The endpoint accepted the upgrade (101).
  func switchProtocols(
    _ exchange: ExchangeRef, _ connection: ConnectionRef, _ head: borrowing MessageHead, _ length: Int
  ) -> Int {
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writer.statusLine(101)
    writer.fields(of: head, except: responseInfo.hopByHop, fieldsEnd: responseInfo.fieldsEnd)
    writer.text("connection: upgrade\r\nupgrade: ")
    writer.bytes(head.bytes(responseInfo.upgrade))
    writer.endOfLine()
    writer.endOfLine()
    write(exchange.pointee.downstream, headBuffer, writer.count)
    exchange.pointee.flags.insert(.tunnel)
    join(exchange, exchange.pointee.downstream, connection)
    return length
  }

  private func join(_ exchange: ExchangeRef, _ downstream: ConnectionRef, _ upstream: ConnectionRef) {
    if downstream.pointee.flags.contains(.dead) || upstream.pointee.flags.contains(.dead) { return }
    downstream.pointee.role = .tunnel
    upstream.pointee.role = .tunnel
    downstream.pointee.other = upstream
    upstream.pointee.other = downstream
    disarm(downstream)
    disarm(upstream)
    exchange.pointee.deadline = .max
    exchange.pointee.tryDeadline = .max
    exchange.pointee.lastActivity = now
    armExchange(exchange)
    resume(downstream)
    resume(upstream)
    telemetry.tunnelOpened(exchange, now: now, peers)
  }

  /// Bytes for the other half.
  func tunnelBytes(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    guard let other = connection.pointee.other, let exchange = connection.pointee.exchange else { return 0 }
    exchange.pointee.lastActivity = now
    if exchange.pointee.downstream == connection {
      exchange.pointee.requestBytes &+= UInt64(count)
    } else {
      exchange.pointee.responseBytes &+= UInt64(count)
    }
    write(other, bytes, count)
    if isCongested(other) { pause(connection) }
    return count
  }

  /// One half has sent all it will.
  func tunnelHalfEnded(_ connection: ConnectionRef) {
    connection.pointee.flags.insert(.readClosed)
    guard let other = connection.pointee.other, let exchange = connection.pointee.exchange else {
      // Not joined yet: the client may have sent everything before the endpoint is there; join finds the end again.
      connection.pointee.flags.insert(.unread)
      return
    }
    if other.pointee.output.isEmpty { shutdownWrite(other) } else { other.pointee.flags.insert(.finishing) }
    if other.pointee.flags.contains(.readClosed) { finishTunnel(exchange) }
  }

  /// Both directions have ended: what is still to be sent goes out first.
  private func finishTunnel(_ exchange: ExchangeRef) {
    let downstream = exchange.pointee.downstream
    let upstream = exchange.pointee.upstream
    record(exchange)
    downstream.pointee.exchange = nil
    downstream.pointee.other = nil
    if let upstream {
      upstream.pointee.exchange = nil
      upstream.pointee.other = nil
      closeAfterFlush(upstream)
    }
    closeAfterFlush(downstream)
    freeExchange(exchange)
  }

  /// A half broke: the other must not take that for a proper end.
  func tunnelBroken(_ connection: ConnectionRef) {
    guard let exchange = connection.pointee.exchange else { return kill(connection) }
    if exchange.pointee.reason == nil {
      exchange.pointee.reason = exchange.pointee.downstream == connection ? .clientReset : .upstreamReset
    }
    abortTunnel(exchange)
  }

  /// Ends both halves with a reset.
  func abortTunnel(_ exchange: ExchangeRef) {
    let downstream = exchange.pointee.downstream
    let upstream = exchange.pointee.upstream
    record(exchange)
    downstream.pointee.exchange = nil
    downstream.pointee.other = nil
    if let upstream {
      upstream.pointee.exchange = nil
      upstream.pointee.other = nil
      reset(upstream)
    }
    reset(downstream)
    freeExchange(exchange)
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
