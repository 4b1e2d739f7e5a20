package import MeshTelemetry

/// What the clients' proxies counted of one version.
package struct VersionCounts: Sendable, Equatable {
  package var requests: UInt64
  /// Answers 500–599 and requests without an answer.
  package var failures: UInt64
  package var latency: LatencySketch

  package init(requests: UInt64 = 0, failures: UInt64 = 0, latency: LatencySketch = LatencySketch()) {
    self.requests = requests
    self.failures = min(failures, requests)
    self.latency = latency
  }

  package mutating func add(_ other: VersionCounts) {
    requests = requests.addingReportingOverflow(other.requests).overflow ? .max : requests + other.requests
    failures = min(requests, failures.addingReportingOverflow(other.failures).partialValue)
    latency.merge(other.latency)
  }

  var trials: Trials { Trials(count: Double(requests), hits: Double(failures)) }
}

/// What both versions did since the last look, by rule of the route.
package struct Observation: Sendable, Equatable {
  /// By the rule's name or index in the route; requests that no rule of it took are under the empty name.
  package var candidate: [String: VersionCounts]
  package var stable: [String: VersionCounts]

  package init(candidate: [String: VersionCounts] = [:], stable: [String: VersionCounts] = [:]) {
    self.candidate = candidate
    self.stable = stable
  }

  static func sum(_ counts: [String: VersionCounts]) -> VersionCounts {
    var sum = VersionCounts()
    for entry in counts.values { sum.add(entry) }
    return sum
  }
}

/// What is known of a release beyond its status: it is lost with the process, and gathered anew within a few requests.
package struct ReleaseMemory: Sendable, Equatable {
  struct Pair: Sendable, Equatable {
    var candidate = VersionCounts()
    var stable = VersionCounts()
  }

  /// All since the release, or the process, began; by rule, all requests under the empty name.
  var seen: [String: Pair] = [:]
  /// Not yet judged: a block needs requests of both versions.
  var pending: [String: Pair] = [:]
  /// Requests a second, over the last seconds.
  var candidateRate = 0.0
  var stableRate = 0.0
  /// The release that it belongs to.
  var release = 0

  package init() {}

  /// All that was counted, judged or not.
  var total: Pair {
    var sum = seen[""] ?? Pair()
    guard let waiting = pending[""] else { return sum }
    sum.candidate.add(waiting.candidate)
    sum.stable.add(waiting.stable)
    return sum
  }
}
