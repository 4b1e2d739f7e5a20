// Unsafe by design: requests are parsed in place.
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor

extension Worker {
  /// Bytes from a client of HTTP/1: heads begin exchanges, bodies belong to the one under way. Returns how many bytes
  /// were taken; while an exchange is answered, later (pipelined) requests wait unread.
  func requestBytes(_ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    var offset = 0
    while offset < count {
      if connection.pointee.flags.contains(.closing) { return count }
      let taken: Int
      if let exchange = connection.pointee.exchange {
        if exchange.pointee.flags.contains(.requestComplete) {
          pause(connection)
          return offset
        }
        taken = requestBody(exchange, bytes + offset, count &- offset)
      } else {
        taken = requestHead(connection, bytes + offset, count &- offset)
      }
      if connection.pointee.flags.contains(.dead) || connection.pointee.role != .downstreamHTTP1 {
        return connection.pointee.flags.contains(.dead) ? count : offset &+ taken
      }
      if taken == 0 { return offset }
      offset &+= taken
    }
    return offset
  }

  /// Parses a head and sends the request on its way; 0 if it is not complete.
  private func requestHead(_ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    if connection.pointee.exchangeCount == 0, bytes[0] == 0x50, let taken = preface(connection, bytes, count) {
      return taken
    }
    var head = MessageHead(base: bytes, fields: fields)
    let result = HTTP1Parser.parseRequestHead(
      bytes, count: count, scanned: Int(connection.pointee.scanned), limits: limits,
      scratch: HeadScratch(offset: count, capacity: Self.parseScratch), into: &head, info: &requestInfo)
    switch result {
    case .needMore:
      if connection.pointee.scanned == 0 { arm(connection, after: settings.limits.headNanoseconds) }
      connection.pointee.scanned = UInt32(truncatingIfNeeded: count)
      return 0
    case .failure(let error):
      connection.pointee.scanned = 0
      let exchange = makeExchange(downstream: connection)
      exchange.pointee.flags.insert(.requestComplete)
      reply(exchange, error.reasonCode, status: error.status)
      return count
    case .complete(let length):
      connection.pointee.scanned = 0
      let exchange = makeExchange(downstream: connection)
      begin(exchange, head)
      route(exchange, head)
      return length
    }
  }

  /// The first bytes of a connection may be those of HTTP/2 with prior knowledge (RFC 9113, section 3.3); nil: they are
  /// not.
  private func preface(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int? {
    switch HTTP2Connection.beginsWithPreface(bytes, count) {
    case .no: return nil
    case .maybe:
      if connection.pointee.scanned == 0 { arm(connection, after: settings.limits.headNanoseconds) }
      connection.pointee.scanned = UInt32(truncatingIfNeeded: count)
      return 0
    case .yes:
      connection.pointee.scanned = 0
      becomeHTTP2(connection, .server)
      return streamBytes(connection, bytes, count)
    }
  }

  /// Notes what the head says about the message.
  private func begin(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    let connection = exchange.pointee.downstream
    var flags: ExchangeFlags = []
    if requestInfo.keepAlive, !isDraining { flags.insert(.keepAlive) }
    if requestInfo.minorVersion == 0 { flags.insert(.http10) }
    if requestInfo.framing == .none { flags.insert(.requestComplete) }
    // `h2c` is not taken up (RFC 9113 has dropped it): the request goes on as HTTP/1.1.
    if !requestInfo.upgrade.isEmpty, requestInfo.minorVersion == 1, requestInfo.framing == .none,
      !head.matches(requestInfo.upgrade, "h2c")
    {
      flags.insert(.upgrade)
    }
    if connection.pointee.tls != nil { flags.insert(.mutualTLS) }
    flags.insert(.replayable)
    exchange.pointee.flags = flags
    exchange.pointee.method = head.methodToken
    exchange.pointee.framing = requestInfo.framing
    connection.pointee.body = HTTP1BodyReader(requestInfo.framing)
  }

  /// Body bytes of the request under way: framing is checked, the bytes pass on as they are.
  private func requestBody(_ exchange: ExchangeRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    let connection = exchange.pointee.downstream
    let step = connection.pointee.body.passThrough(bytes, count: count)
    var taken = step.consumed
    switch step.progress {
    case .more: break
    case .finished: exchange.pointee.flags.insert(.requestComplete)
    case .failed(let error):
      requestFailed(exchange, error)
      return count
    case .trailers:
      var head = MessageHead(base: bytes, fields: fields)
      let result = HTTP1Parser.parseTrailers(
        bytes + taken, count: count &- taken, scanned: Int(connection.pointee.scanned), limits: limits, into: &head)
      switch result {
      case .needMore:
        connection.pointee.scanned = UInt32(truncatingIfNeeded: count &- taken)
      case .failure(let error):
        requestFailed(exchange, error)
        return count
      case .complete(let length):
        connection.pointee.scanned = 0
        connection.pointee.body.finishTrailers()
        exchange.pointee.flags.insert(.requestComplete)
        taken &+= length
      }
    }
    if taken > 0 { forwardRequestBody(exchange, bytes, taken) }
    return taken
  }

  /// The body breaks the protocol: nothing more of it is forwarded, and the upstream must not take what it has for whole.
  private func requestFailed(_ exchange: ExchangeRef, _ error: HTTP1Error) {
    exchange.pointee.flags.remove([.keepAlive, .replayable])
    abandonUpstream(exchange)
    if exchange.pointee.flags.contains(.responseStarted) {
      finishBroken(exchange, error.reasonCode)
    } else {
      reply(exchange, error.reasonCode, status: error.status)
    }
  }
}
