package import Hummingbird
package import Logging
package import MeshControl
import NIOCore

/// What the API answers from.
package struct APISources: Sendable {
  package var store: any ResourceStore
  package var workloads: any WorkloadDirectory
  package var proxies: any ProxyDirectory
  /// Absent: nobody can tell what proxies have in force.
  package var progress: (any ConfigProgressSource)?
  package var statistics: any StatsSource
  package var pages: any ProxyPages
  /// Absent: explanations name objects as far as proxies know them.
  package var objects: (any DecidingObjects)?
  /// Absent: changes are not evaluated.
  package var evaluator: (any ChangeEvaluator)?
  package var minter: any TokenMinter
  /// Absent where no rollouts are carried out.
  package var rollouts: (any RolloutControl)?
  /// Fields of heads whose values the tap does not show, beside those that it never shows.
  package var redactedFields: [String] = []
  /// The control plane's own metrics, in Prometheus' text format.
  package var metrics: @Sendable () async -> [UInt8]
  /// What is not ready yet, in words; empty when all is.
  package var unready: @Sendable () async -> [String]

  package init(
    store: any ResourceStore, workloads: any WorkloadDirectory, proxies: any ProxyDirectory,
    progress: (any ConfigProgressSource)? = nil, statistics: any StatsSource, pages: any ProxyPages = NoProxyPages(),
    objects: (any DecidingObjects)? = nil,
    evaluator: (any ChangeEvaluator)? = nil, minter: any TokenMinter, rollouts: (any RolloutControl)? = nil,
    redactedFields: [String] = [], metrics: @escaping @Sendable () async -> [UInt8] = { [] },
    unready: @escaping @Sendable () async -> [String]
  ) {
    self.store = store
    self.workloads = workloads
    self.proxies = proxies
    self.progress = progress
    self.statistics = statistics
    self.pages = pages
    self.objects = objects
    self.evaluator = evaluator
    self.minter = minter
    self.rollouts = rollouts
    self.redactedFields = redactedFields
    self.metrics = metrics
    self.unready = unready
  }
}

/// How the API is reached.
package struct APISettings: Sendable {
  /// Default 127.0.0.1. An address other machines reach is refused unless `permitsOtherMachines` says otherwise.
  package var host: String
  /// Default 15050; 0 takes a free one.
  package var port: Int
  package var permitsOtherMachines: Bool
  /// What clients show as `Authorization: Bearer …`; not empty.
  package var token: String
  /// Version of the program, for `/version`.
  package var version: String
  /// Bytes of a request's body; default 4 MiB.
  package var maxBodyBytes: Int

  package init(
    host: String = "127.0.0.1", port: Int = 15_050, permitsOtherMachines: Bool = false, token: String,
    version: String, maxBodyBytes: Int = 4 << 20
  ) {
    self.host = host
    self.port = port
    self.permitsOtherMachines = permitsOtherMachines
    self.token = token
    self.version = version
    self.maxBodyBytes = maxBodyBytes
  }
}

/// Why the API was not started. The message ends with how to mend it.
package enum APIError: Error, Sendable, Equatable {
  /// The address is not of this machine alone.
  case notLoopback(String)
  /// There is no token to compare with.
  case noToken

  package var message: String {
    switch self {
    case .notLoopback(let host):
      "\(host) can be reached from other machines, and the API is not encrypted; it listens on 127.0.0.1 or ::1 only"
    case .noToken: "the API has no token; see that the data folder's api-token is there and not empty"
    }
  }
}

/// The API of the control plane: the Kubernetes resource protocol over HTTP, and the mesh's own verbs.
package struct APIServer: Sendable {
  private let settings: APISettings
  private let responder: APIResponder
  private let logger: Logger

  /// - Throws: `APIError` for settings that would leave the API open.
  package init(settings: APISettings, sources: APISources, logger: Logger) throws(APIError) {
    guard settings.permitsOtherMachines || Self.isLoopback(settings.host) else {
      throw .notLoopback(settings.host)
    }
    guard !settings.token.isEmpty else { throw .noToken }
    self.settings = settings
    self.logger = logger
    responder = APIResponder(settings: settings, sources: sources)
  }

  /// Serves until the task is cancelled or the service group shuts down.
  /// - Parameter onListening: called once with the port.
  package func run(onListening: @escaping @Sendable (Int) async -> Void = { _ in }) async throws {
    let responder = responder
    let application = Application(
      responder: CallbackResponder { (request: Request, _: BasicRequestContext) in
        await responder.respond(to: request)
      },
      configuration: ApplicationConfiguration(
        address: .hostname(settings.host, port: settings.port), serverName: "apus"),
      onServerRunning: { channel in
        await onListening(channel.localAddress?.port ?? 0)
      },
      logger: logger)
    try await application.run()
  }

  /// The answer to one request, without a socket.
  package func respond(to request: Request) async -> Response {
    await responder.respond(to: request)
  }

  private static func isLoopback(_ host: String) -> Bool {
    host == "localhost" || host == "::1"
      || (host.hasPrefix("127.") && TextFormat.ipAddress.fault(in: host) == nil)
  }
}
