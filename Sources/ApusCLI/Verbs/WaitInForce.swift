import ApusHTTP
import ArgumentParser
import MeshControl

/// Whether a verb that changes the mesh returns only when the proxies have the change in force.
struct WaitOptions: ParsableArguments {
  @Flag(help: "Return when every connected proxy has it in force.")
  var wait = false

  @Option(help: ArgumentHelp("How long --wait waits, 1 to 3600.", valueName: "seconds"))
  var waitSeconds = 30

  func validate() throws {
    guard (1...3600).contains(waitSeconds) else { throw ValidationError("--wait-seconds is from 1 to 3600") }
  }
}

/// How the proxies stand towards one version of the store.
struct ForceReport: Equatable {
  /// What a proxy has done with it.
  enum Standing: String, Equatable {
    /// It has everything in force.
    case taken
    /// It has answered everything and refused a part, now or before.
    case refused
    /// It has not answered yet.
    case waiting
    /// It is not connected, and goes on with what it has.
    case disconnected
  }

  struct Proxy: Equatable {
    var id: String
    var standing: Standing
    /// The proxy's words, where it refused.
    var message: String?
  }

  var proxies: [Proxy]
  /// Whether nobody is waited for any more.
  var isComplete: Bool

  func ids(_ standing: Standing) -> [String] { proxies.filter { $0.standing == standing }.map(\.id) }

  var value: Value {
    .list(
      proxies.map { proxy in
        .object(
          [.init("id", .string(proxy.id)), .init("standing", .string(proxy.standing.rawValue))]
            + (proxy.message.map { [.init("message", .string($0))] } ?? []))
      })
  }
}

/// Follows a change until the proxies that were connected when it was compiled have it in force.
struct ForceWatch {
  /// Of the store; what is waited for.
  let version: UInt64
  /// The revision of the configuration that has it; nil: it is not compiled yet.
  private var revision: UInt64?
  /// The proxies that are waited for: later ones begin with the change.
  private var concerned: Set<String> = []

  init(version: UInt64) { self.version = version }

  /// Takes an answer of the API about all proxies.
  mutating func take(_ answer: Value) -> ForceReport {
    let items = answer["items"]?.elements ?? []
    guard let now = answer["revision"]?.unsigned, let reached = answer["resourceVersion"]?.unsigned, reached >= version
    else { return ForceReport(proxies: items.map { Self.proxy($0, .waiting) }, isComplete: false) }
    if revision == nil { concerned = Set(items.compactMap { $0["id"]?.text }) }
    // Where the control plane has started anew, its revisions have as well.
    let wanted = min(revision ?? now, now)
    revision = wanted
    let proxies = items.filter { concerned.contains($0["id"]?.text ?? "") }.map { item in
      if item["status"]?.text == ProxyStatus.State.disconnected.rawValue { return Self.proxy(item, .disconnected) }
      guard (item["takenRevision"]?.unsigned ?? 0) >= wanted else { return Self.proxy(item, .waiting) }
      return Self.proxy(item, item["nack"]?["message"]?.text == nil ? .taken : .refused)
    }
    return ForceReport(proxies: proxies, isComplete: proxies.allSatisfy { $0.standing != .waiting })
  }

  private static func proxy(_ item: Value, _ standing: ForceReport.Standing) -> ForceReport.Proxy {
    let message = standing == .refused ? item["nack"]?["message"]?.text : nil
    return ForceReport.Proxy(id: item["id"]?.text ?? "", standing: standing, message: message)
  }
}

extension WaitOptions {
  /// The longest pause between two looks.
  private static let longestPause = Duration.milliseconds(250)

  /// Waits until the version is in force, or the time is over.
  func report(on version: UInt64, _ client: inout APIClient) throws(CLIFailure) -> ForceReport {
    let end = ContinuousClock.now + .seconds(waitSeconds)
    var watch = ForceWatch(version: version)
    var pause = Duration.milliseconds(10)
    while true {
      let report = watch.take(try client.call("GET", "/apis/apus.dev/v1/proxies"))
      if report.isComplete || ContinuousClock.now >= end { return report }
      Pause.sleep(pause)
      pause = min(pause * 2, Self.longestPause)
    }
  }

  /// Says on standard error who has not taken it; the failure where that is one.
  func failure(_ report: ForceReport, _ context: CLIContext) -> CLIFailure? {
    let gone = report.ids(.disconnected)
    if !gone.isEmpty {
      context.errors.write(
        "warning: not connected, and going on with what they have: \(gone.joined(separator: ", "))\n")
    }
    let refused = report.proxies.filter { $0.standing == .refused }.map { "\($0.id) refused: \($0.message ?? "")" }
    guard report.isComplete else {
      let waiting = report.ids(.waiting)
      return CLIFailure(
        .notInForce, "stored, but not in force everywhere after \(waitSeconds) s",
        details: waiting.map { "\($0) has not acknowledged it" } + refused,
        hint: "proxies take it as soon as they can; see `apus proxy-status`")
    }
    guard refused.isEmpty else {
      return CLIFailure(
        .notInForce, "stored, but a proxy goes on without a part of it", details: refused,
        hint: "what was refused stays as it was there; mend the object and apply it again")
    }
    return nil
  }

  static func sentence(_ report: ForceReport) -> String {
    let count = report.ids(.taken).count
    return count == 1 ? "in force at 1 proxy\n" : "in force at \(count) proxies\n"
  }
}

extension Value {
  /// The whole number, written as a number or in a string.
  var unsigned: UInt64? { scalarText.flatMap { UInt64($0) } }
}
