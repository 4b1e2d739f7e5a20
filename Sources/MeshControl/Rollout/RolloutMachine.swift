/// Everything that a rollout's next move depends on.
package struct RolloutInput: Sendable {
  package var namespace: String
  package var name: String
  package var spec: RolloutSpec
  package var generation: Int
  /// As it was stored; nil for a rollout that is new.
  package var status: RolloutStatus?
  package var memory: ReleaseMemory
  /// Milliseconds since 1970.
  package var now: Int64
  package var world: RolloutWorld
  package var observation: Observation
  /// What the observation covers, milliseconds.
  package var observedMilliseconds: Int64
  /// Answers of the gates that were asked, by name.
  package var gates: [String: GateAnswer]
  /// Figures of the metrics that were asked, by name.
  package var metrics: [String: MetricAnswer]
  /// What a person wants done.
  package var command: RolloutCommand?

  package init(
    namespace: String, name: String, spec: RolloutSpec, generation: Int, status: RolloutStatus? = nil,
    memory: ReleaseMemory = ReleaseMemory(), now: Int64, world: RolloutWorld,
    observation: Observation = Observation(), observedMilliseconds: Int64 = 0, gates: [String: GateAnswer] = [:],
    metrics: [String: MetricAnswer] = [:], command: RolloutCommand? = nil
  ) {
    self.namespace = namespace
    self.name = name
    self.spec = spec
    self.generation = generation
    self.status = status
    self.memory = memory
    self.now = now
    self.world = world
    self.observation = observation
    self.observedMilliseconds = observedMilliseconds
    self.gates = gates
    self.metrics = metrics
    self.command = command
  }
}

/// What there is in the mesh, as far as a rollout needs it.
package struct RolloutWorld: Sendable {
  /// The route that the rollout writes.
  package struct Route: Sendable {
    package var spec: Value
    /// The rollout that it says it belongs to.
    package var owner: String?

    package init(spec: Value, owner: String?) {
      self.spec = spec
      self.owner = owner
    }
  }

  /// nil: it is not there.
  package var route: Route?
  /// Services of the namespace, by name.
  package var services: Set<String>
  /// Port of the service; nil where the service is not there or has none.
  package var port: Int?
  /// Instances that may be given traffic, by version.
  package var ready: [String: Int]

  package init(route: Route?, services: Set<String>, port: Int?, ready: [String: Int]) {
    self.route = route
    self.services = services
    self.port = port
    self.ready = ready
  }
}

/// What a gate said.
package enum GateAnswer: Sendable, Equatable {
  case open
  /// Not now; for people, why.
  case closed(String)
  /// No (4xx).
  case refused(String)
}

/// What a metric's query gave.
package struct MetricAnswer: Sendable, Equatable {
  /// nil where there was no figure.
  package var candidate: Double?
  package var stable: Double?
  /// Why there is none.
  package var problem: String?

  package init(candidate: Double?, stable: Double?, problem: String? = nil) {
    self.candidate = candidate
    self.stable = stable
    self.problem = problem
  }
}

/// What a person can ask of a rollout.
package enum RolloutCommand: Sendable, Equatable {
  /// End this step now; `full`: all of them.
  case promote(full: Bool)
  case pause, resume, abort, retry
}

/// A rollout's next move.
package struct RolloutOutput: Sendable {
  package var status: RolloutStatus
  package var memory: ReleaseMemory
  /// The route's spec as it is to be; nil: it is not touched.
  package var routeSpec: Value?
  /// Versions whose Services are to be made.
  package var missingVersions: [String] = []
  /// A Service for the preview that is to be made, and the version it leads to.
  package var preview: (service: String, version: String)?
  /// Gates that are to be asked before the next look.
  package var gates: [RolloutGate] = []
  /// Whether the metrics are to be asked before the next look.
  package var asksMetrics = false
  /// Who is to be told how it ended.
  package var notices: [RolloutGate] = []
  /// Why the command was not carried out.
  package var refusal: String?

  /// The status once the route has been written.
  package var statusAfterWriting: RolloutStatus {
    var status = status
    status.route.written = status.route.intended
    return status
  }
}

/// The core of a rollout: a pure function from what is known to the next move. Level-triggered: the same input gives the
/// same move, and a move that was not carried out comes again.
package struct RolloutMachine {
  let input: RolloutInput
  let plan: RolloutPlan
  var status: RolloutStatus
  var memory: ReleaseMemory
  var output: RolloutOutput

  var now: Int64 { input.now }
  var spec: RolloutSpec { input.spec }

  package static func step(_ input: RolloutInput) -> RolloutOutput {
    var machine = RolloutMachine(input)
    machine.run()
    machine.describe()
    machine.output.status = machine.status
    machine.output.memory = machine.memory
    return machine.output
  }

  private init(_ input: RolloutInput) {
    self.input = input
    plan = RolloutPlan(input.spec)
    status = input.status ?? RolloutStatus()
    memory = input.memory
    output = RolloutOutput(status: status, memory: memory)
  }

  private mutating func run() {
    if status.stableVersion.isEmpty, !adopt() { return }
    if let command = input.command { carryOut(command) }
    if status.observedGeneration != input.generation {
      // A rollout that somebody has changed is looked at with new eyes.
      if status.phase == .stopped, status.observedGeneration != nil { takeOver() }
      status.observedGeneration = input.generation
    }
    guard status.phase != .stopped else { return }
    if let edit = foreignEdit() {
      status.say(.stopped, edit.reason, edit.message, at: now)
      return
    }
    reconcile()
    if status.release != nil { advance() }
    writeRoute()
  }

  /// Finds out what serves when the rollout begins to exist: what the route says, else the version that it names.
  /// - Returns: whether that could be told.
  private mutating func adopt() -> Bool {
    status.observedGeneration = input.generation
    let names = input.world.route.map { versionServices(in: $0.spec) } ?? []
    if let owner = input.world.route?.owner, owner != input.name {
      status.say(.stopped, .routeOwned, "the route belongs to Rollout \(owner); name another route", at: now)
      return false
    }
    guard names.count <= 1 else {
      status.say(
        .stopped, .stableUnknown,
        "the route splits between \(names.joined(separator: ", ")) already, so that it is not known which one is stable; "
          + "give one of them all the weight", at: now)
      return false
    }
    status.stableVersion = names.first ?? spec.version
    status.say(.idle, .adopted, "\(status.stableVersion) serves", at: now)
    return true
  }

  /// Versions that get requests by the route, by the pattern of their Services' names.
  private func versionServices(in route: Value) -> [String] {
    let parts = spec.versionService.replacing("{service}", with: spec.service)
      .split(separator: "{version}", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let prefix = parts.first, let suffix = parts.last else { return [] }
    let backends = (route["rules"]?.elements ?? []).flatMap { $0["backendRefs"]?.elements ?? [] }
    var versions: [String] = []
    for backend in backends {
      if case .integer(0)? = backend["weight"]?.content { continue }
      guard let name = backend["name"]?.text, name != spec.service, name.hasPrefix(prefix), name.hasSuffix(suffix),
        name.utf8.count > prefix.utf8.count + suffix.utf8.count
      else { continue }
      let version = String(name.dropFirst(prefix.count).dropLast(suffix.count))
      if !versions.contains(version) { versions.append(version) }
    }
    return versions
  }

  // MARK: Beginning and ending releases

  private mutating func reconcile() {
    let wanted = spec.version
    if wanted == status.stableVersion {
      (status.settledVersion, status.settledPlan) = (nil, nil)
      let isMissing = status.phase == .waiting && status.release == nil
      if status.release != nil || (status.phase != .idle && !isMissing) {
        let message = "\(wanted) serves; the release of \(status.candidateVersion ?? "another version") is withdrawn"
        endRelease()
        status.candidateVersion = nil
        status.say(.idle, .withdrawn, message, at: now)
      }
      return
    }
    if let release = status.release {
      guard status.candidateVersion != wanted || release.plan != spec.planDigest else { return }
      status.note("the version or the strategy has changed: the release begins again", at: now)
    } else if status.settledVersion == wanted, status.settledPlan == spec.planDigest {
      return
    }
    begin(wanted)
  }

  private mutating func begin(_ version: String) {
    status.candidateVersion = version
    (status.settledVersion, status.settledPlan) = (nil, nil)
    status.releaseCount += 1
    var release = RolloutStatus.Release()
    release.number = status.releaseCount
    release.plan = spec.planDigest
    release.strategy = plan.strategy
    release.stepCount = plan.steps.count
    release.stepName = plan.steps.first?.name ?? ""
    status.release = release
    status.weight = 0
    memory = ReleaseMemory()
    memory.release = release.number
    status.checks = judge?.begin() ?? []
  }

  mutating func endRelease() {
    status.release = nil
    status.weight = 0
  }

  /// The release has gone well: the candidate is what serves from now on.
  mutating func promote(_ reason: RolloutReason) {
    guard let version = status.candidateVersion else { return }
    status.stableVersion = version
    endRelease()
    status.candidateVersion = nil
    status.say(.idle, reason, "\(version) serves", at: now)
    output.notices = spec.gates.filter { $0.at == .promoted }
  }

  mutating func rollBack(_ reason: RolloutReason, _ message: String) {
    status.settledVersion = status.candidateVersion
    status.settledPlan = spec.planDigest
    endRelease()
    status.say(.rolledBack, reason, message, at: now)
    output.notices = spec.gates.filter { $0.at == .rolledBack }
  }

  /// Who judges this release; nil where nobody does.
  var judge: ReleaseJudge? {
    guard let analysis = plan.analysis else { return nil }
    let rules = plan.countsAudience ? [] : input.world.route.map { editor.ruleNames(of: $0.spec) } ?? []
    return ReleaseJudge(analysis: analysis, rules: rules, baseline: status.release?.baseline)
  }

  func ready(_ version: String) -> Int { input.world.ready[version] ?? 0 }
}
