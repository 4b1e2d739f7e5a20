/// Carries rollouts out: looks at the mesh, asks the machine for the next move, makes it.
///
/// All that must last is in the objects' statuses, so that a control plane that starts anew, or another one, goes on
/// where this one was. Everything is done one after the other: a command waits for the look that is under way.
package actor RolloutController: RolloutControl {
  /// The time between two looks, at the least.
  package static let tick = Duration.seconds(1)

  let store: any ResourceStore
  let meter: ReleaseMeter
  private let workloads: any WorkloadDirectory
  let web: any WebCaller
  private let now: @Sendable () -> Int64
  let onProblem: @Sendable (String) -> Void
  private var last: Task<Void, Never>?
  /// By rollout.
  var runs: [ResourceKey: Run] = [:]

  /// What is kept of a rollout between two looks.
  struct Run {
    var memory = ReleaseMemory()
    var lastLook: Int64 = 0
    /// The release and step that the answers are about.
    var asked = ""
    var gates: [String: GateAnswer] = [:]
    var metrics: [String: MetricAnswer] = [:]
    var gatesUnderWay: Set<String> = []
    var areMetricsUnderWay = false
    /// The last thing that could not be done, so that it is told once.
    var problem = ""
  }

  /// - Parameters:
  ///   - now: milliseconds since 1970.
  ///   - onProblem: told what could not be done, a sentence at a time.
  package init(
    store: any ResourceStore, workloads: any WorkloadDirectory, meter: ReleaseMeter, web: any WebCaller,
    now: @escaping @Sendable () -> Int64, onProblem: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.store = store
    self.workloads = workloads
    self.meter = meter
    self.web = web
    self.now = now
    self.onProblem = onProblem
  }

  /// Looks after all rollouts until the task is cancelled.
  package func run() async {
    while !Task.isCancelled {
      await look()
      try? await Task.sleep(for: Self.tick)
    }
  }

  /// Looks at every rollout whose time has come.
  package func look() async {
    await oneAfterTheOther { await self.lookAtAll() }
  }

  package func perform(
    _ command: RolloutCommand, namespace: String, name: String
  ) async throws(RolloutRefusal) -> RolloutStatus {
    let key = ResourceKey(groupKind: RolloutSpec.kind.groupKind, namespace: namespace, name: name)
    return try await oneAfterTheOther { await self.carryOut(command, key) }.get()
  }

  private func oneAfterTheOther<Answer: Sendable>(_ work: @escaping @Sendable () async -> Answer) async -> Answer {
    let previous = last
    let task = Task {
      await previous?.value
      return await work()
    }
    last = Task { _ = await task.value }
    return await task.value
  }

  private func carryOut(_ command: RolloutCommand, _ key: ResourceKey) async -> Result<RolloutStatus, RolloutRefusal> {
    do throws(StoreError) {
      guard let resource = try await store.resource(key) else { return .failure(.store(.notFound(key))) }
      guard let output = try await step(resource, command: command) else { return .failure(.store(.notFound(key))) }
      if let refusal = output.refusal { return .failure(.notNow(refusal)) }
      return .success(output.status)
    } catch {
      return .failure(.store(error))
    }
  }

  private func lookAtAll() async {
    do throws(StoreError) {
      let rollouts = try await store.resources(RolloutSpec.kind.groupKind, namespace: nil).items
      let known = Set(rollouts.map(\.key))
      runs = runs.filter { known.contains($0.key) }
      await watch(rollouts)
      for rollout in rollouts where isDue(rollout) {
        do throws(StoreError) {
          _ = try await step(rollout, command: nil)
          runs[rollout.key]?.problem = ""
        } catch {
          tell(rollout.key, error.message)
        }
      }
    } catch {
      // The store is away; what is under way stays as it is.
      tell(ResourceKey(groupKind: RolloutSpec.kind.groupKind, namespace: "", name: ""), error.message)
    }
  }

  /// Tells a problem once, until it is another one.
  private func tell(_ key: ResourceKey, _ problem: String) {
    guard runs[key, default: Run()].problem != problem else { return }
    runs[key, default: Run()].problem = problem
    onProblem("Rollout \(key.namespace)/\(key.name): \(problem).")
  }

  private func isDue(_ rollout: Resource) -> Bool {
    guard let spec = rollout.spec as? RolloutSpec, let run = runs[rollout.key] else { return true }
    let interval = (spec.analysis ?? RolloutAnalysis()).intervalMilliseconds
    // Clocks may be set back.
    return now() - run.lastLook >= interval - 100 || now() < run.lastLook
  }

  /// Lets the meter count the versions of releases that are under way.
  private func watch(_ rollouts: [Resource]) async {
    var services: Set<ServiceName> = []
    for rollout in rollouts {
      guard let spec = rollout.spec as? RolloutSpec, let status = RolloutStatus(rollout.status), status.release != nil
      else { continue }
      for version in [status.stableVersion, status.candidateVersion ?? ""] where !version.isEmpty {
        services.insert(ServiceName(namespace: rollout.metadata.namespace, name: spec.serviceName(of: version)))
      }
    }
    await meter.watch(services)
  }

  // MARK: One look at one rollout

  private func step(_ rollout: Resource, command: RolloutCommand?) async throws(StoreError) -> RolloutOutput? {
    guard let spec = rollout.spec as? RolloutSpec else { return nil }
    let key = rollout.key
    var run = runs[key] ?? Run()
    let status = RolloutStatus(rollout.status)
    let route = try await store.resource(routeKey(spec, key))
    let time = now()
    let stage = "\(status?.release?.number ?? 0)/\(status?.release?.step ?? 0)/\(status?.release?.startedAt ?? 0)"
    if run.asked != stage { (run.asked, run.gates) = (stage, [:]) }
    let input = RolloutInput(
      namespace: key.namespace, name: key.name, spec: spec, generation: rollout.metadata.generation ?? 1,
      status: status, memory: run.memory, now: time, world: try await world(spec, key, route: route),
      observation: await observation(spec, status, key), observedMilliseconds: max(0, time - run.lastLook),
      gates: run.gates, metrics: run.metrics, command: command)
    let output = RolloutMachine.step(input)
    run.memory = output.memory
    run.lastLook = time
    // A figure counts once.
    run.metrics = [:]
    runs[key] = run
    try await make(output, of: rollout, spec, route)
    ask(output, key, spec)
    return output
  }

  private func routeKey(_ spec: RolloutSpec, _ key: ResourceKey) -> ResourceKey {
    ResourceKey(
      groupKind: spec.routeTarget.groupKind, namespace: key.namespace, name: spec.routeTarget.name)
  }

  private func observation(_ spec: RolloutSpec, _ status: RolloutStatus?, _ key: ResourceKey) async -> Observation {
    guard let status, status.release != nil else { return Observation() }
    let route = "\(key.namespace)/\(spec.routeTarget.name)"
    func name(_ version: String) -> ServiceName {
      ServiceName(namespace: key.namespace, name: spec.serviceName(of: version))
    }
    let stable = await meter.take(name(status.stableVersion), route: route)
    guard let candidate = status.candidateVersion else { return Observation(stable: stable.byRule) }
    let counted = await meter.take(name(candidate), route: route)
    if stable.byRule.isEmpty, counted.byRule.isEmpty {
      // Proxies that do not tell routes: then everything counts.
      return Observation(candidate: ["": counted.unrouted], stable: ["": stable.unrouted])
    }
    return Observation(candidate: counted.byRule, stable: stable.byRule)
  }

  private func world(
    _ spec: RolloutSpec, _ key: ResourceKey, route: Resource?
  ) async throws(StoreError) -> RolloutWorld {
    let services = try await store.resources(ServiceSpec.kind.groupKind, namespace: key.namespace).items
    let own = services.first { $0.metadata.name == spec.service }?.spec as? ServiceSpec
    let port = own?.ports.first { $0.transport == .tcp }?.port
    let parent = ServiceName(namespace: key.namespace, name: spec.service)
    var ready: [String: Int] = [:]
    for known in await workloads.knownWorkloads()
    where known.workload.health == .healthy && known.services.contains(parent) {
      guard let version = known.workload.labels["version"] else { continue }
      ready[version, default: 0] += 1
    }
    return RolloutWorld(
      route: route.flatMap { found in
        found.value["spec"].map {
          RolloutWorld.Route(spec: $0, owner: found.metadata.annotations[RouteEditor.ownerAnnotation])
        }
      }, services: Set(services.map(\.metadata.name)), port: port, ready: ready)
  }
}

extension RolloutStatus {
  /// The status as it is stored; nil where there is none that can be read.
  package init?(_ value: Value?) {
    guard let value, value.members != nil else { return nil }
    let report = ViolationReport()
    guard let status = RolloutStatus.read(value, path: "status", into: report), report.isEmpty else { return nil }
    self = status
  }
}
