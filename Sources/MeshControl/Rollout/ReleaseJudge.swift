import Foundation
import MeshTelemetry

/// Judges a candidate by what was counted. Pure: it is given the checks' states and the counts, and gives new states.
///
/// Against the candidate speaks evidence that it is worse than the stable version, together with an estimate beyond what
/// is tolerated; for it speaks evidence that it is not worse by what is not tolerated. A release that is no worse is
/// failed with a probability of at most `falseRollback`, shared among the checks; one that is worse than tolerated by a
/// check over all requests is passed with at most `falsePromotion`. See `Evidence`.
package struct ReleaseJudge: Sendable {
  let analysis: RolloutAnalysis
  /// Rules that are judged for themselves; fewer than two mean none.
  let rules: [String]
  /// Stands in for a stable version that has no traffic any more.
  let baseline: RolloutStatus.Baseline?

  package init(analysis: RolloutAnalysis, rules: [String], baseline: RolloutStatus.Baseline? = nil) {
    self.analysis = analysis
    self.rules = analysis.perRoute && rules.count > 1 ? rules : []
    self.baseline = baseline
  }

  /// Names of the two checks that count requests.
  package static let successName = "success-rate"
  package static let latencyName = "latency"

  /// The states of a release that begins.
  package func begin() -> [CheckState] {
    var states: [CheckState] = []
    for rule in [""] + rules {
      if let check = analysis.effectiveSuccessRate {
        states.append(Self.state(Self.successName, rule, limit: check.limit, against: 5, favour: 2))
      }
      if let check = analysis.effectiveLatency {
        states.append(Self.state(Self.latencyName, rule, limit: check.limit, against: 3, favour: 3))
      }
    }
    for metric in analysis.metrics { states.append(Self.state(metric.name, "", limit: metric.limit)) }
    return states
  }

  private static func state(
    _ name: String, _ rule: String, limit: String, against: Int = 0, favour: Int = 0
  ) -> CheckState {
    var state = CheckState()
    state.name = name
    state.rule = rule
    state.limit = limit
    state.against = Array(repeating: Amount(0), count: against)
    state.favour = Array(repeating: Amount(0), count: rule.isEmpty ? favour : 0)
    return state
  }

  /// Takes counts in: blocks that are complete change the states.
  package func take(
    _ observation: Observation, into states: inout [CheckState], memory: inout ReleaseMemory
  ) {
    for rule in [""] + rules {
      var block = memory.pending[rule] ?? ReleaseMemory.Pair()
      block.candidate.add(
        rule.isEmpty ? Observation.sum(observation.candidate) : observation.candidate[rule] ?? .init())
      block.stable.add(rule.isEmpty ? Observation.sum(observation.stable) : observation.stable[rule] ?? .init())
      // Whether a block is complete depends on how many requests there were, never on how they ended.
      guard block.candidate.requests > 0, block.stable.requests > 0 || block.candidate.requests >= 20 || alone else {
        // What the stable version did long before the candidate's first request says nothing about the two together.
        let isOld = block.candidate.requests == 0 && block.stable.requests >= 200
        memory.pending[rule] = isOld ? nil : block
        if isOld { memory.seen[rule, default: ReleaseMemory.Pair()].stable.add(block.stable) }
        continue
      }
      memory.pending[rule] = nil
      let seen = memory.seen[rule] ?? ReleaseMemory.Pair()
      for index in states.indices where states[index].rule == rule {
        switch states[index].name {
        case Self.successName: takeSuccess(block, &states[index])
        case Self.latencyName: takeLatency(block, before: seen, &states[index])
        default: break
        }
      }
      memory.seen[rule, default: ReleaseMemory.Pair()].candidate.add(block.candidate)
      memory.seen[rule]?.stable.add(block.stable)
    }
    for index in states.indices { decide(&states[index], memory.seen[states[index].rule] ?? ReleaseMemory.Pair()) }
  }

  /// Whether the candidate has all the traffic, so that there is nothing beside it to compare with.
  private var alone: Bool { baseline != nil }

  // MARK: Failures

  private func takeSuccess(_ block: ReleaseMemory.Pair, _ state: inout CheckState) {
    guard let check = analysis.effectiveSuccessRate else { return }
    let candidate = block.candidate.trials
    let stable = block.stable.trials
    if let bound = bound(check) {
      state.add(
        candidate: candidate, against: .atMost(bound: bound), [2, 3, 5, 15, 50].map { min(0.95, bound * $0) },
        favour: .atLeast(bound: max(2 * bound, bound + 0.005)), [bound / 10, bound / 2])
    } else if let drop = check.maxDrop {
      let margin = drop.value / 100
      let guess = state.stable.guess
      let pooled = (state.stable + state.candidate).guess
      state.addPair(
        (candidate, stable), against: .noWorse,
        [1, 2, 5, 15, 50].map { (min(0.95, guess + margin * $0), guess) })
      state.addFavour(
        (candidate, stable), .worse(margin: margin), [(pooled, pooled), (pooled / 4, pooled)])
    }
    state.count(candidate: candidate, stable: stable)
  }

  /// The tolerated share of failures where the check compares with a figure; nil where it compares with the stable
  /// version.
  private func bound(_ check: SuccessRateCheck) -> Double? {
    if let least = check.min { return max(1e-5, 1 - least.value / 100) }
    guard let baseline, baseline.requests > 0 else { return nil }
    let share = Trials(count: Double(baseline.requests), hits: Double(baseline.failures)).guess
    return min(0.9, share + (check.maxDrop?.value ?? 1) / 100)
  }

  // MARK: Latencies

  private func takeLatency(_ block: ReleaseMemory.Pair, before seen: ReleaseMemory.Pair, _ state: inout CheckState) {
    guard let check = analysis.effectiveLatency else { return }
    let tail = 1 - check.quantile.value / 100
    if let limit = bound(check) {
      let candidate = block.candidate.slow(above: limit, isIncluded: false)
      state.add(
        candidate: candidate, against: .atMost(bound: tail), [2, 4, 8].map { min(0.95, tail * $0) },
        favour: .atLeast(bound: min(0.98, 2 * tail)), [tail / 10, tail / 2, tail])
      state.count(candidate: candidate, stable: block.stable.slow(above: limit, isIncluded: false))
      return
    }
    // The stable version's quantile so far is the yardstick; until there is one nothing can be compared.
    guard let ratio = check.maxRatio, seen.stable.latency.count >= 20,
      let yardstick = seen.stable.latency.quantile(check.quantile.value / 100)
    else { return }
    let half = 1 + (ratio.value - 1) / 2
    let slow = (
      block.candidate.slow(above: half * yardstick, isIncluded: false),
      block.stable.slow(above: yardstick, isIncluded: false)
    )
    let tolerated = (
      block.candidate.slow(above: ratio.value * yardstick, isIncluded: true),
      block.stable.slow(above: yardstick, isIncluded: true)
    )
    func guess(_ hits: Int) -> Double { (Double(hits) + 10 * tail) / (Double(state.stableCount) + 10) }
    let usual = guess(state.stableHits)
    state.addPair(slow, against: .noWorse, [0.05, 0.15, 0.4].map { (min(0.98, usual + $0), usual) })
    let reached = guess(state.stableFavourHits)
    state.addFavour(tolerated, .worse(margin: 0), [0.1, 0.4, 0.7].map { (reached * $0, reached) })
    state.count(candidate: slow.0, stable: slow.1)
    state.stableFavourHits = CheckState.sum(state.stableFavourHits, tolerated.1.hits)
  }

  /// The tolerated time in nanoseconds where the check compares with a figure.
  private func bound(_ check: LatencyCheck) -> Double? {
    if let longest = check.max { return Double(longest.milliseconds) * 1e6 }
    guard let baseline, let usual = baseline.latencyMs else { return nil }
    return usual.value * 1e6 * (check.maxRatio?.value ?? 1.5)
  }

  // MARK: Verdicts

  /// What evidence against the candidate a check needs, as a logarithm. All requests have half of the error rate, the
  /// single rules the other half, and the kinds of checks equal parts.
  func rollbackBound(rule: String) -> Double {
    let kinds = [analysis.effectiveSuccessRate != nil, analysis.effectiveLatency != nil].count { $0 }
    var share = analysis.falseRollback.value / 100 / Double(max(1, kinds))
    if !rules.isEmpty { share /= 2 }
    if !rule.isEmpty { share /= Double(max(1, rules.count)) }
    return -Foundation.log(max(share, 1e-12))
  }

  var promotionBound: Double { -Foundation.log(max(analysis.falsePromotion.value / 100, 1e-12)) }

  /// Requests to the candidate before anything is said.
  private func minSamples(_ state: CheckState) -> Int {
    state.rule.isEmpty ? analysis.minSamples : min(analysis.minSamples, max(10, analysis.minSamples / 4))
  }

  private func decide(_ state: inout CheckState, _ seen: ReleaseMemory.Pair) {
    guard !state.against.isEmpty else { return }
    let beyond: Bool
    if state.name == Self.successName, let check = analysis.effectiveSuccessRate {
      state.candidateValue = state.candidateCount > 0 ? Amount(100 * (1 - state.candidate.share)) : nil
      state.stableValue = state.stableCount > 0 ? Amount(100 * (1 - state.stable.share)) : nil
      beyond =
        if let bound = bound(check) {
          state.candidate.share > bound
        } else {
          state.candidate.share - state.stable.share > (check.maxDrop?.value ?? 1) / 100
        }
    } else if let check = analysis.effectiveLatency {
      let candidate = seen.candidate.latency.quantile(check.quantile.value / 100)
      let stable = seen.stable.latency.quantile(check.quantile.value / 100)
      state.candidateValue = candidate.map { Amount($0 / 1e6) }
      state.stableValue = stable.map { Amount($0 / 1e6) }
      let limit = bound(check) ?? stable.map { $0 * (check.maxRatio?.value ?? 1.5) }
      beyond = limit.map { (candidate ?? 0) > $0 } ?? false
    } else {
      return
    }
    let against = Evidence(logs: state.against.map(\.value)).log / rollbackBound(rule: state.rule)
    let favour = state.favour.isEmpty ? 0 : Evidence(logs: state.favour.map(\.value)).log / promotionBound
    state.verdict = .undecided
    if state.candidateCount >= minSamples(state) {
      if against >= 1, beyond { state.verdict = .failed } else if favour >= 1 { state.verdict = .passed }
    }
    state.progress = Self.progress(state.verdict, against: beyond ? against : 0, favour: favour)
  }

  /// How far the evidence has come, -100 to 100: the ends are verdicts. What speaks against the candidate counts only
  /// while it is beyond its limit: somewhat worse within the tolerance is no reason to refuse.
  private static func progress(_ verdict: CheckState.Verdict, against: Double, favour: Double) -> Int {
    switch verdict {
    case .passed: return 100
    case .failed: return -100
    case .undecided:
      let value = against > favour ? -max(0, against) : max(0, favour)
      return Int((min(0.99, max(-0.99, value)) * 100).rounded())
    }
  }
}

extension VersionCounts {
  func slow(above nanoseconds: Double, isIncluded: Bool) -> Trials {
    Trials(count: Double(latency.count), hits: Double(latency.count(above: nanoseconds, isIncluded: isIncluded)))
  }
}

extension CheckState {
  mutating func addPair(
    _ block: (candidate: Trials, stable: Trials), against claim: Claim, _ alternatives: [(Double, Double)]
  ) {
    var evidence = Evidence(logs: against.map(\.value))
    evidence.add(
      candidate: block.candidate, stable: block.stable, against: claim,
      alternatives: alternatives.map { (candidate: $0.0, stable: $0.1) })
    against = evidence.logs.map { Amount($0) }
  }

  mutating func addFavour(
    _ block: (candidate: Trials, stable: Trials), _ claim: Claim, _ alternatives: [(Double, Double)]
  ) {
    guard !favour.isEmpty else { return }
    var evidence = Evidence(logs: favour.map(\.value))
    evidence.add(
      candidate: block.candidate, stable: block.stable, against: claim,
      alternatives: alternatives.map { (candidate: $0.0, stable: $0.1) })
    favour = evidence.logs.map { Amount($0) }
  }

  /// Against and for the candidate where only its own share counts.
  mutating func add(
    candidate: Trials, against claim: Claim, _ worse: [Double], favour other: Claim, _ better: [Double]
  ) {
    addPair((candidate, Trials()), against: claim, worse.map { ($0, 0.5) })
    addFavour((candidate, Trials()), other, better.map { ($0, 0.5) })
  }

  mutating func count(candidate: Trials, stable: Trials) {
    candidateCount = Self.sum(candidateCount, candidate.count)
    candidateHits = Self.sum(candidateHits, candidate.hits)
    stableCount = Self.sum(stableCount, stable.count)
    stableHits = Self.sum(stableHits, stable.hits)
  }

  /// Bounded: numbers come from peers.
  static func sum(_ count: Int, _ more: Double) -> Int {
    Int(min(Double(count) + max(0, more), 1e15))
  }
}

extension SuccessRateCheck {
  var limit: String { maxDrop.map { "-\($0.value) points" } ?? "≥ \(min?.value ?? 0)%" }
}

extension LatencyCheck {
  /// The limit with the quantile, such as `p95 ×1.5`.
  var limit: String {
    let name = "p\(Int(exactly: quantile.value).map { "\($0)" } ?? "\(quantile.value)")"
    return maxRatio.map { "\(name) ×\($0.value)" } ?? "\(name) ≤ \(max?.text ?? "")"
  }
}

extension MetricCheck {
  var limit: String {
    [min.map { "≥ \($0.value)" }, max.map { "≤ \($0.value)" }, maxRatio.map { "×\($0.value)" }].compactMap { $0 }
      .joined(separator: ", ")
  }
}
