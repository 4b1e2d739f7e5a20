/// One check of a release: what was counted, what follows from it.
package struct CheckState: FieldObject, Equatable {
  package enum Verdict: String, FieldEnum {
    case undecided = "Undecided"
    case passed = "Passed"
    case failed = "Failed"
  }

  /// `success-rate`, `latency`, or a metric's name.
  package var name = ""
  /// The rule of the route that it looks at; empty: all requests.
  package var rule = ""
  package var verdict = Verdict.undecided
  /// For people: `-1.0 points`, `×1.5`, `≤ 250ms`.
  package var limit = ""
  /// Per cent for a rate, milliseconds for a latency, else the metric's own unit.
  package var stableValue: Amount?
  package var candidateValue: Amount?
  /// Logarithms of the evidence against the candidate being no worse; see `Evidence`.
  package var against: [Amount] = []
  /// Logarithms of the evidence against the candidate being worse than tolerated.
  package var favour: [Amount] = []
  /// How far the evidence against (negative) or for the candidate has come to its bound: -100 failed, 100 passed.
  package var progress = 0
  package var candidateCount = 0
  package var candidateHits = 0
  package var stableCount = 0
  package var stableHits = 0
  /// Of `favour`, where it counts other requests than `against` does (latencies).
  package var stableFavourHits = 0
  /// Of a metric: intervals in a row out of bounds.
  package var misses = 0

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("name", &name)
    visitor.field("rule", &rule)
    visitor.field("verdict", &verdict)
    visitor.field("limit", &limit)
    visitor.field("stableValue", &stableValue)
    visitor.field("candidateValue", &candidateValue)
    visitor.field("against", &against)
    visitor.field("favour", &favour)
    visitor.field("progress", &progress)
    visitor.field("candidateCount", &candidateCount)
    visitor.field("candidateHits", &candidateHits)
    visitor.field("stableCount", &stableCount)
    visitor.field("stableHits", &stableHits)
    visitor.field("stableFavourHits", &stableFavourHits)
    visitor.field("misses", &misses)
  }

  /// Whether it must speak for the candidate before a promotion; checks of single rules can only speak against it.
  package var isNeeded: Bool { rule.isEmpty }

  var candidate: Trials { Trials(count: Double(candidateCount), hits: Double(candidateHits)) }
  var stable: Trials { Trials(count: Double(stableCount), hits: Double(stableHits)) }
}
