import Foundation

/// How many of some requests had a property (failed, were slow).
package struct Trials: Sendable, Equatable {
  /// All requests.
  package var count: Double
  /// Those with the property; at most `count`.
  package var hits: Double

  package init(count: Double = 0, hits: Double = 0) {
    self.count = count
    self.hits = hits
  }

  package static func + (left: Trials, right: Trials) -> Trials {
    Trials(count: left.count + right.count, hits: left.hits + right.hits)
  }

  /// The share with the property; 0 where there are no requests.
  package var share: Double { count > 0 ? hits / count : 0 }

  /// The share as a guess from these requests and ten more, of which one in 200 has the property: never 0.
  var guess: Double { (hits + 0.05) / (count + 10) }
}

/// What a test wants to refute about two shares: that of the candidate and that of the stable version.
package enum Claim: Sendable, Equatable {
  /// The candidate's share is at most the stable version's.
  case noWorse
  /// The candidate's share exceeds the stable version's by at least `margin` (0...1; 0: it is not lower).
  case worse(margin: Double)
  /// The candidate's share is at most `bound`, whatever the stable version does.
  case atMost(bound: Double)
  /// The candidate's share is at least `bound`, whatever the stable version does.
  case atLeast(bound: Double)
}

/// Evidence against a claim, gathered block by block and good at any time (an e-process).
///
/// For each of a few alternatives the likelihood of a block under the alternative is divided by that under the point of
/// the claim nearest to it (in relative entropy, weighted by the block's numbers of requests). The claims are convex in
/// the two shares, so that each factor has an expectation of at most 1 under every point of the claim: the logarithm of
/// the expectation is concave in the shares, is 0 at the nearest point and has no ascent from there into the claim. The
/// product of factors is therefore a supermartingale as long as alternatives are chosen from earlier blocks only, and so
/// is the mean over the alternatives. By Ville's inequality the evidence for refuting a claim that holds ever reaches
/// 1/p with a probability of at most p, however often and whenever one looks. Shares may differ from block to block: an
/// incident that hits both versions alike refutes nothing.
package struct Evidence: Sendable, Equatable {
  /// Natural logarithms of the factors' product, by alternative.
  package var logs: [Double]

  /// - Parameter alternatives: how many alternatives are weighed, at least 1.
  package init(alternatives: Int) {
    logs = Array(repeating: 0, count: max(1, alternatives))
  }

  package init(logs: [Double]) {
    self.logs = logs.isEmpty ? [0] : logs
  }

  /// Natural logarithm of the evidence: 0 says nothing, `log(1/p)` refutes with error rate p.
  package var log: Double {
    guard let largest = logs.max(), largest.isFinite else { return 0 }
    let sum = logs.reduce(0) { $0 + exp($1 - largest) }
    return largest + Foundation.log(sum / Double(logs.count))
  }

  /// Adds a block.
  /// - Parameters:
  ///   - alternatives: what may be the case instead of the claim, one for each of `logs`; from earlier blocks only.
  package mutating func add(
    candidate: Trials, stable: Trials, against claim: Claim, alternatives: [(candidate: Double, stable: Double)]
  ) {
    for index in logs.indices where index < alternatives.count {
      let alternative = (
        candidate: Self.clamped(alternatives[index].candidate), stable: Self.clamped(alternatives[index].stable)
      )
      let nearest = Self.nearest(to: alternative, in: claim, candidate: candidate.count, stable: stable.count)
      let gain =
        Self.gain(candidate, alternative.candidate, nearest.candidate)
        + Self.gain(stable, alternative.stable, nearest.stable)
      // Bounded, so that a state that is written and read again stays a number.
      logs[index] = min(max(logs[index] + gain, -1e6), 1e6)
    }
  }

  /// Logarithm of the likelihood ratio of some requests.
  private static func gain(_ trials: Trials, _ alternative: Double, _ null: Double) -> Double {
    guard trials.count > 0, alternative != null else { return 0 }
    return trials.hits * Foundation.log(alternative / null)
      + (trials.count - trials.hits) * Foundation.log((1 - alternative) / (1 - null))
  }

  private static func clamped(_ share: Double) -> Double { min(max(share, 1e-6), 1 - 1e-6) }

  /// The point of the claim nearest to the alternative; the alternative itself where it lies in the claim.
  private static func nearest(
    to point: (candidate: Double, stable: Double), in claim: Claim, candidate: Double, stable: Double
  ) -> (candidate: Double, stable: Double) {
    switch claim {
    case .noWorse:
      guard point.candidate > point.stable else { return point }
      let pooled = (candidate * point.candidate + stable * point.stable) / max(candidate + stable, 1e-9)
      return (clamped(pooled), clamped(pooled))
    case .worse(let margin):
      guard point.candidate < point.stable + margin else { return point }
      return boundary(point, margin: margin, candidate: candidate, stable: stable)
    case .atMost(let bound): return point.candidate <= bound ? point : (clamped(bound), point.stable)
    case .atLeast(let bound): return point.candidate >= bound ? point : (clamped(bound), point.stable)
    }
  }

  /// The point (t + margin, t) of the least relative entropy, by bisection of its derivative, which grows with t.
  private static func boundary(
    _ point: (candidate: Double, stable: Double), margin: Double, candidate: Double, stable: Double
  ) -> (candidate: Double, stable: Double) {
    var low = 1e-7
    var high = max(low, 1 - margin - 1e-7)
    for _ in 0..<50 {
      let middle = (low + high) / 2
      let upper = min(max(middle + margin, 1e-7), 1 - 1e-7)
      let slope =
        candidate * (upper - point.candidate) / (upper * (1 - upper))
        + stable * (middle - point.stable) / (middle * (1 - middle))
      if slope > 0 { high = middle } else { low = middle }
    }
    return (clamped(low + margin), clamped(low))
  }
}
