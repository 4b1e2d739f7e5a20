/// Something the control plane asks a proxy on the stream `apus.v1.WorkloadService/Attach`: a page of the proxy's admin
/// interface that changes nothing.
package struct ProxyQuestion: WireMessage {
  /// Names the question; the answer repeats it.
  package var id: UInt64 = 0
  /// Path and query of the page: `/decisions?notable=1`.
  package var target = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "id", &id)
    try c.field(2, "target", &target)
  }
}

/// What a proxy answers.
package struct ProxyAnswer: WireMessage {
  package var id: UInt64 = 0
  /// HTTP status of the page.
  package var status: UInt32 = 0
  package var body: [UInt8] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "id", &id)
    try c.field(2, "status", &status)
    try c.field(3, "body", &body)
  }
}

/// The page `/decisions` of a proxy: what it decided lately, newest first.
package struct DecisionList: WireMessage {
  package var decisions: [DecisionRecord] = []
  /// The highest sequence number of each worker, for the next question's `after`.
  package var sequences: [String] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "decisions", &decisions)
    try c.field(2, "sequences", &sequences)
  }
}

/// What a proxy decided about one request or connection.
package struct DecisionRecord: WireMessage {
  /// When it ended, milliseconds since 1970.
  package var endedMilliseconds: UInt64 = 0
  /// The uid of the proxy's workload.
  package var proxy = ""
  package var reporter = Reporter.source
  package var requestID = ""
  package var method = ""
  package var authority = ""
  /// Without its query.
  package var path = ""
  package var status: UInt32 = 0
  /// Stable name; empty: the mesh had no reason to give.
  package var reason = ""
  /// Why the attempt before the end failed.
  package var attemptReason = ""
  package var attempts: UInt32 = 0
  package var retries: UInt32 = 0
  package var durationMicroseconds: UInt64 = 0
  /// From the last attempt's start to the first byte of its answer; absent (0) where there was none.
  package var upstreamMicroseconds: UInt64 = 0
  package var isAnswered = false
  package var sourceNamespace = ""
  package var source = ""
  package var sourceService = ""
  package var sourceIdentity = ""
  /// The service that the request went to: the backend that a route chose.
  package var destinationNamespace = ""
  package var service = ""
  /// The service that the caller asked for, where a route took the request; empty: `service`, or not known.
  package var askedNamespace = ""
  package var asked = ""
  package var workload = ""
  package var version = ""
  package var destinationIdentity = ""
  /// `namespace/name/rule`.
  package var route = ""
  /// `address:port` of the endpoint tried last.
  package var endpoint = ""
  /// The breaker's limit or the timeout's milliseconds, where the reason has a number.
  package var limit: UInt32 = 0
  package var isMutualTLS = false
  package var isTunnel = false
  package var isLocalReply = false
  package var requestBytes: UInt64 = 0
  package var responseBytes: UInt64 = 0
  /// Absent: the call was not one of gRPC.
  package var grpcStatus: UInt32?
  /// It counts as a failure.
  package var isFailure = false
  /// `address:port` of who sent it.
  package var peer = ""
  /// Attempts that failed, in order: the first three and the last.
  package var failedAttempts: [AttemptRecord] = []
  /// How many failed.
  package var failedAttemptCount: UInt32 = 0
  /// The endpoint was just closing the connection that it was given; it was sent again at once.
  package var isRaced = false
  /// `namespace/name` of the policy that refused it or held it back; a limit's name behind it, where that decided.
  package var policy = ""
  /// How long a policy's fault held it back.
  package var delayMilliseconds: UInt32 = 0
  /// A connection that ended before there was a request.
  package var isConnection = false
  /// The fields of its head as it was sent on, secrets left out; only where heads are watched.
  package var requestHead: [HeaderValue] = []
  /// The fields of the answer's head as the endpoint sent it, or the mesh itself; likewise.
  package var responseHead: [HeaderValue] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "endedMilliseconds", &endedMilliseconds)
    try c.field(2, "proxy", &proxy)
    try c.field(3, "reporter", &reporter)
    try c.field(4, "requestID", &requestID)
    try c.field(5, "method", &method)
    try c.field(6, "authority", &authority)
    try c.field(7, "path", &path)
    try c.field(8, "status", &status)
    try c.field(9, "reason", &reason)
    try c.field(10, "attemptReason", &attemptReason)
    try c.field(11, "attempts", &attempts)
    try c.field(12, "retries", &retries)
    try c.field(13, "durationMicroseconds", &durationMicroseconds)
    try c.field(14, "upstreamMicroseconds", &upstreamMicroseconds)
    try c.field(15, "isAnswered", &isAnswered)
    try c.field(16, "sourceNamespace", &sourceNamespace)
    try c.field(17, "source", &source)
    try c.field(18, "sourceService", &sourceService)
    try c.field(19, "sourceIdentity", &sourceIdentity)
    try c.field(20, "destinationNamespace", &destinationNamespace)
    try c.field(21, "service", &service)
    try c.field(22, "workload", &workload)
    try c.field(23, "version", &version)
    try c.field(24, "destinationIdentity", &destinationIdentity)
    try c.field(25, "route", &route)
    try c.field(26, "endpoint", &endpoint)
    try c.field(27, "limit", &limit)
    try c.field(28, "isMutualTLS", &isMutualTLS)
    try c.field(29, "isTunnel", &isTunnel)
    try c.field(30, "isLocalReply", &isLocalReply)
    try c.field(31, "requestBytes", &requestBytes)
    try c.field(32, "responseBytes", &responseBytes)
    try c.field(33, "grpcStatus", &grpcStatus)
    try c.field(34, "isFailure", &isFailure)
    try c.field(200, "peer", &peer)
    try c.field(201, "failedAttempts", &failedAttempts)
    try c.field(202, "failedAttemptCount", &failedAttemptCount)
    try c.field(203, "isRaced", &isRaced)
    try c.field(204, "policy", &policy)
    try c.field(205, "delayMilliseconds", &delayMilliseconds)
    try c.field(206, "isConnection", &isConnection)
    try c.field(207, "requestHead", &requestHead)
    try c.field(250, "responseHead", &responseHead)
    try c.field(290, "askedNamespace", &askedNamespace)
    try c.field(291, "asked", &asked)
  }
}

/// One attempt of a request that did not become its answer.
package struct AttemptRecord: WireMessage {
  package var workload = ""
  /// `address:port`.
  package var endpoint = ""
  /// Stable name of the reason; empty: the endpoint's own answer was tried again or, without a status, a second attempt beside
  /// it was quicker.
  package var reason = ""
  /// The status of that answer; 0: there was none.
  package var status: UInt32 = 0
  package var grpcStatus: UInt32?
  package var microseconds: UInt64 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "workload", &workload)
    try c.field(2, "endpoint", &endpoint)
    try c.field(3, "reason", &reason)
    try c.field(4, "status", &status)
    try c.field(5, "grpcStatus", &grpcStatus)
    try c.field(6, "microseconds", &microseconds)
  }
}
