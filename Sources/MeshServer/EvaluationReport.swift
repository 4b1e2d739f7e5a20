import MeshControl
import MeshModel
import MeshProxy

/// Gathers what comes of requests, way by way.
struct EvaluationReport {
  private struct Edge: Hashable {
    var from: String
    var to: String
  }

  private struct Way: Hashable {
    var edge: Edge
    var before: String
    var after: String
  }

  private struct Demand: Hashable {
    var edge: Edge
    var carries: String
    var after: String
  }

  var result = Evaluation()
  private var ways: [Way: (perHour: Double, samples: Int)] = [:]
  private var flows: [Edge: Evaluation.Flow] = [:]
  private var demands: [Demand: Double] = [:]

  /// So many requests an hour went one way and would go another, or the same.
  /// - Parameter isSample: whether the request is one that a proxy keeps.
  mutating func add(_ perHour: Double, from: String, _ before: RouteOutcome, _ after: RouteOutcome, isSample: Bool) {
    guard before.words != after.words else {
      result.unchangedPerHour += perHour
      return
    }
    let edge = Edge(from: from, to: before.service.isEmpty ? after.service : before.service)
    let way = Way(edge: edge, before: before.words, after: after.words)
    let known = ways[way] ?? (0, 0)
    ways[way] = (known.perHour + perHour, known.samples + (isSample ? 1 : 0))
    flows[edge, default: Evaluation.Flow(from: edge.from, to: edge.to)].add(
      perHour, before: before.targets, after: after.targets)
  }

  /// So many requests an hour went some way that nobody knows.
  mutating func addUnseen(_ perHour: Double, isUntouched: Bool) {
    if isUntouched { result.unchangedPerHour += perHour } else { result.unknownPerHour += perHour }
  }

  /// At most so many would go another way if they carried something.
  mutating func addCondition(_ perHour: Double, from: String, to: String, carries: String, after: String) {
    demands[Demand(edge: Edge(from: from, to: to), carries: carries, after: after), default: 0] += perHour
  }

  /// Puts all of it, in order, into an evaluation.
  func finish(_ evaluation: inout Evaluation) {
    evaluation.unchangedPerHour = result.unchangedPerHour
    evaluation.unknownPerHour = result.unknownPerHour
    evaluation.effects = ways.map { way, sum in
      .init(
        from: way.edge.from, to: way.edge.to, requestsPerHour: sum.perHour, before: way.before, after: way.after,
        sampleCount: sum.samples)
    }.sorted {
      ($1.requestsPerHour, $0.from, $0.to, $0.after) < ($0.requestsPerHour, $1.from, $1.to, $1.after)
    }
    evaluation.sentences = flows.sorted { ($0.key.from, $0.key.to) < ($1.key.from, $1.key.to) }
      .compactMap { $0.value.sentence }
    evaluation.conditions = demands.map { demand, perHour in
      .init(
        from: demand.edge.from, to: demand.edge.to, carries: demand.carries, mostPerHour: perHour, after: demand.after)
    }.sorted { ($0.from, $0.to, $0.carries, $0.after) < ($1.from, $1.to, $1.carries, $1.after) }
  }
}

extension RouteOutcome {
  /// For people.
  var words: String {
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

  /// Where requests go, in words that follow "would", with their shares.
  var targets: RequestTargets {
    switch kind {
    case .refused where reason == .noRoute: return ["match no rule": 1]
    case .refused: return ["be refused (\(reason?.name ?? ""))": 1]
    case .answered: return ["be answered with \(status) by the mesh": 1]
    case .service, .forwarded:
      if backends.isEmpty { return ["be refused (\(reason?.name ?? ""))": 1] }
      var targets: RequestTargets = [:]
      for backend in backends where backend.percent > 0 {
        let target = backend.reason.map { "be refused (\($0.name))" } ?? "go to \(Self.short(backend.service, service))"
        targets[target, default: 0] += backend.percent / 100
      }
      return targets
    }
  }

  /// A backend's name without its port, and without the namespace where that is the service's own.
  private static func short(_ backend: String, _ service: String) -> String {
    let name = backend.split(separator: ":").first.map(String.init) ?? backend
    let space = service.split(separator: "/").first.map { "\($0)/" } ?? ""
    return !space.isEmpty && name.hasPrefix(space) ? String(name.dropFirst(space.count)) : name
  }

  private static func percent(_ share: Double) -> String {
    let tenths = Int((share * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(tenths % 10) %"
  }
}
