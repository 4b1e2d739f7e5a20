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

  /// Requests of one caller by one rule, or by none to one service.
  private struct Kind: Hashable {
    var sourceNamespace: String
    var source: String
    /// Only where no rule took them.
    var service: String
    var route: String

    var from: String { "\(sourceNamespace)/\(source)" }
  }

  /// One of them, in the form in which it can be asked about.
  private struct Followed {
    var question: RouteQuestion
    var before: RouteOutcome
    var after: RouteOutcome
  }

  /// Follows the requests that the proxies keep, rule by rule, and weighs them by the counts of the last hour.
  private func follow(_ pair: inout ConfigurationPair, into result: inout Evaluation) async {
    var counts: [Kind: Double] = [:]
    var asked: [Kind: Set<String>] = [:]
    let rows = await statistics.traffic(
      TrafficQuery(window: .seconds(3600), dimensions: [.sourceService, .service, .route]))
    for row in rows where row.figures.requests > 0 {
      let service = row.route.isEmpty ? "\(row.destinationNamespace)/\(row.service)" : ""
      let kind = Kind(
        sourceNamespace: row.sourceNamespace, source: row.sourceService, service: service, route: row.route)
      counts[kind, default: 0] += Double(row.figures.requests)
      asked[kind, default: []].insert("\(row.destinationNamespace)/\(row.service)")
    }
    var samples: [Kind: [DecisionRecord]] = [:]
    for record in await reader.decisions(DecisionQuery(limit: Self.mostSamples)) where record.reporter == .source {
      guard !record.isTunnel, !record.isConnection, !record.path.isEmpty else { continue }
      let service = record.route.isEmpty ? "\(record.destinationNamespace)/\(record.service)" : ""
      let kind = Kind(
        sourceNamespace: record.sourceNamespace, source: record.sourceService, service: service, route: record.route)
      samples[kind, default: []].append(record)
    }
    var report = EvaluationReport()
    for (kind, perHour) in counts {
      let records = samples[kind] ?? []
      let followed = Self.follow(kind, records, &pair)
      if followed.isEmpty {
        // Nobody knows what these requests were like; what the change leaves alone cannot send them another way.
        let isUntouched = asked[kind]?.allSatisfy { pair.isUntouched($0, namespace: kind.sourceNamespace) } ?? false
        report.addUnseen(perHour, isUntouched: isUntouched)
      }
      for one in followed {
        report.add(
          perHour / Double(followed.count), from: kind.from, one.before, one.after, isSample: !records.isEmpty)
        conditions(of: one, kind, perHour / Double(followed.count), &pair, &report)
      }
    }
    report.finish(&result)
  }

  private static func follow(
    _ kind: Kind, _ records: [DecisionRecord], _ pair: inout ConfigurationPair
  ) -> [Followed] {
    // A rule tells what its requests were like even where none is kept.
    guard !kind.route.isEmpty else { return records.compactMap { followed($0, &pair) } }
    guard let (rule, authority) = pair.rule(kind.route, namespace: kind.sourceNamespace) else { return [] }
    let kept: [(path: String?, method: String?)] = records.isEmpty ? [(nil, nil)] : records.map { ($0.path, $0.method) }
    return kept.compactMap { path, method in
      for request in RuleSketch.requests(of: rule, path: path, method: method) {
        let question = RouteQuestion(request, authority: authority)
        let (before, after) = pair.outcomes(question, namespace: kind.sourceNamespace)
        if before.rule == kind.route { return Followed(question: question, before: before, after: after) }
      }
      return nil
    }
  }

  /// A request that no rule took. One that came to a port of its own for a service names no host of the mesh: it is asked
  /// for by the service.
  private static func followed(_ record: DecisionRecord, _ pair: inout ConfigurationPair) -> Followed? {
    var question = RouteQuestion(authority: record.authority, method: record.method, target: record.path)
    var (before, after) = pair.outcomes(question, namespace: record.sourceNamespace)
    if before.reason == .noService, after.reason == .noService, !record.service.isEmpty {
      question.authority = "\(record.service).\(record.destinationNamespace)"
      (before, after) = pair.outcomes(question, namespace: record.sourceNamespace)
    }
    return before.rule.isEmpty ? Followed(question: question, before: before, after: after) : nil
  }

  /// Rules that ask for header fields or queries, which nobody keeps: what would come of the request if it had them.
  private func conditions(
    of followed: Followed, _ kind: Kind, _ perHour: Double, _ pair: inout ConfigurationPair,
    _ report: inout EvaluationReport
  ) {
    let path = followed.question.target.split(separator: "?", maxSplits: 1).first.map(String.init)
    for rule in pair.demandingRules(of: followed.after.service, namespace: kind.sourceNamespace) {
      let label = RuleSketch.label(of: rule)
      guard label != followed.after.rule, label != kind.route else { continue }
      for request in RuleSketch.requests(of: rule, path: path, method: followed.question.method) {
        let question = RouteQuestion(request, authority: followed.question.authority)
        let (before, after) = pair.outcomes(question, namespace: kind.sourceNamespace)
        guard after.rule == label, before.words != after.words else { continue }
        report.addCondition(
          perHour, from: kind.from, to: after.service, carries: request.conditions, after: after.words)
        break
      }
    }
  }
}

extension RouteQuestion {
  init(_ request: SketchedRequest, authority: String) {
    self.init(
      authority: authority, method: request.method, target: request.target,
      headers: request.headers.map { ($0.name, $0.value) })
  }
}

/// The configuration before and after, compiled once for each namespace that is asked about.
private struct ConfigurationPair {
  let before: MeshPicture
  let after: MeshPicture
  private var compiled: [String: (before: CompiledConfiguration, after: CompiledConfiguration)] = [:]
  private var services: [String: (before: [ServiceConfig], after: [ServiceConfig])] = [:]
  private(set) var problems: [String] = []
  private var demanding: [String: [RouteRuleConfig]] = [:]

  init(before: MeshPicture, after: MeshPicture) {
    (self.before, self.after) = (before, after)
  }

  mutating func outcomes(_ question: RouteQuestion, namespace: String) -> (before: RouteOutcome, after: RouteOutcome) {
    let pair = configurations(namespace)
    return (pair.before.outcome(of: question), pair.after.outcome(of: question))
  }

  /// The rule with this label before the change, and the host by which it is reached.
  mutating func rule(_ label: String, namespace: String) -> (rule: RouteRuleConfig, authority: String)? {
    _ = configurations(namespace)
    for service in services[namespace]?.before ?? [] {
      if let rule = service.routes.first(where: { RuleSketch.label(of: $0) == label }) {
        let port = rule.parentPort ?? service.ports.first?.number ?? 80
        return (rule, "\(service.name).\(service.namespace):\(port)")
      }
    }
    return nil
  }

  /// Whether a service, with all that its routes lead to, is the same before and after.
  mutating func isUntouched(_ service: String, namespace: String) -> Bool {
    _ = configurations(namespace)
    guard let pair = services[namespace] else { return false }
    func find(_ name: String, _ all: [ServiceConfig]) -> ServiceConfig? {
      all.first { "\($0.namespace)/\($0.name)" == name }
    }
    guard let own = find(service, pair.before), own == find(service, pair.after) else { return false }
    let backends = Set(own.routes.flatMap(\.backends).map { "\($0.namespace)/\($0.service)" })
    return backends.allSatisfy { find($0, pair.before) == find($0, pair.after) }
  }

  /// The rules of a service after the change that ask for header fields or queries.
  mutating func demandingRules(of service: String, namespace: String) -> [RouteRuleConfig] {
    let key = "\(namespace) \(service)"
    if let known = demanding[key] { return known }
    _ = configurations(namespace)
    let found = services[namespace]?.after.first { "\($0.namespace)/\($0.name)" == service }
    let rules = (found?.routes ?? []).filter(RuleSketch.asksForMore)
    demanding[key] = rules
    return rules
  }

  private mutating func configurations(
    _ namespace: String
  ) -> (before: CompiledConfiguration, after: CompiledConfiguration) {
    if let known = compiled[namespace] { return known }
    let snapshots = (before: before.snapshot(for: namespace), after: after.snapshot(for: namespace))
    services[namespace] = (before: snapshots.before.services, after: snapshots.after.services)
    let pair = (
      before: CompiledConfiguration(snapshots.before, listeners: []),
      after: CompiledConfiguration(snapshots.after, listeners: [])
    )
    let old = Set(pair.before.problems.map { "\($0.path) \($0.message)" })
    for problem in pair.after.problems.map({ "\($0.path) \($0.message)" }) {
      if !old.contains(problem), !problems.contains(problem) { problems.append(problem) }
    }
    compiled[namespace] = pair
    return pair
  }
}
