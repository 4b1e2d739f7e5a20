internal import MeshPolicy
internal import MeshProxy
internal import MeshReactor
internal import MeshWire

/// One simulation: a kernel, two proxies, clients and applications, and the rules that must hold.
final class World {
  let kernel: SimulatedKernel
  let ledger = Ledger()
  let mesh: Mesh
  private(set) var clients: [() -> Bool] = []
  var actors: [Actor] = []
  /// Clients of undeclared ports, whose delays are looked at in the end: those that are greeted, and those that begin.
  var greeted: PunctualClient?
  var beginning: PunctualClient?
  private(set) var steps = 0
  private var idleTurns = 0
  private var idleSecond: UInt64 = 0
  private(set) var mostHeld = 0
  /// Requests of a storm of retries that succeeded before it was over.
  var goodInTime = 0

  /// Turns of a loop without any effect in one virtual second; timers alone may cause one a tick.
  static let idleTurnsPerSecond = 3000
  static let stepLimit = 20_000_000
  /// Everything has an end by then.
  static let patience: UInt64 = 1_500_000_000_000
  /// What an idle connection may still take to close.
  static let quiet: UInt64 = 4_000_000_000_000
  /// Waiting at one connection or stream: a window between proxies, or the high-water mark and one more read.
  static let mostHeldBytes = 4_600_000

  init(
    _ kernel: SimulatedKernel, link: Link, credentials: SimulationCredentials?, applications: Int,
    speaks: AppProtocol, policy: TrafficPolicyConfig?
  ) throws {
    self.kernel = kernel
    mesh = try Mesh(
      kernel, link, credentials: credentials, applications: applications, speaks: speaks, policy: policy)
    kernel.misuse = { [ledger] in ledger.violate($0) }
  }

  /// A client takes part; the world goes on until all of them are done.
  func add(_ client: Actor, isDone: @escaping () -> Bool) {
    actors.append(client)
    clients.append(isDone)
    client.wake()
  }

  func add(_ application: Actor) { actors.append(application) }

  /// Runs until all clients are done, and on until nothing is left.
  func run() {
    let deadline = kernel.now + Self.patience
    while !areClientsDone {
      guard kernel.now < deadline, steps < Self.stepLimit, ledger.violations.isEmpty else {
        if ledger.violations.isEmpty { ledger.violate("no end after \(steps) steps: \(describeWaiting())") }
        return
      }
      step()
    }
    let quiet = kernel.now + Self.quiet
    while !isQuiet, kernel.now < quiet, ledger.violations.isEmpty { step() }
    checkQuiet()
  }

  var areClientsDone: Bool { clients.allSatisfy { $0() } }

  private var isQuiet: Bool { figures.allSatisfy { $0.downstreamConnections == 0 && $0.upstreamConnections == 0 } }

  private var figures: [WorkerFigures] { [mesh.client.figures, mesh.server.figures] }

  // MARK: Steps

  /// One turn of a worker, one act of an actor, or a jump to what comes next.
  func step() {
    steps += 1
    kernel.runDue()
    let workers = [mesh.client, mesh.server].filter(isReady)
    let choices = workers.count + kernel.runnable.count
    guard choices > 0 else { return jump() }
    kernel.pass(UInt64(kernel.random.pick(2000)) + 1)
    let choice = kernel.random.pick(choices)
    if choice < workers.count { return turn(workers[choice]) }
    let actor = kernel.runnable.remove(at: choice - workers.count)
    actor.isRunnable = false
    actor.act()
  }

  private func isReady(_ worker: Worker) -> Bool {
    if let epoll = kernel.epoll(worker.epoll), !epoll.listed.isEmpty { return true }
    return wakeTime(worker) <= kernel.now
  }

  private func wakeTime(_ worker: Worker) -> UInt64 {
    worker.now + UInt64(max(1, worker.timers.millisecondsToNext(limit: 1000))) * 1_000_000
  }

  private func jump() {
    let times = [mesh.client, mesh.server].map(wakeTime) + [kernel.nextEvent ?? .max]
    kernel.jump(to: times.min() ?? kernel.now)
  }

  private func turn(_ worker: Worker) {
    kernel.note(worker === mesh.client ? "client proxy" : "server proxy")
    let before = kernel.work
    kernel.calls = 0
    worker.turn(limitMilliseconds: 1000)
    let second = kernel.now / 1_000_000_000
    if second != idleSecond {
      idleSecond = second
      idleTurns = 0
    }
    if kernel.work == before { idleTurns += 1 }
    if idleTurns > Self.idleTurnsPerSecond { ledger.violate("a loop turns for nothing") }
    if steps % 64 == 0 { checkMemory(worker) }
  }

  private func checkMemory(_ worker: Worker) {
    let held = worker.figures.mostHeldBytes
    mostHeld = max(mostHeld, held)
    if held > Self.mostHeldBytes { ledger.violate("\(held) bytes wait at one place") }
  }

  // MARK: Rules at the end

  private func checkQuiet() {
    for id in ledger.unanswered { ledger.violate("request \(id) never ended") }
    for (name, figures) in zip(["client", "server"], figures) {
      var expected = WorkerFigures()
      expected.endpoints = figures.endpoints
      expected.mostHeldBytes = figures.mostHeldBytes
      if figures != expected { ledger.violate("left over at the \(name)'s proxy: \(figures)") }
    }
  }

  /// What has not come to an end, for people.
  private func describeWaiting() -> String {
    "requests \(ledger.unanswered.prefix(5)), client's proxy \(mesh.client.figures), server's \(mesh.server.figures)"
  }
}
