import ApusHTTP
import CApusSystem
import Glibc

/// The demo's processes: started in order, started again when they die, stopped in the opposite order.
struct DemoFamily {
  /// One process, and how it is started.
  struct Member {
    var name: String
    var program: String
    var arguments: [String]
    var environment: [String: String]
    /// Whether it is started again when it ends by itself.
    var restarts: Bool
  }

  /// How long a process may take to end before it is killed.
  static let stopLimit = Duration.seconds(10)
  /// The pause before a process that ended is started again.
  static let restartPause = Duration.seconds(2)

  private let signals: Int32
  private let folder: String
  private let errors: any TextOutput
  private var members: [(member: Member, process: Int32)] = []
  /// Names in the order of their first start; one that was started again keeps its place.
  private var order: [String] = []
  private var restarts: [(member: Member, at: ContinuousClock.Instant)] = []
  /// Exit statuses of the members that ended and do not run again.
  private(set) var ended: [String: Int32] = [:]
  /// What happened, in sentences for the person.
  private(set) var notes: [String] = []
  private(set) var isStopping = false

  /// - Parameter signals: from `apus_signals_open`.
  init(signals: Int32, folder: String, errors: any TextOutput) {
    self.signals = signals
    self.folder = folder
    self.errors = errors
  }

  mutating func note(_ text: String) {
    if notes.last != text { notes.append(text) }
  }

  /// Starts a member; what it writes goes to its log.
  mutating func start(_ member: Member) throws(CLIFailure) {
    let log = open(logFile(member.name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard log >= 0 else { throw Files.failure("cannot write \(logFile(member.name))") }
    defer { close(log) }
    let child = ChildProcess(
      path: member.program, arguments: member.arguments, environment: member.environment,
      descriptors: [1: log, 2: log], hasOwnGroup: true)
    members.append((member, try child.start()))
    if !order.contains(member.name) { order.append(member.name) }
  }

  func logFile(_ name: String) -> String { "\(folder)/\(name).log" }

  /// The last lines that a member wrote.
  func logTail(_ name: String) -> [String] {
    guard let content = Files.read(logFile(name)) else { return [] }
    return String(decoding: content.suffix(4096), as: UTF8.self).split(separator: "\n").suffix(5).map(String.init)
  }

  /// Waits for so long, or until it is to stop. Starts again what has ended.
  mutating func wait(_ duration: Duration) {
    let end = ContinuousClock.now + duration
    while !isStopping {
      let next = restarts.map(\.at).min().map { min($0, end) } ?? end
      let left = max(.zero, next - .now)
      var descriptor = pollfd(fd: signals, events: Int16(POLLIN), revents: 0)
      _ = poll(&descriptor, 1, left.wholeMilliseconds + 1)
      takeSignals()
      restartDue()
      if ContinuousClock.now >= end { return }
    }
  }

  private mutating func takeSignals() {
    var fromTerminal: Int32 = 0
    while case let signal = apus_signals_next(signals, &fromTerminal), signal != 0 {
      if [SIGINT, SIGTERM, SIGHUP, SIGQUIT].contains(signal) { isStopping = true }
    }
    var status: Int32 = 0
    while case let process = apus_reap(&status), process != 0 {
      guard let index = members.firstIndex(where: { $0.process == process }) else { continue }
      let member = members.remove(at: index).member
      ended[member.name] = status
      if isStopping { continue }
      let what = "\(member.name) has ended (\(RunMachine.describe(status)))"
      if member.restarts {
        note("\(what); it is started again")
        restarts.append((member, .now + Self.restartPause))
      } else {
        note("\(what); its words are in \(logFile(member.name))")
      }
    }
  }

  private mutating func restartDue() {
    let now = ContinuousClock.now
    let due = restarts.filter { $0.at <= now }.map(\.member)
    restarts.removeAll { $0.at <= now }
    for member in due where !isStopping {
      do throws(CLIFailure) {
        try start(member)
        ended[member.name] = nil
      } catch {
        note(error.what)
      }
    }
  }

  /// Stops all in the opposite order of their first start, and waits for each.
  mutating func stopAll() {
    isStopping = true
    let names = order.reversed().filter { name in members.contains { $0.member.name == name } }
    if !names.isEmpty { errors.write("\nStopping \(names.joined(separator: ", ")) ...\n") }
    for name in names {
      guard let process = members.first(where: { $0.member.name == name })?.process else { continue }
      kill(process, SIGTERM)
      let limit = ContinuousClock.now + Self.stopLimit
      while members.contains(where: { $0.process == process }) {
        if ContinuousClock.now > limit { kill(process, SIGKILL) }
        var descriptor = pollfd(fd: signals, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, 100)
        takeSignals()
      }
    }
  }
}
