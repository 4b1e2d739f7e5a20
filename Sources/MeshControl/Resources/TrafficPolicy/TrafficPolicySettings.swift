// The larger settings of a TrafficPolicy.

extension TrafficPolicySpec {
  /// When an endpoint is left out for a while.
  package struct OutlierDetection: FieldObject, Equatable {
    /// Answers 5xx in a row; default 5; 0 switches this detector off.
    package var consecutive5xx: Int?
    /// 502, 503, 504 and failures to connect in a row; default off.
    package var consecutiveGatewayErrors: Int?
    /// How often ejections are reviewed; default 10s.
    package var interval: GatewayDuration?
    /// Time of the first ejection; the n-th lasts n times as long; default 30s.
    package var baseEjectionTime: GatewayDuration?
    /// Longest ejection; default 300s.
    package var maxEjectionTime: GatewayDuration?
    /// Largest share of endpoints that may be out at once; default 10.
    package var maxEjectionPercent: Int?
    /// Failures to connect, resets and timeouts in a row; default 5; 0 switches this detector off.
    package var consecutiveLocalFailures: Int?
    /// Absent: off.
    package var successRate: SuccessRate?
    /// Absent: off.
    package var failurePercentage: FailurePercentage?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("consecutive5xx", &consecutive5xx, .range(0...10_000))
      visitor.field("consecutiveGatewayErrors", &consecutiveGatewayErrors, .range(0...10_000))
      visitor.field("interval", &interval)
      visitor.field("baseEjectionTime", &baseEjectionTime)
      visitor.field("maxEjectionTime", &maxEjectionTime)
      visitor.field("maxEjectionPercent", &maxEjectionPercent, .range(0...100))
      visitor.field("consecutiveLocalFailures", &consecutiveLocalFailures, .range(0...10_000))
      visitor.field("successRate", &successRate)
      visitor.field("failurePercentage", &failurePercentage)
    }

    package func check(path: String, into report: ViolationReport) {
      interval?.checkBounds(path: "\(path).interval", into: report)
      baseEjectionTime?.checkBounds(path: "\(path).baseEjectionTime", into: report)
      maxEjectionTime?.checkBounds(path: "\(path).maxEjectionTime", into: report)
      if let baseEjectionTime, let maxEjectionTime, maxEjectionTime < baseEjectionTime {
        report.add(
          .invalid, at: "\(path).maxEjectionTime", "is shorter than baseEjectionTime; make it at least as long")
      }
    }
  }

  /// When and how often a request is tried again.
  package struct Retry: FieldObject, Equatable {
    /// Tries after the first; default 2; 0 switches retries off.
    package var attempts: Int?
    /// Status codes that are tried again, for methods that are safe to repeat; default 502, 503, 504.
    package var codes: [Int] = []
    /// Base of the exponential back-off with full jitter; default 25ms.
    package var backoff: GatewayDuration?
    /// Limit of one try, to the head of its response; default: what is left of the request's time.
    package var perTryTimeout: GatewayDuration?
    /// On what is tried again; none: connect-failure, refused-stream, reset, status, per-try-timeout.
    package var on: [RetryCondition] = []
    /// The longest back-off; default 250ms.
    package var maxBackoff: GatewayDuration?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("attempts", &attempts, .range(0...10))
      visitor.field("codes", &codes, .items(0...64), .each(.range(400...599)))
      visitor.field("backoff", &backoff)
      visitor.field("perTryTimeout", &perTryTimeout)
      visitor.field("on", &on, .items(0...8), .unique)
      visitor.field("maxBackoff", &maxBackoff)
    }

    package func check(path: String, into report: ViolationReport) {
      checkNoRepeat(codes, path: "\(path).codes", into: report)
      backoff?.checkBounds(path: "\(path).backoff", longest: 60, into: report)
      perTryTimeout?.checkBounds(path: "\(path).perTryTimeout", into: report)
      maxBackoff?.checkBounds(path: "\(path).maxBackoff", longest: 60, into: report)
      if let backoff, let maxBackoff, maxBackoff < backoff {
        report.add(.invalid, at: "\(path).maxBackoff", "is shorter than backoff; make it at least as long")
      }
    }
  }

  /// What an attempt may fail of to be made again.
  package enum RetryCondition: String, FieldEnum {
    /// No connection could be made.
    case connectFailure = "connect-failure"
    /// The endpoint says that it did not process the request.
    case refusedStream = "refused-stream"
    /// The connection ended before the answer began; idempotent requests only.
    case reset
    /// One of `codes`; safe requests only.
    case status
    /// `perTryTimeout` was over; idempotent requests only.
    case perTryTimeout = "per-try-timeout"
    /// Widens `status` to idempotent requests.
    case idempotentStatus = "idempotent-status"
    /// Widens everything to all methods: for applications that know a request which they have seen.
    case allMethods = "all-methods"
    /// A call of gRPC was answered with this status and nothing else; all methods.
    case unavailable, cancelled, `internal`
    case deadlineExceeded = "deadline-exceeded"
    case resourceExhausted = "resource-exhausted"
  }

  /// How many of the requests may be retries (GEP-3388).
  package struct RetryBudget: FieldObject, Equatable {
    /// Share of the requests; default 20.
    package var percent: Int?
    /// So many retries are allowed in any case; default 10.
    package var minRetriesPerSecond: Int?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("percent", &percent, .range(0...100))
      visitor.field("minRetriesPerSecond", &minRetriesPerSecond, .range(0...1_000_000))
    }
  }

  /// Connections to the endpoints.
  package struct ConnectionPool: FieldObject, Equatable {
    /// Default 5s.
    package var connectTimeout: GatewayDuration?
    /// How long an unused connection is kept; default 60s.
    package var idleTimeout: GatewayDuration?
    /// Absent: no limit.
    package var maxRequestsPerConnection: Int?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("connectTimeout", &connectTimeout)
      visitor.field("idleTimeout", &idleTimeout)
      visitor.field("maxRequestsPerConnection", &maxRequestsPerConnection, .range(1...1_000_000_000))
    }

    package func check(path: String, into report: ViolationReport) {
      connectTimeout?.checkBounds(path: "\(path).connectTimeout", into: report)
      idleTimeout?.checkBounds(path: "\(path).idleTimeout", into: report)
    }
  }
}

extension GatewayDuration {
  /// Zero has no meaning for most times ("none" is said by leaving the field out), and a day is the longest that the
  /// data plane counts.
  /// - Parameter longest: in seconds.
  func checkBounds(path: String, longest: Int64 = 86_400, into report: ViolationReport) {
    guard milliseconds == 0 || milliseconds > longest * 1000 else { return }
    report.add(
      .invalid, at: path,
      "\(text) is out of bounds; write a time from 1ms to \(longest == 60 ? "1m" : longest == 3_600 ? "1h" : "24h"), or leave it out for the default"
    )
  }
}

/// Tells every number that comes twice.
func checkNoRepeat(_ numbers: [Int], path: String, into report: ViolationReport) {
  var seen: Set<Int> = []
  for (index, number) in numbers.enumerated() where !seen.insert(number).inserted {
    report.add(.duplicate, at: "\(path)[\(index)]", "\(number) is there already; remove one of them")
  }
}
