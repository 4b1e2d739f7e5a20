// Unsafe by design: connections are plain structs.
internal import CMeshSystem
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// How connections end: by the peer, by a fault, by a clock.
extension Worker {
  /// The peer will send no more.
  func ended(_ connection: ConnectionRef) {
    connection.pointee.flags.insert(.readClosed)
    switch connection.pointee.role {
    case .downstreamHTTP1: clientEnded(connection)
    case .upstreamHTTP1: upstreamEnded(connection)
    case .downstreamHTTP2: sessionEnded(connection)
    case .upstreamHTTP2:
      connection.pointee.http2 == nil ? upstreamLost(connection, .upstreamReset) : sessionEnded(connection)
    case .upstreamTunnel: upstreamLost(connection, .upstreamReset)
    case .tunnel: tunnelHalfEnded(connection)
    case .undecided, .lingering: kill(connection)
    case .detecting: detectionEnded(connection)
    case .listener: break
    }
  }

  /// A client that has said too little to tell what it speaks, and will say no more: its bytes go to the endpoint.
  private func detectionEnded(_ connection: ConnectionRef) {
    guard !connection.pointee.input.isEmpty else { return kill(connection) }
    connection.pointee.flags.insert(.unread)
    beginTunnel(connection)
  }

  /// A client that has sent its request whole may end its direction and still read the answer (RFC 9112, 9.6), unless
  /// nothing can be written to it any more.
  private func clientEnded(_ connection: ConnectionRef) {
    guard let exchange = connection.pointee.exchange else {
      return connection.pointee.output.isEmpty ? kill(connection) : closeAfterFlush(connection)
    }
    exchange.pointee.flags.remove(.keepAlive)
    if !exchange.pointee.flags.contains(.requestComplete) || connection.pointee.flags.contains(.writeClosed) {
      broken(connection)
    }
  }

  /// The endpoint ended its direction: the proper end of some bodies, a failure of everything else.
  private func upstreamEnded(_ connection: ConnectionRef) {
    guard let exchange = connection.pointee.exchange else { return idleClosed(connection) }
    if exchange.pointee.flags.contains(.responseStarted), exchange.pointee.status >= 200 {
      guard connection.pointee.body.mayEndHere else { return finishBroken(exchange, .upstreamTruncated) }
      connection.pointee.flags.insert(.lastExchange)
      return finishResponse(exchange, connection)
    }
    upstreamLost(connection, .upstreamReset)
  }

  /// An idle connection was closed by the endpoint: from now on ours are closed a little earlier than it does, so that no
  /// request is written to a connection that is just being closed.
  private func idleClosed(_ connection: ConnectionRef) {
    if let endpoint = connection.pointee.endpoint, connection.pointee.flags.contains(.pooled) {
      let age = now &- connection.pointee.restingSince
      if age > 100_000_000 { endpoint.pointee.learnedIdle = min(endpoint.pointee.learnedIdle, age &- age / 10) }
    }
    kill(connection)
  }

  /// The connection is gone in both directions.
  func broken(_ connection: ConnectionRef) {
    connection.pointee.flags.insert([.readClosed, .writeClosed])
    switch connection.pointee.role {
    case .downstreamHTTP1:
      guard let exchange = connection.pointee.exchange else { return kill(connection) }
      exchange.pointee.reason = .clientReset
      abandon(exchange)
    case .downstreamHTTP2: sessionEnded(connection)
    case .upstreamHTTP2:
      connection.pointee.http2 == nil ? upstreamLost(connection, .upstreamReset) : sessionEnded(connection)
    case .upstreamHTTP1, .upstreamTunnel:
      connection.pointee.exchange == nil ? idleClosed(connection) : upstreamLost(connection, .upstreamReset)
    case .tunnel: tunnelBroken(connection)
    case .undecided, .detecting, .lingering: kill(connection)
    case .listener: break
    }
  }

  /// The client has gone: the work for it stops.
  private func abandon(_ exchange: ExchangeRef) {
    let downstream = exchange.pointee.downstream
    leaveLine(exchange)
    abandonUpstream(exchange)
    record(exchange)
    downstream.pointee.exchange = nil
    kill(downstream)
    freeExchange(exchange)
  }

  /// Lets go of the exchange's upstream connection, which cannot be used again.
  func abandonUpstream(_ exchange: ExchangeRef) {
    if exchange.pointee.flags.contains(.awaitingStream) {
      stopAwaiting(exchange)
    } else if exchange.pointee.isUpstreamStream {
      detachUpstream(exchange, .cancel)
    } else if let upstream = exchange.pointee.upstream {
      exchange.pointee.upstream = nil
      upstream.pointee.exchange = nil
      kill(upstream)
    }
    if exchange.pointee.flags.contains(.sent) { exchange.pointee.attemptWasSent = true }
    exchange.pointee.flags.remove(.sent)
  }

  /// The answer has begun and cannot be finished: the client must not take what it has for whole.
  func finishBroken(_ exchange: ExchangeRef, _ reason: Reason) {
    exchange.pointee.reason = reason
    exchange.pointee.attemptReason = reason
    let downstream = exchange.pointee.downstream
    abandonUpstream(exchange)
    record(exchange)
    if exchange.pointee.isDownstreamStream {
      downstream.pointee.http2?.pointee.codec.reset(exchange.pointee.downstreamStream, .internalError)
      detachDownstream(exchange)
      return freeExchange(exchange)
    }
    downstream.pointee.exchange = nil
    freeExchange(exchange)
    reset(downstream)
  }

  /// Closes with a reset, so that the peer sees that something went wrong.
  func reset(_ connection: ConnectionRef) {
    if connection.pointee.flags.contains(.dead) { return }
    _ = cms_set_reset_on_close(connection.pointee.fd)
    kill(connection)
  }

  // MARK: Clocks

  /// A connection's timer: what it means depends on what the connection is doing.
  func connectionExpired(_ connection: ConnectionRef) {
    switch connection.pointee.role {
    case .listener: acceptAgain(connection)
    case .undecided:
      refused(connection, .tlsHandshakeTimeout)
      kill(connection)
    case .lingering: lingeringExpired(connection)
    case .detecting: detectionExpired(connection)
    case .downstreamHTTP1: downstreamExpired(connection)
    case .downstreamHTTP2, .upstreamHTTP2:
      guard let session = connection.pointee.http2 else { return upstreamLost(connection, .connectTimeout) }
      sessionTick(connection, session)
    case .upstreamHTTP1, .upstreamTunnel:
      if connection.pointee.flags.contains(.pooled) {
        kill(connection)
      } else {
        upstreamLost(connection, .connectTimeout)
      }
    case .tunnel: break
    }
  }

  private func downstreamExpired(_ connection: ConnectionRef) {
    if connection.pointee.exchange != nil { return }
    guard connection.pointee.scanned > 0 else { return closeAfterFlush(connection) }
    let exchange = makeExchange(downstream: connection)
    connection.pointee.scanned = 0
    connection.pointee.input.release()
    reply(exchange, .headerTimeout)
  }

  /// Arms an exchange's timer for the nearest of its deadlines.
  func armExchange(_ exchange: ExchangeRef) {
    var nearest = min(exchange.pointee.deadline, exchange.pointee.tryDeadline, exchange.pointee.errand.hedgeAt)
    if exchange.pointee.flags.contains(.tunnel) || exchange.pointee.flags.contains(.responseStarted) {
      nearest = min(nearest, exchange.pointee.lastActivity &+ settings.limits.streamIdleNanoseconds)
    }
    if exchange.pointee.owesBytes { nearest = min(nearest, now &+ RequestPath.tellingInterval) }
    if watchesBody(exchange) {
      nearest = min(nearest, bodyDeadline(exchange))
    }
    guard nearest != .max else { return }
    timers.arm(UnsafeMutableRawPointer(exchange).assumingMemoryBound(to: WheelTimer.self), deadline: nearest)
  }

  /// Whether the request's body must make progress: until it is whole or answered. The messages of a gRPC stream come
  /// when there is something to say.
  private func watchesBody(_ exchange: ExchangeRef) -> Bool {
    exchange.pointee.flags.isDisjoint(with: [.requestComplete, .tunnel, .grpc])
      && !(exchange.pointee.isDownstreamStream && exchange.pointee.flags.contains(.responseStarted))
  }

  /// When the next `RequestPath.minimumBodyBytes` of the request's body must be there.
  private func bodyDeadline(_ exchange: ExchangeRef) -> UInt64 {
    max(exchange.pointee.bodyWindowStart, exchange.pointee.started) &+ settings.limits.bodyNanoseconds
  }

  /// The head of the response is there: from now on only silence and the request's own deadline end it.
  func armExchangeForBody(_ exchange: ExchangeRef) {
    let limit = exchange.pointee.tryLimit
    let longer = limit &- min(limit, exchange.pointee.headLimit)
    exchange.pointee.tryDeadline = limit == .max ? .max : exchange.pointee.tryDeadline &+ longer
    exchange.pointee.errand.hedgeAt = .max
    // Silence is counted from now, and the clock may be set for later, or not at all.
    if exchange.pointee.timer.fires(after: now &+ settings.limits.streamIdleNanoseconds) { armExchange(exchange) }
  }

  /// A try begins: its deadline is the nearer one of a whole try's and of a response's head.
  func armTry(_ exchange: ExchangeRef) {
    let limit = min(exchange.pointee.tryLimit, exchange.pointee.headLimit)
    exchange.pointee.tryDeadline = limit == .max ? .max : now &+ limit
    planHedge(exchange)
    armExchange(exchange)
  }

  /// An exchange's timer: finds out which deadline has passed.
  func exchangeExpired(_ exchange: ExchangeRef) {
    if exchange.pointee.flags.contains(.backingOff), now >= exchange.pointee.retryAt { return retryNow(exchange) }
    if now >= exchange.pointee.deadline { return timedOut(exchange, lateness(exchange)) }
    if now >= exchange.pointee.errand.hedgeAt { hedge(exchange) }
    if now >= exchange.pointee.tryDeadline, !postponesTry(exchange) {
      return exchange.pointee.flags.contains(.responseStarted)
        ? timedOut(exchange, .backendRequestTimeout) : tryTimedOut(exchange)
    }
    if exchange.pointee.flags.contains([.tunnel, .joined]) { telemetry.tellBytes(exchange, now: now, peers) }
    if exchange.pointee.flags.contains(.tunnel) || exchange.pointee.flags.contains(.responseStarted),
      now >= exchange.pointee.lastActivity &+ settings.limits.streamIdleNanoseconds
    {
      return timedOut(exchange, .streamIdleTimeout)
    }
    if watchesBody(exchange), now >= bodyDeadline(exchange) {
      if exchange.pointee.requestBytes &- exchange.pointee.watchedBytes < RequestPath.minimumBodyBytes {
        return timedOut(exchange, .bodyTimeout)
      }
      exchange.pointee.watchedBytes = exchange.pointee.requestBytes
      exchange.pointee.bodyWindowStart = now
    }
    armExchange(exchange)
  }

  /// Why there is no more time: what waits in line for a connection, without a limit of its own, is kept there by the
  /// breaker.
  private func lateness(_ exchange: ExchangeRef) -> Reason {
    let source = exchange.pointee.deadlineSource
    return source == .none && exchange.pointee.flags.contains(.pending) ? .circuitOpenConnections : source.reason
  }

  /// The exchange ends for lack of time.
  private func timedOut(_ exchange: ExchangeRef, _ reason: Reason) {
    exchange.pointee.attemptReason = reason
    if exchange.pointee.flags.contains(.tunnel) {
      exchange.pointee.reason = reason
      return exchange.pointee.flags.contains(.responseStarted) ? abortTunnel(exchange) : giveUp(exchange, reason)
    }
    if exchange.pointee.flags.contains(.responseStarted) { return finishBroken(exchange, reason) }
    giveUp(exchange, reason)
  }
}
