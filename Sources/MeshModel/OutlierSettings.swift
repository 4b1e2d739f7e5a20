/// When an endpoint that fails is left alone for a while.
package struct OutlierSettings: Equatable, Sendable, BitwiseCopyable {
  /// Answers 500…599, or failures to get an answer, in a row. Default 5.
  package var consecutiveServerErrors = CountLimit.atMost(5)
  /// Answers 502, 503, 504, or failures to get an answer, in a row. Default off, since the above is as strict.
  package var consecutiveGatewayErrors = CountLimit.off
  /// Failures to connect, resets and timeouts, in a row. Default 5.
  package var consecutiveLocalFailures = CountLimit.atMost(5)
  /// Time of the first ejection; the n-th in succession takes n times as long. Default 30 s.
  package var baseEjectionNanoseconds: Int64 = 30_000_000_000
  /// The longest ejection. Default 300 s.
  package var maxEjectionNanoseconds: Int64 = 300_000_000_000
  /// How often ejected endpoints are looked at. Default 10 s.
  package var sweepNanoseconds: Int64 = 10_000_000_000
  /// The share of a service's endpoints that may be ejected at a time, 0…100. At least one may be where there is more
  /// than one. Default 10.
  package var maxEjectionPercent: UInt32 = 10

  /// Nil, the default, is off.
  package var successRate: SuccessRateSettings?
  /// Nil, the default, is off.
  package var failurePercentage: FailurePercentageSettings?

  package init() {}

  package func violations(at path: String) -> [SettingViolation] {
    var found: [SettingViolation] = []
    if maxEjectionPercent > 100 {
      found.append(.init(path: "\(path).maxEjectionPercent", message: "is \(maxEjectionPercent); must be 0…100"))
    }
    let day: Int64 = 86_400_000_000_000
    let times = [
      ("baseEjectionTime", baseEjectionNanoseconds), ("maxEjectionTime", maxEjectionNanoseconds),
      ("interval", sweepNanoseconds),
    ]
    for (name, value) in times where value < 1_000_000 || value > day {
      found.append(.init(path: "\(path).\(name)", message: "must be between 1ms and 24h"))
    }
    if maxEjectionNanoseconds < baseEjectionNanoseconds {
      found.append(.init(path: "\(path).maxEjectionTime", message: "is below baseEjectionTime; raise it"))
    }
    let counts = [
      ("consecutive5xxErrors", consecutiveServerErrors), ("consecutiveGatewayErrors", consecutiveGatewayErrors),
      ("consecutiveLocalOriginFailures", consecutiveLocalFailures),
    ]
    for (name, value) in counts where value == .atMost(0) {
      found.append(.init(path: "\(path).\(name)", message: "must be at least 1; say \"off\" to switch it off"))
    }
    found += successRate?.violations(at: "\(path).successRate") ?? []
    found += failurePercentage?.violations(at: "\(path).failurePercentage") ?? []
    return found
  }
}

/// Ejects, once an interval, endpoints whose share of successes is below the mean of all by so many standard deviations.
package struct SuccessRateSettings: Equatable, Sendable, BitwiseCopyable {
  /// Endpoints that must have had enough requests. Default 5.
  package var minimumHosts: UInt32 = 5
  /// Requests of an endpoint in the interval that are enough. Default 100.
  package var requestVolume: UInt32 = 100
  /// Standard deviations, in thousandths. Default 1,900.
  package var deviationsPerMille: UInt32 = 1_900

  package init() {}

  func violations(at path: String) -> [SettingViolation] {
    [("minimumHosts", minimumHosts), ("requestVolume", requestVolume)].compactMap { name, value in
      value > 0 ? nil : SettingViolation(path: "\(path).\(name)", message: "is 0; must be at least 1")
    }
  }
}

/// Ejects, once an interval, endpoints of whose requests at least so many failed.
package struct FailurePercentageSettings: Equatable, Sendable, BitwiseCopyable {
  /// 1…100. Default 85.
  package var threshold: UInt32 = 85
  /// Endpoints that must have had enough requests. Default 5.
  package var minimumHosts: UInt32 = 5
  /// Requests of an endpoint in the interval that are enough. Default 50.
  package var requestVolume: UInt32 = 50

  package init() {}

  func violations(at path: String) -> [SettingViolation] {
    var found: [SettingViolation] = []
    if threshold < 1 || threshold > 100 {
      found.append(.init(path: "\(path).threshold", message: "is \(threshold); must be 1…100"))
    }
    if minimumHosts < 1 { found.append(.init(path: "\(path).minimumHosts", message: "is 0; must be at least 1")) }
    if requestVolume < 1 { found.append(.init(path: "\(path).requestVolume", message: "is 0; must be at least 1")) }
    return found
  }
}
