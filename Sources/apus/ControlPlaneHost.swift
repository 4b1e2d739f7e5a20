import ApusCLI
import ApusHTTP
import Glibc
import MeshAPI
import MeshControl
import MeshModel
import MeshServer

/// Runs a control plane as a process: one on a data folder, a line when it is ready, cancelling ends it cleanly.
struct ControlPlaneHost: Sendable {
  let settings: ControlPlaneSettings
  let context: CLIContext

  /// Serves until the task is cancelled.
  func run() async -> ExitStatus {
    do {
      let lock = try settings.folder.lock()
      settings.folder.sweepProxyFolders(nowSeconds: context.now().secondsSinceEpoch)
      try demandFree(settings.api, option: "--api")
      try demandFree(settings.xds, option: "--xds")
      try await serve()
      lock.release()
      return .success
    } catch {
      let failure = failure(error)
      context.errors.write(failure.text)
      return failure.status
    }
  }

  /// Says which address is taken before anything is opened: later, the servers' words are less plain.
  private func demandFree(_ address: HTTPAddress, option: String) throws(CLIFailure) {
    do throws(HTTPFailure) {
      _ = try ListeningSocket(address)
    } catch {
      throw CLIFailure(.failed, error.message, hint: "stop what listens there, or name another address with \(option)")
    }
  }

  private func serve() async throws {
    var configuration = ControlPlane.Configuration(
      dataFolder: settings.folder.path, trustDomain: try TrustDomain(settings.trustDomain), version: ApusVersion.text)
    configuration.apiHost = settings.api.host
    configuration.apiPort = Int(settings.api.port)
    configuration.xdsHost = settings.xds.host
    configuration.xdsPort = Int(settings.xds.port)
    configuration.certificateLifeSeconds = settings.certificateLifetime.components.seconds
    configuration.requiresReferenceGrants = settings.requiresReferenceGrants
    configuration.redactedFields = settings.redactedFields
    configuration.nameServer = settings.nameServer.map { ($0.host, Int($0.port)) }
    let errors = context.errors
    let controlPlane = ControlPlane(
      configuration: configuration,
      onProblem: { errors.write("apus: \($0)\n") },
      onReady: { try announce($0) })
    try await controlPlane.run()
  }

  /// Notes where it is reached, for the other verbs, and says so.
  private func announce(_ addresses: ControlPlane.Addresses) throws {
    let record = ControlPlaneRecord(
      api: HTTPAddress(host: addresses.apiHost, port: UInt16(clamping: addresses.apiPort)),
      xds: HTTPAddress(host: addresses.xdsHost, port: UInt16(clamping: addresses.xdsPort)),
      processID: getpid(), trustDomain: settings.trustDomain)
    do {
      try settings.folder.write(record)
    } catch {
      // On a full disk what stands there will do, if it leads here: no room must not cost the mesh its control plane.
      guard let noted = settings.folder.controlPlane, noted.leadsWhere(record) else { throw error }
      context.errors.write("apus: \(error.what); going on: what was noted there before leads here too\n")
    }
    context.output.write("apus is ready: API \(record.api), proxies \(record.xds), data \(settings.folder.path)\n")
  }

  /// What kept it from starting, or ended it, for people.
  private func failure(_ error: any Error) -> CLIFailure {
    switch error {
    case let failure as CLIFailure: failure
    case let error as StoreError: CLIFailure(.failed, "the store of \(settings.folder.path): \(error.message)")
    case let error as ControlPlane.StartError:
      CLIFailure(.failed, error.description, hint: error.hint)
    case let error as APIError:
      CLIFailure(.failed, error.message, hint: "name the address with --api, as 127.0.0.1:\(settings.api.port)")
    default: CLIFailure(.failed, "the control plane has ended: \(error)")
    }
  }
}
