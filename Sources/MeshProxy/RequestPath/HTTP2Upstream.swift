// Unsafe by design: heads lie in the loop's arena, bodies in its receive buffer.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// Endpoints that speak HTTP/2: requests of many clients ride on few connections, a stream each.
extension Worker {
  /// Opens a stream for the exchange and sends what there is of it; false if the connection takes no more.
  func beginStream(_ exchange: ExchangeRef, _ connection: ConnectionRef) -> Bool {
    guard let session = connection.pointee.http2, let stream = session.pointee.codec.openRequest() else { return false }
    session.pointee.codec.setTag(stream, UInt(bitPattern: exchange))
    crowd.moved(&exchange.pointee.crowdMark)
    exchange.pointee.upstream = connection
    exchange.pointee.upstreamStream = stream
    exchange.pointee.upstreamDebt = 0
    exchange.pointee.flags.remove([.requestEnded, .upstreamEnded])
    connection.pointee.exchangeCount &+= 1
    if exchange.pointee.flags.contains(.tunnel) {
      sendConnect(exchange, session, stream)
    } else {
      send(exchange)
    }
    return true
  }

  /// The request as far as it has come, on its stream.
  func sendRequest(_ exchange: ExchangeRef, on upstream: ConnectionRef) {
    guard let session = upstream.pointee.http2 else { return }
    let stream = exchange.pointee.upstreamStream
    // Room behind the text: the reader below looks at eight bytes at a time.
    _ = exchange.pointee.request.reserve(8)
    guard let bytes = exchange.pointee.request.bytes,
      session.pointee.codec.beginRequest(
        stream, http1: bytes, exchange.pointee.headLength,
        scheme: upstream.pointee.tls == nil ? "http" : "https",
        asProtocol: exchange.pointee.flags.contains(.upgrade))
    else {
      abandonUpstream(exchange)
      return attemptFailed(exchange, .upstreamReset)
    }
    let kept = exchange.pointee.request.count &- exchange.pointee.headLength
    let isUpgrade = exchange.pointee.flags.contains(.upgrade)
    let ends =
      exchange.pointee.flags.contains(.requestComplete) && kept == 0 && exchange.pointee.requestTrailers.isEmpty
      && !isUpgrade
    session.pointee.codec.endHead(stream, endStream: ends)
    if ends { exchange.pointee.flags.insert([.requestEnded, .upstreamEnded]) }
    markDirty(upstream)
    exchange.pointee.requestFraming = HTTP1BodyReader(exchange.pointee.framing)
    // Those of a request in HTTP/1 are found again behind its body.
    if !exchange.pointee.isDownstreamStream { exchange.pointee.requestTrailers.clear() }
    if kept > 0 { giveRequest(exchange, bytes + exchange.pointee.headLength, kept) }
    if exchange.pointee.isDownstreamStream, exchange.pointee.flags.contains(.requestComplete), !isUpgrade {
      requestEnds(exchange)
    }
  }

  /// Body bytes as they came from the client, for a stream: the framing of HTTP/1 is taken off.
  func giveRequest(_ exchange: ExchangeRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    if exchange.pointee.isDownstreamStream {
      let ends = exchange.pointee.flags.contains(.requestComplete) && exchange.pointee.requestTrailers.isEmpty
      return giveUpstream(exchange, bytes, count, ends: ends)
    }
    var offset = 0
    while offset < count {
      let step = exchange.pointee.requestFraming.next(bytes + offset, count: count &- offset)
      if step.payload.length > 0 {
        let isLast = step.progress == .finished
        giveUpstream(
          exchange, bytes + offset + Int(step.payload.offset), Int(step.payload.length), ends: isLast)
        if isLast { return }
      }
      offset &+= step.consumed
      switch step.progress {
      case .more: if step.consumed == 0 { return }
      case .finished: return endUpstream(exchange)
      // Checked when it came in.
      case .failed: return
      case .trailers:
        guard offset < count else { return }
        exchange.pointee.requestTrailers.append(bytes + offset, count &- offset)
        exchange.pointee.requestFraming.finishTrailers()
        return endUpstream(exchange)
      }
    }
  }

  // MARK: Answers

  /// 100 and 103 pass on.
  func streamInterim(_ exchange: ExchangeRef, _ head: HTTP2Head) {
    guard !exchange.pointee.flags.contains(.http10), !exchange.pointee.flags.contains(.tunnel) else { return }
    if exchange.pointee.isDownstreamStream {
      return writeInterim(exchange, head.head, except: FieldSet())
    }
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writer.statusLine(head.head.status)
    writer.fieldLines(of: head.head, except: FieldSet())
    writer.endOfLine()
    if !writer.overflowed { writeGathered(exchange.pointee.downstream, headBuffer, writer.count) }
  }

  /// The head of the answer.
  func streamResponse(_ exchange: ExchangeRef, _ message: HTTP2Head) {
    let head = message.head
    guard let exchange = winner(exchange, head.status) else { return }
    exchange.pointee.firstByte = now
    if exchange.pointee.flags.contains(.tunnel) { return connectAnswered(exchange, message) }
    if message.endStream { noteStatus(exchange, head) }
    if retriesStatus(exchange, head) { return }
    exchange.pointee.status = head.status
    exchange.pointee.flags.insert(.responseStarted)
    noteResponse(exchange, head)
    if exchange.pointee.flags.contains(.upgrade), head.status < 300, !message.endStream {
      return switchProtocols(exchange, head)
    }
    armExchangeForBody(exchange)
    if exchange.pointee.isDownstreamStream {
      writeHead(exchange, head, status: head.status, except: FieldSet(), endStream: message.endStream)
    } else {
      writeHTTP1(exchange, message)
    }
    if message.endStream { streamFinished(exchange) }
  }

  /// The head of an answer that came by HTTP/2, for a client of HTTP/1.
  private func writeHTTP1(_ exchange: ExchangeRef, _ message: HTTP2Head) {
    let head = message.head
    let isBodiless = exchange.pointee.method == .head || head.status == 204 || head.status == 304
    if isDraining || !exchange.pointee.flags.contains(.requestComplete) { exchange.pointee.flags.remove(.keepAlive) }
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    if !isBodiless, !message.endStream, message.contentLength == nil {
      if exchange.pointee.flags.contains(.http10) {
        exchange.pointee.flags.remove(.keepAlive)
      } else {
        exchange.pointee.flags.insert(.chunkResponse)
      }
    }
    writer.statusLine(head.status)
    var dropped = FieldSet()
    let edit = responseEdit(exchange)
    if edit >= 0, let routes = exchange.pointee.routes {
      for index in 0..<head.fieldCount
      where routes.pointee.drops(routes.pointee.edits[Int(edit)], head.fields[index], base: head.base) {
        dropped.insert(index)
      }
    }
    writer.fieldLines(of: head, except: dropped)
    if edit >= 0, let routes = exchange.pointee.routes { append(&writer, routes, edit) }
    appendSharing(&writer, exchange)
    writePreference(&writer, exchange)
    if exchange.pointee.flags.contains(.chunkResponse) { writer.text("transfer-encoding: chunked\r\n") }
    if message.endStream, !isBodiless, message.contentLength == nil { writer.text("content-length: 0\r\n") }
    if !exchange.pointee.flags.contains(.keepAlive) {
      writer.text("connection: close\r\n")
    } else if exchange.pointee.flags.contains(.http10) {
      writer.text("connection: keep-alive\r\n")
    }
    writer.endOfLine()
    if !writer.overflowed { writeGathered(exchange.pointee.downstream, headBuffer, writer.count) }
  }

  /// Body bytes of an answer, or bytes of a tunnel.
  func responseData(_ exchange: ExchangeRef, _ data: HTTP2Data) {
    let count = data.bytes.count
    exchange.pointee.responseBytes &+= UInt64(count)
    let bytes = data.bytes.baseAddress ?? UnsafePointer(headBuffer)
    noteProbe(exchange, bytes, count)
    if exchange.pointee.flags.contains(.tunnel) {
      if exchange.pointee.flags.contains(.speculative) {
        _ = decideTunnel(exchange, fromClient: false, bytes, count)
      }
      giveDownstream(exchange, bytes, count, ends: false)
      if data.endStream {
        endLending()
        endpointSideEnded(exchange)
      }
      return
    }
    if exchange.pointee.flags.contains(.grpc) { _ = exchange.pointee.responseMessages.scan(bytes, count) }
    if exchange.pointee.isDownstreamStream {
      giveDownstream(exchange, bytes, count, ends: data.endStream)
    } else {
      let downstream = exchange.pointee.downstream
      if exchange.pointee.flags.contains(.chunkResponse) {
        if !lendChunk(downstream, bytes, count) { writeChunk(downstream, bytes, count) }
      } else if !lend(downstream, bytes, count) {
        writeGathered(downstream, bytes, count)
      }
      settleResponse(exchange)
    }
    if data.endStream {
      endLending()
      streamFinished(exchange)
    }
  }

  /// Trailers end an answer; `grpc-status` is among them.
  func streamTrailers(_ exchange: ExchangeRef, _ message: HTTP2Head) {
    if exchange.pointee.flags.contains(.tunnel) { return endpointSideEnded(exchange) }
    noteStatus(exchange, message.head)
    if exchange.pointee.flags.contains(.grpc) {
      judge(exchange, EndpointOutcome(grpcStatus: exchange.pointee.grpcStatus ?? 2))
    }
    if exchange.pointee.isDownstreamStream || exchange.pointee.flags.contains(.chunkResponse) {
      store(message.head, &exchange.pointee.responseTrailers)
    }
    streamFinished(exchange)
  }

  /// Keeps `grpc-status` for metrics and decisions.
  func noteStatus(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    guard let field = head.first(.grpcStatus), let start = head.bytes(field.value).baseAddress else { return }
    exchange.pointee.grpcStatus = GRPCStatus(value: start, Int(field.value.length)).rawValue
  }

  /// The endpoint has sent its whole answer.
  private func streamFinished(_ exchange: ExchangeRef) {
    let cluster = exchange.pointee.endpoint?.pointee.cluster
    exchange.pointee.flags.insert(.responseReceived)
    // An endpoint that answers before it has read everything wants no more of it.
    detachUpstream(exchange, .noError)
    if let cluster { startWaiting(cluster) }
    if exchange.pointee.isDownstreamStream {
      if exchange.pointee.toDownstream.isEmpty { finishStream(exchange) }
      return
    }
    if exchange.pointee.flags.contains(.chunkResponse) {
      writeLastChunk(exchange.pointee.downstream, exchange.pointee.responseTrailers)
    }
    record(exchange)
    finishDownstream(exchange)
  }

  /// The endpoint's stream is lost; its exchange looks for another way, if there is one.
  func streamLost(_ exchange: ExchangeRef, _ reason: Reason, isUntouched: Bool) {
    if exchange.pointee.flags.contains(.tunnel) {
      exchange.pointee.reason = reason
      return exchange.pointee.flags.contains(.joined) ? abortTunnel(exchange) : attemptFailed(exchange, reason)
    }
    if exchange.pointee.flags.contains(.responseStarted), exchange.pointee.status >= 200 {
      return finishBroken(exchange, reason)
    }
    if exchange.pointee.flags.contains(.sent) { exchange.pointee.attemptWasSent = true }
    exchange.pointee.flags.remove(.sent)
    if isUntouched, exchange.pointee.flags.contains(.replayable), !exchange.pointee.flags.contains(.racedOnce) {
      return tryAnother(exchange)
    }
    attemptFailed(exchange, reason)
  }
}
