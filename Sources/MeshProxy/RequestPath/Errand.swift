// Unsafe by design: exchanges are plain structs.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// Why an exchange exists that no client has asked for, and what it has to do with another one.
struct Errand {
  enum Kind: UInt8 {
    /// None: a client's own.
    case none
    /// A copy for another service, whose answer nobody waits for.
    case mirror
    /// A second try beside one that takes long.
    case hedge
    /// A health check.
    case probe
  }

  var kind = Kind.none
  /// The try beside this one, either way.
  var partner: ExchangeRef?
  /// When a second try begins; `.max`: never.
  var hedgeAt: UInt64 = .max
  /// What a health check of gRPC answered; 0: nothing yet.
  var serving: UInt8 = 0
}

extension Worker {
  /// The descriptor of a client's connection that is none: what is written to it goes nowhere.
  static let nowhere: Int32 = -2

  /// An exchange without a client. Its answer goes nowhere; how it ended is asked by `endErrand`.
  func makeErrand(_ kind: Errand.Kind) -> ExchangeRef {
    let sink: ConnectionRef
    if let free = freeSinks {
      freeSinks = free.pointee.next
      free.pointee.next = nil
      sink = free
    } else {
      sink = .allocate(capacity: 1)
      sink.initialize(to: Connection(role: .downstreamHTTP1))
      sink.pointee.fd = Self.nowhere
      sink.pointee.flags = .dead
    }
    let exchange = makeExchange(downstream: sink)
    exchange.pointee.errand.kind = kind
    exchange.pointee.flags = .requestComplete
    exchange.pointee.headLimit = RequestPath.responseTimeout
    return exchange
  }

  /// Keeps the connection that is none for the next errand.
  func keepSink(_ connection: ConnectionRef) {
    connection.pointee.exchange = nil
    connection.pointee.flags = .dead
    connection.pointee.next = freeSinks
    freeSinks = connection
  }

  /// What follows from the end of an exchange beside its record. True: it is not to be counted.
  func endErrand(_ exchange: ExchangeRef) -> Bool {
    switch exchange.pointee.errand.kind {
    case .none:
      if let partner = exchange.pointee.errand.partner { dropHedge(partner) }
      mirror(exchange)
      return false
    case .mirror: return false
    case .hedge:
      hedgeEnded(exchange)
      return true
    case .probe:
      probeEnded(exchange)
      return true
    }
  }

  /// Gives `copy` the request that `exchange` has sent or would send, as HTTP/1.1. False where not all of it is kept.
  func copyRequest(of exchange: ExchangeRef, to copy: ExchangeRef) -> Bool {
    guard isWhole(exchange), let bytes = exchange.pointee.request.bytes else { return false }
    let headLength = exchange.pointee.headLength
    let body = exchange.pointee.request.count &- headLength
    copy.pointee.request.clear()
    copy.pointee.request.append(bytes, headLength)
    if exchange.pointee.wasStream, exchange.pointee.flags.contains(.chunkRequest) {
      var writer = HTTP1Writer(headBuffer, capacity: 64)
      if body > 0 { writer.chunkHeader(UInt64(body)) }
      copy.pointee.request.append(headBuffer, writer.count)
      if body > 0 { copy.pointee.request.append(bytes + headLength, body) }
      let end: StaticString = body > 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n"
      copy.pointee.request.append(end.utf8Start, end.utf8CodeUnitCount)
      copy.pointee.framing = .chunked
    } else {
      if body > 0 { copy.pointee.request.append(bytes + headLength, body) }
      copy.pointee.framing =
        exchange.pointee.wasStream ? (body > 0 ? .length(UInt64(body)) : .none) : exchange.pointee.framing
    }
    copy.pointee.headLength = headLength
    copy.pointee.path = exchange.pointee.path
    copy.pointee.authority = exchange.pointee.authority
    copy.pointee.requestID = exchange.pointee.requestID
    copy.pointee.method = exchange.pointee.method
    copy.pointee.requestBytes = exchange.pointee.requestBytes
    if exchange.pointee.flags.contains(.grpc) { copy.pointee.flags.insert(.grpc) }
    return true
  }

  /// Whether the whole request is there to be sent once more.
  func isWhole(_ exchange: ExchangeRef) -> Bool {
    let kept = exchange.pointee.request.count &- exchange.pointee.headLength
    return exchange.pointee.headLength > 0 && exchange.pointee.flags.contains([.requestComplete, .replayable])
      && exchange.pointee.flags.isDisjoint(with: [.tunnel, .upgrade]) && exchange.pointee.requestTrailers.isEmpty
      && UInt64(kept) == exchange.pointee.requestBytes
  }
}
