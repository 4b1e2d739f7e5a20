// Unsafe by design: exchanges live in slabs of the worker and point at connections.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

typealias ExchangeRef = UnsafeMutablePointer<Exchange>

/// The state bits of an exchange, by what they are about.
struct ExchangeFlags: OptionSet {
  let rawValue: UInt32

  private static func bit(_ number: UInt32) -> ExchangeFlags { ExchangeFlags(rawValue: 1 << number) }

  // MARK: The client and its request

  /// The whole request has been received.
  static let requestComplete = bit(0)
  /// The client's connection can serve another request afterwards.
  static let keepAlive = bit(3)
  /// The client speaks HTTP/1.0: no chunks, no interim responses.
  static let http10 = bit(4)
  /// The request asks for another protocol.
  static let upgrade = bit(5)
  /// CONNECT: the client waits for `200`.
  static let connectMethod = bit(8)
  /// Extended CONNECT: the client asks for another protocol on its stream (RFC 8441).
  static let extendedConnect = bit(24)
  /// The request came from a connection with mTLS.
  static let mutualTLS = bit(15)
  /// A call of gRPC: answers of the mesh are trailers, and its status counts.
  static let grpc = bit(22)

  // MARK: The attempt under way

  /// The whole request is still in `request`: it could be sent again.
  static let replayable = bit(2)
  /// Counted among the requests in flight of its cluster.
  static let counted = bit(12)
  /// A try after the first, counted among the retries in flight.
  static let retrying = bit(13)
  /// Waits for its back-off before the next try.
  static let backingOff = bit(9)
  /// Waits for a connection of its cluster.
  static let pending = bit(10)
  /// Waits for a connection with HTTP/2 that is being opened.
  static let awaitingStream = bit(17)
  /// It met a connection that the endpoint was just closing, and was given another.
  static let racedOnce = bit(16)
  /// The upstream has been given all that `request` holds.
  static let sent = bit(6)

  // MARK: How far each direction has come

  /// The upstream has been told that the request ends.
  static let requestEnded = bit(20)
  /// The endpoint's stream has been ended from our side.
  static let upstreamEnded = bit(26)
  /// Something of the response has gone to the client.
  static let responseStarted = bit(1)
  /// The mesh answered itself.
  static let localReply = bit(14)
  /// The endpoint has sent its whole answer; what waits in `toDownstream` is the rest.
  static let responseReceived = bit(21)
  /// The client's stream has been ended from our side.
  static let downstreamEnded = bit(25)

  // MARK: How bodies are framed

  /// The client speaks HTTP/2 and announced no length: towards HTTP/1 its body goes in chunks.
  static let chunkRequest = bit(18)
  /// The endpoint speaks HTTP/2 and announced no length: towards HTTP/1.1 its body goes in chunks.
  static let chunkResponse = bit(19)
  /// The response's chunks are taken apart for a client of HTTP/1.0.
  static let dechunk = bit(11)

  // MARK: Tunnels

  /// A tunnel and no HTTP: a TCP session, or CONNECT.
  static let tunnel = bit(7)
  /// The two sides of a tunnel are joined.
  static let joined = bit(23)
  /// A tunnel whose client, or whose endpoint, sends no more.
  static let clientDone = bit(27)
  static let endpointDone = bit(28)
  /// A tunnel opened because the client said nothing; its first bytes decide what it is.
  static let speculative = bit(29)
  /// A tunnel that waits for the server name that its client sends.
  static let awaitingName = bit(30)
}

/// One request with its response, or one TCP session, from acceptance to its record.
struct Exchange {
  /// First, so that the timer's address is the exchange's.
  var timer = WheelTimer()
  var flags: ExchangeFlags = []
  var downstream: ConnectionRef
  var upstream: ConnectionRef?
  /// Its stream on a side that speaks HTTP/2.
  var downstreamStream = HTTP2Stream()
  var upstreamStream = HTTP2Stream()
  /// Body bytes for a stream that cannot take them yet.
  var toUpstream = ByteQueue()
  var toDownstream = ByteQueue()
  /// Body bytes that came in on a stream and have not been granted to its sender again.
  var downstreamDebt = 0
  var upstreamDebt = 0
  /// Trailers of a request that came by HTTP/2, as field lines, and those of a response that wait behind its body.
  var requestTrailers = ByteQueue()
  var responseTrailers = ByteQueue()
  /// How the request's body came, and what takes that framing off where it goes on by HTTP/2.
  var framing = BodyFraming.none
  var requestFraming = HTTP1BodyReader(.none)
  /// The configuration it began with.
  var generation: GenerationRef
  var cluster: ClusterRef?
  var endpoint: EndpointRef?
  /// Index of the rule that matched in its route table; -1: none.
  var rule: Int32 = -1
  /// The table that `rule` and `backend` are indexes in; lives as long as the generation.
  var routes: UnsafePointer<RouteTableView>?
  /// The rule's number for the label `route_name`.
  var routeNumber: UInt32 = 0
  /// Whether the connection came to an inbound listener.
  var isInbound = false
  /// Whether it is another proxy's health check, which is no request of anybody.
  var isHealthCheck = false
  /// Position of the backend chosen among the rule's; -1: the service itself.
  var backend: Int32 = -1
  var method = Method.other
  var reason: Reason?
  /// Why the last attempt failed, while another is made.
  var attemptReason: Reason?
  var attempts: UInt8 = 0
  var retryCount: UInt8 = 0
  /// Whether the failed attempt had got as far as sending.
  var attemptWasSent = false
  /// Number of the edge, and the address, of the last attempt, for the record; 0: there was none.
  var edge: UInt32 = 0
  var lastAddress = SocketAddress(family: 0, bytes: (0, 0), port: 0)
  /// Endpoints already tried, newest last; `count` of them are set.
  var tried: (Int32, Int32, Int32, Int32) = (-1, -1, -1, -1)
  var status: UInt16 = 0
  /// The request as it goes upstream: the head, and as much of the body as can be sent again.
  var request = ByteQueue()
  /// Length of the head in `request`.
  var headLength = 0
  /// Where parts of the head lie in `request`, for the record.
  var path = ByteRange.empty
  var authority = ByteRange.empty
  var requestID = ByteRange.empty
  /// Times, monotonic nanoseconds; 0: not reached.
  var started: UInt64 = 0
  var attemptStarted: UInt64 = 0
  var firstByte: UInt64 = 0
  /// When the whole request must be done, when this try must be; `.max`: no limit.
  var deadline: UInt64 = .max
  var tryDeadline: UInt64 = .max
  /// Length of one try, nanoseconds; `.max`: no limit.
  var tryLimit: UInt64 = .max
  /// Counts the messages of a call of gRPC as they pass.
  var requestMessages = GRPCMessageScanner(limitBytes: .max)
  var responseMessages = GRPCMessageScanner(limitBytes: .max)
  /// `grpc-status` of the answer, once one has been seen.
  var grpcStatus: UInt8?
  /// Time to the head of a try's response, nanoseconds; `.max`: no limit.
  var headLimit: UInt64 = .max
  /// On whose account `deadline` is.
  var deadlineSource = DeadlineSource.none
  /// Where what is left of the time stands in `request`, for the next hop.
  var expectedTimeout = ByteRange.empty
  var grpcTimeout = ByteRange.empty
  /// When bytes last moved, and how many had by the start of the watch window.
  var lastActivity: UInt64 = 0
  var watchedBytes: UInt64 = 0
  var bodyWindowStart: UInt64 = 0
  /// When the next try begins, while it backs off.
  var retryAt: UInt64 = 0
  var requestBytes: UInt64 = 0
  var responseBytes: UInt64 = 0
  /// How many of them metrics have been told of: those of connections that stay open are told while they flow.
  var toldRequestBytes: UInt64 = 0
  var toldResponseBytes: UInt64 = 0
  /// What admission found out (`Admit.swift`).
  var admission = Admission()
  /// What it is for, if no client asked for it, and a second try beside it (`Errand.swift`).
  var errand = Errand()
  /// Where the request stands in its trace, and what is kept of it for its span and the log (`Observe/`).
  var mark = TraceMark()
  var observation: ObservationRef?
  /// Number of the trail of its failed attempts (`WorkerAttempts.swift`); 0: it has none.
  var trail: UInt16 = 0
  /// Which endpoint it should go to (`Affinity.swift`).
  var preference = Preference()
  /// The service that a connection of bytes, or CONNECT, asked for; nil: a request.
  var asked: ClusterRef?
  /// Where it stands in the worker's `crowd`.
  var crowdMark: UInt32 = 0
  /// Links of the cluster's waiting list, or of the free list.
  var next: ExchangeRef?
  var previous: ExchangeRef?

  init(downstream: ConnectionRef, generation: GenerationRef) {
    self.downstream = downstream
    self.generation = generation
  }

  /// Whether the client's side is, or was until it went, a stream of HTTP/2.
  var wasStream: Bool { downstream.pointee.role == .downstreamHTTP2 }

  /// Whether it is an open connection of which metrics have not been told all that has passed.
  @inline(__always)
  var owesBytes: Bool {
    flags.contains([.tunnel, .joined])
      && (responseBytes != toldResponseBytes || requestBytes != toldRequestBytes)
  }

  /// Whether the client's side is a stream of HTTP/2.
  @inline(__always)
  var isDownstreamStream: Bool { downstreamStream.id != 0 }

  /// Whether the endpoint's side is a stream of HTTP/2.
  @inline(__always)
  var isUpstreamStream: Bool { upstreamStream.id != 0 }
}
