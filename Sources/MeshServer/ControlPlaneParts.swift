import Foundation
import Logging
import MeshAPI
import MeshControl
import MeshIdentity
import MeshModel
import MeshStore
import MeshXDS
import NIOPosix
import Synchronization

/// The parts of a control plane, put together: who talks to whom is to be read here.
final class ControlPlaneParts: Sendable {
  let store: SQLiteStore
  let engine: ConfigEngine
  let registry: WorkloadRegistry
  let xds: XDSServer
  let api: APIServer
  /// Whether both servers listen.
  let readiness = Readiness()

  /// Opens what lies in the data folder, and compiles the configuration that was in force.
  init(
    _ configuration: ControlPlane.Configuration, onProblem: @escaping @Sendable (String) -> Void
  ) async throws {
    let folder = configuration.dataFolder
    let begin = ContinuousClock.now
    let monotonic: @Sendable () -> Duration = { ContinuousClock.now - begin }
    let seconds: @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970.rounded(.down)) }
    let wallClock: @Sendable () -> Timestamp = { Timestamp(secondsSinceEpoch: seconds()) }

    let authority = try CertificateAuthority.open(
      folder: "\(folder)/ca", trustDomain: configuration.trustDomain, nowSeconds: seconds())
    let token = try APIToken.open(path: "\(folder)/api-token")
    store = try await SQLiteStore.open(path: "\(folder)/apus.db", now: wallClock)

    // Resources from the store, workloads from discovery: the engine compiles both.
    engine = ConfigEngine(
      store: store, trustDomain: configuration.trustDomain.name, requiresGrants: configuration.requiresReferenceGrants,
      now: wallClock)
    await engine.setTrust(roots: [authority.bundlePEM])
    registry = WorkloadRegistry(
      trustDomain: configuration.trustDomain, sink: engine, store: store, now: monotonic,
      onStoreError: { onProblem("Workloads are not remembered over a restart: \($0.message).") })
    await registry.restore()
    try await engine.start()

    // The proxies' side.
    let directory = ConnectedProxies(registry: registry, now: monotonic, wallClock: wallClock)
    let statistics = StatisticsAggregator(registry: registry, now: monotonic)
    xds = try XDSServer(
      host: configuration.xdsHost, port: configuration.xdsPort,
      dependencies: .init(
        source: engine, registry: registry, directory: directory, statistics: statistics, authority: authority,
        certificateLifeSeconds: configuration.certificateLifeSeconds, now: seconds),
      eventLoopGroup: MultiThreadedEventLoopGroup.singleton)

    // The people's side.
    // The API answers its errors to whoever asked; what the library logs at the end of connections is no news.
    var logger = Logger(label: "apus.api")
    logger.logLevel = .critical
    let readiness = self.readiness
    api = try APIServer(
      settings: APISettings(
        host: configuration.apiHost, port: configuration.apiPort, token: token.text, version: configuration.version),
      sources: APISources(
        store: store, workloads: engine, proxies: directory, statistics: statistics,
        minter: MeshAuthority(authority: authority, now: seconds),
        unready: { readiness.isReached ? [] : ["the server of the proxies"] }),
      logger: logger)
  }
}

/// Set once, when everything serves.
final class Readiness: Sendable {
  private let flag = Atomic(false)

  var isReached: Bool { flag.load(ordering: .acquiring) }

  func reach() { flag.store(true, ordering: .releasing) }
}
