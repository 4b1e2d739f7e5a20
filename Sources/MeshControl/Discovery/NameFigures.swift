import MeshTelemetry

/// How questions for one name have gone since the control plane began.
package struct NameFigures: Sendable, Equatable {
  package private(set) var answered: UInt64 = 0
  package private(set) var failed: [NameFailure: UInt64] = [:]
  /// When the addresses in use were last answered, since the clock's beginning; nil: not yet.
  package private(set) var answeredAt: Duration?

  package init() {}

  mutating func note(_ failure: NameFailure?, now: Duration) {
    if let failure {
      failed[failure, default: 0] += 1
    } else {
      answered += 1
      answeredAt = now
    }
  }

  /// The names' figures as Prometheus reads them; of a name that was never answered there is no age.
  package static func exposition(_ figures: [String: NameFigures], now: Duration) -> [UInt8] {
    var writer = ExpositionWriter(.prometheus)
    let all = figures.sorted { $0.key < $1.key }
    writer.family("apus_name_lookups", .counter, help: "Questions for the names of ExternalName services, by result.")
    for (name, figures) in all {
      writer.sample(
        ExpositionWriter.labels([(name: "name", value: name), (name: "result", value: "Answered")]),
        count: figures.answered)
      for failure in NameFailure.allCases {
        writer.sample(
          ExpositionWriter.labels([(name: "name", value: name), (name: "result", value: failure.rawValue)]),
          count: figures.failed[failure] ?? 0)
      }
    }
    writer.family("apus_name_answer_age_seconds", .gauge, help: "How old the answer is that is in use.")
    for (name, figures) in all {
      guard let answeredAt = figures.answeredAt else { continue }
      writer.sample(ExpositionWriter.labels([(name: "name", value: name)]), max(.zero, now - answeredAt) / .seconds(1))
    }
    return writer.bytes
  }
}
