package import MeshModel

/// The application protocol of a request: the label `request_protocol`.
package enum RequestProtocol: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  case http, grpc, tcp

  package var label: StaticString {
    switch self {
    case .http: "http"
    case .grpc: "grpc"
    case .tcp: "tcp"
    }
  }
}

/// What tells one series of requests from another. Ids are those of the `LabelDictionary`.
package struct RequestKey: Hashable, Sendable, BitwiseCopyable {
  package var edge: UInt32
  /// 0 for no route.
  package var route: UInt32
  /// The status that was sent; 0 where none was (Envoy's convention, too).
  package var responseCode: UInt16
  /// `grpc-status`; nil where there was none. Values above 16 count as 2, UNKNOWN.
  package var grpcStatus: UInt8?
  package var flag: ResponseFlag
  package var reason: Reason?
  package var requestProtocol: RequestProtocol
  /// For OpenTelemetry, which wants it; Istio's names have no label for it. Unknown methods are all `other`.
  package var method: Method

  @inlinable
  package init(
    edge: UInt32, route: UInt32 = 0, responseCode: UInt16, grpcStatus: UInt8? = nil, flag: ResponseFlag = .none,
    reason: Reason? = nil, requestProtocol: RequestProtocol = .http, method: Method = .other
  ) {
    self.method = method
    self.edge = edge
    self.route = route
    self.responseCode = responseCode
    self.grpcStatus = grpcStatus
    self.flag = flag
    self.reason = reason
    self.requestProtocol = requestProtocol
  }

  @inline(__always)
  var packed: PackedKey {
    let status = grpcStatus.map { $0 > 16 ? 2 : $0 } ?? 255
    var low = UInt64(responseCode) << 32 | UInt64(status) << 24 | UInt64(flag.rawValue) << 16
    low |= UInt64(reason?.rawValue ?? 0) << 8 | UInt64(requestProtocol.rawValue) | UInt64(method.rawValue) << 48
    return PackedKey(high: UInt64(edge) << 32 | UInt64(route), low: low)
  }

  /// The key of the series that a scrape shows, in which all methods are one.
  var ofAllMethods: RequestKey {
    var key = self
    key.method = .other
    return key
  }
}

/// What tells one series of connections from another.
package struct ConnectionKey: Hashable, Sendable, BitwiseCopyable {
  package var edge: UInt32
  /// The rule of the TCPRoute or TLSRoute that took the connection; 0: none did.
  package var route: UInt32
  package var flag: ResponseFlag
  package var reason: Reason?

  @inlinable
  package init(edge: UInt32, route: UInt32 = 0, flag: ResponseFlag = .none, reason: Reason? = nil) {
    self.edge = edge
    self.route = route
    self.flag = flag
    self.reason = reason
  }

  @inline(__always)
  var packed: PackedKey {
    PackedKey(
      high: UInt64(edge) << 32 | UInt64(route), low: UInt64(flag.rawValue) << 8 | UInt64(reason?.rawValue ?? 0))
  }
}

/// Counts in the buckets that Envoy, and so Istio, has for every histogram: milliseconds or bytes alike.
package struct Histogram: Sendable, BitwiseCopyable {
  /// Upper bounds, inclusive, in halves, since the first is 0.5; the last bucket has none.
  static let halfBounds: InlineArray<19, UInt64> = [
    1, 2, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000, 600_000, 1_200_000,
    3_600_000, 7_200_000,
  ]
  package static let bucketCount = 20

  /// Not cumulative.
  package private(set) var counts = InlineArray<20, UInt64>(repeating: 0)
  /// In the unit that `add` was given, divided by what it was given as `scale`.
  package private(set) var sum: UInt64 = 0

  package init() {}

  /// The bucket of `value`, as `add` counts it.
  @inline(__always)
  static func bucket(_ value: UInt64, scale: UInt64) -> Int {
    // Rounded up, so that "at most the bound" stays true.
    let (doubled, overflow) = value.multipliedReportingOverflow(by: 2)
    let halves = overflow ? .max : (scale == 1 ? doubled : (doubled &+ (scale &- 1)) / scale)
    var bucket = 0
    if halves > halfBounds[9] { bucket = 10 }
    while bucket < 19, halves > halfBounds[bucket] { bucket &+= 1 }
    return bucket
  }

  /// Counts `value`, which has `scale` parts to the bucket's unit: 1,000,000 for nanoseconds in milliseconds, 1 for
  /// bytes. The sum is kept in parts.
  @inline(__always)
  mutating func add(_ value: UInt64, scale: UInt64) {
    let bucket = Self.bucket(value, scale: scale)
    counts[bucket] &+= 1
    sum &+= value
  }

  mutating func merge(_ other: Histogram) {
    for index in 0..<Self.bucketCount { counts[index] &+= other.counts[index] }
    sum &+= other.sum
  }

  /// How many values there are.
  package var count: UInt64 {
    var total: UInt64 = 0
    for index in 0..<Self.bucketCount { total &+= counts[index] }
    return total
  }
}

/// All that is counted of the requests of one key.
package struct RequestSeries: Sendable, BitwiseCopyable {
  package var key: RequestKey
  /// Nanoseconds, in buckets of milliseconds.
  package var duration = Histogram()
  package var requestBytes = Histogram()
  package var responseBytes = Histogram()
  /// Messages of calls of gRPC, from the client and to it.
  package var requestMessages: UInt64 = 0
  package var responseMessages: UInt64 = 0
  /// When the last request of the key ended, monotonic nanoseconds.
  package var usedAt: Int64 = 0

  mutating func merge(_ other: RequestSeries) {
    duration.merge(other.duration)
    requestBytes.merge(other.requestBytes)
    responseBytes.merge(other.responseBytes)
    requestMessages &+= other.requestMessages
    responseMessages &+= other.responseMessages
    usedAt = max(usedAt, other.usedAt)
  }
}

/// All that is counted of the connections of one key.
package struct ConnectionSeries: Sendable, BitwiseCopyable {
  package var key: ConnectionKey
  package var opened: UInt64 = 0
  package var closed: UInt64 = 0
  /// From the server to the client, as Istio counts.
  package var sentBytes: UInt64 = 0
  /// From the client to the server.
  package var receivedBytes: UInt64 = 0
  package var usedAt: Int64 = 0

  mutating func merge(_ other: ConnectionSeries) {
    opened &+= other.opened
    closed &+= other.closed
    sentBytes &+= other.sentBytes
    receivedBytes &+= other.receivedBytes
    usedAt = max(usedAt, other.usedAt)
  }
}
