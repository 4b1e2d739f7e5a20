import MeshControl
import MeshModel
import MeshProxy
import MeshWire

/// Evaluates changes with the data plane's own matcher: the very code that proxies decide with.
struct RouteEvaluator: ChangeEvaluator {
  /// Single requests that are followed at most.
  private static let mostSamples = 1_000

  let engine: ConfigEngine
  let statistics: any StatsSource
  let reader: DecisionReader

  func evaluate(_ changes: [Resource], questions: [EvaluationQuestion]) async -> Evaluation {
    let pictures = await engine.preview(changes)
    var pair = ConfigurationPair(before: pictures.before, after: pictures.after)
    var result = Evaluation()
    for question in questions {
      let (before, after) = pair.outcomes(
        RouteQuestion(
          authority: question.authority, method: question.method, target: question.path,
          headers: question.headers.map { ($0.name, $0.value) }), namespace: question.namespace)
      result.answers.append(.init(question: question, before: before.words, after: after.words))
    }
    await follow(&pair, into: &result)
    result.problems = pair.problems
    return result
  }

  /// A request that came to a port of its own for a service names no host of the mesh: it is asked for by the service.
  private static func outcomes(
    _ record: DecisionRecord, _ pair: inout ConfigurationPair
  ) -> (before: RouteOutcome, after: RouteOutcome) {
    var question = RouteQuestion(authority: record.authority, method: record.method, target: record.path)
    let found = pair.outcomes(question, namespace: record.sourceNamespace)
    guard found.before.reason == .noService, found.after.reason == .noService else { return found }
    question.authority = "\(record.service).\(record.destinationNamespace)"
    return pair.outcomes(question, namespace: record.sourceNamespace)
  }

  /// Follows the requests that the proxies keep, and weighs them by the counts of the last hour.
  private func follow(_ pair: inout ConfigurationPair, into result: inout Evaluation) async {
    struct Edge: Hashable {
      var from: String
      var to: String
    }
    struct Way: Hashable {
      var before: String
      var after: String
    }
    let rows = await statistics.traffic(
      TrafficQuery(window: .seconds(3600), dimensions: [.sourceService, .service]))
    var ways: [Edge: [Way: Int]] = [:]
    for record in await reader.decisions(DecisionQuery(limit: Self.mostSamples)) where record.reporter == .source {
      guard !record.service.isEmpty, !record.isTunnel, !record.path.isEmpty else { continue }
      let (before, after) = Self.outcomes(record, &pair)
      // What is followed must come out as it did: paths may have been rewritten, header fields are not kept.
      guard before.rule == record.route || before == after else { continue }
      let edge = Edge(
        from: "\(record.sourceNamespace)/\(record.sourceService)",
        to: "\(record.destinationNamespace)/\(record.service)")
      ways[edge, default: [:]][Way(before: before.words, after: after.words), default: 0] += 1
    }
    for row in rows where row.figures.requests > 0 {
      let edge = Edge(
        from: "\(row.sourceNamespace)/\(row.sourceService)", to: "\(row.destinationNamespace)/\(row.service)")
      let perHour = Double(row.figures.requests)
      guard let found = ways[edge] else {
        result.unknownPerHour += perHour
        continue
      }
      let total = found.values.reduce(0, +)
      for (way, count) in found {
        let share = perHour * Double(count) / Double(total)
        guard way.before != way.after else {
          result.unchangedPerHour += share
          continue
        }
        result.effects.append(
          .init(
            from: edge.from, to: edge.to, requestsPerHour: share, before: way.before, after: way.after,
            sampleCount: count))
      }
    }
    result.effects.sort {
      ($1.requestsPerHour, $0.from, $0.to, $0.after) < ($0.requestsPerHour, $1.from, $1.to, $1.after)
    }
  }
}

/// The configuration before and after, compiled once for each namespace that is asked about.
private struct ConfigurationPair {
  let before: MeshPicture
  let after: MeshPicture
  private var compiled: [String: (before: CompiledConfiguration, after: CompiledConfiguration)] = [:]
  private(set) var problems: [String] = []

  init(before: MeshPicture, after: MeshPicture) {
    (self.before, self.after) = (before, after)
  }

  mutating func outcomes(_ question: RouteQuestion, namespace: String) -> (before: RouteOutcome, after: RouteOutcome) {
    let pair = configurations(namespace)
    return (pair.before.outcome(of: question), pair.after.outcome(of: question))
  }

  private mutating func configurations(
    _ namespace: String
  ) -> (before: CompiledConfiguration, after: CompiledConfiguration) {
    if let known = compiled[namespace] { return known }
    let pair = (
      before: CompiledConfiguration(before.snapshot(for: namespace), listeners: []),
      after: CompiledConfiguration(after.snapshot(for: namespace), listeners: [])
    )
    let old = Set(pair.before.problems.map { "\($0.path) \($0.message)" })
    for problem in pair.after.problems.map({ "\($0.path) \($0.message)" }) {
      if !old.contains(problem), !problems.contains(problem) { problems.append(problem) }
    }
    compiled[namespace] = pair
    return pair
  }
}

extension RouteOutcome {
  /// For people.
  fileprivate var words: String {
    let prefix = rule.isEmpty ? "" : "rule \(rule): "
    switch kind {
    case .refused: return "refused with \(status): \(reason?.name ?? "")"
    case .service: return "\(backends.first?.service ?? service), no route"
    case .answered: return "\(prefix)answered with \(status) by the mesh"
    case .forwarded:
      if backends.isEmpty { return "\(prefix)refused: \(reason?.name ?? "")" }
      return prefix
        + backends.map { backend in
          let target = backend.reason.map { "refused (\($0.name))" } ?? backend.service
          return backends.count == 1 ? target : "\(Self.percent(backend.percent)) \(target)"
        }.joined(separator: ", ")
    }
  }

  private static func percent(_ share: Double) -> String {
    let tenths = Int((share * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(tenths % 10) %"
  }
}
