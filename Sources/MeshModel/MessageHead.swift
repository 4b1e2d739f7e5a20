/// Where a run of bytes lies, relative to the `base` of the `MessageHead` it belongs to.
@frozen
public struct ByteRange: Hashable, Sendable, BitwiseCopyable {
  /// Distance of the first byte from the base.
  public var offset: UInt32
  /// Number of bytes.
  public var length: UInt32

  @inlinable public static var empty: ByteRange { ByteRange(offset: 0, length: 0) }

  @inlinable
  public init(offset: UInt32, length: UInt32) {
    self.offset = offset
    self.length = length
  }

  @inlinable public var end: Int { Int(offset) &+ Int(length) }
  @inlinable public var isEmpty: Bool { length == 0 }
}

/// One header or trailer field, as offsets into the bytes it was read from.
@frozen
public struct FieldRef: Sendable, BitwiseCopyable {
  public var name: ByteRange
  public var value: ByteRange
  /// Which interned name this is; `.other` for names that the mesh gives no meaning.
  public var known: KnownHeader

  @inlinable
  public init(name: ByteRange, value: ByteRange, known: KnownHeader) {
    self.name = name
    self.value = value
    self.known = known
  }
}

/// Request methods the mesh tells apart (RFC 9110, section 9).
@frozen
public enum Method: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  case get, head, post, put, delete, connect, options, trace, patch
  /// Any other token; its bytes are in `MessageHead.method`.
  case other

  /// Whether repeating the request has the same intended effect as sending it once (RFC 9110, 9.2.2).
  @inlinable public var isIdempotent: Bool {
    switch self {
    case .get, .head, .put, .delete, .options, .trace: true
    case .post, .connect, .patch, .other: false
    }
  }

  /// Whether the request only reads (RFC 9110, 9.2.1).
  @inlinable public var isSafe: Bool {
    switch self {
    case .get, .head, .options, .trace: true
    case .post, .put, .delete, .connect, .patch, .other: false
    }
  }
}

/// Header names to which the mesh gives a meaning, interned so that the traffic path compares one byte.
@frozen
public enum KnownHeader: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  case other = 0
  // Message framing and hop-by-hop (RFC 9110, 7.6.1).
  case host, contentLength, transferEncoding, connection, keepAlive, proxyConnection, te, trailer, upgrade, expect
  case proxyAuthenticate, proxyAuthorization, http2Settings
  // Trust boundary and tracing.
  case xForwardedFor, xForwardedProto, xForwardedHost, xForwardedClientCert, forwarded, via
  case xRequestID, traceparent, tracestate, baggage, b3
  case xB3TraceID, xB3SpanID, xB3ParentSpanID, xB3Sampled, xB3Flags, userAgent
  // Deadlines, retries, gRPC.
  case grpcTimeout, grpcStatus, grpcMessage, grpcRetryPushback, expectedRequestTimeout, retryAfter
  case contentType, server, date, cookie, authorization, location, apusReason, apusHealth
  // WebSockets, which change versions of HTTP on the way (RFC 6455, RFC 8441).
  case secWebSocketKey, secWebSocketAccept
  // HTTP/2 pseudo-header fields (RFC 9113, 8.3).
  case pseudoMethod, pseudoScheme, pseudoAuthority, pseudoPath, pseudoStatus, pseudoProtocol

  /// The name in lower case, as it is compared and as HTTP/2 sends it; empty for `.other`.
  public var name: StaticString {
    switch self {
    case .other: ""
    case .host: "host"
    case .contentLength: "content-length"
    case .transferEncoding: "transfer-encoding"
    case .connection: "connection"
    case .keepAlive: "keep-alive"
    case .proxyConnection: "proxy-connection"
    case .te: "te"
    case .trailer: "trailer"
    case .upgrade: "upgrade"
    case .expect: "expect"
    case .proxyAuthenticate: "proxy-authenticate"
    case .proxyAuthorization: "proxy-authorization"
    case .http2Settings: "http2-settings"
    case .xForwardedFor: "x-forwarded-for"
    case .xForwardedProto: "x-forwarded-proto"
    case .xForwardedHost: "x-forwarded-host"
    case .xForwardedClientCert: "x-forwarded-client-cert"
    case .forwarded: "forwarded"
    case .via: "via"
    case .xRequestID: "x-request-id"
    case .traceparent: "traceparent"
    case .tracestate: "tracestate"
    case .baggage: "baggage"
    case .b3: "b3"
    case .xB3TraceID: "x-b3-traceid"
    case .xB3SpanID: "x-b3-spanid"
    case .xB3ParentSpanID: "x-b3-parentspanid"
    case .xB3Sampled: "x-b3-sampled"
    case .xB3Flags: "x-b3-flags"
    case .userAgent: "user-agent"
    case .grpcTimeout: "grpc-timeout"
    case .grpcStatus: "grpc-status"
    case .grpcMessage: "grpc-message"
    case .grpcRetryPushback: "grpc-retry-pushback-ms"
    case .expectedRequestTimeout: "x-envoy-expected-rq-timeout-ms"
    case .retryAfter: "retry-after"
    case .contentType: "content-type"
    case .server: "server"
    case .date: "date"
    case .cookie: "cookie"
    case .authorization: "authorization"
    case .location: "location"
    case .apusReason: "x-apus-reason"
    case .apusHealth: "x-apus-health"
    case .secWebSocketKey: "sec-websocket-key"
    case .secWebSocketAccept: "sec-websocket-accept"
    case .pseudoMethod: ":method"
    case .pseudoScheme: ":scheme"
    case .pseudoAuthority: ":authority"
    case .pseudoPath: ":path"
    case .pseudoStatus: ":status"
    case .pseudoProtocol: ":protocol"
    }
  }
}

/// A request or response head as offsets into the buffer it was read from: no copy, no allocation.
///
/// HTTP/1 heads point into the receive buffer, HTTP/2 heads into the arena that HPACK decoded into; everything after the
/// codec (routing, policies, writing the head out again) sees only this. It is valid until the loop's next read.
@frozen
public struct MessageHead: BitwiseCopyable {
  /// The bytes every range is relative to.
  public var base: UnsafePointer<UInt8>
  /// The fields in the order received, pseudo-header fields left out. Storage belongs to the loop.
  public var fields: UnsafeMutablePointer<FieldRef>
  public var fieldCount: Int
  public var methodToken: Method
  /// The method's bytes (requests).
  public var method: ByteRange
  /// The request target as received (requests).
  public var target: ByteRange
  /// The path, canonical (RFC 3986 section 6.2.2; see `PathNormalizer`), without the query.
  public var path: ByteRange
  /// The query, without the question mark; empty if there is none.
  public var query: ByteRange
  /// The one canonical authority: from the absolute-form target, else from Host or `:authority`.
  public var authority: ByteRange
  /// Status code (responses), 0 in requests.
  public var status: UInt16

  @inlinable
  public init(base: UnsafePointer<UInt8>, fields: UnsafeMutablePointer<FieldRef>) {
    self.base = base
    self.fields = fields
    self.fieldCount = 0
    self.methodToken = .other
    self.method = .empty
    self.target = .empty
    self.path = .empty
    self.query = .empty
    self.authority = .empty
    self.status = 0
  }

  /// The bytes of `range`.
  @inlinable
  public func bytes(_ range: ByteRange) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: base + Int(range.offset), count: Int(range.length))
  }

  /// The first field with this interned name, if there is one.
  @inlinable
  public func first(_ known: KnownHeader) -> FieldRef? {
    var index = 0
    while index < fieldCount {
      if fields[index].known == known { return fields[index] }
      index &+= 1
    }
    return nil
  }
}
