import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import MeshControl
import MeshIdentity
import MeshModel
import MeshTLS
import MeshWire
import MeshXDS
import NIOPosix
import Synchronization

/// Configuration that a test changes by hand.
actor TestSource: ConfigSource {
  private var current = ConfigView(revision: 1, resources: [:])
  private var listeners: [AsyncStream<UInt64>.Continuation] = []

  func view(for proxy: ProxyDescription) -> ConfigView { current }

  func revisions() -> AsyncStream<UInt64> {
    let (stream, continuation) = AsyncStream.makeStream(of: UInt64.self, bufferingPolicy: .bufferingNewest(1))
    listeners.append(continuation)
    return stream
  }

  func set(_ contents: [ConfigType: [String: String]]) {
    current = MeshXDSTests.view(current.revision + 1, contents)
    for listener in listeners { listener.yield(current.revision) }
  }
}

actor KnownWorkloads: WorkloadSink, WorkloadStore {
  private(set) var uids: Set<String> = []
  func upsert(_ workload: MeshWorkload) { uids.insert(workload.uid) }
  func remove(uid: String) { uids.remove(uid) }
  func replaceAll(_ workloads: [MeshWorkload]) { uids = Set(workloads.map(\.uid)) }
  func load() -> [StoredWorkload] { [] }
  func save(uid: String, bytes: [UInt8]) {}
}

actor ReportLog: StatisticsSink {
  private(set) var reports: [StatisticsReport] = []
  private(set) var forgotten: [String] = []
  func record(_ report: StatisticsReport, proxy: String) { reports.append(report) }
  func forget(proxy: String) { forgotten.append(proxy) }
}

/// A server with an authority of its own in a temporary folder, and clients for it.
struct ServerHarness: Sendable {
  let authority: CertificateAuthority
  let source = TestSource()
  let known = KnownWorkloads()
  let reports = ReportLog()
  let registry: WorkloadRegistry
  let directory: ConnectedProxies
  let server: XDSServer
  /// Added to the real time, seconds: lets certificates end.
  let skewSeconds = SharedNumber()

  /// Runs a server while `body` uses it.
  static func run(_ body: @Sendable (ServerHarness, Int) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("xds-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let harness = try ServerHarness(folder: folder.path)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await harness.registry.run() }
      group.addTask { do { try await harness.server.run() } catch is CancellationError {} }
      guard let port = await harness.server.boundPort else { throw RPCError(code: .unavailable, message: "no port") }
      do {
        try await body(harness, port)
      } catch {
        group.cancelAll()
        throw error
      }
      group.cancelAll()
    }
  }

  private init(folder: String) throws {
    let skew = skewSeconds
    let now: @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970) + skew.value }
    authority = try CertificateAuthority.open(folder: folder + "/ca", trustDomain: .standard, nowSeconds: now())
    let start = ContinuousClock.now
    let monotonic: @Sendable () -> Duration = { ContinuousClock.now - start }
    registry = WorkloadRegistry(trustDomain: .standard, sink: known, store: known, now: monotonic)
    directory = ConnectedProxies(
      registry: registry, now: monotonic, wallClock: { Timestamp(secondsSinceEpoch: now()) })
    server = try XDSServer(
      host: "127.0.0.1", port: 0,
      dependencies: .init(
        source: source, registry: registry, directory: directory, statistics: reports,
        authority: LivingAuthority(authority, folder: folder + "/ca"), now: now),
      eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
  }

  func token(namespace: String = "shop", account: String = "catalog") throws -> String {
    try authority.joinTokens.mint(
      namespace: namespace, account: account, nowSeconds: Int64(Date().timeIntervalSince1970)
    ).token
  }
}

final class SharedNumber: Sendable {
  private let storage = Mutex<Int64>(0)
  var value: Int64 {
    get { storage.withLock { $0 } }
    set { storage.withLock { $0 = newValue } }
  }
}

/// A certificate with its key, PEM.
struct ClientIdentity: Sendable {
  var chain: [String]
  var key: String
}

/// A client of the server, with or without a certificate.
struct TestClient: Sendable {
  private let transport: HTTP2ClientTransport.Posix

  init(port: Int, roots: String, identity: ClientIdentity? = nil) throws {
    transport = try HTTP2ClientTransport.Posix(
      target: .ipv4(address: "127.0.0.1", port: port),
      transportSecurity: .tls { tls in
        tls.trustRoots = .certificates([.bytes(Array(roots.utf8), format: .pem)])
        if let identity {
          tls.certificateChain = identity.chain.map { .bytes(Array($0.utf8), format: .pem) }
          tls.privateKey = .bytes(Array(identity.key.utf8), format: .pem)
        }
      },
      config: .defaults { $0.http2.authority = "localhost" })
  }

  func use<Result: Sendable>(
    _ body: @Sendable (GRPCClient<HTTP2ClientTransport.Posix>) async throws -> Result
  ) async throws -> Result {
    try await withGRPCClient(transport: transport) { try await body($0) }
  }
}

/// Asks for a certificate.
func createCertificate(
  _ client: GRPCClient<HTTP2ClientTransport.Posix>, for identity: String, token: String? = nil
) async throws -> ClientIdentity {
  let csr = try CertificateRequest(identity: SPIFFEID(identity))
  var message = CertificateRequestMessage()
  message.csr = csr.pem
  var metadata: GRPCCore.Metadata = [:]
  if let token { metadata.addString("Bearer \(token)", forKey: "authorization") }
  let response = try await client.unary(
    request: ClientRequest(message: message, metadata: metadata), descriptor: CertificateService.method,
    serializer: WireSerializer<CertificateRequestMessage>(),
    deserializer: WireDeserializer<CertificateResponseMessage>(), options: .defaults
  ) { try $0.message }
  return ClientIdentity(chain: Array(response.chain.prefix(2)), key: try csr.keyPair.privateKeyPEM())
}
