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
  let names: NameKeeper
  let xds: XDSServer
  let api: APIServer
  let rollouts: RolloutController
  let authority: LivingAuthority
  /// Seconds since 1970.
  private let seconds: @Sendable () -> Int64
  private let onProblem: @Sendable (String) -> Void

  /// How often it is looked whether the authority's own certificate is to be renewed.
  private static let authorityCheck: Duration = .seconds(3600)
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
    self.seconds = seconds
    self.onProblem = onProblem
    let wallClock: @Sendable () -> Timestamp = { Timestamp(secondsSinceEpoch: seconds()) }

    // In this order: `DataFolderState` concludes from it what is gone.
    let state = DataFolderState(folder: folder)
    try state.demand(isStoreUsed: false, in: folder)
    store = try await SQLiteStore.open(path: "\(folder)/apus.db", now: wallClock)
    if !state.hasAuthority {
      try state.demand(isStoreUsed: try await store.resources(nil, namespace: nil).resourceVersion > 0, in: folder)
    }
    authority = LivingAuthority(
      try CertificateAuthority.open(
        folder: "\(folder)/ca", trustDomain: configuration.trustDomain, nowSeconds: seconds()), folder: "\(folder)/ca")
    let token = try Self.openToken(in: folder, state, onProblem)

    // Resources from the store, workloads from discovery: the engine compiles both.
    engine = ConfigEngine(
      store: store, trustDomain: configuration.trustDomain.name, requiresGrants: configuration.requiresReferenceGrants,
      now: wallClock)
    await engine.setTrust(roots: [authority.current.bundlePEM])
    registry = WorkloadRegistry(
      trustDomain: configuration.trustDomain, sink: engine, store: store, now: monotonic,
      onStoreError: { onProblem("Workloads are not remembered over a restart: \($0.message).") })
    await registry.restore()
    names = NameKeeper(
      resolver: SystemNames(server: configuration.nameServer), sink: engine, now: monotonic, onProblem: onProblem)
    try await engine.start()

    // The proxies' side.
    let directory = ConnectedProxies(registry: registry, now: monotonic, wallClock: wallClock)
    let statistics = StatisticsAggregator(registry: registry, directory: engine, now: monotonic)
    let questions = ProxyQuestions()
    let meter = ReleaseMeter()
    rollouts = RolloutController(
      store: store, workloads: engine, meter: meter, web: WebClient(group: MultiThreadedEventLoopGroup.singleton),
      now: { Int64(Date().timeIntervalSince1970 * 1000) }, onProblem: onProblem)
    xds = try XDSServer(
      host: configuration.xdsHost, port: configuration.xdsPort,
      dependencies: .init(
        source: engine, registry: registry, directory: directory,
        statistics: StatisticsFanOut([statistics, meter]), questions: questions,
        quotas: QuotaService(limits: engine, now: monotonic), authority: authority,
        certificateLifeSeconds: configuration.certificateLifeSeconds, now: seconds),
      eventLoopGroup: MultiThreadedEventLoopGroup.singleton)

    // The people's side.
    // The API answers its errors to whoever asked; what the library logs at the end of connections is no news. (It sets
    // levels of its own, so that a level does not silence it.)
    let logger = Logger(label: "apus.api") { _ in SwiftLogNoOpLogHandler() }
    let (readiness, names) = (self.readiness, self.names)
    api = try APIServer(
      settings: APISettings(
        host: configuration.apiHost, port: configuration.apiPort, token: token.text, version: configuration.version),
      sources: APISources(
        store: store, workloads: engine, proxies: directory, progress: engine, statistics: statistics, pages: questions,
        objects: engine,
        evaluator: RouteEvaluator(engine: engine, statistics: statistics, reader: DecisionReader(pages: questions)),
        minter: MeshAuthority(authority: authority, now: seconds),
        rollouts: rollouts, redactedFields: configuration.redactedFields, metrics: { await names.exposition() },
        unready: { readiness.isReached ? [] : ["the server of the proxies"] }),
      logger: logger)
  }

  /// Opens the token of the API, or makes it; says so where there has been one.
  private static func openToken(
    in folder: String, _ state: DataFolderState, _ onProblem: (String) -> Void
  ) throws(SecretFileError) -> APIToken {
    let path = "\(folder)/api-token"
    let token = try APIToken.open(path: path)
    if state.hasAuthority, !state.hasToken {
      onProblem("The API's token was gone: \(path) is a new one, and whoever holds the old one is refused.")
    }
    return token
  }

  /// Keeps the authority able to sign for as long as the control plane runs. A failure is told, and tried again.
  func keepAuthority() async throws {
    while true {
      try await Task.sleep(for: Self.authorityCheck)
      do throws(AuthorityError) {
        _ = try authority.renewIfDue(nowSeconds: seconds())
      } catch {
        onProblem("The authority's certificate is not renewed: \(error)")
      }
    }
  }
}

/// Set once, when everything serves.
final class Readiness: Sendable {
  private let flag = Atomic(false)

  var isReached: Bool { flag.load(ordering: .acquiring) }

  func reach() { flag.store(true, ordering: .releasing) }
}
