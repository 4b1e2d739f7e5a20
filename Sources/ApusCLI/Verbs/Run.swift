import ApusHTTP
import ArgumentParser
import CApusSystem
import MeshControl

/// `apus run`: an application with its sidecar beside it.
struct Run: Verb {
  enum AccessLog: String, ExpressibleByArgument, CaseIterable {
    case off, text, json
  }

  static let configuration = CommandConfiguration(
    abstract: "Run a program as a workload of the mesh, with its proxy beside it.",
    usage: "apus run --service <name> [<options>] -- <command> ...",
    discussion: """
      The program is told its port in PORT and reaches the mesh through HTTP_PROXY: http://catalog, \
      http://catalog.shop, http://catalog.shop.svc.cluster.local. With --upstream a port on 127.0.0.1 leads to one \
      service. Signals are passed on; the exit status is the program's.

      EXAMPLES
        apus run --service hello -- python3 server.py
        apus run --service catalog --version v2 --port 8080 -- ./catalog
        apus run --service job --upstream db:5432=15432 -- psql -h 127.0.0.1 -p 15432
      """)

  @Option(help: ArgumentHelp("The service it belongs to; made where there is none.", valueName: "name"))
  var service: String

  @Option(help: ArgumentHelp("Its version, a label that routes can tell apart.", valueName: "version"))
  var version: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A label of the workload, such as topology.kubernetes.io/zone=a.", valueName: "name=value"))
  var label: [String] = []

  @OptionGroup var namespace: NamespaceOption

  @Option(help: ArgumentHelp("The port it listens on (default: a free one, told in PORT).", valueName: "port"))
  var port: UInt16?

  @Option(
    name: .customLong("protocol"),
    help: "What it speaks: http, http2, grpc, tcp, or auto to tell it from its first bytes.")
  var appProtocol = RunPlan.AppProtocol.http

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A port on 127.0.0.1 that leads to a service (its port 80 unless told).",
      valueName: "name[:port]=port"))
  var upstream: [String] = []

  @Option(help: ArgumentHelp("Its identity in the namespace (default: the service's name).", valueName: "name"))
  var account: String?

  @Option(
    help: ArgumentHelp(
      "Where the control plane configures proxies (default: as `apus up` noted).", valueName: "host:port"))
  var xds: String?

  @Option(help: "The proxy's access log: off, text or json.")
  var accessLog = AccessLog.off

  @Option(
    help: ArgumentHelp("A file for the proxy's words, or stderr (default: in the data folder).", valueName: "file"))
  var proxyLog: String?

  @Option(help: ArgumentHelp("Threads of the proxy (1-64).", valueName: "count"))
  var workers = 1

  @Option(help: ArgumentHelp("How long the proxy lets running requests end (0-600).", valueName: "seconds"))
  var drainSeconds = 10

  @OptionGroup var connection: ConnectionOptions

  @Argument(parsing: .postTerminator, help: ArgumentHelp("The program and its arguments.", valueName: "command"))
  var command: [String] = []

  func validate() throws {
    if command.isEmpty { throw ValidationError("nothing to run; write the program behind --, as in -- python3 app.py") }
    for (name, text, format) in [
      ("--service", service, TextFormat.serviceName), ("--account", account ?? "default", .dnsSubdomain),
      ("--namespace", namespace.name, .dnsLabel), ("--version", version ?? "", .labelValue),
    ] {
      if let fault = format.fault(in: text) { throw ValidationError("\(name) \"\(text)\" \(fault)") }
    }
    for text in label {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, TextFormat.labelKey.fault(in: parts[0]) == nil,
        TextFormat.labelValue.fault(in: parts[1]) == nil
      else {
        throw ValidationError("--label \"\(text)\" is not NAME=VALUE; write for example tier=gold")
      }
    }
    for text in upstream where RunPlan.Upstream(text) == nil {
      throw ValidationError("--upstream \"\(text)\" is not NAME[:PORT]=PORT; write for example db:5432=15432")
    }
    if port == 0 { throw ValidationError("--port must be from 1 to 65535; leave it out for a free one") }
    guard (1...64).contains(workers) else { throw ValidationError("--workers must be from 1 to 64") }
    guard (0...600).contains(drainSeconds) else { throw ValidationError("--drain-seconds must be from 0 to 600") }
    if let xds, HTTPAddress(xds, defaultPort: ControlPlaneSettings.defaultXDSPort) == nil {
      throw ValidationError("--xds \"\(xds)\" is no address; write for example 127.0.0.1:15012")
    }
  }

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    throw CLIFailure(.failed, "the exit status of `run` is its application's")
  }

  /// Runs the application to its end.
  /// - Returns: its exit status.
  func runApplication(
    in context: CLIContext, limits: RunMachine.Limits? = nil
  ) throws(CLIFailure) -> Int32 {
    let search = ProgramSearch(context)
    let commandFile = try search.command(command.first ?? "")
    let program = try search.proxy()
    let plan = try makePlan()
    let folder = connection.dataFolder(in: context)
    let workloadFolder = folder.proxyFolder(plan.uid)
    let sidecar = Sidecar(
      program: program, plan: plan, folder: workloadFolder,
      xds: try xdsAddress(folder), rootCertificate: folder.rootCertificateFile,
      trustDomain: folder.controlPlane?.trustDomain ?? ControlPlaneSettings.defaultTrustDomain,
      log: log(workloadFolder), accessLog: accessLog.rawValue, logLevel: "info", workerCount: workers,
      drainSeconds: drainSeconds)
    let keeper = TokenKeeper(
      address: try connection.address(in: context), apiToken: folder.apiToken, apiTokenFile: folder.apiTokenFile,
      namespace: plan.namespace, account: plan.account, file: sidecar.tokenFile)
    try ensureService(plan, context)
    folder.sweepProxyFolders(nowSeconds: context.now().secondsSinceEpoch)
    let held = try ProxyFolder(path: workloadFolder)
    let tokenEnd: Timestamp?
    do throws(CLIFailure) {
      tokenEnd = try keeper.renew()
    } catch {
      held.remove()
      throw error
    }
    // Before any other thread starts, so that no thread takes a signal that the main one waits for.
    let signals = apus_signals_open()
    guard signals >= 0 else { throw CLIFailure(.failed, "cannot wait for signals: \(SystemText.of(signals))") }
    keeper.keep(until: tokenEnd, now: context.now)
    var bounds = limits ?? RunMachine.Limits()
    if limits == nil { bounds.drain = .seconds(drainSeconds + 5) }
    var shell = RunShell(
      sidecar: sidecar, command: command, commandFile: commandFile, context: context, signals: signals, limits: bounds)
    do throws(CLIFailure) {
      let status = try shell.run()
      held.remove()
      return status
    } catch {
      // The proxy's words stay.
      held.removeAllButLog()
      throw error
    }
  }

  private func makePlan() throws(CLIFailure) -> RunPlan {
    var generator = SystemRandomNumberGenerator()
    let listenPort = if let port { port } else { try FreePort.find() }
    let uid = RunPlan.makeUID(service: service, version: version, using: &generator)
    return RunPlan(
      service: service, version: version, namespace: namespace.name, account: account ?? service,
      port: listenPort, appProtocol: appProtocol,
      upstreams: upstream.compactMap(RunPlan.Upstream.init), uid: uid, labels: label)
  }

  private func log(_ folder: String) -> Sidecar.Log {
    guard let proxyLog else { return .file("\(folder)/proxy.log") }
    return proxyLog == "stderr" ? .standardError : .file(proxyLog)
  }

  private func xdsAddress(_ folder: DataFolder) throws(CLIFailure) -> HTTPAddress {
    let port = ControlPlaneSettings.defaultXDSPort
    if let xds, let address = HTTPAddress(xds, defaultPort: port) { return address }
    return folder.controlPlane?.xds ?? HTTPAddress(host: "127.0.0.1", port: port)
  }

  private func ensureService(_ plan: RunPlan, _ context: CLIContext) throws(CLIFailure) {
    var client = try connection.client(in: context)
    guard let kind = KindRegistry.kind(named: "services") else { return }
    let path = kind.path(namespace: plan.namespace)
    do throws(CLIFailure) {
      let service = try client.call("GET", "\(path)/\(plan.service)")
      guard let resource = Resource.read(service, namespace: plan.namespace, into: ViolationReport()),
        Typed<ServiceSpec>(resource)?.letsIn(account: plan.account) == false
      else { return }
      context.errors.write(
        """
        apus: service \(plan.service) does not let in the account \(plan.account): nothing that is meant for it comes \
        here. Its annotation \(ServiceSpec.accountsAnnotation) names the accounts that serve it.

        """)
    } catch {
      guard error.status == .notFound else { throw error }
      try create(plan, at: path, with: &client)
    }
  }

  private func create(_ plan: RunPlan, at path: String, with client: inout APIClient) throws(CLIFailure) {
    do throws(CLIFailure) {
      _ = try client.call("POST", path, body: Array(plan.serviceObject.json().utf8))
    } catch {
      // A conflict: another instance was faster, which is as good.
      guard error.status == .conflict else { throw error }
    }
  }
}

extension RunPlan.AppProtocol: ExpressibleByArgument {}
