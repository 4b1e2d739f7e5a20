// Unsafe by design: heads lie in the loop's arena, bodies in its receive buffer.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// Clients that speak HTTP/2: each stream is an exchange, from its head to the end that both sides have agreed on.
extension Worker {
  /// A client has opened a stream with a request.
  func streamOpened(
    _ connection: ConnectionRef, _ session: HTTP2SessionRef, _ stream: HTTP2Stream, _ head: HTTP2Head
  ) {
    let exchange = makeExchange(on: connection)
    exchange.pointee.downstreamStream = stream
    crowd.moved(&exchange.pointee.crowdMark)
    session.pointee.codec.setTag(stream, UInt(bitPattern: exchange))
    var message = head.head
    let isConnect = message.methodToken == .connect
    describe(head)
    var flags: ExchangeFlags = [.keepAlive]
    if head.endStream { flags.insert(.requestComplete) }
    if connection.pointee.tls != nil { flags.insert(.mutualTLS) }
    if isConnect, !head.protocolName.isEmpty {
      // A protocol on a stream: towards HTTP/1 it is an upgrade, whose body is the protocol's.
      flags.formUnion([.extendedConnect, .upgrade, .requestComplete])
      requestInfo.framing = .none
      requestInfo.upgrade = head.protocolName
      message.methodToken = .get
    } else if isConnect {
      flags.insert(.requestComplete)
    } else {
      flags.insert(.replayable)
      if case .chunked = requestInfo.framing { flags.insert(.chunkRequest) }
      if isGRPC(message) { flags.insert(.grpc) }
    }
    exchange.pointee.flags = flags
    exchange.pointee.method = message.methodToken
    exchange.pointee.framing = .none
    route(exchange, message)
  }

  /// What the stages behind this one want to know of a request, in the terms of HTTP/1.
  private func describe(_ head: HTTP2Head) {
    requestInfo = HTTP1RequestInfo()
    var size = 0
    var index = 0
    while index < head.head.fieldCount {
      let field = head.head.fields[index]
      if field.known == .te {
        requestInfo.hopByHop.insert(index)
        requestInfo.acceptsTrailers = true
      }
      size &+= Int(field.name.length) &+ Int(field.value.length) &+ 4
      index &+= 1
    }
    size &+= Int(head.head.target.length) &+ Int(head.head.authority.length) &+ Int(head.head.method.length)
    requestInfo.fieldsEnd = UInt32(truncatingIfNeeded: size)
    if !head.endStream {
      if let length = head.contentLength, length > 0 {
        requestInfo.framing = .length(length)
      } else {
        requestInfo.framing = .chunked
      }
    }
  }

  /// Whether a request is a call of gRPC; gRPC-Web is not, its answers differ.
  func isGRPC(_ head: borrowing MessageHead) -> Bool {
    guard let field = head.first(.contentType) else { return false }
    let value = head.bytes(field.value)
    let name: StaticString = "application/grpc"
    let count = name.utf8CodeUnitCount
    guard value.count >= count, let start = value.baseAddress else { return false }
    for index in 0..<count where start[index] != name.utf8Start[index] { return false }
    return value.count == count || start[count] == 0x2B || start[count] == 0x3B
  }

  /// Body bytes of a request, or bytes of a tunnel.
  func requestData(_ exchange: ExchangeRef, _ data: HTTP2Data) {
    let count = data.bytes.count
    exchange.pointee.requestBytes &+= UInt64(count)
    let bytes = data.bytes.baseAddress ?? UnsafePointer(headBuffer)
    if exchange.pointee.flags.contains(.tunnel) || exchange.pointee.flags.contains(.extendedConnect) {
      if exchange.pointee.flags.contains(.joined) {
        giveUpstream(exchange, bytes, count, ends: false)
      } else {
        // The endpoint is not there yet; the window bounds what can come.
        keep(&exchange.pointee.toUpstream, bytes, count)
        if exchange.pointee.flags.contains(.awaitingName) {
          if data.endStream { exchange.pointee.flags.insert(.clientDone) }
          return serverNameOnStream(exchange, isEnd: data.endStream)
        }
      }
      if data.endStream {
        endLending()
        clientSideEnded(exchange)
      }
      return
    }
    if exchange.pointee.flags.contains(.grpc) { _ = exchange.pointee.requestMessages.scan(bytes, count) }
    if data.endStream { exchange.pointee.flags.insert(.requestComplete) }
    forwardRequestBody(exchange, bytes, count)
    if data.endStream {
      endLending()
      requestEnds(exchange)
    }
  }

  /// Trailers end a request.
  func requestTrailers(_ exchange: ExchangeRef, _ head: HTTP2Head) {
    guard exchange.pointee.flags.isDisjoint(with: [.tunnel, .extendedConnect]) else { return clientSideEnded(exchange) }
    store(head.head, &exchange.pointee.requestTrailers)
    exchange.pointee.flags.insert(.requestComplete)
    requestEnds(exchange)
  }

  /// Keeps trailers as field lines.
  func store(_ head: borrowing MessageHead, _ lines: inout ByteQueue) {
    var size = 16
    for index in 0..<head.fieldCount {
      size &+= Int(head.fields[index].name.length) &+ Int(head.fields[index].value.length) &+ 4
    }
    var writer = HTTP1Writer(lines.reserve(size), capacity: size)
    writer.fieldLines(of: head, except: FieldSet())
    if !writer.overflowed { lines.commit(writer.count) }
  }

  /// A stream has ended before its time, by its peer or for its peer's fault.
  func streamReset(
    _ connection: ConnectionRef, _ session: HTTP2SessionRef, _ stream: HTTP2Stream, _ reset: HTTP2Reset
  ) {
    guard let exchange = exchange(session, stream) else { return }
    session.pointee.codec.setTag(stream, 0)
    var isOwnDoing = false
    if case .local = reset.origin { isOwnDoing = true }
    if connection.pointee.role == .downstreamHTTP2 {
      session.pointee.codec.consumed(stream, exchange.pointee.downstreamDebt)
      exchange.pointee.downstreamStream = HTTP2Stream()
      exchange.pointee.reason = isOwnDoing ? .http2ProtocolError : .clientReset
      return clientGone(exchange)
    }
    session.pointee.codec.consumed(stream, exchange.pointee.upstreamDebt)
    session.pointee.idleSince = now
    exchange.pointee.upstreamDebt = 0
    exchange.pointee.upstreamStream = HTTP2Stream()
    exchange.pointee.upstream = nil
    forgetUnsent(exchange)
    let reason: Reason =
      isOwnDoing ? .upstreamProtocolError : reset.isUnprocessed ? .upstreamRefusedStream : .upstreamReset
    streamLost(exchange, reason, isUntouched: reset.isUnprocessed)
  }

  /// The client's stream has gone: the work for it stops.
  func clientGone(_ exchange: ExchangeRef) {
    if exchange.pointee.reason == nil { exchange.pointee.reason = .clientReset }
    leaveLine(exchange)
    if exchange.pointee.flags.contains(.joined), !exchange.pointee.isUpstreamStream,
      let upstream = exchange.pointee.upstream
    {
      // The endpoint must not take this for a proper end of the tunnel.
      upstream.pointee.exchange = nil
      exchange.pointee.upstream = nil
      reset(upstream)
    }
    abandonUpstream(exchange)
    record(exchange)
    detachDownstream(exchange)
    freeExchange(exchange)
  }

  /// The whole answer has gone to the client's stream: the exchange ends.
  func finishStream(_ exchange: ExchangeRef) {
    endStreamDownstream(exchange)
    record(exchange)
    if let session = exchange.pointee.downstream.pointee.http2 {
      // Where the client has not ended its side, the rest is of no use any more (RFC 9113, section 8.1).
      session.pointee.codec.reset(exchange.pointee.downstreamStream, .noError)
    }
    detachDownstream(exchange)
    freeExchange(exchange)
  }

  /// A head for the client's stream, with the changes of the route. Returns false when the stream is over.
  func writeHead(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, status: UInt16, except hopByHop: FieldSet, endStream: Bool
  ) {
    guard let session = exchange.pointee.downstream.pointee.http2,
      session.pointee.codec.beginResponse(exchange.pointee.downstreamStream, status: status)
    else { return }
    var dropped = hopByHop
    let edit = responseEdit(exchange)
    if edit >= 0, let routes = exchange.pointee.routes {
      for index in 0..<head.fieldCount
      where routes.pointee.drops(routes.pointee.edits[Int(edit)], head.fields[index], base: head.base) {
        dropped.insert(index)
      }
      session.pointee.codec.fields(of: copy head, except: dropped)
      var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
      append(&writer, routes, edit)
      appendSharing(&writer, exchange)
      if !writer.overflowed { session.pointee.codec.fieldLines(headBuffer, from: 0, writer.count) }
    } else {
      session.pointee.codec.fields(of: copy head, except: dropped)
    }
    writePreference(exchange, session)
    session.pointee.codec.endHead(exchange.pointee.downstreamStream, endStream: endStream)
    if endStream { exchange.pointee.flags.insert(.downstreamEnded) }
    markDirty(exchange.pointee.downstream)
  }

  /// A 1xx answer for the client's stream.
  func writeInterim(_ exchange: ExchangeRef, _ head: borrowing MessageHead, except hopByHop: FieldSet) {
    guard let session = exchange.pointee.downstream.pointee.http2,
      session.pointee.codec.beginResponse(exchange.pointee.downstreamStream, status: head.status)
    else { return }
    session.pointee.codec.fields(of: copy head, except: hopByHop)
    session.pointee.codec.endHead(exchange.pointee.downstreamStream, endStream: false)
    markDirty(exchange.pointee.downstream)
  }

  /// An answer of our own, which lies as HTTP/1.1 text in the head buffer: status line, fields, body.
  func sendOnStream(_ exchange: ExchangeRef, _ count: Int) {
    guard let session = exchange.pointee.downstream.pointee.http2 else { return }
    let stream = exchange.pointee.downstreamStream
    var line = 0
    while line < count, headBuffer[line] != 0x0A { line &+= 1 }
    var end = line
    while end &+ 3 < count, headBuffer[end] != 0x0A || headBuffer[end &+ 1] != 0x0D { end &+= 1 }
    let body = end &+ 3
    if session.pointee.codec.beginResponse(stream, status: exchange.pointee.status) {
      session.pointee.codec.fieldLines(headBuffer, from: line &+ 1, count)
      session.pointee.codec.endHead(stream, endStream: body >= count)
    }
    if body >= count {
      exchange.pointee.flags.insert(.downstreamEnded)
    } else {
      giveDownstream(exchange, headBuffer + body, count &- body, ends: true)
    }
    exchange.pointee.flags.insert(.responseReceived)
    if exchange.pointee.toDownstream.isEmpty { finishStream(exchange) }
  }
}
