import ApusHTTP
import CApusSystem
import Glibc
import MeshControl

/// `apus up --demo`: the control plane and a small shop as children, each as a person would start it, and a table of how
/// they fare. Ctrl-C stops them in the opposite order.
struct Demo {
  let settings: ControlPlaneSettings
  let ratePerSecond: Int
  let context: CLIContext

  private var folder: String { "\(settings.folder.path)/demo" }

  /// How long the control plane, and then each tier, may take to come up.
  static let startLimit = Duration.seconds(60)

  /// Runs until it is told to stop.
  /// - Returns: the exit status.
  func run() throws(CLIFailure) -> Int32 {
    let program = "\(context.programFolder)/apus"
    let demoProgram = try ProgramSearch(context).demo()
    _ = try ProgramSearch(context).proxy()
    try Files.makePrivateFolder(folder)
    let signals = apus_signals_open()
    guard signals >= 0 else { throw CLIFailure(.failed, "cannot wait for signals: \(SystemText.of(signals))") }
    var family = DemoFamily(signals: signals, folder: folder, errors: context.errors)
    defer { family.stopAll() }
    context.errors.write("Starting the control plane and the shop ...\n")
    try family.start(
      DemoFamily.Member(
        name: "control-plane", program: program, arguments: controlPlaneArguments, environment: context.environment,
        restarts: false))
    try waitForControlPlane(&family)
    if family.isStopping { return ExitStatus.success.rawValue }
    try apply(DemoShop.services + "---\n" + DemoShop.route(stable: 100, canary: 0))
    try Files.writePrivate("\(folder)/canary.yaml", Array(DemoShop.route(stable: 95, canary: 5).utf8))
    try Files.writePrivate("\(folder)/stable.yaml", Array(DemoShop.route(stable: 100, canary: 0).utf8))
    var ports: [String: UInt16] = [:]
    for member in DemoShop.members {
      if !member.calls.isEmpty { try waitForProxies(DemoShop.members.count { $0.calls.isEmpty }, &family) }
      if family.isStopping { return ExitStatus.success.rawValue }
      let port = try FreePort.find()
      ports[member.name] = port
      try family.start(runMember(member, port: port, program: program, demoProgram: demoProgram))
    }
    try waitForProxies(DemoShop.members.count, &family)
    if family.isStopping { return ExitStatus.success.rawValue }
    try family.start(traffic(program: program, demoProgram: demoProgram))
    try show(&family, ports: ports)
    return ExitStatus.success.rawValue
  }

  private var controlPlaneArguments: [String] {
    [
      "control-plane", "--data", settings.folder.path, "--api", settings.api.description, "--xds",
      settings.xds.description, "--trust-domain", settings.trustDomain, "--certificate-lifetime",
      "\(settings.certificateLifetime.components.seconds)",
    ] + (settings.requiresReferenceGrants ? ["--require-reference-grants"] : [])
      + settings.redactedFields.flatMap { ["--redact-header", $0] }
      + (settings.nameServer.map { ["--name-server", $0.description] } ?? [])
  }

  private var runOptions: [String] {
    [
      "--data", settings.folder.path, "--api", settings.api.description, "--xds", settings.xds.description,
      "--drain-seconds", "2",
    ]
  }

  private func runMember(
    _ member: DemoShop.Member, port: UInt16, program: String, demoProgram: String
  ) -> DemoFamily.Member {
    var arguments = ["run", "--service", member.service, "--port", "\(port)"] + runOptions
    if let version = member.version { arguments += ["--version", version] }
    arguments += ["--", demoProgram, "serve", "--name", member.name, "--latency-ms", "\(member.latencyMilliseconds)"]
    for call in member.calls { arguments += ["--call", "http://\(call)/"] }
    return DemoFamily.Member(
      name: member.name, program: program, arguments: arguments, environment: context.environment, restarts: true)
  }

  private func traffic(program: String, demoProgram: String) -> DemoFamily.Member {
    let load = [demoProgram, "load", "--url", "http://front/", "--rate", "\(ratePerSecond)"]
    return DemoFamily.Member(
      name: "traffic", program: program, arguments: ["run", "--service", "traffic"] + runOptions + ["--"] + load,
      environment: context.environment, restarts: true)
  }

  private func client(timeout: Duration = .seconds(5)) -> APIClient {
    APIClient(
      address: settings.api, token: settings.folder.apiToken, tokenFile: settings.folder.apiTokenFile, timeout: timeout)
  }

  private func waitForControlPlane(_ family: inout DemoFamily) throws(CLIFailure) {
    let end = ContinuousClock.now + Self.startLimit
    while !family.isStopping {
      family.wait(.milliseconds(50))
      if let status = family.ended["control-plane"] {
        throw CLIFailure(
          .failed, "the control plane has ended (\(RunMachine.describe(status)))",
          details: family.logTail("control-plane"))
      }
      var client = client(timeout: .seconds(1))
      if let answer = try? client.answer("GET", "/readyz"), answer.status == 200 { return }
      guard ContinuousClock.now < end else {
        throw CLIFailure(
          .unreachable, "the control plane did not become ready in \(Self.startLimit)",
          details: family.logTail("control-plane"), hint: "all of its words are in \(folder)/control-plane.log")
      }
    }
  }

  /// Waits until so many proxies of the shop have taken their configuration. The shop goes on without the late ones.
  private func waitForProxies(_ count: Int, _ family: inout DemoFamily) throws(CLIFailure) {
    let known = Set(DemoShop.members.map(\.service))
    let end = ContinuousClock.now + Self.startLimit
    while !family.isStopping, ContinuousClock.now < end {
      family.wait(.milliseconds(100))
      var client = client()
      let proxies = try client.call("GET", "/apis/apus.dev/v1/proxies")["items"]?.elements ?? []
      let ready = proxies.count { $0["status"]?.text == "SYNCED" && known.contains($0["service"]?.text ?? "") }
      if ready >= count { return }
    }
  }

  private func apply(_ manifests: String) throws(CLIFailure) {
    var client = client()
    _ = try client.call(
      "POST", "/apis/apus.dev/v1/apply?namespace=default", body: Array(manifests.utf8), contentType: "application/yaml")
  }

  private func show(_ family: inout DemoFamily, ports: [String: UInt16]) throws(CLIFailure) {
    let standard = DataFolder(option: nil, environment: context.environment)
    var opener = client()
    let dashboardURL = try? Dashboard.url(&opener, allowsWrites: false)
    let page = DemoScreen(
      settings: settings, programName: context.programName, folder: folder,
      canarySettingsURL: "http://127.0.0.1:\(ports["catalog-v2"] ?? 0)/settings",
      frontURL: "http://127.0.0.1:\(ports["front"] ?? 0)/", dashboardURL: dashboardURL,
      needsData: standard != settings.folder, home: context.environment["HOME"])
    var screen = Screen(context)
    // Where nobody watches a screen, a table every ten seconds is enough.
    let interval: Duration = context.terminalSize() == nil ? .seconds(10) : .seconds(1)
    var api = client(timeout: .seconds(2))
    // The first table comes with the first figures, or without them when they are late.
    let firstTable = ContinuousClock.now + .seconds(10)
    var isFirst = true
    while !family.isStopping {
      family.wait(isFirst ? .milliseconds(500) : interval)
      if family.isStopping { return }
      do throws(CLIFailure) {
        let answer = try api.call("GET", "/apis/apus.dev/v1/stats?window=10")
        let rows = (answer["items"]?.elements ?? []).filter { $0["namespace"]?.text == "default" }
        if isFirst, ContinuousClock.now < firstTable, !rows.contains(where: { $0["p99Ms"]?.double != nil }) { continue }
        isFirst = false
        screen.show(page.text(rows: rows, notes: family.notes, width: context.tableWidth))
      } catch {
        family.note(error.what)
        screen.show(page.text(rows: [], notes: family.notes, width: context.tableWidth))
      }
    }
  }
}
