/// Where requests of one kind go, and to what share: `go to payments-v2`, `match no rule`.
package typealias RequestTargets = [String: Double]

extension Evaluation {
  /// What a change moves between two, gathered request kind by request kind.
  package struct Flow: Sendable {
    package let from: String
    package let to: String
    private var gains: [String: Double] = [:]

    package init(from: String, to: String) {
      self.from = from
      self.to = to
    }

    /// Adds so many requests an hour that went one way and would go another.
    package mutating func add(_ perHour: Double, before: RequestTargets, after: RequestTargets) {
      for (target, share) in after {
        let gain = share - (before[target] ?? 0)
        if gain > 0.000_001 { gains[target, default: 0] += gain * perHour }
      }
    }

    /// `312 requests/h from checkout to payments would go to v2; 14/h would match no rule.`; nil where nothing moves.
    package var sentence: String? {
      let ordered = gains.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      guard let first = ordered.first else { return nil }
      let rest = ordered.dropFirst().map { "; \(Self.count($0.value))/h would \($0.key)" }.joined()
      let noun = Self.count(first.value) == "1" ? "request/h" : "requests/h"
      return
        "\(Self.count(first.value)) \(noun) from \(Self.short(from)) to \(Self.short(to)) would \(first.key)\(rest)."
    }

    /// Whole requests; what is less than one is not nothing.
    static func count(_ perHour: Double) -> String {
      perHour < 0.5 ? "less than 1" : "\(Int(perHour.rounded()))"
    }

    /// Without the namespace `default`.
    package static func short(_ name: String) -> String {
      name.hasPrefix("default/") ? String(name.dropFirst("default/".count)) : name
    }
  }

  /// What would come of requests that carry something that the proxies do not keep.
  package struct Condition: Sendable, Equatable {
    package var from: String
    package var to: String
    /// What they carry: `x-canary: yes`.
    package var carries: String
    /// At most so many an hour: all those whose path and method fit.
    package var mostPerHour: Double
    package var after: String

    package init(from: String, to: String, carries: String, mostPerHour: Double, after: String) {
      self.from = from
      self.to = to
      self.carries = carries
      self.mostPerHour = mostPerHour
      self.after = after
    }

    /// `Of 312 requests/h from front to catalog those with x-canary: yes would go another way: rule …`
    package var sentence: String {
      "Of \(Flow.count(mostPerHour)) requests/h from \(Flow.short(from)) to \(Flow.short(to)) those with \(carries) would go "
        + "another way: \(after)."
    }
  }
}
