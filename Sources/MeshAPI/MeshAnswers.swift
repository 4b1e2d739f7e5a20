import HTTPTypes
import Hummingbird
import MeshControl

/// The mesh's own verbs, under `/apis/apus.dev/v1`.
struct MeshAnswers {
  let responder: APIResponder

  /// nil where the path is not one of them.
  func answer(_ path: ArraySlice<String>, _ request: Request) async throws -> Response? {
    switch Array(path) {
    case ["apply"]:
      try demand(.post, request)
      return try await ApplyAnswer(responder: responder).answer(request)
    case ["proxies"]:
      try demand(.get, request)
      return items(await responder.sources.proxies.proxies().map(Self.value))
    case ["stats"]:
      try demand(.get, request)
      return try await statistics(request)
    case ["workloads"]:
      try demand(.get, request)
      return await workloads(namespace: nil, name: nil)
    case let parts where parts.count == 3 && parts[0] == "namespaces" && parts[2] == "workloads":
      try demand(.get, request)
      return await workloads(namespace: parts[1], name: nil)
    case let parts where parts.count == 4 && parts[0] == "namespaces" && parts[2] == "workloads":
      try demand(.get, request)
      return try await workload(namespace: parts[1], name: parts[3])
    case let parts
    where parts.count == 5 && parts[0] == "namespaces" && parts[2] == "serviceaccounts" && parts[4] == "token":
      try demand(.post, request)
      return try await token(namespace: parts[1], account: parts[3], request)
    case let parts where parts.count == 5 && parts[0] == "namespaces" && parts[2] == "rollouts":
      try demand(.post, request)
      return try await RolloutAnswers(sources: responder.sources).answer(
        verb: parts[4], namespace: parts[1], name: parts[3], request)
    case ["analyze"]:
      return try await AnalysisAnswer(responder: responder).answer(request)
    default: return nil
    }
  }

  private func demand(_ method: HTTPRequest.Method, _ request: Request) throws(StatusAnswer) {
    guard request.method == method else {
      throw .methodNotAllowed("\(request.method) is not served at \(request.uri.path); use \(method)")
    }
  }

  private func items(_ values: [Value]) -> Response {
    APIResponder.json(.object([Value.Member("items", .list(values))]))
  }

  private func token(namespace: String, account: String, _ request: Request) async throws -> Response {
    for (name, text) in [("namespace", namespace), ("service account", account)] {
      if let fault = TextFormat.dnsLabel.fault(in: text) { throw StatusAnswer.badRequest("the \(name) \(fault)") }
    }
    var lifetime: Duration?
    if let text = request.parameter("lifetimeSeconds") {
      guard let seconds = Int64(text), (1...31_536_000).contains(seconds) else {
        throw StatusAnswer.badRequest("lifetimeSeconds is a whole number from 1 to 31536000; leave it out for 24 h")
      }
      lifetime = .seconds(seconds)
    }
    let token = try await responder.sources.minter.mint(namespace: namespace, account: account, lifetime: lifetime)
    return APIResponder.json(
      .object([
        Value.Member("token", .string(token.token)), Value.Member("expiresAt", .string(token.expiresAt.rfc3339)),
      ]), code: 201)
  }

  // MARK: Workloads

  private func workloads(namespace: String?, name: String?) async -> Response {
    let known = await responder.sources.workloads.knownWorkloads()
    let chosen = known.filter { namespace == nil || $0.workload.namespace == namespace }
    return APIResponder.json(
      .object([
        Value.Member("kind", .string("WorkloadList")), Value.Member("apiVersion", .string("apus.dev/v1")),
        Value.Member("metadata", .object([])), Value.Member("items", .list(chosen.map(Self.value))),
      ]))
  }

  private func workload(namespace: String, name: String) async throws -> Response {
    let known = await responder.sources.workloads.knownWorkloads()
    guard
      let found = known.first(where: {
        $0.workload.namespace == namespace && ($0.workload.name == name || $0.workload.uid == name)
      })
    else { throw StatusAnswer.notFound("Workload \(namespace)/\(name) is not there") }
    return APIResponder.json(Self.value(found))
  }

  private static func value(_ known: KnownWorkload) -> Value {
    let workload = known.workload
    let ports = workload.ports.map { port in
      Value.object(
        [
          Value.Member("name", .string(port.name)), Value.Member("appPort", .integer(Int(port.appPort))),
          Value.Member("appProtocol", .string(port.appProtocol)),
        ] + (port.meshPort.map { [Value.Member("meshPort", .integer(Int($0)))] } ?? []))
    }
    let labels = workload.labels.sorted { $0.key < $1.key }.map { Value.Member($0.key, .string($0.value)) }
    return .object([
      Value.Member("apiVersion", .string("apus.dev/v1")), Value.Member("kind", .string("Workload")),
      Value.Member(
        "metadata",
        .object([
          // Names of objects are unique: several instances may have one workload's name.
          Value.Member("name", .string(workload.uid)), Value.Member("namespace", .string(workload.namespace)),
          Value.Member("uid", .string(workload.uid)), Value.Member("labels", .object(labels)),
        ])),
      Value.Member(
        "spec",
        .object([
          Value.Member("workload", .string(workload.name)), Value.Member("address", .string(workload.address)),
          Value.Member("ports", .list(ports)),
          Value.Member("serviceAccount", .string(workload.account)), Value.Member("node", .string(workload.node)),
          Value.Member("zone", .string(workload.zone)),
        ])),
      Value.Member(
        "status",
        .object([
          Value.Member("health", .string(workload.health.rawValue)),
          Value.Member("identity", .string(workload.hasProxy ? workload.spiffeID : "")),
          Value.Member("services", .list(known.services.map { .string($0.description) })),
        ])),
    ])
  }

  // MARK: Proxies and statistics

  private static func value(_ proxy: ProxyStatus) -> Value {
    func versions(_ versions: [String: String]) -> Value {
      .object(versions.sorted { $0.key < $1.key }.map { Value.Member($0.key, .string($0.value)) })
    }
    let refusal = proxy.refusal.map { refusal in
      Value.object([
        Value.Member("type", .string(refusal.typeURL)), Value.Member("message", .string(refusal.message)),
      ])
    }
    return .object([
      Value.Member("id", .string(proxy.id)), Value.Member("workload", .string(proxy.workload)),
      Value.Member("namespace", .string(proxy.namespace)), Value.Member("service", .string(proxy.service)),
      Value.Member("version", .string(proxy.version)),
      Value.Member("connectedSince", proxy.connectedSince.map { .string($0.rfc3339) } ?? .null),
      Value.Member("sent", versions(proxy.sent)), Value.Member("acked", versions(proxy.acked)),
      Value.Member("nack", refusal ?? .null),
      Value.Member("certificateNotAfter", proxy.certificateNotAfter.map { .string($0.rfc3339) } ?? .null),
      Value.Member("status", .string(proxy.state.rawValue)),
    ])
  }

  private func statistics(_ request: Request) async throws -> Response {
    let text = request.parameter("window") ?? "30"
    guard let seconds = Int64(text), (1...3600).contains(seconds) else {
      throw StatusAnswer.badRequest("window is a number of seconds from 1 to 3600; leave it out for 30")
    }
    let statistics = await responder.sources.statistics.statistics(window: .seconds(seconds))
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

  private static func members(_ figures: MeshStatistics.Figures) -> [Value.Member] {
    func number(_ value: Double?) -> Value { value.map { Value(.number($0)) } ?? .null }
    return [
      Value.Member("successRate", number(figures.successRate)),
      Value.Member("requests", .integer(Int(clamping: figures.requests))),
      Value.Member("rps", number(figures.requestsPerSecond)), Value.Member("p50Ms", number(figures.p50Ms)),
      Value.Member("p95Ms", number(figures.p95Ms)), Value.Member("p99Ms", number(figures.p99Ms)),
      Value.Member("tcpConnections", .integer(Int(clamping: figures.tcpConnections))),
    ]
  }
}
