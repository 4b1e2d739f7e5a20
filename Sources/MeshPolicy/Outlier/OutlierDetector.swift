package import MeshModel

/// How an attempt ended, as outlier detection sees it.
package enum EndpointOutcome: UInt8, Sendable, BitwiseCopyable {
  /// An answer below 500.
  case success
  /// An answer 500…599 other than the following.
  case serverError
  /// An answer 502, 503 or 504.
  case gatewayError
  /// No answer: the connection failed or was reset, or the time was up.
  case localFailure

  /// The outcome for a call of gRPC by its `grpc-status`: what tells of the endpoint and not of the request.
  @inlinable
  package init(grpcStatus: UInt8) {
    switch grpcStatus {
    case 14: self = .gatewayError
    case 2, 13, 15: self = .serverError
    default: self = .success
    }
  }

  /// The outcome for an answer's status.
  @inlinable
  package init(status: UInt16) {
    switch status {
    case 502, 503, 504: self = .gatewayError
    case 500...599: self = .serverError
    default: self = .success
    }
  }
}

/// What became of an endpoint after an outcome.
package enum OutlierDecision: Equatable, Sendable, BitwiseCopyable {
  case unchanged
  /// It is left alone until `until` (monotonic nanoseconds), because of that many outcomes of a kind in a row.
  case ejected(EndpointOutcome, until: Int64)
  /// It should have been, and as many as may be are already.
  case atLimit
}

/// Puts endpoints aside that fail several times in a row, for a while that grows with each time.
package enum OutlierDetector {
  /// Notes how an attempt at the endpoint `index` ended. An endpoint that is ejected stays so, whatever it answers.
  package static func onResult(
    _ outcome: EndpointOutcome, at index: Int32, in set: inout EndpointSet, _ settings: OutlierSettings, now: Int64
  ) -> OutlierDecision {
    guard index >= 0, index < set.count else { return .unchanged }
    let cause = count(outcome, &set.base[Int(index)].outlier, settings)
    guard let cause, !set.base[Int(index)].flags.contains(.ejected) else { return .unchanged }
    guard mayEject(one: set, settings) else { return .atLimit }
    var state = set.base[Int(index)].outlier
    state.ejections = state.ejections == .max ? .max : state.ejections &+ 1
    let factor = Int64(state.ejections)
    let (product, overflow) = settings.baseEjectionNanoseconds.multipliedReportingOverflow(by: factor)
    let time = overflow ? settings.maxEjectionNanoseconds : min(product, settings.maxEjectionNanoseconds)
    state.until = now &+ time
    set.base[Int(index)].outlier = state
    set.set(.ejected, true, at: index)
    return .ejected(cause, until: state.until)
  }

  /// Takes back endpoints whose time is up, and lowers by one the factor of those that behaved for one base time. To be
  /// called every `OutlierSettings.sweepNanoseconds`. Gives the number taken back.
  package static func sweep(_ set: inout EndpointSet, _ settings: OutlierSettings, now: Int64) -> Int {
    var returned = 0
    var index = 0
    while index < Int(set.count) {
      var state = set.base[index]
      if state.outlier.ejections > 0, state.outlier.until <= now {
        if state.flags.contains(.ejected) {
          state.flags.remove(.ejected)
          state.outlier.serverErrors = 0
          state.outlier.gatewayErrors = 0
          state.outlier.localFailures = 0
          returned &+= 1
        } else {
          state.outlier.ejections &-= 1
        }
        state.outlier.until = now &+ settings.baseEjectionNanoseconds
        set.base[index] = state
      }
      index &+= 1
    }
    if returned > 0 { set.recount() }
    return returned
  }

  /// Counts the outcome; gives its kind once that has come too often in a row.
  private static func count(
    _ outcome: EndpointOutcome, _ state: inout OutlierState, _ settings: OutlierSettings
  ) -> EndpointOutcome? {
    switch outcome {
    case .success:
      if state.serverErrors != 0 { state.serverErrors = 0 }
      if state.gatewayErrors != 0 { state.gatewayErrors = 0 }
      if state.localFailures != 0 { state.localFailures = 0 }
      return nil
    case .serverError:
      state.serverErrors = increased(state.serverErrors)
      state.gatewayErrors = 0
      state.localFailures = 0
    case .gatewayError:
      state.serverErrors = increased(state.serverErrors)
      state.gatewayErrors = increased(state.gatewayErrors)
      state.localFailures = 0
    case .localFailure:
      state.serverErrors = increased(state.serverErrors)
      state.gatewayErrors = increased(state.gatewayErrors)
      state.localFailures = increased(state.localFailures)
    }
    if reaches(state.localFailures, settings.consecutiveLocalFailures) { return .localFailure }
    if reaches(state.gatewayErrors, settings.consecutiveGatewayErrors) { return .gatewayError }
    if reaches(state.serverErrors, settings.consecutiveServerErrors) { return .serverError }
    return nil
  }

  private static func increased(_ value: UInt16) -> UInt16 { value == .max ? .max : value &+ 1 }

  private static func reaches(_ value: UInt16, _ limit: CountLimit) -> Bool {
    guard case .atMost(let limit) = limit else { return false }
    return UInt32(value) >= max(1, limit)
  }

  /// Whether one more endpoint may be put aside: within the percentage, or the first of several.
  private static func mayEject(one set: EndpointSet, _ settings: OutlierSettings) -> Bool {
    guard settings.maxEjectionPercent > 0 else { return false }
    if set.ejectedCount == 0, set.candidateCount > 1 { return true }
    return (UInt64(set.ejectedCount) + 1) * 100 <= UInt64(settings.maxEjectionPercent) * UInt64(set.candidateCount)
  }
}
