import MeshTelemetry

// A release under way: what keeps it at its step, what takes it on, what takes it back.
extension RolloutMachine {
  /// Why a step does not end yet.
  private struct Obstacle {
    var reason: RolloutReason
    var message: String
    /// Whether the time that it takes counts for the deadline.
    var isOverdue = true
    var phase = RolloutStatus.Phase.progressing
  }

  mutating func advance() {
    guard let release = status.release, let candidate = status.candidateVersion else { return }
    if memory.release != release.number {
      memory = ReleaseMemory()
      memory.release = release.number
    }
    guard release.startedAt > 0 else { return start(candidate) }
    guard plan.steps.indices.contains(release.step) else { return finish() }
    let step = plan.steps[release.step]
    takeCounts(step)
    takeMetrics()
    if let reason = failure(step, candidate) { return rollBack(reason.reason, reason.message) }
    output.asksMetrics = plan.analysis.map { !$0.metrics.isEmpty } ?? false
    if release.isPaused {
      if status.reason != .inconclusive {
        status.say(.paused, .pausedByPerson, "paused at \(step.name); `apus rollout resume` goes on", at: now)
      }
      return
    }
    guard let obstacle = obstacle(step, release) else { return leave() }
    if obstacle.isOverdue, isOverdue(step, release) { return giveUp(obstacle) }
    status.say(obstacle.phase, obstacle.reason, obstacle.message, at: now)
  }

  // MARK: Beginning

  private mutating func start(_ candidate: String) {
    guard status.release?.isPaused != true else { return }
    let service = spec.serviceName(of: candidate)
    if let preview = plan.previewService { output.preview = (preview, candidate) }
    guard input.world.services.contains(service) else {
      output.missingVersions.append(candidate)
      return status.say(.waiting, .serviceMissing, "Service \(service) is being made", at: now)
    }
    let needed = plan.steps.first.map { neededInstances($0) } ?? 1
    guard ready(candidate) >= max(1, needed) else {
      return status.say(
        .waiting, .noInstances,
        "\(candidate) has \(ready(candidate)) of \(max(1, needed)) instances; start it with `apus run --service "
          + "\(spec.service) --version \(candidate)`", at: now)
    }
    if let closed = closedGate(.start) {
      if let refusal = closed.refusal { return rollBack(.gateRefused, refusal) }
      return status.say(.waiting, .gateClosed, closed.message, at: now)
    }
    let time = Int(now)
    let instances = ready(status.stableVersion)
    status.release?.startedAt = time
    status.release?.instances = instances
    enter(0)
  }

  /// Instances of the candidate that a step asks for.
  private func neededInstances(_ step: RolloutPlan.Step) -> Int {
    guard let share = step.needsInstances else { return 0 }
    let started = status.release.map { $0.startedAt > 0 ? $0.instances : 0 } ?? 0
    let all = spec.rolling?.instances ?? max(1, started, started == 0 ? ready(status.stableVersion) : 0)
    return max(1, (all * share + 99) / 100)
  }

  private mutating func enter(_ index: Int) {
    guard plan.steps.indices.contains(index) else { return }
    let step = plan.steps[index]
    if step.weight == 100, status.weight < 100 { keepBaseline() }
    let time = Int(now)
    status.release?.step = index
    status.release?.stepName = step.name
    status.release?.stepStartedAt = time
    status.release?.deadlineFrom = time
    status.release?.busyAt = time
    status.weight = step.weight
    let position = "step \(index + 1) of \(plan.steps.count)"
    status.note("\(position): \(step.name), \(status.candidateVersion ?? "") at \(step.weight)%", at: now)
    status.say(.progressing, .stepTime, "\(position), \(step.name)", at: now)
  }

  /// What the stable version did is kept, since it will not do it beside the candidate any more.
  private mutating func keepBaseline() {
    let seen = memory.total.stable
    guard seen.requests >= 100 else { return }
    var baseline = RolloutStatus.Baseline()
    baseline.requests = Int(clamping: seen.requests)
    baseline.failures = Int(clamping: seen.failures)
    if let quantile = plan.analysis?.effectiveLatency?.quantile.value {
      baseline.latencyMs = seen.latency.quantile(quantile / 100).map { Amount($0 / 1e6) }
    }
    status.release?.baseline = baseline
  }

  // MARK: Looking

  private mutating func takeCounts(_ step: RolloutPlan.Step) {
    var seen = input.observation
    let audience = seen.candidate.filter { $0.key.hasPrefix(RouteEditor.audiencePrefix) }
    seen.candidate = seen.candidate.filter { !$0.key.hasPrefix(RouteEditor.audiencePrefix) }
    if plan.countsAudience { seen.candidate = ["": Observation.sum(audience)] }
    // Who calls the candidate past the route does so to try it out.
    if step.weight == 0, !plan.countsAudience { seen.candidate = [:] }
    let stable = Observation.sum(seen.stable)
    if stable.requests > 0 {
      let time = Int(now)
      status.release?.busyAt = time
    }
    let seconds = Double(max(1, input.observedMilliseconds)) / 1000
    let share = min(1, seconds / 5)
    // The first figure is taken as it is: from nothing upwards it would be too low for ten seconds.
    func moved(_ rate: Double, _ requests: UInt64) -> Double {
      let fresh = Double(requests) / seconds
      return rate == 0 ? fresh : rate + (fresh - rate) * share
    }
    memory.stableRate = moved(memory.stableRate, stable.requests)
    memory.candidateRate = moved(memory.candidateRate, Observation.sum(seen.candidate).requests)
    if let judge {
      judge.take(seen, into: &status.checks, memory: &memory)
    } else {
      memory.seen["", default: ReleaseMemory.Pair()].candidate.add(Observation.sum(seen.candidate))
      memory.seen[""]?.stable.add(stable)
    }
  }

  private mutating func takeMetrics() {
    for metric in plan.analysis?.metrics ?? [] {
      guard let answer = input.metrics[metric.name],
        let index = status.checks.firstIndex(where: { $0.name == metric.name && $0.against.isEmpty })
      else { continue }
      status.checks[index].take(answer, metric)
    }
  }

  /// Why the candidate must go.
  private func failure(_ step: RolloutPlan.Step, _ candidate: String) -> (reason: RolloutReason, message: String)? {
    if ready(candidate) == 0, status.weight > 0 || !step.audience.isEmpty, ready(status.stableVersion) > 0 {
      return (.candidateGone, "\(candidate) has no instance any more that could be given traffic")
    }
    guard let check = status.checks.first(where: { $0.verdict == .failed }) else { return nil }
    let place = check.rule.isEmpty ? "" : " in rule \(check.rule)"
    let isMetric = check.against.isEmpty
    let message =
      "\(check.name)\(place): \(candidate) has \(check.candidateValue.shortText), \(status.stableVersion) "
      + "\(check.stableValue.shortText) (limit \(check.limit))"
    return (isMetric ? .metricFailed : .checkFailed, message)
  }

  // MARK: Staying or going on

  private mutating func obstacle(_ step: RolloutPlan.Step, _ release: RolloutStatus.Release) -> Obstacle? {
    let left = step.milliseconds - (now - Int64(release.stepStartedAt))
    if left > 0 {
      let isReturn = step.weight == 100 && step.drainMilliseconds == nil
      let what = isReturn ? "the way back is open for" : "\(step.name) for"
      return Obstacle(
        reason: isReturn ? .returnWindow : .stepTime, message: "\(what) \(Self.seconds(left)) more", isOverdue: false)
    }
    if let drain = step.drainMilliseconds, now - Int64(release.busyAt) < drain {
      return Obstacle(
        reason: .draining,
        message: "\(status.stableVersion) still had requests \(Self.seconds(now - Int64(release.busyAt))) ago")
    }
    if let found = evidenceObstacle(step) { return found }
    let next = release.step + 1 < plan.steps.count ? plan.steps[release.step + 1] : nil
    if let next, let candidate = status.candidateVersion, ready(candidate) < neededInstances(next) {
      return Obstacle(
        reason: .moreInstances, message: "\(ready(candidate)) of \(neededInstances(next)) instances of \(candidate)")
    }
    if step.isManual {
      return Obstacle(
        reason: .manualStep, message: "\(step.name): `apus rollout promote \(input.name)` goes on", isOverdue: false,
        phase: .paused)
    }
    guard step.weight < 100, let moment = moment(before: next), let closed = closedGate(moment) else { return nil }
    return Obstacle(reason: closed.refusal == nil ? .gateClosed : .gateRefused, message: closed.message)
  }

  private func evidenceObstacle(_ step: RolloutPlan.Step) -> Obstacle? {
    guard let analysis = plan.analysis else { return nil }
    let counted = status.checks.filter { $0.rule.isEmpty && !$0.against.isEmpty }
    if step.needsSamples, let least = counted.map(\.candidateCount).min(), least < analysis.minSamples {
      return Obstacle(
        reason: .moreSamples, message: "\(least) of \(analysis.minSamples) requests to \(status.candidateVersion ?? "")"
      )
    }
    guard step.needsVerdict, let open = status.checks.first(where: { $0.isNeeded && $0.verdict != .passed }) else {
      return nil
    }
    return Obstacle(
      reason: .moreEvidence,
      message: "\(open.name) is undecided: \(open.candidateValue.shortText) against \(open.stableValue.shortText) "
        + "(limit \(open.limit))")
  }

  /// Whom to ask before what comes next.
  private func moment(before next: RolloutPlan.Step?) -> RolloutGate.Moment? {
    guard let next else { return plan.ending == .promote ? .promotion : nil }
    return next.weight == 100 ? .promotion : .step
  }

  /// The first gate of the moment that is not open. All of them are put down to be asked.
  private mutating func closedGate(_ moment: RolloutGate.Moment) -> (message: String, refusal: String?)? {
    let gates = spec.gates.filter { $0.at == moment }
    let answers = gates.map { input.gates[$0.name] }
    if gates.isEmpty || answers.allSatisfy({ $0 == .open }) { return nil }
    output.gates = gates
    for (gate, answer) in zip(gates, answers) {
      switch answer {
      case .open: continue
      case .none: return ("gate \(gate.name) is being asked", nil)
      case .closed(let why): return ("gate \(gate.name) is closed: \(why)", nil)
      case .refused(let why):
        let message = "gate \(gate.name) says no: \(why)"
        return (message, gate.onRefusal == .rollBack ? message : nil)
      }
    }
    return nil
  }

  private mutating func leave() {
    guard let release = status.release else { return }
    if release.step + 1 < plan.steps.count { return enter(release.step + 1) }
    finish()
  }

  private mutating func finish() {
    switch plan.ending {
    case .promote: promote(.promoted)
    case .leave:
      status.settledVersion = status.candidateVersion
      status.settledPlan = spec.planDigest
      endRelease()
      status.say(.idle, .shadowEnded, "\(status.stableVersion) serves; the copies have ended", at: now)
    }
  }

  // MARK: Deadlines

  private func isOverdue(_ step: RolloutPlan.Step, _ release: RolloutStatus.Release) -> Bool {
    let begin = max(Int64(release.stepStartedAt) + step.milliseconds, Int64(release.deadlineFrom))
    return now - begin > (spec.progressDeadline?.milliseconds ?? 600_000)
  }

  private mutating func giveUp(_ obstacle: Obstacle) {
    if obstacle.reason == .gateRefused { return rollBack(.gateRefused, obstacle.message) }
    switch spec.onInconclusive {
    case .pause:
      status.release?.isPaused = true
      status.say(
        .paused, .inconclusive, "\(obstacle.message), and the time is up; promote, resume or abort", at: now)
    case .rollBack: rollBack(.deadlinePassed, "\(obstacle.message), and the time is up")
    case .promote: leave()
    }
  }

  /// A step that a person ends.
  mutating func leaveByPerson(full: Bool) {
    status.release?.isPaused = false
    guard !full, let release = status.release, release.step + 1 < plan.steps.count else {
      return promote(.promotedByPerson)
    }
    status.note("a person promotes", at: now)
    enter(release.step + 1)
  }

  static func seconds(_ milliseconds: Int64) -> String { "\((max(0, milliseconds) + 999) / 1000)s" }
}

extension CheckState {
  /// Takes a metric's figures in.
  mutating func take(_ answer: MetricAnswer, _ metric: MetricCheck) {
    candidateValue = answer.candidate.map { Amount($0) }
    stableValue = answer.stable.map { Amount($0) }
    guard let value = answer.candidate, value.isFinite else {
      verdict = .undecided
      return
    }
    var isGood = value >= metric.min?.value ?? -.infinity && value <= metric.max?.value ?? .infinity
    if let ratio = metric.maxRatio {
      guard let stable = answer.stable, stable.isFinite else {
        verdict = .undecided
        return
      }
      isGood = isGood && value <= stable * ratio.value
    }
    misses = isGood ? 0 : misses + 1
    verdict = isGood ? .passed : misses >= metric.failures ? .failed : .undecided
    progress = isGood ? 100 : -min(100, misses * 100 / max(1, metric.failures))
  }
}

extension Amount? {
  /// Two decimals at most; `-` where there is none.
  var shortText: String {
    guard let value = self?.value, abs(value) < 1e12 else { return "-" }
    let hundredths = Int((abs(value) * 100).rounded())
    let rest = hundredths % 100
    let decimals = rest == 0 ? "" : rest % 10 == 0 ? ".\(rest / 10)" : rest < 10 ? ".0\(rest)" : ".\(rest)"
    return "\(value < 0 && hundredths > 0 ? "-" : "")\(hundredths / 100)\(decimals)"
  }
}
