/// A strategy as steps: what all strategies have in common, so that one machine carries them all out.
package struct RolloutPlan: Sendable, Equatable {
  /// One station of a release.
  package struct Step: Sendable, Equatable {
    /// For people: `25%`, `preview`, `switched`.
    package var name: String
    /// The candidate's share, per cent.
    package var weight: Int
    /// The least time.
    package var milliseconds: Int64 = 0
    /// Whether it lasts until a person promotes.
    package var isManual = false
    /// Whether the analysis must speak for the candidate before it ends.
    package var needsVerdict = false
    /// Whether enough requests must have been seen before it ends.
    package var needsSamples = false
    package var audience: [Audience] = []
    package var mirrorPercent: Int?
    /// Share of the instances, per cent, that must be there before traffic comes.
    package var needsInstances: Int?
    /// How long the old version must have been without requests.
    package var drainMilliseconds: Int64?

    package init(name: String, weight: Int) {
      self.name = name
      self.weight = weight
    }
  }

  /// What becomes of the release after the last step.
  package enum Ending: Sendable, Equatable {
    /// The candidate is the stable version from then on.
    case promote
    /// The stable version stays.
    case leave
  }

  package var strategy: String
  package var steps: [Step]
  package var ending = Ending.promote
  /// nil: nothing is judged.
  package var analysis: RolloutAnalysis?
  /// Whether the audience's requests are the candidate's figures (an A/B test); else they are left out.
  package var countsAudience = false
  package var previewService: String?

  /// The plan of a rollout.
  package init(_ spec: RolloutSpec) {
    let judged = spec.analysis ?? RolloutAnalysis()
    if let blueGreen = spec.blueGreen {
      strategy = "blueGreen"
      steps = Self.steps(blueGreen)
      analysis = judged
      previewService = blueGreen.previewService
    } else if let test = spec.abTest {
      strategy = "abTest"
      steps = Self.steps(test)
      analysis = judged
      countsAudience = true
    } else if let shadow = spec.shadow {
      strategy = "shadow"
      steps = Self.steps(shadow)
      ending = .leave
      analysis = nil
    } else if let rolling = spec.rolling {
      strategy = "rolling"
      steps = Self.steps(rolling, isJudged: spec.analysis != nil)
      analysis = spec.analysis
    } else {
      let canary = spec.canary ?? CanaryStrategy()
      strategy = "canary"
      steps = Self.steps(canary)
      analysis = judged
    }
    if analysis?.mode == .off { analysis = nil }
    if analysis == nil {
      for index in steps.indices { (steps[index].needsVerdict, steps[index].needsSamples) = (false, false) }
    }
  }

  private static func steps(_ canary: CanaryStrategy) -> [Step] {
    var steps = canary.effectiveSteps.map { given in
      var step = Step(name: "\(given.weight)%", weight: given.weight)
      step.milliseconds = given.pause?.milliseconds ?? 0
      step.isManual = given.manual
      step.audience = canary.testers
      step.needsSamples = given.weight > 0
      return step
    }
    // What has all the traffic cannot be compared any more: the verdict is due before that.
    if let last = steps.lastIndex(where: { $0.weight > 0 && $0.weight < 100 }) { steps[last].needsVerdict = true }
    return steps
  }

  private static func steps(_ blueGreen: BlueGreenStrategy) -> [Step] {
    var preview = Step(name: "preview", weight: 0)
    preview.milliseconds = blueGreen.previewFor?.milliseconds ?? 0
    preview.isManual = !blueGreen.autoPromote
    var switched = Step(name: "switched", weight: 100)
    switched.milliseconds = blueGreen.returnWindow?.milliseconds ?? 600_000
    return [preview, switched]
  }

  private static func steps(_ test: ABTestStrategy) -> [Step] {
    var step = Step(name: "test", weight: 0)
    step.milliseconds = test.duration?.milliseconds ?? 3_600_000
    step.isManual = !test.autoPromote
    step.needsVerdict = test.autoPromote
    step.needsSamples = test.autoPromote
    step.audience = test.audience
    return [step]
  }

  private static func steps(_ shadow: ShadowStrategy) -> [Step] {
    var step = Step(name: "shadow", weight: 0)
    step.milliseconds = shadow.duration?.milliseconds ?? 600_000
    step.mirrorPercent = shadow.percent
    return [step]
  }

  private static func steps(_ rolling: RollingStrategy, isJudged: Bool) -> [Step] {
    var weights: [Int] = []
    var weight = rolling.batchPercent
    while weight < 100 {
      weights.append(weight)
      weight += rolling.batchPercent
    }
    var steps = weights.map { weight in
      var step = Step(name: "\(weight)%", weight: weight)
      step.needsInstances = weight
      step.needsSamples = isJudged
      return step
    }
    if let last = steps.indices.last { steps[last].needsVerdict = isJudged }
    var drain = Step(name: "drain", weight: 100)
    drain.needsInstances = 100
    drain.drainMilliseconds = rolling.drain?.milliseconds ?? 30_000
    return steps + [drain]
  }
}

extension RolloutSpec {
  /// Names all that decides how a release goes; one whose plan changes begins again. Versions, gates and deadlines may
  /// change meanwhile.
  package var planDigest: String {
    let members = (written?.members ?? []).filter {
      !["version", "gates", "onInconclusive", "progressDeadline"].contains($0.name)
    }
    return ContentHash.hex(of: Array(Value.object(members).json(sorted: true).utf8))
  }
}
