// Unsafe by design: connections are plain structs in memory of their own, so that nothing is retained per request.
internal import MeshHTTP
internal import MeshReactor
internal import MeshTLS

typealias ConnectionRef = UnsafeMutablePointer<Connection>

/// What a connection is for; it says who gets its bytes.
enum ConnectionRole: UInt8 {
  /// A listening socket.
  case listener
  /// HTTP/1 from an application or a peer: requests come in.
  case downstreamHTTP1
  /// HTTP/1 to an endpoint: responses come in.
  case upstreamHTTP1
  /// HTTP/2 from an application or a peer: many streams, each with an exchange of its own.
  case downstreamHTTP2
  /// HTTP/2 to an endpoint, or being opened for it: what the handshake agrees on decides.
  case upstreamHTTP2
  /// Accepted, and its TLS handshake or first bytes decide what it becomes.
  case undecided
  /// Accepted on a port of an undeclared protocol; its first bytes, or their absence, decide.
  case detecting
  /// One half of a tunnel: bytes go to the other half as they are.
  case tunnel
  /// Opened for a tunnel, not established yet.
  case upstreamTunnel
  /// Answered for the last time; what still comes in is thrown away until the peer closes, so that no reset overtakes the
  /// answer (RFC 9112, section 9.6).
  case lingering
}

/// The state bits of a connection.
struct ConnectionFlags: OptionSet {
  let rawValue: UInt32
  /// Closed; its memory goes at the end of the turn.
  static let dead = ConnectionFlags(rawValue: 1)
  /// In the list of those to flush at the end of the turn.
  static let dirty = ConnectionFlags(rawValue: 2)
  /// connect() has not finished.
  static let connecting = ConnectionFlags(rawValue: 4)
  /// The TLS handshake has not finished.
  static let handshaking = ConnectionFlags(rawValue: 8)
  /// In its endpoint's list of idle connections.
  static let pooled = ConnectionFlags(rawValue: 16)
  /// Nothing is read: whoever takes its bytes is not ready for them.
  static let paused = ConnectionFlags(rawValue: 32)
  /// The socket may hold bytes that no new event will announce.
  static let unread = ConnectionFlags(rawValue: 64)
  /// The peer will send no more.
  static let readClosed = ConnectionFlags(rawValue: 128)
  /// We will send no more once the output is flushed.
  static let finishing = ConnectionFlags(rawValue: 256)
  /// shutdown(SHUT_WR) or close_notify has been sent.
  static let writeClosed = ConnectionFlags(rawValue: 512)
  /// Close it once the output is flushed.
  static let closing = ConnectionFlags(rawValue: 1024)
  /// In the list of those whose input is looked at again this turn.
  static let resuming = ConnectionFlags(rawValue: 2048)
  /// Not the first exchange on this connection: the peer may close it at any moment.
  static let reused = ConnectionFlags(rawValue: 4096)
  /// The endpoint's connection count includes it.
  static let counted = ConnectionFlags(rawValue: 8192)
  /// Closed after this response, whatever else happens.
  static let lastExchange = ConnectionFlags(rawValue: 16384)
  /// The kernel has announced the end of the peer's direction: a short read is not the last one.
  static let endAnnounced = ConnectionFlags(rawValue: 32768)
  /// The kernel has told of a reset: an end that is read from here on is no proper one.
  static let failed = ConnectionFlags(rawValue: 1 << 17)
  /// In its endpoint's list of connections that carry many streams.
  static let multiplexed = ConnectionFlags(rawValue: 65536)
}

/// One socket. An idle one costs this struct and, with TLS, the session.
struct Connection {
  /// First, so that a timer's address is the connection's.
  var timer = WheelTimer()
  var fd: Int32 = -1
  var role: ConnectionRole
  var flags: ConnectionFlags = []
  /// Which listener accepted it; index into the worker's listeners.
  var listener: Int32 = -1
  /// Identity of the peer, index into the worker's peers; 0: none.
  var peer: Int32 = 0
  /// Exchanges that began on it.
  var exchangeCount: UInt32 = 0
  /// Bytes given to the kernel, and how many of them before the exchange under way.
  var bytesSent: UInt64 = 0
  var bytesBeforeExchange: UInt64 = 0
  /// Number of its edge for metrics (inbound); 0: not found yet.
  var edge: UInt32 = 0
  /// When it was accepted, or its last exchange ended: since then it rests, in its client's hands, in its endpoint's list of
  /// idle ones, or lingering.
  var restingSince: UInt64 = 0
  /// Bytes of the head being received that have been looked at.
  var scanned: UInt32 = 0
  /// What has been received and not taken.
  var input = ByteQueue()
  /// What has been written (under TLS: the ciphertext) and not taken by the kernel.
  var output = ByteQueue()
  var tls: TLSSession?
  /// The HTTP/2 end, once the connection has become one.
  var http2: HTTP2SessionRef?
  /// The request or session it serves now.
  var exchange: ExchangeRef?
  /// Exchanges that wait for it to open, to have a stream on it.
  var waiting = ExchangeLine()
  var endpoint: EndpointRef?
  /// The other half of a tunnel.
  var other: ConnectionRef?
  /// Links of the list it is in: all downstreams of a worker, or the idle ones of an endpoint.
  var next: ConnectionRef?
  var previous: ConnectionRef?
  var nextDirty: ConnectionRef?
  var nextResuming: ConnectionRef?
  /// Follows the body that comes in on this connection.
  var body = HTTP1BodyReader(.none)
  /// The peer's address, for logs and x-forwarded-for.
  var address = SocketAddress(family: 0, bytes: (0, 0), port: 0)

  init(role: ConnectionRole) { self.role = role }
}
