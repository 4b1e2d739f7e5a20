import Foundation
import MeshControl
import MeshTelemetry
import Testing

/// What a simulated version does.
struct SimulatedVersion {
  var failureShare = 0.001
  /// Rule that fails more, and how much.
  var badRule = -1
  var badShare = 0.0
  /// Median latency, milliseconds.
  var milliseconds = 10.0
}

/// Releases of a service with 50 requests a second by four rules of the route (40, 30, 20 and 10 per cent of them), with
/// log-normal latencies: what the machine decides, when, and at what price.
struct Simulation {
  static let ruleShares = [0.4, 0.3, 0.2, 0.1]
  /// Short steps: the whole release takes a minute where nothing speaks against it.
  static let spec = """
    {"service": "shop", "version": "v1", "progressDeadline": "2m", "onInconclusive": "RollBack",
     "canary": {"steps": [{"weight": 10, "pause": "15s"}, {"weight": 30, "pause": "15s"}, {"weight": 50, "pause": "15s"}]}}
    """

  struct Result {
    var isPromoted = false
    var reason = RolloutReason.adopted
    var seconds = 0.0
    var requests = 0
    var failed = 0
  }

  static func run(seed: UInt64, stable: SimulatedVersion, candidate: SimulatedVersion, rate: Double = 50) -> Result {
    var random = Seeded(seed)
    let rules = (0..<4).map {
      #"{"name": "r\#($0)", "matches": [{"path": {"value": "/\#($0)"}}], "backendRefs": [{"name": "shop-v1", "port": 80}]}"#
    }
    var mesh = TestMesh(spec, route: routeSpec("[\(rules.joined(separator: ","))]"))
    mesh.look()
    mesh.release("v2")
    mesh.look()
    var result = Result()
    for second in stride(from: 2.0, through: 240, by: 2) {
      let weight = Double(mesh.status?.weight ?? 0) / 100
      var seen = Observation()
      for _ in 0..<Int(rate * 2) {
        let rule = pick(&random)
        let toCandidate = Double.random(in: 0..<1, using: &random) < weight
        let version = toCandidate ? candidate : stable
        let share = version.failureShare + (rule == version.badRule ? version.badShare : 0)
        let failed = Double.random(in: 0..<1, using: &random) < share
        result.requests += 1
        result.failed += failed ? 1 : 0
        let nanoseconds = Int64(version.milliseconds * 1e6 * exp(0.5 * normal(&random)))
        if toCandidate {
          seen.candidate["r\(rule)", default: .init()].note(nanoseconds, failed: failed)
        } else {
          seen.stable["r\(rule)", default: .init()].note(nanoseconds, failed: failed)
        }
      }
      let status = mesh.look(after: 2, seen)
      guard status.release == nil else { continue }
      result.isPromoted = status.reason == .promoted
      result.reason = status.reason
      result.seconds = second
      return result
    }
    result.seconds = 240
    return result
  }

  private static func pick(_ random: inout Seeded) -> Int {
    var point = Double.random(in: 0..<1, using: &random)
    for (index, share) in ruleShares.enumerated() {
      point -= share
      if point < 0 { return index }
    }
    return 0
  }

  private static func normal(_ random: inout Seeded) -> Double {
    let (first, second) = (Double.random(in: 1e-12..<1, using: &random), Double.random(in: 0..<1, using: &random))
    return (-2 * log(first)).squareRoot() * cos(2 * .pi * second)
  }
}

extension VersionCounts {
  fileprivate mutating func note(_ nanoseconds: Int64, failed: Bool) {
    requests += 1
    failures += failed ? 1 : 0
    latency.add(nanoseconds: nanoseconds)
  }
}

/// 200 seeded releases of each kind. The figures are those of docs/rollouts.md; APUS_FIGURES shows them.
@Suite struct SimulationTests {
  struct Scenario: Sendable, CustomTestStringConvertible {
    var name: String
    var stable = SimulatedVersion()
    var candidate = SimulatedVersion()
    var isGood = false

    var testDescription: String { name }
  }

  static let scenarios = [
    Scenario(name: "as good as the stable version", isGood: true),
    Scenario(
      name: "as good, both fail 1 %", stable: SimulatedVersion(failureShare: 0.01),
      candidate: SimulatedVersion(failureShare: 0.01), isGood: true),
    Scenario(name: "5 % more failures", candidate: SimulatedVersion(failureShare: 0.051)),
    Scenario(name: "twice the latency", candidate: SimulatedVersion(milliseconds: 20)),
    Scenario(
      name: "one rule with 20 % of the requests fails 25 %", candidate: SimulatedVersion(badRule: 2, badShare: 0.25)),
    Scenario(
      name: "one rule with 10 % of the requests fails always", candidate: SimulatedVersion(badRule: 3, badShare: 0.99)),
  ]

  @Test(arguments: scenarios) func `200 releases are judged within their error rates`(scenario: Scenario) {
    let results = (1...200).map {
      Simulation.run(seed: UInt64($0), stable: scenario.stable, candidate: scenario.candidate)
    }
    let promoted = results.count { $0.isPromoted }
    let failedChecks = results.count { $0.reason == .checkFailed }
    let seconds = results.map(\.seconds).sorted()
    let failed = results.map(\.failed).sorted()
    let figures =
      "\(scenario.name): promoted \(promoted), taken back \(failedChecks), undecided "
      + "\(200 - promoted - failedChecks); seconds median \(seconds[100]), longest \(seconds[199]); "
      + "failed requests median \(failed[100]), most \(failed[199])"
    if ProcessInfo.processInfo.environment["APUS_FIGURES"] != nil {
      FileHandle.standardError.write(Data((figures + "\n").utf8))
    }
    if scenario.isGood {
      // 1 % of 200 are 2; four more are five deviations away.
      #expect(failedChecks <= 6, "\(figures)")
    } else {
      // 5 % of 200 are 10; the bound is one of the worst case, and the probability of reaching it next to nothing.
      #expect(promoted <= 10, "\(figures)")
      #expect(seconds[199] <= 60, "\(figures)")
      #expect(failedChecks >= 190, "\(figures)")
    }
  }
}
