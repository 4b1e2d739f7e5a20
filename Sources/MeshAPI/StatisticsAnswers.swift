import Foundation
import Hummingbird
import MeshControl

/// What passed through the mesh: `stats`, `traffic` and `history` under `/apis/apus.dev/v1`.
struct StatisticsAnswers {
  let sources: APISources

  func answer(_ name: String, _ request: Request) async throws -> Response {
    switch name {
    case "traffic": try await traffic(request)
    case "history": try await history(request)
    default: try await statistics(request)
    }
  }

  private func statistics(_ request: Request) async throws -> Response {
    let seconds = try Self.window(request, fallback: 30)
    let statistics = await sources.statistics.statistics(window: .seconds(seconds))
    let rows = statistics.rows.map { row in
      Value.object(
        [
          Value.Member("namespace", .string(row.namespace)), Value.Member("name", .string(row.name)),
          Value.Member("kind", .string(row.subject.rawValue)),
          Value.Member("meshed", .string("\(row.meshedCount)/\(row.instanceCount)")),
        ] + Self.members(row.figures))
    }
    let edges = statistics.edges.map { edge in
      Value.object(
        [
          Value.Member("sourceNamespace", .string(edge.sourceNamespace)), Value.Member("source", .string(edge.source)),
          Value.Member("destinationNamespace", .string(edge.destinationNamespace)),
          Value.Member("destination", .string(edge.destination)),
        ] + Self.members(edge.figures))
    }
    return APIResponder.json(
      .object([
        Value.Member("windowSeconds", .integer(Int(seconds))), Value.Member("items", .list(rows)),
        Value.Member("edges", .list(edges)),
      ]))
  }

  private func traffic(_ request: Request) async throws -> Response {
    let query = try Self.query(request, fallback: 30)
    let rows = await sources.statistics.traffic(query).map { row in
      var members: [Value.Member] = []
      func add(_ name: String, _ text: String, _ dimensions: TrafficDimensions) {
        if !query.dimensions.isDisjoint(with: dimensions) { members.append(Value.Member(name, .string(text))) }
      }
      add("sourceNamespace", row.sourceNamespace, [.source, .sourceService])
      add("source", row.source, .source)
      add("sourceService", row.sourceService, .sourceService)
      add("destinationNamespace", row.destinationNamespace, [.service, .workload, .version])
      add("service", row.service, .service)
      add("workload", row.workload, .workload)
      add("version", row.version, .version)
      add("route", row.route, .route)
      if let isMutualTLS = row.isMutualTLS { members.append(Value.Member("mutualTLS", .boolean(isMutualTLS))) }
      return Value.object(members + Self.members(row.figures))
    }
    return APIResponder.json(
      .object([
        Value.Member("windowSeconds", .integer(Int(query.window.components.seconds))),
        Value.Member("items", .list(rows)),
      ]))
  }

  private func history(_ request: Request) async throws -> Response {
    let query = try Self.query(request, fallback: 3600)
    let text = request.parameter("step") ?? "10"
    guard let step = Int64(text), (10...3600).contains(step) else {
      throw StatusAnswer.badRequest("step is a number of seconds from 10 to 3600; leave it out for 10")
    }
    let points = await sources.statistics.history(query, step: .seconds(step))
    let now = Int64(Date().timeIntervalSince1970)
    let items = points.map { point in
      let end = Timestamp(secondsSinceEpoch: now - point.secondsAgo)
      return Value.object([Value.Member("time", .string(end.rfc3339))] + Self.members(point.figures))
    }
    return APIResponder.json(
      .object([
        Value.Member("windowSeconds", .integer(Int(query.window.components.seconds))),
        Value.Member("stepSeconds", .integer(Int(step))), Value.Member("items", .list(items)),
      ]))
  }

  // MARK: Parameters

  private static func window(_ request: Request, fallback: Int64) throws(StatusAnswer) -> Int64 {
    guard let text = request.parameter("window") else { return fallback }
    guard let seconds = Int64(text), (1...3600).contains(seconds) else {
      throw StatusAnswer.badRequest(
        "window is a number of seconds from 1 to 3600; leave it out for \(fallback)")
    }
    return seconds
  }

  private static func query(_ request: Request, fallback: Int64) throws(StatusAnswer) -> TrafficQuery {
    var dimensions: TrafficDimensions = []
    for name in (request.parameter("by") ?? "").split(separator: ",") {
      guard let found = TrafficDimensions.named.first(where: { $0.name == name })?.dimension else {
        let known = TrafficDimensions.named.map(\.name).joined(separator: ", ")
        throw StatusAnswer.badRequest("traffic is not told apart by \(name.prefix(64)); by is a list of \(known)")
      }
      dimensions.insert(found)
    }
    return TrafficQuery(
      window: .seconds(try window(request, fallback: fallback)), dimensions: dimensions,
      from: TrafficPeer(text: request.parameter("from") ?? ""), to: TrafficPeer(text: request.parameter("to") ?? ""),
      route: request.parameter("route"))
  }

  // MARK: Figures

  private static func members(_ figures: MeshStatistics.Figures) -> [Value.Member] {
    func number(_ value: Double?) -> Value { value.map { Value(.number($0)) } ?? .null }
    func count(_ value: UInt64) -> Value { .integer(Int(clamping: value)) }
    let reasons = figures.reasons.map { Value.Member($0.reason, count($0.count)) }
    return [
      Value.Member("successRate", number(figures.successRate)),
      Value.Member("attemptSuccessRate", number(figures.attemptSuccessRate)),
      Value.Member("requests", count(figures.requests)), Value.Member("failures", count(figures.failures)),
      Value.Member("retries", count(figures.retries)),
      Value.Member("rps", number(figures.requestsPerSecond)), Value.Member("p50Ms", number(figures.p50Ms)),
      Value.Member("p95Ms", number(figures.p95Ms)), Value.Member("p99Ms", number(figures.p99Ms)),
      Value.Member("tcpConnections", count(figures.tcpConnections)),
      Value.Member("tcpOpened", count(figures.tcpOpened)), Value.Member("sentBytes", count(figures.sentBytes)),
      Value.Member("receivedBytes", count(figures.receivedBytes)), Value.Member("reasons", .object(reasons)),
    ]
  }
}
