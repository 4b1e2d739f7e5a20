package import MeshModel

/// How long a body is (RFC 9112, section 6.3).
@frozen
public enum BodyFraming: Equatable, Sendable {
  /// There is no body.
  case none
  /// Exactly this many bytes; never 0.
  case length(UInt64)
  /// In chunks, each with its size.
  case chunked
  /// All bytes until the peer closes (responses only).
  case untilClose
  /// No HTTP any more: the connection is a tunnel from here on (101, or 2xx to CONNECT).
  case tunnel

  // Written out to be inlined: the compiler's own is called through a witness table from other modules.
  @inlinable
  public static func == (left: BodyFraming, right: BodyFraming) -> Bool {
    switch (left, right) {
    case (.none, .none), (.chunked, .chunked), (.untilClose, .untilClose), (.tunnel, .tunnel): true
    case (.length(let one), .length(let other)): one == other
    default: false
    }
  }
}

/// The four forms of a request target (RFC 9112, section 3.2).
package enum TargetForm: UInt8, Sendable {
  /// `/path?query`
  case origin
  /// `http://authority/path?query`
  case absolute
  /// `host:port`, with CONNECT
  case authority
  /// `*`, with OPTIONS
  case asterisk
}

/// What the head of a request says about its message and connection.
package struct HTTP1RequestInfo: Sendable {
  /// The digit behind `HTTP/1.`: 0 or 1.
  package var minorVersion: UInt8 = 1
  /// Whether the client lets the connection be used again.
  package var keepAlive = true
  /// Body framing: `.none`, `.length` or `.chunked`.
  package var framing: BodyFraming = .none
  /// Whether the client waits for `100 Continue` before it sends the body.
  package var expectContinue = false
  /// Whether the client takes trailers (`TE: trailers`).
  package var acceptsTrailers = false
  /// The form of the target.
  package var targetForm: TargetForm = .origin
  /// The scheme of an absolute-form target, as received; empty in the other forms.
  package var scheme: ByteRange = .none
  /// The protocols that `Upgrade` asks for, if `Connection` names it too; otherwise empty.
  package var upgrade: ByteRange = .none
  /// Fields that belong to this hop (RFC 9110, 7.6.1) or that `Connection` names: not to be passed on. `Host`,
  /// `Content-Length` and `Trailer` are not among them.
  package var hopByHop = FieldSet()
  /// Offset of the empty line that ends the fields.
  package var fieldsEnd: UInt32 = 0

  /// The state before parsing.
  package init() {}
}

/// What the head of a response says about its message and connection.
package struct HTTP1ResponseInfo: Sendable {
  /// The digit behind `HTTP/1.`: 0 or 1.
  package var minorVersion: UInt8 = 1
  /// Whether the server lets the connection be used again. Also look at the framing: after `.untilClose` and `.tunnel`
  /// there is no again.
  package var keepAlive = true
  /// The reason phrase as received.
  package var phrase: ByteRange = .none
  /// The protocol in `Upgrade`, if `Connection` names it too; otherwise empty.
  package var upgrade: ByteRange = .none
  /// Fields that belong to this hop or that `Connection` names: not to be passed on.
  package var hopByHop = FieldSet()
  /// Offset of the empty line that ends the fields.
  package var fieldsEnd: UInt32 = 0
  /// The framing fields alone say this; see `framing(forRequestMethod:)`.
  var declared: BodyFraming = .untilClose
  var status: UInt16 = 0

  /// The state before parsing.
  package init() {}

  /// Whether more heads follow for the same request: a 1xx that is not 101.
  package var isInterim: Bool { status >= 100 && status < 200 && status != 101 }

  /// Whether a client that asked for a protocol on a stream of HTTP/2 would take this for its acceptance, which in
  /// HTTP/1 is 101 and nothing else: any 2xx is one there (RFC 8441, section 5).
  package var onlyLooksAccepted: Bool { status >= 200 && status < 300 }

  /// The framing of the body, for which the request's method must be known (RFC 9112, section 6.3).
  package func framing(forRequestMethod method: Method) -> BodyFraming {
    if status == 101 { return .tunnel }
    if method.equals(.connect), status >= 200, status < 300 { return .tunnel }
    if method.equals(.head) || status < 200 || status == 204 || status == 304 { return .none }
    return declared
  }
}
