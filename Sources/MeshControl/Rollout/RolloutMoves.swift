// The machine's moves, made: objects are written, gates and metrics are asked.
extension RolloutController {
  /// Writes what the machine wants. The intention is stored before the route is, and the route only as it was when it was
  /// looked at: whoever was quicker is not overwritten.
  func make(
    _ output: RolloutOutput, of rollout: Resource, _ spec: RolloutSpec, _ route: Resource?
  ) async throws(StoreError) {
    for version in output.missingVersions {
      try await makeService(spec.serviceName(of: version), for: rollout, spec, version: version)
    }
    if let preview = output.preview { try await makePreview(preview.service, preview.version, rollout, spec) }
    try await write(output.status, rollout)
    guard let routeSpec = output.routeSpec else { return }
    guard let written = Self.route(routeSpec, for: rollout, spec, route) else {
      throw .unavailable("the route that is due is not valid; see what stands in HTTPRoute \(spec.routeTarget.name)")
    }
    do {
      _ = try await store.commit([route == nil ? .create(written) : .replace(written)], isDryRun: false)
    } catch .conflict, .alreadyExists, .notFound {
      // Somebody was quicker: the next look sees what they did.
      return
    }
    try await write(output.statusAfterWriting, rollout)
  }

  private func write(_ status: RolloutStatus, _ rollout: Resource) async throws(StoreError) {
    guard let uid = rollout.metadata.uid else { return }
    try await store.writeStatuses([StatusUpdate(key: rollout.key, uid: uid, status: status.written)])
  }

  /// The route as it is to be stored.
  private static func route(
    _ routeSpec: Value, for rollout: Resource, _ spec: RolloutSpec, _ existing: Resource?
  ) -> Resource? {
    let base =
      existing?.value
      ?? .object([
        .init("apiVersion", .string("gateway.networking.k8s.io/v1")),
        .init("kind", .string(spec.routeTarget.kind.rawValue)),
        .init(
          "metadata",
          .object([
            .init("name", .string(spec.routeTarget.name)), .init("namespace", .string(rollout.metadata.namespace)),
          ])),
      ])
    let metadata = base["metadata"] ?? .object([])
    let annotations = (metadata["annotations"] ?? .object([])).replacing(
      RouteEditor.ownerAnnotation, with: .string(rollout.metadata.name))
    let document = base.replacing("spec", with: routeSpec)
      .replacing("metadata", with: metadata.replacing("annotations", with: annotations))
    return Resource.read(document, namespace: rollout.metadata.namespace, into: ViolationReport())
  }

  /// Makes a version's Service out of the service itself, choosing the version's workloads only.
  private func makeService(
    _ name: String, for rollout: Resource, _ spec: RolloutSpec, version: String
  ) async throws(StoreError) {
    let namespace = rollout.metadata.namespace
    let parent = ResourceKey(groupKind: ServiceSpec.kind.groupKind, namespace: namespace, name: spec.service)
    guard let found = try await store.resource(parent), var service = found.spec as? ServiceSpec,
      !service.selector.isEmpty
    else { return }
    service.selector["version"] = version
    service.clusterIP = nil
    service.clusterIPs = []
    for index in service.ports.indices { service.ports[index].nodePort = nil }
    try await create(service, name, like: found, for: rollout)
  }

  private func create(
    _ spec: any ResourceSpec, _ name: String, like parent: Resource, for rollout: Resource
  ) async throws(StoreError) {
    var metadata = Metadata(name: name, namespace: rollout.metadata.namespace)
    // Who may serve the service may serve its versions.
    let accounts = parent.metadata.annotations[ServiceSpec.accountsAnnotation]
    metadata.annotations[ServiceSpec.accountsAnnotation] = accounts
    metadata.annotations[RouteEditor.ownerAnnotation] = rollout.metadata.name
    do {
      _ = try await store.commit([.create(Resource(metadata: metadata, spec: spec))], isDryRun: false)
    } catch .alreadyExists {
      return
    }
  }

  /// A Service for the preview, and a route that leads it to the candidate alone.
  private func makePreview(
    _ name: String, _ version: String, _ rollout: Resource, _ spec: RolloutSpec
  ) async throws(StoreError) {
    let namespace = rollout.metadata.namespace
    let parent = ResourceKey(groupKind: ServiceSpec.kind.groupKind, namespace: namespace, name: spec.service)
    guard let found = try await store.resource(parent), let service = found.spec as? ServiceSpec,
      let port = spec.port ?? service.ports.first(where: { $0.transport == .tcp })?.port
    else { return }
    try await create(service, name, like: found, for: rollout)
    let shares = RouteShares(
      stable: .init(service: spec.serviceName(of: version), weight: 100), candidate: nil, port: port)
    let key = ResourceKey(groupKind: spec.routeTarget.groupKind, namespace: namespace, name: name)
    let existing = try await store.resource(key)
    // A route of that name that is somebody else's stays as it is.
    if let existing, existing.metadata.annotations[RouteEditor.ownerAnnotation] != rollout.metadata.name { return }
    var target = spec
    target.route = RolloutSpec.RouteTarget()
    target.route?.kind = spec.routeTarget.kind
    target.route?.name = name
    guard
      let route = Self.route(RouteEditor.newSpec(service: name, shares: shares), for: rollout, target, existing)
    else { return }
    _ = try await store.commit([.apply(route)], isDryRun: false)
  }

  // MARK: Asking

  /// Asks gates and metrics; the answers are there at one of the next looks.
  func ask(_ output: RolloutOutput, _ key: ResourceKey, _ spec: RolloutSpec) {
    let body = Self.message(output.status, key)
    for gate in output.gates where runs[key]?.gatesUnderWay.contains(gate.name) == false {
      runs[key]?.gatesUnderWay.insert(gate.name)
      let stage = runs[key]?.asked ?? ""
      Task {
        let answer = await web.call(
          "POST", gate.url, body: body, timeout: .milliseconds(gate.timeoutMilliseconds))
        note(GateAnswer(answer), of: gate.name, stage, key)
      }
    }
    for gate in output.notices {
      Task {
        for attempt in 1...3 {
          let answer = await web.call(
            "POST", gate.url, body: body, timeout: .milliseconds(gate.timeoutMilliseconds))
          if GateAnswer(answer) == .open { return }
          try? await Task.sleep(for: .seconds(attempt))
        }
        onProblem("Rollout \(key.namespace)/\(key.name): \(gate.name) was not reached to be told how it ended.")
      }
    }
    guard output.asksMetrics, runs[key]?.areMetricsUnderWay == false, let candidate = output.status.candidateVersion
    else { return }
    runs[key]?.areMetricsUnderWay = true
    let stable = output.status.stableVersion
    Task {
      var answers: [String: MetricAnswer] = [:]
      for metric in spec.analysis?.metrics ?? [] {
        answers[metric.name] = await figure(metric, spec, key.namespace, candidate: candidate, stable: stable)
      }
      runs[key]?.metrics = answers
      runs[key]?.areMetricsUnderWay = false
    }
  }

  private func note(_ answer: GateAnswer, of gate: String, _ stage: String, _ key: ResourceKey) {
    runs[key]?.gatesUnderWay.remove(gate)
    // An answer that was given to another step opens nothing here.
    guard runs[key]?.asked == stage else { return }
    runs[key]?.gates[gate] = answer
  }

  private func figure(
    _ metric: MetricCheck, _ spec: RolloutSpec, _ namespace: String, candidate: String, stable: String
  ) async -> MetricAnswer {
    func ask(_ version: String) async -> (value: Double?, problem: String?) {
      let query = metric.query(version: version, service: spec.serviceName(of: version), namespace: namespace)
      let url = PrometheusQuery.url(metric.prometheus, query: query)
      return PrometheusQuery.figure(await web.call("GET", url, body: [], timeout: .seconds(5)))
    }
    let ours = await ask(candidate)
    guard metric.maxRatio != nil else { return MetricAnswer(candidate: ours.value, stable: nil, problem: ours.problem) }
    let theirs = await ask(stable)
    return MetricAnswer(candidate: ours.value, stable: theirs.value, problem: ours.problem ?? theirs.problem)
  }

  /// What gates are told.
  static func message(_ status: RolloutStatus, _ key: ResourceKey) -> [UInt8] {
    let value = Value.object([
      .init("rollout", .string(key.name)), .init("namespace", .string(key.namespace)),
      .init("phase", .string(status.phase.rawValue)), .init("reason", .string(status.reason.rawValue)),
      .init("message", .string(status.message)), .init("stableVersion", .string(status.stableVersion)),
      .init("candidateVersion", status.candidateVersion.map(Value.string) ?? .null),
      .init("weight", .integer(status.weight)), .init("release", .integer(status.releaseCount)),
      .init("step", .integer(status.release?.step ?? 0)), .init("stepName", .string(status.release?.stepName ?? "")),
    ])
    return Array(value.json().utf8)
  }
}
