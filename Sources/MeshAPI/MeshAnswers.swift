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
      return await proxies()
    case ["scrape-targets"]:
      try demand(.get, request)
      return APIResponder.json(.list(await responder.sources.proxies.proxies().compactMap(Self.scrapeTarget)))
    case ["stats"], ["traffic"], ["history"]:
      try demand(.get, request)
      return try await StatisticsAnswers(sources: responder.sources).answer(path.last ?? "", request)
    case ["why"], ["tap"], ["decisions"]:
      try demand(.get, request)
      return try await RequestAnswers(sources: responder.sources).answer(path.last ?? "", request)
    case let parts where parts.count == 3 && parts[0] == "proxies":
      try demand(.get, request)
      return try await RequestAnswers(sources: responder.sources).page(parts[2], of: parts[1], request)
    case ["eval"]:
      try demand(.post, request)
      return try await EvaluationAnswer(responder: responder).answer(request)
    case ["sessions"]:
      try demand(.post, request)
      return session(mayWrite: request.parameter("write") == "true")
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

  private func session(mayWrite: Bool) -> Response {
    let session = responder.sessions.open(mayWrite: mayWrite)
    return APIResponder.json(
      .object([
        Value.Member("token", .string(session.token)), Value.Member("writable", .boolean(session.mayWrite)),
        Value.Member("lifetimeSeconds", .integer(Int(DashboardSessions.life.components.seconds))),
      ]), code: 201)
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

  // MARK: Proxies

  /// A proxy as Prometheus' HTTP service discovery has it; nil where it cannot be scraped. Admin interfaces listen on the
  /// loopback address: this is for a mesh on one machine.
  private static func scrapeTarget(_ proxy: ProxyStatus) -> Value? {
    guard proxy.adminPort > 0, proxy.state != .disconnected else { return nil }
    let labels = [
      ("workload", proxy.workload), ("namespace", proxy.namespace), ("service", proxy.service), ("proxy", proxy.id),
    ]
    return .object([
      Value.Member("targets", .list([.string("127.0.0.1:\(proxy.adminPort)")])),
      Value.Member("labels", .object(labels.map { Value.Member($0.0, .string($0.1)) })),
    ])
  }

  /// The proxies, and how far the configuration has come that they are to take: a change is in force everywhere when
  /// `resourceVersion` has reached its own, and each connected proxy's `takenRevision` the `revision` beside that.
  private func proxies() async -> Response {
    let progress = await responder.sources.progress?.progress()
    let isBehind = progress?.isBehind ?? false
    let known = await responder.sources.proxies.proxies().map { Self.value($0, isBehind: isBehind) }
    return APIResponder.json(
      .object(
        (progress.map {
          [
            Value.Member("revision", .integer(Int(clamping: $0.revision))),
            Value.Member("resourceVersion", .string(String($0.resourceVersion))),
          ]
        } ?? []) + [Value.Member("items", .list(known))]))
  }

  /// - Parameter isBehind: whether there are changes that nobody was sent: then nobody has all of them.
  private static func value(_ proxy: ProxyStatus, isBehind: Bool) -> Value {
    let state = isBehind && proxy.state == .synced ? .stale : proxy.state
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
      Value.Member("status", .string(state.rawValue)),
      Value.Member("takenRevision", .integer(Int(clamping: proxy.takenRevision))),
    ])
  }
}
