import ApusHTTP
import Glibc
import MeshControl

/// How the proxy beside an application is started, and what it says about itself.
struct Sidecar {
  /// The proxy's ports, as it reports them when it is ready.
  struct Ports: Equatable {
    var inbound: UInt16
    var forward: UInt16
    var admin: UInt16

    /// Reads `{"ready":true,"inbound":PORT,"forward":PORT,"admin":PORT}`.
    init?(_ line: [UInt8]) {
      guard let value = try? JSONReader.read(line), case .boolean(true)? = value["ready"]?.content else { return nil }
      func port(_ name: String) -> UInt16? { value[name]?.int.flatMap { UInt16(exactly: $0) } }
      guard let forward = port("forward"), let admin = port("admin") else { return nil }
      self.inbound = port("inbound") ?? 0
      self.forward = forward
      self.admin = admin
    }
  }

  /// Where the proxy writes what it has to say.
  enum Log: Equatable {
    case file(String)
    case standardError
  }

  var program: String
  var plan: RunPlan
  var folder: String
  var xds: HTTPAddress
  var rootCertificate: String
  var trustDomain: String
  var log: Log
  var accessLog: String
  var logLevel: String
  /// Threads that carry traffic.
  var workerCount: Int
  /// How long running requests may take once it is told to go.
  var drainSeconds: Int

  var tokenFile: String { "\(folder)/token" }
  /// The descriptor on which it reports that it is ready.
  static let readyDescriptor: Int32 = 3

  /// - Parameter ports: those of its last life, which the application and its peers know; absent at the first start.
  func arguments(ports: Ports?) -> [String] {
    var arguments = [
      "--id", plan.uid, "--namespace", plan.namespace, "--service", plan.service, "--account", plan.account,
      "--workload", plan.workloadName, "--trust-domain", trustDomain,
    ]
    if let version = plan.version { arguments += ["--version", version] }
    for label in plan.labels { arguments += ["--label", label] }
    arguments += ["--app-port", "\(plan.port)", "--app-protocol", plan.appProtocol.rawValue]
    arguments += ["--inbound", "127.0.0.1:\(ports?.inbound ?? 0)", "--forward", "127.0.0.1:\(ports?.forward ?? 0)"]
    for upstream in plan.upstreams { arguments += ["--upstream", "\(upstream.name)=\(upstream.port)"] }
    arguments += [
      "--admin", "127.0.0.1:\(ports?.admin ?? 0)", "--xds", xds.description, "--xds-root", rootCertificate,
      "--token-file", tokenFile, "--state", folder, "--workers", "\(workerCount)", "--access-log", accessLog,
      "--log-level", logLevel, "--drain-seconds", "\(drainSeconds)", "--ready-fd", "\(Self.readyDescriptor)",
    ]
    return arguments
  }

  /// The proxy's own environment: the way into the mesh is the application's, not its own.
  static func environment(_ inherited: [String: String]) -> [String: String] {
    inherited.filter { !["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"].contains($0.key) }
  }

  /// Opens where the proxy writes to.
  /// - Returns: the descriptor, and whether it is to be closed.
  func openLog() throws(CLIFailure) -> (descriptor: Int32, isOwned: Bool) {
    switch log {
    case .standardError: return (2, false)
    case .file(let path):
      let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { throw Files.failure("cannot write the proxy's log \(path)") }
      return (descriptor, true)
    }
  }

  /// The last lines of the proxy's log, for a message about its failure.
  func logTail(lines: Int = 5) -> [String] {
    guard case .file(let path) = log, let content = Files.read(path) else { return [] }
    return String(decoding: content.suffix(4096), as: UTF8.self).split(separator: "\n").suffix(lines).map(String.init)
  }
}
