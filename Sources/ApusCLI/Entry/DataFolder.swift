package import ApusHTTP
import Glibc
import MeshControl

/// The folder that the control plane, `apus run` and the other verbs share on a machine.
package struct DataFolder: Sendable, Equatable {
  package let path: String

  package init(path: String) {
    self.path = path
  }

  /// `--data`, else `APUS_DATA`, else `apus` in the user's state folder (XDG base directories).
  package init(option: String?, environment: [String: String]) {
    func set(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    let state = set("XDG_STATE_HOME") ?? "\(set("HOME") ?? ".")/.local/state"
    self.init(path: option ?? set("APUS_DATA") ?? "\(state)/apus")
  }

  package var apiTokenFile: String { "\(path)/api-token" }
  package var storeFile: String { "\(path)/apus.db" }
  package var controlPlaneFile: String { "\(path)/control-plane.json" }
  package var lockFile: String { "\(path)/lock" }
  package var rootCertificateFile: String { "\(path)/ca/root-cert.pem" }
  /// Files that must be readable by their owner only.
  package var secretFiles: [String] {
    [apiTokenFile] + ["root-key.pem", "intermediate-key.pem", "token-key"].map { "\(path)/ca/\($0)" }
  }

  /// The folder of one workload's proxy.
  package func proxyFolder(_ uid: String) -> String { "\(path)/proxies/\(uid)" }

  /// Removes what killed `apus run`s left behind.
  package func sweepProxyFolders(nowSeconds: Int64) {
    ProxyFolder.sweep("\(path)/proxies", nowSeconds: nowSeconds)
  }

  /// The token that the API asks for; nil where there is none yet.
  package var apiToken: String? {
    guard let bytes = Files.read(apiTokenFile) else { return nil }
    let text = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
    return text.isEmpty ? nil : text
  }

  /// What the control plane noted about itself at its start; nil where there is nothing legible.
  package var controlPlane: ControlPlaneRecord? {
    guard let bytes = Files.read(controlPlaneFile), let value = try? JSONReader.read(bytes) else { return nil }
    return ControlPlaneRecord(value)
  }

  /// Notes where this control plane is reached.
  package func write(_ record: ControlPlaneRecord) throws(CLIFailure) {
    try Files.writePrivate(controlPlaneFile, Array((record.value.json() + "\n").utf8))
  }

  /// Takes the folder for one control plane, until the lock's end. The folder is made where it is missing.
  package func lock() throws(CLIFailure) -> DataLock {
    try Files.makePrivateFolder(path)
    let descriptor = open(lockFile, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Files.failure("cannot open \(lockFile)") }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      let running = controlPlane.map { " (process \($0.processID), API on \($0.api))" } ?? ""
      throw CLIFailure(
        .failed, "a control plane runs already with the data folder \(path)\(running)",
        hint: "stop it, or give this one another folder with --data and other ports with --api and --xds")
    }
    return DataLock(descriptor: descriptor)
  }
}

/// The right to run a control plane on a data folder; given up with the value, also when the process is killed.
package struct DataLock: ~Copyable, Sendable {
  private let descriptor: Int32

  fileprivate init(descriptor: Int32) {
    self.descriptor = descriptor
  }

  /// Gives the right up. A value that goes away does so too.
  package consuming func release() {}

  deinit {
    close(descriptor)
  }
}

/// Where a control plane is reached: the content of `control-plane.json`.
package struct ControlPlaneRecord: Sendable, Equatable {
  package var api: HTTPAddress
  package var xds: HTTPAddress
  package var processID: Int32
  package var trustDomain: String

  package init(api: HTTPAddress, xds: HTTPAddress, processID: Int32, trustDomain: String) {
    self.api = api
    self.xds = xds
    self.processID = processID
    self.trustDomain = trustDomain
  }

  /// Whether both name the same addresses and the same mesh: other verbs find with either what they look for.
  package func leadsWhere(_ other: ControlPlaneRecord) -> Bool {
    api == other.api && xds == other.xds && trustDomain == other.trustDomain
  }

  init?(_ value: Value) {
    guard let api = value["api"]?.text.flatMap({ HTTPAddress($0) }),
      let xds = value["xds"]?.text.flatMap({ HTTPAddress($0) }),
      case .integer(let pid)? = value["pid"]?.content, let processID = Int32(exactly: pid)
    else { return nil }
    self.init(api: api, xds: xds, processID: processID, trustDomain: value["trustDomain"]?.text ?? "cluster.local")
  }

  var value: Value {
    .object([
      .init("api", .string(api.description)), .init("xds", .string(xds.description)),
      .init("pid", .integer(Int(processID))), .init("trustDomain", .string(trustDomain)),
    ])
  }
}
