import MeshTelemetry

// What a person asks of a rollout, and what people are shown.
extension RolloutMachine {
  mutating func carryOut(_ command: RolloutCommand) {
    switch command {
    case .promote(let full): promoteByPerson(full: full)
    case .pause:
      guard let release = status.release, status.phase != .stopped else { return refuse("no release is under way") }
      guard !release.isPaused else { return refuse("the release is paused already") }
      status.release?.isPaused = true
      status.say(.paused, .pausedByPerson, "paused at \(release.stepName); `apus rollout resume` goes on", at: now)
    case .resume: resume()
    case .abort:
      guard status.release != nil else { return refuse("no release is under way") }
      if status.phase == .stopped { takeOver() }
      let version = status.candidateVersion ?? ""
      rollBack(.abortedByPerson, "\(version) was taken back by a person; `apus rollout retry` begins again")
    case .retry:
      guard status.phase == .rolledBack else { return refuse("no version was taken back") }
      (status.settledVersion, status.settledPlan) = (nil, nil)
    }
  }

  private mutating func promoteByPerson(full: Bool) {
    guard let release = status.release else { return refuse("no release is under way") }
    guard status.phase != .stopped else {
      return refuse("the rollout has stopped: \(status.message)")
    }
    guard release.startedAt > 0 else { return refuse("the release has not begun: \(status.message)") }
    leaveByPerson(full: full)
  }

  private mutating func resume() {
    if status.phase == .stopped {
      takeOver()
      return status.note("a person resumes", at: now)
    }
    guard status.release?.isPaused == true else { return refuse("the rollout is not paused") }
    let time = Int(now)
    status.release?.isPaused = false
    status.release?.deadlineFrom = time
    status.say(.progressing, .stepTime, "a person resumes", at: now)
  }

  private mutating func refuse(_ why: String) { output.refusal = why }

  // MARK: For people

  /// Brings figures and conditions up to date.
  mutating func describe() {
    // The last look at a release is the one at which it is over.
    if let release = status.release {
      status.curve.note(release: release.number, status.checks, weight: status.weight, at: now)
    } else if status.curve.points.last.map({ $0.weight != status.weight }) ?? false {
      status.curve.note(release: status.curve.release, status.checks, weight: status.weight, at: now)
    }
    var versions = [figures("stable", status.stableVersion, weight: 100 - status.weight, rate: memory.stableRate)]
    if let candidate = status.candidateVersion {
      versions.append(figures("candidate", candidate, weight: status.weight, rate: memory.candidateRate))
    }
    status.versions = versions
    let isHealthy = status.phase != .rolledBack && status.phase != .stopped
    let previous = status.conditions.first { $0["type"]?.text == "Healthy" }
    let word = isHealthy ? "True" : "False"
    let time =
      previous.flatMap { $0["status"]?.text == word ? $0["lastTransitionTime"]?.text : nil }
      ?? Timestamp(secondsSinceEpoch: now / 1000).rfc3339
    status.conditions = [
      .object([
        .init("type", .string("Healthy")), .init("status", .string(word)),
        .init("reason", .string(status.reason.rawValue)), .init("message", .string(status.message)),
        .init("observedGeneration", .integer(input.generation)), .init("lastTransitionTime", .string(time)),
      ])
    ]
  }

  private func figures(_ role: String, _ version: String, weight: Int, rate: Double) -> RolloutStatus.VersionFigures {
    var figures = RolloutStatus.VersionFigures()
    figures.role = role
    figures.version = version
    figures.service = spec.serviceName(of: version)
    figures.weight = weight
    figures.ready = ready(version)
    guard status.release != nil else { return figures }
    let pair = memory.total
    let counts = role == "stable" ? pair.stable : pair.candidate
    figures.requests = Int(clamping: counts.requests)
    figures.failures = Int(clamping: counts.failures)
    figures.requestsPerSecond = Amount((rate * 10).rounded() / 10)
    figures.p50Ms = counts.latency.quantile(0.5).map { Amount(($0 / 1e4).rounded() / 100) }
    figures.p95Ms = counts.latency.quantile(0.95).map { Amount(($0 / 1e4).rounded() / 100) }
    return figures
  }
}
