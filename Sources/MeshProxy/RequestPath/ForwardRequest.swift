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
    write(upstream, bytes, exchange.pointee.request.count)
    let downstream = exchange.pointee.downstream
    if downstream.pointee.flags.contains(.paused), !exchange.pointee.flags.contains(.requestComplete),
      !isCongested(upstream)
    {
      resume(downstream)
    }
  }

  /// Body bytes of the request, framing included: kept for a repetition while they fit, and sent on once the upstream is
  /// there. A client that is faster than the upstream is not read.
  func forwardRequestBody(_ exchange: ExchangeRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    exchange.pointee.requestBytes &+= UInt64(count)
    exchange.pointee.lastActivity = now
    let isSent = exchange.pointee.flags.contains(.sent)
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
    guard isSent, let upstream = exchange.pointee.upstream else {
      if exchange.pointee.request.count >= RequestPath.replayLimit { pause(exchange.pointee.downstream) }
      return
    }
    write(upstream, bytes, count)
    if isCongested(upstream) { pause(exchange.pointee.downstream) }
  }
}
