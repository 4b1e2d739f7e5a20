// Unsafe by design: bodies pass through the loop's buffers.
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor

extension Worker {
  /// Gives the upstream everything that has come in of the request so far.
  func send(_ exchange: ExchangeRef) {
    guard let upstream = exchange.pointee.upstream, exchange.pointee.headLength > 0,
      let bytes = exchange.pointee.request.bytes
    else {
      abandonUpstream(exchange)
      return reply(exchange, .requestHeadTooLarge)
    }
    exchange.pointee.flags.insert(.sent)
    upstream.pointee.bytesBeforeExchange = upstream.pointee.bytesSent
    armTry(exchange)
    if exchange.pointee.isUpstreamStream {
      sendRequest(exchange, on: upstream)
    } else if exchange.pointee.isDownstreamStream, !exchange.pointee.flags.contains(.upgrade) {
      sendStreamed(exchange, upstream, bytes)
    } else {
      write(upstream, bytes, exchange.pointee.request.count)
    }
    guard exchange.pointee.upstream == upstream else { return }
    settleRequest(exchange)
  }

  /// A request that came by HTTP/2, for HTTP/1: its body is kept without framing.
  private func sendStreamed(_ exchange: ExchangeRef, _ upstream: ConnectionRef, _ bytes: UnsafePointer<UInt8>) {
    let isComplete = exchange.pointee.flags.contains(.requestComplete)
    let kept = exchange.pointee.request.count &- exchange.pointee.headLength
    if isComplete, !exchange.pointee.flags.contains(.chunkRequest) {
      return write(upstream, bytes, exchange.pointee.request.count)
    }
    writeGathered(upstream, bytes, exchange.pointee.headLength)
    if kept > 0 { giveHTTP1(exchange, upstream, bytes + exchange.pointee.headLength, kept) }
    if isComplete { requestEnds(exchange) }
  }

  /// Body bytes that came by HTTP/2, for HTTP/1: as a chunk where no length was announced.
  private func giveHTTP1(
    _ exchange: ExchangeRef, _ upstream: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int
  ) {
    if exchange.pointee.flags.contains(.chunkRequest) {
      writeChunk(upstream, bytes, count)
    } else {
      writeGathered(upstream, bytes, count)
    }
  }

  /// A request that came by HTTP/2 has ended: so does what the upstream gets of it, if it has got anything yet.
  func requestEnds(_ exchange: ExchangeRef) {
    guard exchange.pointee.flags.contains(.sent), let upstream = exchange.pointee.upstream else { return }
    if exchange.pointee.isUpstreamStream {
      if !exchange.pointee.flags.contains(.requestEnded) { endUpstream(exchange) }
    } else if exchange.pointee.flags.contains(.chunkRequest) {
      writeLastChunk(upstream, exchange.pointee.requestTrailers)
    }
  }

  /// Body bytes of the request, with the framing of HTTP/1 if the client speaks that: kept for a repetition while they
  /// fit, and sent on once the upstream is there. A client that is faster than the upstream is not read.
  func forwardRequestBody(_ exchange: ExchangeRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    if !exchange.pointee.isDownstreamStream { exchange.pointee.requestBytes &+= UInt64(count) }
    exchange.pointee.lastActivity = now
    let isSent = exchange.pointee.flags.contains(.sent)
    keep(exchange, bytes, count, isSent: isSent)
    guard isSent, let upstream = exchange.pointee.upstream else {
      if exchange.pointee.request.count >= RequestPath.replayLimit, !exchange.pointee.isDownstreamStream {
        pause(exchange.pointee.downstream)
      }
      return
    }
    if exchange.pointee.isUpstreamStream { return giveRequest(exchange, bytes, count) }
    if !exchange.pointee.isDownstreamStream {
      write(upstream, bytes, count)
    } else if exchange.pointee.flags.contains(.chunkRequest)
      ? !lendChunk(upstream, bytes, count) : !lend(upstream, bytes, count)
    {
      giveHTTP1(exchange, upstream, bytes, count)
    }
    settleRequest(exchange)
  }

  /// Keeps body bytes for a repetition as long as that is possible, and those that nobody could be given yet.
  private func keep(_ exchange: ExchangeRef, _ bytes: UnsafePointer<UInt8>, _ count: Int, isSent: Bool) {
    if exchange.pointee.flags.contains(.replayable), !exchange.pointee.flags.contains(.responseStarted) || !isSent {
      let kept = exchange.pointee.request.count &- exchange.pointee.headLength
      if kept &+ count <= RequestPath.replayLimit || !isSent {
        exchange.pointee.request.append(bytes, count)
        if kept &+ count > RequestPath.replayLimit { exchange.pointee.flags.remove(.replayable) }
      } else {
        exchange.pointee.flags.remove(.replayable)
      }
    } else if !isSent {
      exchange.pointee.request.append(bytes, count)
    }
  }
}
