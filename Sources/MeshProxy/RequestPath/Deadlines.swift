// Unsafe by design: deadlines are put right in the exchange's own copy of the head.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// How long a request may take: what is configured, or what the caller still waits for where that is less. The next hop
/// is told what is left, so that nobody works on an answer that nobody waits for.
extension Worker {
  /// Whether what the client says of itself counts: the application beside the proxy, or a peer of the mesh.
  func trustsClient(_ exchange: ExchangeRef) -> Bool {
    let connection = exchange.pointee.downstream
    return listeners[Int(connection.pointee.listener)].kind != .inbound || connection.pointee.peer > 0
  }

  /// When the whole request, and each try, must be done.
  func setDeadlines(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, request: TimeLimit, backend: TimeLimit
  ) {
    let whole = Deadline.ofRequest(head, route: request, trustsCaller: trustsClient(exchange), now: clock)
    exchange.pointee.deadlineSource = whole.source
    exchange.pointee.deadline = whole.at == .max ? .max : UInt64(bitPattern: whole.at) &+ grace(exchange)
    if case .nanoseconds(let limit) = backend { exchange.pointee.tryLimit = UInt64(max(0, limit)) }
    if case .nanoseconds(let limit) = retrySettings(exchange).perTryTimeout {
      exchange.pointee.headLimit = UInt64(max(0, limit))
    } else if request == .inherited, backend == .inherited, !exchange.pointee.flags.contains(.grpc) {
      // A call of gRPC may begin to answer whenever it likes; its caller says how long that may take.
      exchange.pointee.headLimit = RequestPath.responseTimeout
    }
    if exchange.pointee.deadline != .max || !exchange.pointee.flags.contains(.requestComplete) { armExchange(exchange) }
  }

  /// Whether a try's time is not up after all: the 15 s to an answer are counted from the end of the request, whose body
  /// has a clock of its own. Limits that somebody set are counted from the beginning.
  func postponesTry(_ exchange: ExchangeRef) -> Bool {
    guard exchange.pointee.flags.isDisjoint(with: [.requestComplete, .responseStarted, .tunnel]),
      exchange.pointee.tryLimit == .max, exchange.pointee.headLimit == RequestPath.responseTimeout
    else { return false }
    exchange.pointee.tryDeadline = now &+ RequestPath.responseTimeout
    return true
  }

  /// What a peer's deadline is given on top at this end: where both ends wait for the same answer, the caller's proxy is
  /// to say that the time is up, and to count it.
  private func grace(_ exchange: ExchangeRef) -> UInt64 {
    exchange.pointee.isInbound && exchange.pointee.deadlineSource == .caller ? 20_000_000 : 0
  }

  /// What is left for an attempt that begins now, to the end of its response, nanoseconds; `.max`: no limit.
  private func timeLeft(_ exchange: ExchangeRef) -> UInt64 {
    if exchange.pointee.deadline == .max { return exchange.pointee.tryLimit }
    let deadline = exchange.pointee.deadline &- grace(exchange)
    return min(deadline &- min(now, deadline), exchange.pointee.tryLimit)
  }

  /// Whether a field of the request's head tells a deadline, and another will be written in its place.
  func replacesDeadline(_ field: KnownHeader, _ exchange: ExchangeRef) -> Bool {
    switch field {
    case .expectedRequestTimeout: true
    case .grpcTimeout: timeLeft(exchange) != .max && trustsClient(exchange)
    default: false
    }
  }

  /// Tells the next hop what is left: as `x-envoy-expected-rq-timeout-ms`, and as `grpc-timeout` where the caller did.
  func writeDeadline(_ writer: inout HTTP1Writer, _ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    let left = timeLeft(exchange)
    guard left != .max else { return }
    let nanoseconds = Int64(clamping: left)
    writer.text("x-envoy-expected-rq-timeout-ms: ")
    var start = writer.count
    writer.decimal(UInt64(nanoseconds) / 1_000_000 &+ (UInt64(nanoseconds) % 1_000_000 == 0 ? 0 : 1))
    exchange.pointee.expectedTimeout = Self.range(from: start, to: writer.count)
    writer.endOfLine()
    guard head.first(.grpcTimeout) != nil, trustsClient(exchange) else { return }
    writer.text("grpc-timeout: ")
    start = writer.count
    var value = FixedWriter(base: headBuffer, capacity: Self.headCapacity)
    Deadline.writeGRPCTimeout(nanoseconds, into: &value)
    writer.bytes(value.written)
    exchange.pointee.grpcTimeout = Self.range(from: start, to: writer.count)
    writer.endOfLine()
  }

  private static func range(from start: Int, to end: Int) -> ByteRange {
    ByteRange(offset: UInt32(truncatingIfNeeded: start), length: UInt32(truncatingIfNeeded: end &- start))
  }

  /// Before another attempt: less is left now than the head says. The values keep their length, with zeros in front.
  func lowerDeadline(_ exchange: ExchangeRef) {
    let left = timeLeft(exchange)
    guard left != .max, let bytes = exchange.pointee.request.bytes else { return }
    let nanoseconds = Int64(clamping: left)
    let end = exchange.pointee.headLength
    let milliseconds = exchange.pointee.expectedTimeout
    if milliseconds.length > 0, milliseconds.end <= end {
      var writer = FixedWriter(base: bytes + Int(milliseconds.offset), capacity: Int(milliseconds.length))
      Deadline.writeMilliseconds(nanoseconds, filling: &writer)
    }
    let grpc = exchange.pointee.grpcTimeout
    if grpc.length > 0, grpc.end <= end {
      var writer = FixedWriter(base: bytes + Int(grpc.offset), capacity: Int(grpc.length))
      Deadline.writeGRPCTimeout(nanoseconds, filling: &writer)
    }
  }
}
