/// What `apus run` does when, as a state machine: no clock, no process, no signal of its own.
///
/// The sidecar is up before the application and goes after it. A sidecar that dies is started again, with growing pauses,
/// and the application is left alone. The application's end is the end of all, with its exit status.
package struct RunMachine: ~Copyable {
  /// Waits whose end is told with `Event.timer`.
  package enum Timer: Hashable, CaseIterable {
    /// For the sidecar to become ready.
    case readiness
    /// Before the sidecar is started again.
    case restart
    /// After which a sidecar that has run so long counts as sound.
    case settled
    /// For the sidecar to end, once it was told to.
    case drain
    /// For the application to listen on its port, before it is asked whether it does.
    case listening
  }

  package enum Event: Equatable {
    case sidecarReady
    /// The exit status, or 128 + the signal.
    case sidecarExited(Int32)
    case applicationExited(Int32)
    /// - Parameter reachedAll: whether the terminal sent it to the application too.
    case signal(Int32, reachedAll: Bool)
    case timer(Timer)
  }

  package enum Action: Equatable {
    case startSidecar
    case startApplication
    case signalSidecar(Int32)
    case signalApplication(Int32)
    case arm(Timer, Duration)
    case disarm(Timer)
    /// See whether anything listens on the application's port, and tell the person where nothing does.
    case lookForListener
    /// A sentence for the person.
    case note(String)
    /// Leave with this status: everything has ended.
    case exit(Int32)
    /// Leave without the application ever having run.
    case fail(String)
  }

  /// The bounds of waiting.
  package struct Limits {
    /// For the sidecar to become ready, at each start. It needs a tenth of a second; a machine at its limit, much more.
    package var readiness = Duration.seconds(60)
    /// How often a sidecar that never became ready is started before giving up.
    package var firstAttempts = 3
    /// For the sidecar to end after the application: its own time to drain, and some for the rest.
    package var drain = Duration.seconds(15)
    /// The first pause before a new start; it doubles up to `maxPause`.
    package var firstPause = Duration.milliseconds(100)
    package var maxPause = Duration.seconds(10)
    /// After which an application that serves should listen.
    package var listening = Duration.seconds(10)
    /// How long a sidecar has to be up for the pauses to begin small again.
    package var settled = Duration.seconds(30)

    package init() {}
  }

  private enum State {
    case idle
    /// The application is not started yet.
    case preparing(Sidecar)
    case running(Sidecar)
    /// The sidecar was told to drain and has: the workload leaves, and the application has been asked to end.
    case leaving
    /// Ends with this status when the sidecar has gone.
    case draining(Int32)
    case ended
  }

  private enum Sidecar {
    case starting, ready, waiting
  }

  private let limits: Limits
  private var state = State.idle
  /// Starts since the sidecar was last sound.
  private var attempts = 0

  private static let kill: Int32 = 9
  private static let terminate: Int32 = 15
  /// SIGHUP, SIGINT, SIGQUIT, SIGTERM: asked to end.
  private static let endings: Set<Int32> = [1, 2, 3, 15]

  package init(limits: Limits = Limits()) {
    self.limits = limits
  }

  /// The first actions.
  package mutating func start() -> [Action] {
    state = .preparing(.starting)
    return startSidecar()
  }

  package mutating func handle(_ event: Event) -> [Action] {
    switch state {
    case .idle, .ended: []
    case .preparing(let sidecar): prepare(event, sidecar)
    case .running(let sidecar): run(event, sidecar)
    case .leaving: leave(event)
    case .draining(let status): drain(event, status)
    }
  }

  private mutating func startSidecar() -> [Action] {
    attempts += 1
    return [.startSidecar, .arm(.readiness, limits.readiness)]
  }

  private mutating func prepare(_ event: Event, _ sidecar: Sidecar) -> [Action] {
    switch event {
    case .sidecarReady:
      state = .running(.ready)
      return [
        .disarm(.readiness), .arm(.settled, limits.settled), .startApplication, .arm(.listening, limits.listening),
      ]
    case .sidecarExited(let status):
      guard attempts < limits.firstAttempts else {
        state = .ended
        return [.fail("the proxy did not become ready: \(Self.describe(status))")]
      }
      state = .preparing(.waiting)
      return [.disarm(.readiness), .arm(.restart, pause)]
    case .timer(.restart):
      state = .preparing(.starting)
      return startSidecar()
    case .timer(.readiness):
      state = .ended
      return [.signalSidecar(Self.kill), .fail("the proxy did not become ready in \(limits.readiness)")]
    case .signal(let signal, _) where Self.endings.contains(signal):
      return end(128 + signal, sidecar)
    case .signal, .timer, .applicationExited:
      return []
    }
  }

  private mutating func run(_ event: Event, _ sidecar: Sidecar) -> [Action] {
    switch event {
    case .applicationExited(let status):
      return end(status, sidecar)
    case .signal(let signal, let reachedAll):
      return reachedAll ? [] : [.signalApplication(signal)]
    case .sidecarExited(0):
      // Only a proxy that was told to drain ends so; one that is started again would take it all back.
      state = .leaving
      return [
        .disarm(.readiness), .disarm(.settled), .note("the proxy has drained; the program is asked to end"),
        .signalApplication(Self.terminate),
      ]
    case .sidecarExited(let status):
      state = .running(.waiting)
      return [
        .disarm(.readiness), .disarm(.settled), .arm(.restart, pause),
        .note("the proxy has ended (\(Self.describe(status))); it is started again"),
      ]
    case .timer(.restart):
      state = .running(.starting)
      return startSidecar()
    case .sidecarReady:
      state = .running(.ready)
      return [.disarm(.readiness), .arm(.settled, limits.settled)]
    case .timer(.readiness):
      // It lives and does not become ready: its end is seen as any other, and it is started again.
      return [.signalSidecar(Self.kill)]
    case .timer(.settled):
      attempts = 0
      return []
    case .timer(.listening):
      return [.lookForListener]
    case .timer(.drain):
      return []
    }
  }

  private mutating func leave(_ event: Event) -> [Action] {
    switch event {
    case .applicationExited(let status):
      state = .ended
      return [.exit(status)]
    case .signal(let signal, let reachedAll):
      return reachedAll ? [] : [.signalApplication(signal)]
    default:
      return []
    }
  }

  private mutating func drain(_ event: Event, _ status: Int32) -> [Action] {
    switch event {
    case .sidecarExited:
      state = .ended
      return [.exit(status)]
    case .timer(.drain):
      return [.signalSidecar(Self.kill)]
    case .signal(let signal, _) where Self.endings.contains(signal):
      // Asked a second time: no more waiting.
      return [.signalSidecar(Self.kill)]
    default:
      return []
    }
  }

  /// Ends with this status, after the sidecar.
  private mutating func end(_ status: Int32, _ sidecar: Sidecar) -> [Action] {
    if case .waiting = sidecar {
      state = .ended
      return [.exit(status)]
    }
    state = .draining(status)
    return [.disarm(.readiness), .disarm(.settled), .signalSidecar(Self.terminate), .arm(.drain, limits.drain)]
  }

  /// Doubles with every start, up to the bound.
  private var pause: Duration {
    let doublings = min(max(0, attempts - 1), 16)
    return min(limits.firstPause * (1 << doublings), limits.maxPause)
  }

  /// An exit status in words.
  static func describe(_ status: Int32) -> String {
    status > 128 && status <= 128 + 64 ? "killed by signal \(status - 128)" : "exit status \(status)"
  }
}
