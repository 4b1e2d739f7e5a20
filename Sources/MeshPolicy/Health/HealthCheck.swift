/// What is asked of an endpoint to find out whether it is well.
package enum HealthCheckKind: UInt8, Sendable, BitwiseCopyable {
  /// A request whose answer has an expected status.
  case http
  /// A connection, with its TLS handshake where there is one.
  case tcp
  /// `grpc.health.v1.Health/Check`.
  case grpc
}

/// When endpoints are asked, and what their answers mean.
package struct HealthCheckSettings: Equatable, Sendable, BitwiseCopyable {
  package var kind = HealthCheckKind.http
  /// From one check of an endpoint to the next, a tenth more or less at random. At least 1 s. Default 10 s.
  package var intervalNanoseconds: Int64 = 10_000_000_000
  /// Time for an answer. Default 1 s.
  package var timeoutNanoseconds: Int64 = 1_000_000_000
  /// Checks in a row that must fail for an endpoint to count as ill. Default 3.
  package var unhealthyThreshold: UInt32 = 3
  /// … and succeed for it to count as well again. Default 2.
  package var healthyThreshold: UInt32 = 2
  /// Statuses from … to that count as well. Default 200…299.
  package var leastStatus: UInt16 = 200
  package var mostStatus: UInt16 = 299

  package init() {}
}

/// What one loop knows of an endpoint from checks.
package struct HealthState: Equatable, Sendable, BitwiseCopyable {
  /// The same outcome so often in a row; failures where `isLastFailed`.
  package private(set) var run: UInt32 = 0
  package private(set) var isLastFailed = false
  /// Whether it counts as ill.
  package private(set) var isIll = false

  package init() {}

  /// Notes the outcome of a check; true where the endpoint counts as another thing from now on. The first check of all
  /// decides at once where it succeeds.
  package mutating func note(success: Bool, _ settings: HealthCheckSettings) -> Bool {
    run = isLastFailed == !success ? (run == .max ? run : run &+ 1) : 1
    isLastFailed = !success
    let needed = success ? settings.healthyThreshold : settings.unhealthyThreshold
    guard run >= max(1, needed), isIll == success else { return false }
    isIll = !success
    return true
  }
}
