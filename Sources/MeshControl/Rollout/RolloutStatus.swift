/// How a rollout fares: what the control plane has to remember, and what people want to see. It is the object's `status`;
/// a control plane that starts anew goes on from it. Times are milliseconds since 1970.
package struct RolloutStatus: FieldObject, Equatable {
  package enum Phase: String, FieldEnum {
    /// The wanted version serves; there is nothing to do.
    case idle = "Idle"
    /// A release is due and something that it needs is not there yet.
    case waiting = "Waiting"
    case progressing = "Progressing"
    /// Stands still until a person promotes, resumes or aborts. Rollbacks still happen.
    case paused = "Paused"
    /// The candidate was taken back. It stays so until the version or the strategy changes, or a person retries.
    case rolledBack = "RolledBack"
    /// Somebody else has changed what the rollout writes, or it cannot write: nothing is touched until a person resumes
    /// or aborts, or the rollout changes.
    case stopped = "Stopped"
  }

  package var observedGeneration: Int?
  package var phase = Phase.idle
  package var reason = RolloutReason.adopted
  /// For people; one sentence.
  package var message = ""
  /// The version that serves, or served until the release began.
  package var stableVersion = ""
  /// The version that is released, or was taken back.
  package var candidateVersion: String?
  /// A version that is not to be released again by itself: it was taken back, or looked at only.
  package var settledVersion: String?
  /// The plan that it was released by.
  package var settledPlan: String?
  /// Releases that have begun so far.
  package var releaseCount = 0
  /// The candidate's share of the requests, per cent, as written into the route.
  package var weight = 0
  package var release: Release?
  package var route = RouteState()
  package var checks: [CheckState] = []
  /// Of the last release, under way or over.
  package var curve = Curve()
  package var versions: [VersionFigures] = []
  /// The last ones, oldest first.
  package var events: [Event] = []
  package var conditions: [Value] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("observedGeneration", &observedGeneration)
    visitor.field("phase", &phase)
    visitor.field("reason", &reason)
    visitor.field("message", &message)
    visitor.field("stableVersion", &stableVersion)
    visitor.field("candidateVersion", &candidateVersion)
    visitor.field("settledVersion", &settledVersion)
    visitor.field("settledPlan", &settledPlan)
    visitor.field("releaseCount", &releaseCount)
    visitor.field("weight", &weight)
    visitor.field("release", &release)
    visitor.field("route", &route)
    visitor.field("checks", &checks)
    visitor.field("curve", &curve)
    visitor.field("versions", &versions)
    visitor.field("events", &events)
    visitor.field("conditions", &conditions)
  }

  /// How many events are kept.
  static let eventCount = 20

  mutating func note(_ text: String, at milliseconds: Int64) {
    var event = Event()
    event.at = Int(milliseconds)
    event.text = text
    events = Array((events + [event]).suffix(Self.eventCount))
  }

  /// Says why it stands as it does; noted as an event when that is new.
  mutating func say(_ phase: Phase, _ reason: RolloutReason, _ message: String, at milliseconds: Int64) {
    if phase != self.phase || reason != self.reason {
      note("\(phase.rawValue) (\(reason.rawValue)): \(message)", at: milliseconds)
    }
    (self.phase, self.reason, self.message) = (phase, reason, message)
  }

  package struct Event: FieldObject, Equatable {
    package var at = 0
    package var text = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("at", &at)
      visitor.field("text", &text)
    }
  }

  /// A release under way.
  package struct Release: FieldObject, Equatable {
    /// 1 for the first of this rollout.
    package var number = 1
    /// Names the steps that it began with; when they change it begins again.
    package var plan = ""
    package var strategy = ""
    /// From 0; `stepCount` when all are done.
    package var step = 0
    package var stepCount = 0
    package var stepName = ""
    /// 0: it has not begun, something is missing.
    package var startedAt = 0
    package var stepStartedAt = 0
    /// A person has paused it, or a deadline has passed.
    package var isPaused = false
    /// When this step's deadline last began: at its start, or when a person resumed.
    package var deadlineFrom = 0
    /// Instances of the stable version when it began.
    package var instances = 0
    /// When the old version last had requests; for draining.
    package var busyAt = 0
    /// What the stable version did before it lost its traffic.
    package var baseline: Baseline?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("number", &number)
      visitor.field("plan", &plan)
      visitor.field("strategy", &strategy)
      visitor.field("step", &step)
      visitor.field("stepCount", &stepCount)
      visitor.field("stepName", &stepName)
      visitor.field("startedAt", &startedAt)
      visitor.field("stepStartedAt", &stepStartedAt)
      visitor.field("isPaused", &isPaused)
      visitor.field("deadlineFrom", &deadlineFrom)
      visitor.field("instances", &instances)
      visitor.field("busyAt", &busyAt)
      visitor.field("baseline", &baseline)
    }
  }

  /// What is compared with once both versions no longer serve side by side.
  package struct Baseline: FieldObject, Equatable {
    package var requests = 0
    package var failures = 0
    /// At the quantile of the latency check.
    package var latencyMs: Amount?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("requests", &requests)
      visitor.field("failures", &failures)
      visitor.field("latencyMs", &latencyMs)
    }
  }

  /// What of the route is ours, as it was last written and as it is to be: whoever finds something else in the route
  /// knows that somebody else was there. The intention is stored before the route is written, so that a restart between
  /// the two does not take our own hand for another's.
  package struct RouteState: FieldObject, Equatable {
    package var written = ""
    package var intended = ""
    /// Services whose weights are ours.
    package var services: [String] = []

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("written", &written)
      visitor.field("intended", &intended)
      visitor.field("services", &services)
    }
  }

  /// One version's figures, for people.
  package struct VersionFigures: FieldObject, Equatable {
    /// `stable` or `candidate`.
    package var role = ""
    package var version = ""
    package var service = ""
    package var weight = 0
    /// Instances that may be given traffic.
    package var ready = 0
    /// Since the release began.
    package var requests = 0
    package var failures = 0
    /// Over the last seconds.
    package var requestsPerSecond = Amount(0)
    package var p50Ms: Amount?
    package var p95Ms: Amount?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("role", &role)
      visitor.field("version", &version)
      visitor.field("service", &service)
      visitor.field("weight", &weight)
      visitor.field("ready", &ready)
      visitor.field("requests", &requests)
      visitor.field("failures", &failures)
      visitor.field("requestsPerSecond", &requestsPerSecond)
      visitor.field("p50Ms", &p50Ms)
      visitor.field("p95Ms", &p95Ms)
    }
  }
}

/// Why a rollout stands as it does: one word for programs.
package enum RolloutReason: String, FieldEnum {
  case adopted = "Adopted"
  case promoted = "Promoted"
  case promotedByPerson = "PromotedByPerson"
  /// The wanted version was set back to the stable one.
  case withdrawn = "Withdrawn"
  case shadowEnded = "ShadowEnded"
  // What is waited for.
  case serviceMissing = "ServiceMissing"
  case noInstances = "NoInstances"
  case stepTime = "StepTime"
  case moreSamples = "MoreSamples"
  case moreEvidence = "MoreEvidence"
  case gateClosed = "GateClosed"
  case manualStep = "ManualStep"
  case moreInstances = "MoreInstances"
  case draining = "Draining"
  case returnWindow = "ReturnWindow"
  // Why it stands still.
  case pausedByPerson = "PausedByPerson"
  case inconclusive = "Inconclusive"
  // Why it was taken back.
  case checkFailed = "CheckFailed"
  case metricFailed = "MetricFailed"
  case candidateGone = "CandidateGone"
  case gateRefused = "GateRefused"
  case abortedByPerson = "AbortedByPerson"
  case deadlinePassed = "DeadlinePassed"
  // Why nothing is touched.
  case routeEdited = "RouteEdited"
  case routeOwned = "RouteOwned"
  case routeUnusable = "RouteUnusable"
  case routeDeleted = "RouteDeleted"
  case stableUnknown = "StableUnknown"
}
