// Unsafe by design: heads are copied from the receive buffer into the exchange's.
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

extension Worker {
  /// Writes the request's head as it goes upstream into the exchange, where it stays until the exchange ends: it is what
  /// is sent again in a retry, and what the access log reads.
  ///
  /// Left out: fields of this hop and those `Connection` names, what the route removes, and what a client could forge
  /// (`x-forwarded-client-cert` and `x-apus-health` always; `x-forwarded-for` and `x-forwarded-proto` where the client is neither of the mesh
  /// nor this proxy's own application).
  func writeRequest(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ hit: RouteHit, _ routes: UnsafePointer<RouteTableView>?,
    _ edit: Int32
  ) {
    exchange.pointee.request.clear()
    var dropped = requestInfo.hopByHop
    var requestID: FieldRef?
    var hasScheme = false
    let isInbound = listeners[Int(exchange.pointee.downstream.pointee.listener)].kind == .inbound
    let isTrusted = !isInbound || exchange.pointee.flags.contains(.mutualTLS)
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      switch field.known {
      case .host, .xForwardedClientCert, .apusHealth: dropped.insert(index)
      case .xForwardedFor where !isTrusted: dropped.insert(index)
      case .xForwardedProto:
        if isTrusted, !hasScheme, saysScheme(head, field.value) {
          hasScheme = true
        } else {
          dropped.insert(index)
        }
      case .expectedRequestTimeout, .grpcTimeout:
        if replacesDeadline(field.known, exchange) { dropped.insert(index) }
      case .xRequestID:
        dropped.insert(index)
        if requestID == nil, !field.value.isEmpty, field.value.length <= 128 { requestID = field }
      case .traceparent, .tracestate, .b3, .xB3TraceID, .xB3SpanID, .xB3ParentSpanID, .xB3Sampled, .xB3Flags:
        if replacesTrace(field, exchange) { dropped.insert(index) }
      default:
        if edit >= 0, let routes,
          routes.pointee.drops(routes.pointee.edits[Int(edit)], field, base: head.base)
        {
          dropped.insert(index)
        }
      }
      index &+= 1
    }
    // Written aside, so that a request that waits holds no more memory than its head needs.
    var writer = HTTP1Writer(requestBuffer, capacity: Self.requestCapacity)
    writeRequestLine(&writer, exchange, head, hit, routes)
    if exchange.pointee.isDownstreamStream {
      dropped.formUnion(requestInfo.hopByHop)
      writer.fieldLines(of: head, except: dropped)
    } else {
      writer.fields(of: head, except: dropped, fieldsEnd: requestInfo.fieldsEnd)
    }
    if edit >= 0, let routes { append(&writer, routes, edit) }
    writeRequestID(&writer, exchange, head, requestID)
    writeTrace(&writer, exchange)
    writeForwarding(&writer, exchange, isInbound: isInbound, isTrusted: isTrusted, hasScheme: hasScheme)
    writeDeadline(&writer, exchange, head)
    writeFraming(&writer, exchange, head)
    writer.endOfLine()
    exchange.pointee.request.append(requestBuffer, writer.count)
    exchange.pointee.headLength = writer.count
    if writer.overflowed { exchange.pointee.headLength = 0 }
  }

  /// Request line and Host, with what the route rewrites.
  private func writeRequestLine(
    _ writer: inout HTTP1Writer, _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ hit: RouteHit,
    _ routes: UnsafePointer<RouteTableView>?
  ) {
    if exchange.pointee.flags.contains(.extendedConnect) {
      writer.text("GET")
    } else {
      writer.bytes(head.bytes(head.method))
    }
    writer.byte(0x20)
    let pathStart = writer.count
    var host = head.bytes(head.authority)
    let rewrite = routes?.pointee.rewrite(hit, backend: exchange.pointee.backend) ?? CompiledRewrite()
    if let routes, rewrite.pathChange != .none {
      var target = FixedWriter(base: headBuffer, capacity: Self.headCapacity)
      routes.pointee.writeTarget(hit, rewrite, head, into: &target)
      writer.bytes(target.written)
    } else {
      if head.path.isEmpty { writer.bytes(head.bytes(head.target)) } else { writer.bytes(head.bytes(head.path)) }
      if !head.query.isEmpty {
        writer.byte(0x3F)
        writer.bytes(head.bytes(head.query))
      }
    }
    exchange.pointee.path = ByteRange(
      offset: UInt32(truncatingIfNeeded: pathStart), length: UInt32(truncatingIfNeeded: writer.count &- pathStart))
    writer.text(" HTTP/1.1\r\nhost: ")
    if let routes, !rewrite.host.isEmpty { host = routes.pointee.text(rewrite.host) }
    exchange.pointee.authority = ByteRange(
      offset: UInt32(truncatingIfNeeded: writer.count), length: UInt32(truncatingIfNeeded: host.count))
    writer.bytes(host)
    writer.endOfLine()
  }

  /// The fields that an edit adds.
  func append(_ writer: inout HTTP1Writer, _ routes: UnsafePointer<RouteTableView>, _ edit: Int32) {
    let slice = routes.pointee.edits[Int(edit)].appended
    var index = Int(slice.start)
    while index < Int(slice.start &+ slice.count) {
      let field = routes.pointee.fields[index]
      writer.field(routes.pointee.text(field.name), routes.pointee.text(field.value))
      index &+= 1
    }
  }

  private func writeRequestID(
    _ writer: inout HTTP1Writer, _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ given: FieldRef?
  ) {
    writer.text("x-request-id: ")
    let start = writer.count
    if let given { writer.bytes(head.bytes(given.value)) } else { RequestID.write(&writer, &random) }
    exchange.pointee.requestID = ByteRange(
      offset: UInt32(truncatingIfNeeded: start), length: UInt32(truncatingIfNeeded: writer.count &- start))
    writer.endOfLine()
  }

  /// Whether a value is one of the two schemes, which are the same in capitals (RFC 3986, section 3.1).
  private func saysScheme(_ head: borrowing MessageHead, _ value: ByteRange) -> Bool {
    if head.matches(value, "http") { return true }
    return head.matches(value, "https")
  }

  /// What the receiver is told of the sender. The scheme is the one that the first client used: the mesh's own TLS
  /// between two proxies is none of the application's business.
  private func writeForwarding(
    _ writer: inout HTTP1Writer, _ exchange: ExchangeRef, isInbound: Bool, isTrusted: Bool, hasScheme: Bool
  ) {
    let connection = exchange.pointee.downstream
    if !hasScheme {
      writer.text(
        isInbound && exchange.pointee.flags.contains(.mutualTLS)
          ? "x-forwarded-proto: https\r\n" : "x-forwarded-proto: http\r\n")
    }
    if !isTrusted {
      writer.text("x-forwarded-for: ")
      writeAddress(&writer, connection.pointee.address)
      writer.endOfLine()
    }
    if isInbound, connection.pointee.peer > 0 {
      writer.bytes(UnsafeBufferPointer(peers.entry(connection.pointee.peer).pointee.clientCertificateField))
    }
  }

  /// A numeric address.
  func writeAddress(_ writer: inout HTTP1Writer, _ address: SocketAddress) {
    if address.family == 2 {
      for shift in 0..<4 {
        if shift > 0 { writer.byte(0x2E) }
        writer.decimal((address.bytes.0 >> UInt64(8 * shift)) & 255)
      }
    } else {
      // Plaintext from outside over IPv6: rare, and the one place where a String is made.
      var text = address.host
      text.withUTF8 { writer.bytes($0) }
    }
  }

  /// How the body is framed on the next hop, and what the hop itself needs.
  private func writeFraming(_ writer: inout HTTP1Writer, _ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    if requestInfo.framing == .chunked { writer.text("transfer-encoding: chunked\r\n") }
    if requestInfo.acceptsTrailers { writer.text("te: trailers\r\n") }
    if exchange.pointee.flags.contains(.upgrade) {
      writer.text("connection: upgrade\r\nupgrade: ")
      writer.bytes(head.bytes(requestInfo.upgrade))
      writer.endOfLine()
      if exchange.pointee.flags.contains(.extendedConnect), head.first(.secWebSocketKey) == nil {
        writer.text("sec-websocket-key: ")
        WebSocketKey.write(&writer, &random)
        writer.endOfLine()
      }
    }
    if exchange.pointee.isDownstreamStream, exchange.pointee.flags.contains(.requestComplete),
      exchange.pointee.method == .post || exchange.pointee.method == .put || exchange.pointee.method == .patch,
      head.first(.contentLength) == nil
    {
      writer.text("content-length: 0\r\n")
    }
  }

  /// Keeps method, path, authority and id, which it makes where there is none, for the record where no request is
  /// written.
  func noteTarget(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    exchange.pointee.request.clear()
    let path = head.path.isEmpty ? head.target : head.path
    exchange.pointee.request.append(head.bytes(head.method).baseAddress.unsafelyUnwrapped, Int(head.method.length))
    exchange.pointee.path = note(exchange, head.bytes(path))
    exchange.pointee.authority = note(exchange, head.bytes(head.authority))
    if let field = head.first(.xRequestID), !field.value.isEmpty, field.value.length <= 128 {
      exchange.pointee.requestID = note(exchange, head.bytes(field.value))
    } else {
      var writer = HTTP1Writer(requestBuffer, capacity: Self.requestCapacity)
      RequestID.write(&writer, &random)
      exchange.pointee.requestID = note(exchange, UnsafeBufferPointer(start: requestBuffer, count: writer.count))
    }
    exchange.pointee.headLength = exchange.pointee.request.count
    exchange.pointee.flags.remove(.replayable)
  }

  private func note(_ exchange: ExchangeRef, _ bytes: UnsafeBufferPointer<UInt8>) -> ByteRange {
    let start = exchange.pointee.request.count
    if let base = bytes.baseAddress { exchange.pointee.request.append(base, bytes.count) }
    return ByteRange(offset: UInt32(truncatingIfNeeded: start), length: UInt32(truncatingIfNeeded: bytes.count))
  }
}
