// Unsafe by design: responses are parsed in place and sent from where they lie.
internal import CMeshSystem
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

extension Worker {
  /// Bytes from an endpoint: interim heads, the head, the body. Returns how many were taken.
  func responseBytes(_ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    var offset = 0
    while offset < count {
      guard let exchange = connection.pointee.exchange else {
        // Nobody asked: whatever this is, the next response would be mistaken for it.
        kill(connection)
        return count
      }
      exchange.pointee.lastActivity = now
      let taken: Int
      if exchange.pointee.flags.contains(.responseStarted), exchange.pointee.status >= 200 {
        taken = responseBody(exchange, connection, bytes + offset, count &- offset)
      } else {
        taken = responseHead(exchange, connection, bytes + offset, count &- offset)
      }
      if connection.pointee.flags.contains(.dead) { return count }
      if taken == 0 { return offset }
      offset &+= taken
      if connection.pointee.role != .upstreamHTTP1 { return offset }
      if connection.pointee.flags.contains(.pooled) {
        // More than the response it was asked for: not to be trusted with another request.
        if offset < count { kill(connection) }
        return count
      }
    }
    return offset
  }

  private func responseHead(
    _ exchange: ExchangeRef, _ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
  ) -> Int {
    var head = MessageHead(base: bytes, fields: fields)
    let result = HTTP1Parser.parseResponseHead(
      bytes, count: count, scanned: Int(connection.pointee.scanned), limits: limits, into: &head, info: &responseInfo)
    switch result {
    case .needMore:
      connection.pointee.scanned = UInt32(truncatingIfNeeded: count)
      return 0
    case .failure(let error):
      upstreamLost(connection, error == .headTooLarge ? .upstreamHeadTooLarge : .upstreamProtocolError)
      return count
    case .complete(let length):
      connection.pointee.scanned = 0
      if responseInfo.isInterim {
        forwardInterim(exchange, head, length)
        return length
      }
      guard let exchange = winner(exchange, head.status) else { return count }
      exchange.pointee.firstByte = now
      if responseInfo.onlyLooksAccepted, exchange.pointee.flags.contains(.extendedConnect) {
        protocolIgnored(exchange, head.status)
        return count
      }
      if retriesStatus(exchange, head) { return count }
      noteResponse(exchange, head)
      return beginResponse(exchange, connection, head, bytes, length, count)
    }
  }

  /// 100 and 103 pass on to clients that understand them.
  private func forwardInterim(_ exchange: ExchangeRef, _ head: borrowing MessageHead, _ length: Int) {
    guard !exchange.pointee.flags.contains(.http10) else { return }
    if exchange.pointee.isDownstreamStream { return writeInterim(exchange, head, except: responseInfo.hopByHop) }
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writer.statusLine(head.status)
    writer.fields(of: head, except: responseInfo.hopByHop, fieldsEnd: responseInfo.fieldsEnd)
    writer.endOfLine()
    if !writer.overflowed { write(exchange.pointee.downstream, headBuffer, writer.count) }
  }

  /// The head goes to the client together with what has come of the body. Returns the bytes taken.
  private func beginResponse(
    _ exchange: ExchangeRef, _ connection: ConnectionRef, _ head: borrowing MessageHead,
    _ bytes: UnsafeMutablePointer<UInt8>, _ length: Int, _ count: Int
  ) -> Int {
    let framing = responseInfo.framing(forRequestMethod: exchange.pointee.method)
    exchange.pointee.status = head.status
    exchange.pointee.flags.insert(.responseStarted)
    if framing == .tunnel {
      guard exchange.pointee.flags.contains(.upgrade) else {
        exchange.pointee.flags.remove(.responseStarted)
        upstreamLost(connection, .upstreamProtocolError)
        return count
      }
      switchProtocols(exchange, head)
      return length
    }
    decideReuse(exchange, connection, framing)
    connection.pointee.body = HTTP1BodyReader(framing)
    armExchangeForBody(exchange)
    if exchange.pointee.isDownstreamStream {
      writeHead(
        exchange, head, status: head.status, except: responseInfo.hopByHop,
        endStream: connection.pointee.body.isFinished)
      headForwarded(exchange, connection, isAlone: count == length)
      return length
    }
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writeResponseHead(&writer, exchange, head, framing)
    guard !writer.overflowed else {
      exchange.pointee.flags.remove(.responseStarted)
      upstreamLost(connection, .upstreamHeadTooLarge)
      return count
    }
    if exchange.pointee.flags.contains(.dechunk) || writer.count > length &+ EventLoop.receiveHeadroom {
      write(exchange.pointee.downstream, headBuffer, writer.count)
      headForwarded(exchange, connection, isAlone: count == length)
      return length
    }
    // The new head is put right before the body, so that both leave in one call without copying the body.
    let step = connection.pointee.body.passThrough(bytes + length, count: count &- length)
    if case .failed = step.progress {
      exchange.pointee.flags.remove(.responseStarted)
      upstreamLost(connection, .upstreamProtocolError)
      return count
    }
    let start = bytes + length - writer.count
    memcpy(start, headBuffer, writer.count)
    exchange.pointee.responseBytes &+= UInt64(step.consumed)
    write(exchange.pointee.downstream, start, writer.count &+ step.consumed)
    if connection.pointee.flags.contains(.dead) { return count }
    if case .finished = step.progress {
      finishResponse(exchange, connection)
    } else {
      acknowledge(connection)
      hold(exchange, connection)
    }
    return length &+ step.consumed
  }

  /// The head has gone to the client by itself; the body follows, if there is one.
  private func headForwarded(_ exchange: ExchangeRef, _ connection: ConnectionRef, isAlone: Bool) {
    if connection.pointee.flags.contains(.dead) { return }
    if connection.pointee.body.isFinished {
      finishResponse(exchange, connection)
    } else if isAlone {
      acknowledge(connection)
    }
  }

  /// A server that sends head and body apart, with Nagle's algorithm on (RFC 896), keeps the body back until the head is
  /// acknowledged, which the kernel delays by 40 ms.
  private func acknowledge(_ connection: ConnectionRef) { cms_acknowledge_now(connection.pointee.fd) }

  /// Whether the two connections may serve another request after this one.
  private func decideReuse(_ exchange: ExchangeRef, _ connection: ConnectionRef, _ framing: BodyFraming) {
    // A server that answers before it has the whole request may not read the rest of it, whatever it says.
    let isEarly = !exchange.pointee.flags.contains(.requestComplete) || !connection.pointee.output.isEmpty
    if !responseInfo.keepAlive || framing == .untilClose || isEarly { connection.pointee.flags.insert(.lastExchange) }
    if exchange.pointee.flags.contains(.upgrade) {
      // Bytes that the client sent for a protocol that was not accepted must not become a request.
      exchange.pointee.flags.remove(.keepAlive)
      connection.pointee.flags.insert(.lastExchange)
    }
    // The client must not send another one behind a request that nobody may read to its end: it is told so now.
    if framing == .untilClose || !exchange.pointee.flags.contains(.requestComplete) {
      exchange.pointee.flags.remove(.keepAlive)
    }
    if framing == .chunked, exchange.pointee.flags.contains(.http10) {
      exchange.pointee.flags.insert(.dechunk)
      exchange.pointee.flags.remove(.keepAlive)
    }
    if isDraining { exchange.pointee.flags.remove(.keepAlive) }
  }

  private func writeResponseHead(
    _ writer: inout HTTP1Writer, _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ framing: BodyFraming
  ) {
    writer.text("HTTP/1.1 ")
    writer.decimal(UInt64(head.status))
    writer.byte(0x20)
    writer.bytes(head.bytes(responseInfo.phrase))
    writer.endOfLine()
    var dropped = responseInfo.hopByHop
    let edit = responseEdit(exchange)
    if edit >= 0, let routes = exchange.pointee.routes {
      for index in 0..<head.fieldCount
      where routes.pointee.drops(routes.pointee.edits[Int(edit)], head.fields[index], base: head.base) {
        dropped.insert(index)
      }
      writer.fields(of: head, except: dropped, fieldsEnd: responseInfo.fieldsEnd)
      append(&writer, routes, edit)
      appendSharing(&writer, exchange)
    } else {
      writer.fields(of: head, except: dropped, fieldsEnd: responseInfo.fieldsEnd)
    }
    writePreference(&writer, exchange)
    if framing == .chunked, !exchange.pointee.flags.contains(.dechunk) { writer.text("transfer-encoding: chunked\r\n") }
    if !exchange.pointee.flags.contains(.keepAlive) {
      writer.text("connection: close\r\n")
    } else if exchange.pointee.flags.contains(.http10) {
      writer.text("connection: keep-alive\r\n")
    }
    writer.endOfLine()
  }

  /// Index of the changes to the response's head; -1: none.
  func responseEdit(_ exchange: ExchangeRef) -> Int32 {
    guard exchange.pointee.rule >= 0, let routes = exchange.pointee.routes else {
      return -1
    }
    if exchange.pointee.backend >= 0 {
      return routes.pointee.backends[Int(exchange.pointee.backend)].responseEdit ?? -1
    }
    return routes.pointee.rules[Int(exchange.pointee.rule)].responseEdit ?? -1
  }

  private func responseBody(
    _ exchange: ExchangeRef, _ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
  ) -> Int {
    if exchange.pointee.isDownstreamStream || exchange.pointee.flags.contains(.dechunk) {
      return unframe(exchange, connection, bytes, count)
    }
    let step = connection.pointee.body.passThrough(bytes, count: count)
    var taken = step.consumed
    switch step.progress {
    case .more, .finished: break
    case .failed:
      finishBroken(exchange, .upstreamProtocolError)
      return count
    case .trailers:
      let trailers = responseTrailers(exchange, connection, bytes + taken, count &- taken)
      if connection.pointee.flags.contains(.dead) { return count }
      taken &+= trailers
    }
    if taken > 0 {
      exchange.pointee.responseBytes &+= UInt64(taken)
      write(exchange.pointee.downstream, bytes, taken)
      if connection.pointee.flags.contains(.dead) { return count }
    }
    if connection.pointee.body.isFinished { finishResponse(exchange, connection) } else { hold(exchange, connection) }
    return taken
  }

  /// Checks a trailer section; returns its length once it is whole.
  private func responseTrailers(
    _ exchange: ExchangeRef, _ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
  ) -> Int {
    var head = MessageHead(base: bytes, fields: fields)
    let result = HTTP1Parser.parseTrailers(
      bytes, count: count, scanned: Int(connection.pointee.scanned), limits: limits, into: &head)
    switch result {
    case .needMore:
      connection.pointee.scanned = UInt32(truncatingIfNeeded: count)
      return 0
    case .failure:
      finishBroken(exchange, .upstreamProtocolError)
      return 0
    case .complete(let length):
      connection.pointee.scanned = 0
      connection.pointee.body.finishTrailers()
      return length
    }
  }

  /// Takes the framing off for a client of HTTP/2, or of HTTP/1.0, which reads until the connection closes.
  private func unframe(
    _ exchange: ExchangeRef, _ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
  ) -> Int {
    var offset = 0
    while offset < count {
      let step = connection.pointee.body.next(bytes + offset, count: count &- offset)
      if step.payload.length > 0 {
        exchange.pointee.responseBytes &+= UInt64(step.payload.length)
        giveDownstream(
          exchange, bytes + offset + Int(step.payload.offset), Int(step.payload.length),
          ends: step.progress == .finished)
        if connection.pointee.flags.contains(.dead) { return count }
      }
      offset &+= step.consumed
      switch step.progress {
      case .more: if step.consumed == 0 { return offset }
      case .failed:
        finishBroken(exchange, .upstreamProtocolError)
        return count
      case .trailers:
        let length = responseTrailers(exchange, connection, bytes + offset, count &- offset)
        if connection.pointee.flags.contains(.dead) || length == 0 { return offset }
        if exchange.pointee.isDownstreamStream { exchange.pointee.responseTrailers.append(bytes + offset, length) }
        offset &+= length
        finishResponse(exchange, connection)
        return offset
      case .finished:
        finishResponse(exchange, connection)
        return offset
      }
    }
    settleResponse(exchange)
    return offset
  }

  /// A client that reads slowly stops the reading from its endpoint.
  private func hold(_ exchange: ExchangeRef, _ connection: ConnectionRef) {
    if isCongested(exchange.pointee.downstream) { pause(connection) }
  }

  /// The response is whole: the upstream connection may serve another request, and so may the client's.
  func finishResponse(_ exchange: ExchangeRef, _ connection: ConnectionRef) {
    let isReusable =
      exchange.pointee.flags.contains([.requestComplete, .sent]) && !connection.pointee.flags.contains(.lastExchange)
    exchange.pointee.upstream = nil
    connection.pointee.exchange = nil
    let cluster = connection.pointee.endpoint?.pointee.cluster
    exchange.pointee.flags.insert(.responseReceived)
    if !exchange.pointee.isDownstreamStream { record(exchange) }
    // What waits for the client's stream is in the exchange: the endpoint's connection has nothing to wait for.
    if connection.pointee.flags.contains(.paused) { resume(connection) }
    if isReusable { pool(connection) } else { kill(connection) }
    // While the exchange still holds the configuration that holds the cluster.
    if let cluster { startWaiting(cluster) }
    guard exchange.pointee.isDownstreamStream else { return finishDownstream(exchange) }
    if exchange.pointee.toDownstream.isEmpty { finishStream(exchange) }
  }

  /// Lets the client's connection go on, or closes it, and gives the exchange back.
  func finishDownstream(_ exchange: ExchangeRef) {
    let connection = exchange.pointee.downstream
    let isComplete = exchange.pointee.flags.contains([.keepAlive, .requestComplete])
    connection.pointee.exchange = nil
    freeExchange(exchange)
    guard !connection.pointee.flags.contains(.dead) else { return }
    guard isComplete, connection.pointee.flags.isDisjoint(with: [.writeClosed]) else {
      return closeAfterFlush(connection)
    }
    arm(connection, after: settings.limits.connectionIdleNanoseconds)
    connection.pointee.restingSince = now
    if connection.pointee.flags.contains(.readClosed), connection.pointee.input.isEmpty {
      return closeAfterFlush(connection)
    }
    if connection.pointee.flags.contains(.paused) {
      resume(connection)
    } else if !connection.pointee.input.isEmpty {
      lookAgain(connection)
    }
  }
}
