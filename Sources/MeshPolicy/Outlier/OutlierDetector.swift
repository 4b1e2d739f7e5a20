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
    set.base[Int(index)].outlier.attempts &+= 1
    if outcome == .success { set.base[Int(index)].outlier.successes &+= 1 }
    guard let cause, !set.base[Int(index)].flags.contains(.ejected) else { return .unchanged }
    guard mayEject(one: set, settings) else { return .atLimit }
    return .ejected(cause, until: eject(index, from: &set, settings, now: now))
  }

  /// Puts an endpoint aside; gives the time until which.
  private static func eject(
    _ index: Int32, from set: inout EndpointSet, _ settings: OutlierSettings, now: Int64
  ) -> Int64 {
    var state = set.base[Int(index)].outlier
    state.ejections = state.ejections == .max ? .max : state.ejections &+ 1
    let factor = Int64(state.ejections)
    let (product, overflow) = settings.baseEjectionNanoseconds.multipliedReportingOverflow(by: factor)
    let time = overflow ? settings.maxEjectionNanoseconds : min(product, settings.maxEjectionNanoseconds)
    state.until = now &+ time
    set.base[Int(index)].outlier = state
    set.set(.ejected, true, at: index)
    return state.until
  }

  /// Compares the endpoints with each other (`successRate`, `failurePercentage`) and begins their counts anew. To be
  /// called every `OutlierSettings.sweepNanoseconds`. Gives the number put aside.
  package static func review(_ set: inout EndpointSet, _ settings: OutlierSettings, now: Int64) -> Int {
    var ejected = 0
    if let rate = settings.successRate, let least = leastSuccesses(set, rate) {
      ejected &+= eject(from: &set, settings, now: now) { state in
        state.attempts >= rate.requestVolume && share(state) < least
      }
    }
    if let failures = settings.failurePercentage, hosts(set, failures.requestVolume) >= Int(failures.minimumHosts) {
      let least = 1 - Double(min(failures.threshold, 100)) / 100
      ejected &+= eject(from: &set, settings, now: now) { state in
        state.attempts >= failures.requestVolume && share(state) <= least
      }
    }
    var index = 0
    while index < Int(set.count) {
      set.base[index].outlier.attempts = 0
      set.base[index].outlier.successes = 0
      index &+= 1
    }
    return ejected
  }

  private static func share(_ state: OutlierState) -> Double {
    state.attempts == 0 ? 1 : Double(state.successes) / Double(state.attempts)
  }

  private static func hosts(_ set: EndpointSet, _ volume: UInt32) -> Int {
    (0..<Int(set.count)).reduce(0) { $0 &+ (set.base[$1].outlier.attempts >= volume ? 1 : 0) }
  }

  /// The share of successes below which an endpoint stands out; nil where too few have had requests enough.
  private static func leastSuccesses(_ set: EndpointSet, _ settings: SuccessRateSettings) -> Double? {
    let count = hosts(set, settings.requestVolume)
    guard count > 0, count >= Int(settings.minimumHosts) else { return nil }
    var sum = 0.0
    var squares = 0.0
    for index in 0..<Int(set.count) where set.base[index].outlier.attempts >= settings.requestVolume {
      let value = share(set.base[index].outlier)
      sum += value
      squares += value * value
    }
    let mean = sum / Double(count)
    let deviation = max(0, squares / Double(count) - mean * mean).squareRoot()
    return mean - deviation * Double(settings.deviationsPerMille) / 1_000
  }

  private static func eject(
    from set: inout EndpointSet, _ settings: OutlierSettings, now: Int64, where isBad: (OutlierState) -> Bool
  ) -> Int {
    var count = 0
    for index in 0..<Int(set.count) {
      guard !set.base[index].flags.contains(.ejected), isBad(set.base[index].outlier), mayEject(one: set, settings)
      else { continue }
      _ = eject(Int32(truncatingIfNeeded: index), from: &set, settings, now: now)
      count &+= 1
    }
    return count
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
