/// How a candidate is judged by what the proxies of its clients count.
package struct RolloutAnalysis: FieldObject, Equatable {
  package enum Mode: String, FieldEnum {
    case on = "On"
    /// Nothing is judged: steps end by time, gates and people alone.
    case off = "Off"
  }

  package var mode = Mode.on
  /// How often counts are taken and judged; default 2s, 1s to 1h.
  package var interval: GatewayDuration?
  /// Requests to the candidate before anything is said about it; default 50.
  package var minSamples = 50
  /// The bound on the share of releases, in per cent, that are taken back although they are no worse than the stable
  /// version; default 1.
  package var falseRollback = Amount(1)
  /// The bound on the share of releases, in per cent, that are promoted although they are worse by what a check does not
  /// tolerate; default 5.
  package var falsePromotion = Amount(5)
  /// Whether each rule of the route is judged for itself too; default true.
  package var perRoute = true
  /// Absent, with `latency` and `metrics` absent too: `maxDrop: 1`.
  package var successRate: SuccessRateCheck?
  /// Absent, with `successRate` and `metrics` absent too: `maxRatio: 1.5` of the 95th percentile.
  package var latency: LatencyCheck?
  package var metrics: [MetricCheck] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("mode", &mode)
    visitor.field("interval", &interval)
    visitor.field("minSamples", &minSamples, .range(1...1_000_000))
    visitor.field("falseRollback", &falseRollback)
    visitor.field("falsePromotion", &falsePromotion)
    visitor.field("perRoute", &perRoute)
    visitor.field("successRate", &successRate)
    visitor.field("latency", &latency)
    visitor.field("metrics", &metrics, .items(0...8), .uniqueBy("name"))
  }

  package func check(path: String, into report: ViolationReport) {
    if let interval, !(1000...3_600_000).contains(interval.milliseconds) {
      report.add(
        .invalid, at: "\(path).interval", "\(interval.text) is out of bounds; write a time from 1s to 1h")
    }
    falseRollback.checkBounds(0.001...20, path: "\(path).falseRollback", into: report)
    falsePromotion.checkBounds(0.001...20, path: "\(path).falsePromotion", into: report)
  }

  /// Default 2 s.
  package var intervalMilliseconds: Int64 { interval?.milliseconds ?? 2000 }

  /// The check of failures; the default one where none is given at all.
  package var effectiveSuccessRate: SuccessRateCheck? {
    guard successRate == nil, latency == nil, metrics.isEmpty else { return successRate }
    var check = SuccessRateCheck()
    check.maxDrop = Amount(1)
    return check
  }

  /// The check of latencies; the default one where none is given at all.
  package var effectiveLatency: LatencyCheck? {
    guard successRate == nil, latency == nil, metrics.isEmpty else { return latency }
    var check = LatencyCheck()
    check.maxRatio = Amount(1.5)
    return check
  }
}

/// How many requests succeed. One that is answered with 500–599 or not at all does not.
package struct SuccessRateCheck: FieldObject, Equatable {
  /// By how many percentage points the candidate's rate may lie below the stable version's.
  package var maxDrop: Amount?
  /// The least rate, per cent.
  package var min: Amount?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("maxDrop", &maxDrop)
    visitor.field("min", &min)
  }

  package func check(path: String, into report: ViolationReport) {
    maxDrop?.checkBounds(0.01...50, path: "\(path).maxDrop", into: report)
    min?.checkBounds(1...99.999, path: "\(path).min", into: report)
    checkExactlyOne(("maxDrop", maxDrop != nil), ("min", min != nil), path: path, into: report)
  }
}

/// How long requests take, at one quantile.
package struct LatencyCheck: FieldObject, Equatable {
  /// Per cent; default 95.
  package var quantile = Amount(95)
  /// How many times the stable version's quantile the candidate's may be.
  package var maxRatio: Amount?
  /// The longest time at the quantile.
  package var max: GatewayDuration?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("quantile", &quantile)
    visitor.field("maxRatio", &maxRatio)
    visitor.field("max", &max)
  }

  package func check(path: String, into report: ViolationReport) {
    quantile.checkBounds(50...99.9, path: "\(path).quantile", into: report)
    maxRatio?.checkBounds(1.1...100, path: "\(path).maxRatio", into: report)
    max?.checkBounds(path: "\(path).max", into: report)
    checkExactlyOne(("maxRatio", maxRatio != nil), ("max", max != nil), path: path, into: report)
  }
}

/// Any figure that a server of the Prometheus API knows.
///
/// In `query`, `{version}`, `{service}` and `{namespace}` are replaced by the version that is looked at, its Service and
/// the namespace. The query gives one number.
package struct MetricCheck: FieldObject, Equatable {
  package var name = ""
  /// Where the API is, without `/api/v1/query`.
  package var prometheus = ""
  package var query = ""
  package var min: Amount?
  package var max: Amount?
  /// How many times the stable version's figure the candidate's may be.
  package var maxRatio: Amount?
  /// How many intervals in a row the figure must be out of bounds for the release to be taken back; default 3.
  package var failures = 3

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("name", &name, .required, .length(1...63), .format(.dnsLabel))
    visitor.field("prometheus", &prometheus, .required, .length(1...1024))
    visitor.field("query", &query, .required, .length(1...4096))
    visitor.field("min", &min)
    visitor.field("max", &max)
    visitor.field("maxRatio", &maxRatio)
    visitor.field("failures", &failures, .range(1...1000))
  }

  package func check(path: String, into report: ViolationReport) {
    checkURL(prometheus, path: "\(path).prometheus", into: report)
    if min == nil, max == nil, maxRatio == nil {
      report.add(.required, at: "\(path).max", "is missing; give min, max or maxRatio")
    }
    maxRatio?.checkBounds(0.01...1000, path: "\(path).maxRatio", into: report)
  }

  /// The query about one version.
  package func query(version: String, service: String, namespace: String) -> String {
    query.replacing("{version}", with: version).replacing("{service}", with: service)
      .replacing("{namespace}", with: namespace)
  }
}

private func checkExactlyOne(
  _ first: (name: String, isGiven: Bool), _ second: (name: String, isGiven: Bool), path: String,
  into report: ViolationReport
) {
  if first.isGiven, second.isGiven {
    report.add(
      .forbidden, at: "\(path).\(second.name)", "\(first.name) and \(second.name) exclude each other; keep one of them")
  } else if !first.isGiven, !second.isGiven {
    report.add(.required, at: "\(path).\(first.name)", "is missing; give \(first.name) or \(second.name)")
  }
}
