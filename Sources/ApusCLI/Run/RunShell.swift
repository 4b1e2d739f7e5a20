import ApusHTTP
import CApusSystem
import Glibc

/// Does what `RunMachine` decides: starts the processes, hears the signals, waits. Runs on the main thread.
struct RunShell: ~Copyable {
  private let sidecar: Sidecar
  private let command: [String]
  private let commandFile: String
  private let context: CLIContext
  private let signals: Int32
  private var machine: RunMachine
  private var timers: [RunMachine.Timer: ContinuousClock.Instant] = [:]
  private var sidecarProcess: Int32 = 0
  private var applicationProcess: Int32 = 0
  private var ports: Sidecar.Ports?
  /// The read end of the pipe on which the sidecar reports; -1 when there is none.
  private var ready: Int32 = -1
  private var readyText: [UInt8] = []

  /// - Parameter signals: from `apus_signals_open`.
  init(
    sidecar: Sidecar, command: [String], commandFile: String, context: CLIContext, signals: Int32,
    limits: RunMachine.Limits
  ) {
    self.sidecar = sidecar
    self.command = command
    self.commandFile = commandFile
    self.context = context
    self.signals = signals
    machine = RunMachine(limits: limits)
  }

  deinit {
    if ready >= 0 { close(ready) }
  }

  /// Runs to the end.
  /// - Returns: the exit status, the application's.
  mutating func run() throws(CLIFailure) -> Int32 {
    var outcome = try perform(machine.start())
    while outcome == nil {
      for event in wait() {
        outcome = try perform(machine.handle(event))
        if outcome != nil { break }
      }
    }
    return outcome ?? 0
  }

  /// Waits for the next events: signals, ended children, the sidecar's report, timers.
  private mutating func wait() -> [RunMachine.Event] {
    var descriptors = [pollfd(fd: signals, events: Int16(POLLIN), revents: 0)]
    if ready >= 0 { descriptors.append(pollfd(fd: ready, events: Int16(POLLIN), revents: 0)) }
    let left = timers.values.min().map { max(.zero, $0 - .now) }
    // A millisecond more than is left, so that a timer has run out when the wait ends.
    let count = poll(&descriptors, nfds_t(descriptors.count), left.map { $0.wholeMilliseconds + 1 } ?? -1)
    var events: [RunMachine.Event] = []
    if count > 0, descriptors.count > 1, descriptors[1].revents != 0 { events += readReport() }
    events += readSignals()
    let now = ContinuousClock.now
    for timer in RunMachine.Timer.allCases where timers[timer].map({ $0 <= now }) == true {
      timers[timer] = nil
      events.append(.timer(timer))
    }
    return events
  }

  private mutating func readSignals() -> [RunMachine.Event] {
    var events: [RunMachine.Event] = []
    var fromTerminal: Int32 = 0
    while case let signal = apus_signals_next(signals, &fromTerminal), signal != 0 {
      if signal != SIGCHLD { events.append(.signal(signal, reachedAll: fromTerminal == 1)) }
    }
    var status: Int32 = 0
    while case let process = apus_reap(&status), process != 0 {
      if process == sidecarProcess {
        // What it reported before it ended comes first.
        if ready >= 0 { events += readReport() }
        sidecarProcess = 0
        events.append(.sidecarExited(status))
      } else if process == applicationProcess {
        applicationProcess = 0
        events.append(.applicationExited(status))
      }
    }
    return events
  }

  private mutating func readReport() -> [RunMachine.Event] {
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = read(ready, &buffer, buffer.count)
    if count > 0 { readyText += buffer[..<count] }
    if let end = readyText.firstIndex(of: 0x0A), let reported = Sidecar.Ports(Array(readyText[..<end])) {
      ports = reported
      closeReport()
      return [.sidecarReady]
    }
    if count <= 0 || readyText.count > 4096 { closeReport() }
    return []
  }

  private mutating func closeReport() {
    if ready >= 0 { close(ready) }
    ready = -1
    readyText = []
  }

  /// - Returns: the exit status when the machine has come to its end.
  private mutating func perform(_ actions: [RunMachine.Action]) throws(CLIFailure) -> Int32? {
    for action in actions {
      switch action {
      case .startSidecar: try startSidecar()
      case .startApplication: try startApplication()
      case .signalSidecar(let signal): if sidecarProcess > 0 { kill(sidecarProcess, signal) }
      case .signalApplication(let signal): if applicationProcess > 0 { kill(applicationProcess, signal) }
      case .arm(let timer, let duration): timers[timer] = .now + duration
      case .disarm(let timer): timers[timer] = nil
      case .lookForListener: lookForListener()
      case .note(let text): context.errors.write("apus: \(text)\n")
      case .exit(let status): return status
      case .fail(let text):
        var hint = "its words are above"
        if case .file(let path) = sidecar.log { hint = "all of its words are in \(path)" }
        throw CLIFailure(.failed, text, details: sidecar.logTail(), hint: hint)
      }
    }
    return nil
  }

  private func lookForListener() {
    do throws(HTTPFailure) {
      let address = HTTPAddress(host: "127.0.0.1", port: sidecar.plan.port)
      _ = try Socket.connect(to: address, timeout: .seconds(1))
    } catch {
      context.errors.write("apus: \(sidecar.plan.silence)\n")
    }
  }

  private mutating func startSidecar() throws(CLIFailure) {
    closeReport()
    let log = try sidecar.openLog()
    defer { if log.isOwned { close(log.descriptor) } }
    var report: Int32 = -1
    let result = apus_pipe(&ready, &report)
    guard result == 0 else {
      throw CLIFailure(.failed, "cannot make a pipe for the proxy: \(SystemText.of(result))")
    }
    defer { close(report) }
    let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
    defer { if nothing >= 0 { close(nothing) } }
    let child = ChildProcess(
      path: sidecar.program, arguments: sidecar.arguments(ports: ports),
      environment: Sidecar.environment(context.environment),
      descriptors: [0: nothing, 1: log.descriptor, 2: log.descriptor, Sidecar.readyDescriptor: report],
      hasOwnGroup: true)
    sidecarProcess = try child.start()
  }

  private mutating func startApplication() throws(CLIFailure) {
    guard let ports else { return }
    let child = ChildProcess(
      path: commandFile, arguments: Array(command.dropFirst()),
      environment: sidecar.plan.applicationEnvironment(
        context.environment, forwardPort: ports.forward, adminPort: ports.admin))
    do {
      applicationProcess = try child.start()
    } catch {
      if sidecarProcess > 0 { kill(sidecarProcess, SIGTERM) }
      throw error
    }
  }
}
