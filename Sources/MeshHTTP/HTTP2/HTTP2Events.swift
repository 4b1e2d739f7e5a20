package import MeshModel

/// A stream of a connection: its identifier, and the place of its state. A plain value; it stays harmless after the
/// stream has ended.
package struct HTTP2Stream: Hashable, Sendable {
  /// The identifier on the wire.
  package let id: UInt32
  @usableFromInline let slot: UInt32

  /// A place in the table and its identifier there.
  init(id: UInt32, slot: UInt32) {
    self.id = id
    self.slot = slot
  }

  /// No stream: no connection takes it for one of its own.
  @inlinable package init() {
    id = 0
    slot = 0
  }
}

/// Received bytes and how far they have been read. `HTTP2Connection.next` reads all of them before it asks for more.
package struct HTTP2Input {
  let bytes: UnsafePointer<UInt8>
  let count: Int
  var position = 0

  /// The bytes just received; they must stay where they are until `next` has answered `.needMore`.
  package init(_ bytes: UnsafePointer<UInt8>, count: Int) {
    self.bytes = bytes
    self.count = count
  }
}

/// A head or a trailer section.
package struct HTTP2Head {
  /// What a block of fields is.
  package enum Kind: UInt8, Sendable {
    case request, response
    /// A 1xx response: another head follows.
    case interim
    case trailers
  }

  /// Method, path, authority, status and fields. Names are in lower case; `cookie` is one field; a `host` field is left
  /// among the fields and agrees with the authority. Valid until the next call on the connection.
  package var head: MessageHead
  package var kind: Kind
  /// `:scheme` of a request.
  package var scheme: ByteRange
  /// `:protocol` of an extended CONNECT (RFC 8441); otherwise empty.
  package var protocolName: ByteRange
  /// The announced length of the body. The codec checks the body against it.
  package var contentLength: UInt64?
  /// Whether the stream ends here: no body, no trailers.
  package var endStream: Bool
}

/// A run of body bytes, which lie in the input.
package struct HTTP2Data {
  /// The bytes; valid until the next call on the connection.
  package var bytes: UnsafeBufferPointer<UInt8>
  /// Whether the stream ends behind them.
  package var endStream: Bool
}

/// Why a stream ended before its time.
package struct HTTP2Reset: Equatable, Sendable {
  /// Who ended it.
  package enum Origin: Equatable, Sendable {
    /// The peer reset it.
    case peer
    /// The peer's GOAWAY says that it was not processed: it can be sent again elsewhere.
    case goAway
    /// This side reset it, because the peer broke a rule.
    case local(HTTP2Reason)
  }

  /// The code in the RST_STREAM frame.
  package var code: HTTP2ErrorCode
  /// Who ended the stream.
  package var origin: Origin

  /// A reset with this code.
  package init(code: HTTP2ErrorCode, origin: Origin) {
    self.code = code
    self.origin = origin
  }

  /// Whether the peer has said that it processed nothing of the stream (RFC 9113, section 8.7).
  package var isUnprocessed: Bool { origin == .goAway || (origin == .peer && code == .refusedStream) }
}

/// What a connection reports.
package enum HTTP2Event {
  /// All input has been read. Flush the output, then read more.
  case needMore
  /// A request (server), a response (client), or trailers.
  case head(HTTP2Stream, HTTP2Head)
  /// Body bytes. Say when they are consumed: `consumed(_:_:)`.
  case data(HTTP2Stream, HTTP2Data)
  /// A stream has ended early. Nothing more comes from it and nothing can be sent on it.
  case reset(HTTP2Stream, HTTP2Reset)
  /// A stream on which `sendData` did not take everything can take more.
  case writable(HTTP2Stream)
  /// A stream was refused before its head was reported; for counting.
  case refused(HTTP2Reason)
  /// The peer's SETTINGS have been taken in.
  case settings
  /// A PING of ours was answered.
  case pong(UInt64)
  /// The peer goes away: no new streams. Streams of ours after `lastStream` are reported as reset.
  case goAway(lastStream: UInt32, code: HTTP2ErrorCode)
  /// The connection is broken. GOAWAY is in the output: flush it and close. Streams still open are lost.
  case failed(HTTP2Reason)
}
