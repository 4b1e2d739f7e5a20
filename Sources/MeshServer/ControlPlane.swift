import Foundation
import MeshAPI
import MeshControl
import MeshIdentity
package import MeshModel
import MeshStore
import MeshXDS
import ServiceLifecycle

/// The whole control plane of one machine: store, compiler, certificate authority, discovery, statistics, the gRPC
/// server of the proxies and the HTTP API of people.
///
/// `run()` serves until the task is cancelled or a graceful shutdown is asked for; nothing that it keeps is lost by
/// either, nor by `kill -9`.
package struct ControlPlane: Service {
  /// Where things are and how they are called.
  package struct Configuration: Sendable {
    /// The data folder; made if it is missing, with mode 0700.
    package var dataFolder: String
    package var trustDomain: TrustDomain
    /// Address and port of the gRPC server of the proxies; port 0 takes a free one. Default 127.0.0.1:15012.
    package var xdsHost = "127.0.0.1"
    package var xdsPort = 15_012
    /// Address and port of the HTTP API; port 0 takes a free one. Default 127.0.0.1:15050. Loopback only.
    package var apiHost = "127.0.0.1"
    package var apiPort = 15_050
    /// Life of workloads' certificates, seconds. Default 24 h; 1 s to 30 days.
    package var certificateLifeSeconds = CertificateAuthority.standardLifeSeconds
    /// Whether routes need a ReferenceGrant for backends in other namespaces.
    package var requiresReferenceGrants = false
    /// Fields of heads whose values the tap does not show, beside those that it never shows.
    package var redactedFields: [String] = []
    /// Address and port of the name server that is asked for external names; nil: those of `/etc/resolv.conf`.
    package var nameServer: (host: String, port: Int)?
    /// Version of the program, for `/version`.
    package var version: String

    package init(dataFolder: String, trustDomain: TrustDomain = .standard, version: String) {
      self.dataFolder = dataFolder
      self.trustDomain = trustDomain
      self.version = version
    }
  }

  /// Where a running control plane is reached.
  package struct Addresses: Sendable, Equatable {
    package var apiHost: String
    package var apiPort: Int
    package var xdsHost: String
    package var xdsPort: Int
  }

  /// Why the control plane could not be started.
  package enum StartError: Error, Sendable, Equatable, CustomStringConvertible {
    case cannotListen(address: String)
    /// Something of what belongs together in the data folder is gone.
    case incomplete(missing: String, folder: String)

    /// What to do about it.
    package var hint: String {
      switch self {
      case .cannotListen: "name other addresses with --api and --xds"
      case .incomplete(let missing, let folder):
        "put \(missing) back from a copy; or, to begin anew with nothing, move the folder \(folder) away"
      }
    }

    package var description: String {
      switch self {
      case .incomplete(let missing, let folder):
        "\(missing) is gone, while other files of the mesh are in \(folder). Nothing is made anew in its place: "
          + "what was applied, or whom the workloads trust, would be lost without a word"
      case .cannotListen(let address):
        "Nothing can listen on \(address): the port is taken, or the address is not of this machine. "
          + "Choose another port."
      }
    }
  }

  private let configuration: Configuration
  private let onProblem: @Sendable (String) -> Void
  private let onReady: @Sendable (Addresses) async throws -> Void

  /// - Parameters:
  ///   - onProblem: told what went wrong and does not stop the control plane, a sentence at a time.
  ///   - onReady: called once, when both servers listen and the configuration is compiled.
  package init(
    configuration: Configuration, onProblem: @escaping @Sendable (String) -> Void = { _ in },
    onReady: @escaping @Sendable (Addresses) async throws -> Void
  ) {
    self.configuration = configuration
    self.onProblem = onProblem
    self.onReady = onReady
  }

  /// Serves until the task is cancelled or a graceful shutdown is asked for.
  ///
  /// - Throws: what kept it from starting (a damaged store or authority, a port that is taken), or what ended it.
  package func run() async throws {
    try FileManager.default.createDirectory(
      atPath: configuration.dataFolder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    let parts: ControlPlaneParts
    do {
      parts = try await ControlPlaneParts(configuration, onProblem: onProblem)
    } catch {
      // Asked to end before it had begun: nothing is wrong.
      if Task.isCancelled { return }
      throw error
    }
    // A graceful shutdown cuts the streams at once: proxies keep what they have, and reconnect to whoever comes next.
    try await cancelWhenGracefulShutdown { try await serve(parts) }
    try parts.store.close()
  }

  private func serve(_ parts: ControlPlaneParts) async throws {
    let (apiPorts, apiPort) = AsyncStream.makeStream(of: Int.self)
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await parts.engine.run() }
        group.addTask { await parts.registry.run() }
        group.addTask { await parts.names.run() }
        group.addTask { try await parts.keepAuthority() }
        group.addTask { await parts.rollouts.run() }
        group.addTask { try await serveProxies(parts) }
        group.addTask { try await servePeople(parts, apiPort) }
        group.addTask { try await announce(parts, apiPorts) }
        defer {
          group.cancelAll()
          apiPort.finish()
        }
        // None of them ends by itself, so that the first to end ends all.
        try await group.next()
      }
    } catch is CancellationError {
      return
    }
  }

  private func serveProxies(_ parts: ControlPlaneParts) async throws {
    do {
      try await parts.xds.run()
    } catch {
      guard !Task.isCancelled, await parts.xds.boundPort == nil, !parts.readiness.isReached else { throw error }
      throw StartError.cannotListen(address: "\(configuration.xdsHost):\(configuration.xdsPort)")
    }
  }

  private func servePeople(_ parts: ControlPlaneParts, _ port: AsyncStream<Int>.Continuation) async throws {
    let isListening = Readiness()
    do {
      try await parts.api.run {
        isListening.reach()
        port.yield($0)
      }
    } catch {
      guard !Task.isCancelled, !isListening.isReached else { throw error }
      throw StartError.cannotListen(address: "\(configuration.apiHost):\(configuration.apiPort)")
    }
  }

  private func announce(_ parts: ControlPlaneParts, _ apiPorts: AsyncStream<Int>) async throws {
    guard let xdsPort = await parts.xds.boundPort else {
      throw StartError.cannotListen(address: "\(configuration.xdsHost):\(configuration.xdsPort)")
    }
    guard let apiPort = await apiPorts.first(where: { _ in true }) else { return }
    parts.readiness.reach()
    try await onReady(
      Addresses(
        apiHost: configuration.apiHost, apiPort: apiPort, xdsHost: configuration.xdsHost, xdsPort: xdsPort))
    while true { try await Task.sleep(for: .seconds(3600)) }
  }
}
