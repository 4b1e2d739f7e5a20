// Unsafe by design: answers are written into the loop's head buffer.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

/// Answers that the mesh makes itself. Each carries its reason (`x-apus-reason`), the object that decided
/// (`x-apus-object`, where there is one) and a sentence for people.
extension Worker {
  /// Answers with a reason; the exchange ends here.
  func reply(_ exchange: ExchangeRef, _ reason: Reason, status: UInt16? = nil) {
    leaveLine(exchange)
    let answer = status ?? reason.httpStatus ?? 503
    exchange.pointee.reason = reason
    if exchange.pointee.flags.contains(.grpc) { return replyGRPC(exchange, reason, answer) }
    begin(exchange, answer)
    guard let writer = head(exchange, answer, contentType: "text/plain; charset=utf-8", reason: reason) else { return }
    var rest = writer
    let sentence = reason.sentence
    rest.field(.contentLength, UInt64(sentence.utf8CodeUnitCount + 1))
    rest.endOfLine()
    if exchange.pointee.method != .head {
      rest.text(sentence)
      rest.byte(0x0A)
    }
    send(exchange, rest)
  }

  /// Answers a call of gRPC with trailers and nothing else ("gRPC over HTTP2", Trailers-Only).
  private func replyGRPC(_ exchange: ExchangeRef, _ reason: Reason, _ status: UInt16) {
    let code = reason == .overload ? .resourceExhausted : GRPCStatus.forMeshAnswer(httpStatus: status)
    exchange.pointee.grpcStatus = code.rawValue
    begin(exchange, 200)
    guard var writer = head(exchange, 200, contentType: "application/grpc", reason: reason) else { return }
    writer.field(.grpcStatus, UInt64(code.rawValue))
    writer.text("grpc-message: ")
    let sentence = reason.sentence
    GRPCMessageText.write(
      UnsafeBufferPointer(start: sentence.utf8Start, count: sentence.utf8CodeUnitCount), &writer)
    writer.endOfLine()
    writer.endOfLine()
    send(exchange, writer)
  }

  /// Answers with a redirect, as a rule says.
  func replyRedirect(
    _ exchange: ExchangeRef, _ hit: RouteHit, _ head: borrowing MessageHead, _ routes: UnsafePointer<RouteTableView>
  ) {
    let status = routes.pointee.rules[Int(hit.rule)].redirect.status
    exchange.pointee.reason = .redirect
    begin(exchange, status)
    var location = FixedWriter(base: headBuffer + Self.headCapacity / 2, capacity: Self.headCapacity / 2)
    let port = exchange.pointee.cluster?.pointee.port ?? 80
    let isTLS =
      listeners[Int(exchange.pointee.downstream.pointee.listener)].kind == .inbound
      && exchange.pointee.flags.contains(.mutualTLS)
    routes.pointee.writeLocation(hit, head, isTLS: isTLS, port: port, into: &location)
    guard var writer = self.head(exchange, status, contentType: nil, reason: .redirect), !location.overflowed else {
      return
    }
    writer.field(.location, location.written)
    appendRuleEdit(&writer, exchange, routes)
    writer.field(.contentLength, 0)
    writer.endOfLine()
    send(exchange, writer)
  }

  /// Answers with what a rule holds ready.
  func replyDirect(
    _ exchange: ExchangeRef, _ rule: UnsafePointer<CompiledRule>, _ routes: UnsafePointer<RouteTableView>
  ) {
    exchange.pointee.reason = .directResponse
    begin(exchange, rule.pointee.answerStatus)
    guard var writer = head(exchange, rule.pointee.answerStatus, contentType: nil, reason: .directResponse) else {
      return
    }
    let body = routes.pointee.text(rule.pointee.answerBody)
    if !rule.pointee.answerContentType.isEmpty {
      writer.field(.contentType, routes.pointee.text(rule.pointee.answerContentType))
    }
    appendRuleEdit(&writer, exchange, routes)
    writer.field(.contentLength, UInt64(body.count))
    writer.endOfLine()
    if exchange.pointee.method != .head { writer.bytes(body) }
    send(exchange, writer)
  }

  /// What the rule adds to responses.
  private func appendRuleEdit(
    _ writer: inout HTTP1Writer, _ exchange: ExchangeRef, _ routes: UnsafePointer<RouteTableView>
  ) {
    guard exchange.pointee.rule >= 0, let edit = routes.pointee.rules[Int(exchange.pointee.rule)].responseEdit else {
      return
    }
    append(&writer, routes, edit)
  }

  func begin(_ exchange: ExchangeRef, _ status: UInt16) {
    exchange.pointee.status = status
    exchange.pointee.flags.insert([.localReply, .responseStarted])
    // A request that has not come in whole would be taken for the next one.
    if !exchange.pointee.flags.contains(.requestComplete) || isDraining { exchange.pointee.flags.remove(.keepAlive) }
  }

  /// The answer's head up to its own fields.
  func head(
    _ exchange: ExchangeRef, _ status: UInt16, contentType: StaticString?, reason: Reason
  ) -> HTTP1Writer? {
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity / 2)
    writer.statusLine(status)
    writer.text("server: apus\r\ndate: ")
    writer.fields { CivilTime.writeHTTP(seconds: Int64(wallNow / 1_000_000_000), into: &$0) }
    writer.endOfLine()
    if let contentType { writer.field(.contentType, contentType) }
    writer.field(.apusReason, reason.name)
    if let object = decidingObject(exchange, reason) {
      writer.text("x-apus-object: ")
      writer.bytes(object)
      writer.endOfLine()
    }
    writeAdmissionFields(&writer, exchange, reason)
    if exchange.pointee.requestID.length > 0, let base = exchange.pointee.request.bytes {
      writer.text("x-request-id: ")
      writer.bytes(base + Int(exchange.pointee.requestID.offset), Int(exchange.pointee.requestID.length))
      writer.endOfLine()
    }
    if !exchange.pointee.flags.contains(.keepAlive) { writer.text("connection: close\r\n") }
    return writer
  }

  /// The object of configuration that a reason is about: the route's rule, else the service.
  func decidingObject(_ exchange: ExchangeRef, _ reason: Reason) -> UnsafeBufferPointer<UInt8>? {
    if let policy = decidingPolicy(exchange, reason) { return policy }
    if exchange.pointee.rule >= 0, let routes = exchange.pointee.routes {
      let label = routes.pointee.text(routes.pointee.rules[Int(exchange.pointee.rule)].label)
      switch reason {
      case .redirect, .directResponse, .corsPreflight, .backendNotFound, .noBackendWeight, .requestTimeout,
        .backendRequestTimeout, .perTryTimeout:
        return label
      default: break
      }
    }
    guard let cluster = exchange.pointee.cluster else { return nil }
    return cluster.pointee.label
  }

  func send(_ exchange: ExchangeRef, _ writer: HTTP1Writer) {
    let downstream = exchange.pointee.downstream
    if !writer.overflowed { noteReply(exchange, UnsafeBufferPointer(start: headBuffer, count: writer.count)) }
    if exchange.pointee.isDownstreamStream {
      endAttempt(exchange)
      return sendOnStream(exchange, writer.overflowed ? 0 : writer.count)
    }
    if !writer.overflowed { write(downstream, headBuffer, writer.count) }
    record(exchange)
    finishDownstream(exchange)
  }
}
