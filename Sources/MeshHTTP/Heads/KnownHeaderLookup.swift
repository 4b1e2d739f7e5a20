package import MeshModel

extension KnownHeader {
  /// The interned name of `count` bytes that form a token or a pseudo-header name, without regard to case; `.other` if
  /// the mesh gives the name no meaning. A switch over the length, then at most six comparisons of whole words.
  package static func lookup(_ name: UnsafePointer<UInt8>, _ count: Int) -> KnownHeader {
    if count <= 10 { return short(name, count) }
    if count <= 13 { return middle(name, count) }
    return long(name, count)
  }

  @inline(__always)
  private static func matches(_ name: UnsafePointer<UInt8>, _ lower: StaticString) -> Bool {
    ByteScan.equalFolded(name, lower.utf8Start, lower.utf8CodeUnitCount)
  }

  @inline(__always)
  private static func short(_ name: UnsafePointer<UInt8>, _ count: Int) -> KnownHeader {
    switch count {
    case 2:
      if matches(name, "te") { return .te }
      if matches(name, "b3") { return .b3 }
    case 3: if matches(name, "via") { return .via }
    case 4:
      if matches(name, "host") { return .host }
      if matches(name, "date") { return .date }
    case 5: if matches(name, ":path") { return .pseudoPath }
    case 6:
      if matches(name, "cookie") { return .cookie }
      if matches(name, "server") { return .server }
      if matches(name, "expect") { return .expect }
    case 7:
      if matches(name, ":method") { return .pseudoMethod }
      if matches(name, ":scheme") { return .pseudoScheme }
      if matches(name, ":status") { return .pseudoStatus }
      if matches(name, "baggage") { return .baggage }
      if matches(name, "upgrade") { return .upgrade }
      if matches(name, "trailer") { return .trailer }
    case 8: if matches(name, "location") { return .location }
    case 9:
      if matches(name, ":protocol") { return .pseudoProtocol }
      if matches(name, "forwarded") { return .forwarded }
    case 10:
      if matches(name, "user-agent") { return .userAgent }
      if matches(name, "connection") { return .connection }
      if matches(name, "tracestate") { return .tracestate }
      if matches(name, ":authority") { return .pseudoAuthority }
      if matches(name, "keep-alive") { return .keepAlive }
      if matches(name, "x-b3-flags") { return .xB3Flags }
    default: break
    }
    return .other
  }

  @inline(__always)
  private static func middle(_ name: UnsafePointer<UInt8>, _ count: Int) -> KnownHeader {
    switch count {
    case 11:
      if matches(name, "traceparent") { return .traceparent }
      if matches(name, "grpc-status") { return .grpcStatus }
      if matches(name, "retry-after") { return .retryAfter }
      if matches(name, "x-b3-spanid") { return .xB3SpanID }
    case 12:
      if matches(name, "content-type") { return .contentType }
      if matches(name, "x-request-id") { return .xRequestID }
      if matches(name, "grpc-timeout") { return .grpcTimeout }
      if matches(name, "grpc-message") { return .grpcMessage }
      if matches(name, "x-b3-traceid") { return .xB3TraceID }
      if matches(name, "x-b3-sampled") { return .xB3Sampled }
    case 13:
      if matches(name, "authorization") { return .authorization }
      if matches(name, "x-apus-reason") { return .apusReason }
      if matches(name, "x-apus-health") { return .apusHealth }
    default: break
    }
    return .other
  }

  @inline(__always)
  private static func long(_ name: UnsafePointer<UInt8>, _ count: Int) -> KnownHeader {
    switch count {
    case 14:
      if matches(name, "content-length") { return .contentLength }
      if matches(name, "http2-settings") { return .http2Settings }
    case 15: if matches(name, "x-forwarded-for") { return .xForwardedFor }
    case 16:
      if matches(name, "x-forwarded-host") { return .xForwardedHost }
      if matches(name, "proxy-connection") { return .proxyConnection }
    case 17:
      if matches(name, "transfer-encoding") { return .transferEncoding }
      if matches(name, "x-forwarded-proto") { return .xForwardedProto }
      if matches(name, "sec-websocket-key") { return .secWebSocketKey }
      if matches(name, "x-b3-parentspanid") { return .xB3ParentSpanID }
    case 18: if matches(name, "proxy-authenticate") { return .proxyAuthenticate }
    case 19: if matches(name, "proxy-authorization") { return .proxyAuthorization }
    case 20: if matches(name, "sec-websocket-accept") { return .secWebSocketAccept }
    case 22: if matches(name, "grpc-retry-pushback-ms") { return .grpcRetryPushback }
    case 23: if matches(name, "x-forwarded-client-cert") { return .xForwardedClientCert }
    case 30: if matches(name, "x-envoy-expected-rq-timeout-ms") { return .expectedRequestTimeout }
    default: break
    }
    return .other
  }
}
