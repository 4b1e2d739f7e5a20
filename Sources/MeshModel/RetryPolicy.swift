/// A set of the HTTP statuses 400…599, as bits.
package struct StatusSet: Equatable, Sendable, BitwiseCopyable {
  var first: UInt64 = 0
  var second: UInt64 = 0
  var third: UInt64 = 0
  var fourth: UInt64 = 0

  package init() {}

  /// The set of `statuses`; those outside 400…599 are left out.
  package init(_ statuses: [UInt16]) {
    for status in statuses { insert(status) }
  }

  /// Puts `status` in, if it is one of 400…599.
  package mutating func insert(_ status: UInt16) {
    guard status >= 400, status < 600 else { return }
    let bit = UInt64(1) << (UInt64(status &- 400) & 63)
    switch (status &- 400) >> 6 {
    case 0: first |= bit
    case 1: second |= bit
    case 2: third |= bit
    default: fourth |= bit
    }
  }

  /// Whether `status` is in the set.
  package func contains(_ status: UInt16) -> Bool {
    guard status >= 400, status < 600 else { return false }
    let bit = UInt64(1) << (UInt64(status &- 400) & 63)
    switch (status &- 400) >> 6 {
    case 0: return first & bit != 0
    case 1: return second & bit != 0
    case 2: return third & bit != 0
    default: return fourth & bit != 0
    }
  }

  package var isEmpty: Bool { first | second | third | fourth == 0 }
}

/// On what an attempt is repeated.
package struct RetryConditions: OptionSet, Hashable, Sendable, BitwiseCopyable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  /// The connection could not be made: nothing was sent, every request may be repeated.
  package static let connectFailure = RetryConditions(rawValue: 1)
  /// The endpoint says that it did not process the request (HTTP/2 REFUSED_STREAM, or GOAWAY below the stream; a
  /// connection reused after idling that closed before it took a byte): every request may be repeated.
  package static let refusedStream = RetryConditions(rawValue: 2)
  /// The connection ended before a byte of the answer came: idempotent requests may be repeated.
  package static let resetBeforeResponse = RetryConditions(rawValue: 4)
  /// The answer's status is one of `statuses`: safe requests (GET, HEAD, OPTIONS, TRACE) may be repeated, all
  /// idempotent ones where `statusForIdempotent` is set.
  package static let status = RetryConditions(rawValue: 8)
  /// One try took longer than `perTryTimeout`: idempotent requests may be repeated.
  package static let perTryTimeout = RetryConditions(rawValue: 16)
  /// Widens `status` from safe to idempotent methods.
  package static let statusForIdempotent = RetryConditions(rawValue: 32)
  /// Widens `resetBeforeResponse`, `status` and `perTryTimeout` to all methods: for applications that can tell a
  /// request they have seen. Never set by default.
  package static let allMethods = RetryConditions(rawValue: 64)

  /// A call of gRPC was answered with this status and nothing else; whatever its method.
  package static let grpcUnavailable = RetryConditions(rawValue: 128)
  package static let grpcCancelled = RetryConditions(rawValue: 256)
  package static let grpcDeadlineExceeded = RetryConditions(rawValue: 512)
  package static let grpcInternal = RetryConditions(rawValue: 1024)
  package static let grpcResourceExhausted = RetryConditions(rawValue: 2048)

  package static let standard: RetryConditions = [
    .connectFailure, .refusedStream, .resetBeforeResponse, .status, .perTryTimeout, .grpcUnavailable,
  ]

  /// The condition that a `grpc-status` meets; empty for one that is never tried again.
  package static func grpc(_ status: UInt8) -> RetryConditions {
    switch status {
    case 1: .grpcCancelled
    case 4: .grpcDeadlineExceeded
    case 8: .grpcResourceExhausted
    case 13: .grpcInternal
    case 14: .grpcUnavailable
    default: []
    }
  }
}

/// When and how often a failed attempt is repeated. The budget (`RetryBudgetSettings`) always holds besides.
package struct RetrySettings: Equatable, Sendable, BitwiseCopyable {
  /// Attempts after the first, 0…10; 0 switches retries off. Default 2.
  package var retries: UInt8 = 2
  package var conditions = RetryConditions.standard
  /// The statuses that `RetryConditions.status` means. Default 502, 503, 504.
  package var statuses = StatusSet([502, 503, 504])
  /// The longest that one attempt may take to the head of its response; one that has begun is not repeated. Default off.
  package var perTryTimeout = TimeLimit.off
  /// The n-th retry waits a random time below base × 2ⁿ⁻¹ (full jitter). Default 25 ms.
  package var baseBackoffNanoseconds: Int64 = 25_000_000
  /// … and below this. Default 250 ms.
  package var maxBackoffNanoseconds: Int64 = 250_000_000
  /// A second attempt is made beside the first where that takes longer; the first answer is taken. Default off.
  package var hedgeDelay = TimeLimit.off

  package init() {}

  package func violations(at path: String) -> [SettingViolation] {
    var found: [SettingViolation] = []
    if retries > 10 {
      found.append(.init(path: "\(path).attempts", message: "is \(retries); must be 0…10"))
    }
    if conditions.contains(.status), statuses.isEmpty {
      found.append(.init(path: "\(path).codes", message: "is empty; name statuses between 400 and 599"))
    }
    let minute: Int64 = 60_000_000_000
    if baseBackoffNanoseconds < 1_000_000 || baseBackoffNanoseconds > minute {
      found.append(.init(path: "\(path).backoff", message: "must be between 1ms and 60s"))
    }
    if maxBackoffNanoseconds < baseBackoffNanoseconds || maxBackoffNanoseconds > minute {
      found.append(.init(path: "\(path).maxBackoff", message: "must be between backoff and 60s"))
    }
    return found
  }
}

/// How many retries there may be in proportion to requests (Gateway API, GEP-3388).
package struct RetryBudgetSettings: Equatable, Sendable, BitwiseCopyable {
  /// Retries per hundred requests of the last `windowNanoseconds`, 0…100. Default 20.
  package var percent: UInt32 = 20
  /// Retries a second allowed in any case, so that services with little traffic can retry at all. Default 10.
  package var minPerSecond: UInt32 = 10
  /// The time looked back upon. Default 10 s.
  package var windowNanoseconds: Int64 = 10_000_000_000

  package init() {}

  package func violations(at path: String) -> [SettingViolation] {
    var found: [SettingViolation] = []
    if percent > 100 {
      found.append(.init(path: "\(path).percent", message: "is \(percent); must be 0…100"))
    }
    if minPerSecond > 1_000_000 {
      found.append(.init(path: "\(path).minRetryRate", message: "is \(minPerSecond); must be at most 1000000"))
    }
    if windowNanoseconds < 1_000_000_000 || windowNanoseconds > 3_600_000_000_000 {
      found.append(.init(path: "\(path).interval", message: "must be between 1s and 1h"))
    }
    return found
  }
}
