import Foundation
import HTTPTypes
import Hummingbird
import Logging
import MeshAPI
import MeshControl
import MeshStore
import NIOCore

struct FixedSources: ProxyDirectory, StatsSource, TokenMinter, WorkloadDirectory {
  func proxies() async -> [ProxyStatus] {
    [
      ProxyStatus(
        id: "p1", workload: "w1", namespace: "default", service: "cart", version: "v1",
        connectedSince: Timestamp(secondsSinceEpoch: 0), sent: ["t": "1"], acked: [:],
        refusal: ProxyStatus.Refusal(typeURL: "t", message: "no"), certificateNotAfter: nil, state: .nacked)
    ]
  }

  func statistics(window: Duration) async -> MeshStatistics {
    let figures = MeshStatistics.Figures(
      requests: 10, successRate: 0.5, requestsPerSecond: 1, p50Ms: 1, p95Ms: 2, p99Ms: nil, tcpConnections: 3)
    let row = MeshStatistics.Row(
      namespace: "default", name: "cart", subject: .service, meshedCount: 1, instanceCount: 2, figures: figures)
    return MeshStatistics(rows: [row], edges: [])
  }

  func traffic(_ query: TrafficQuery) async -> [TrafficRow] {
    var row = TrafficRow(
      figures: MeshStatistics.Figures(
        requests: 8, successRate: 0.75, requestsPerSecond: 2, p50Ms: 1, p95Ms: 2, p99Ms: nil, tcpConnections: 0,
        failures: 2, retries: 2, reasons: [.init(reason: "no_route", count: 2)]))
    if query.dimensions.contains(.service) { row.service = query.to.name ?? "cart" }
    if query.dimensions.contains(.security) { row.isMutualTLS = true }
    return [row]
  }

  func history(_ query: TrafficQuery, step: Duration) async -> [TrafficPoint] {
    await traffic(query).map { TrafficPoint(secondsAgo: step.components.seconds, figures: $0.figures) }
  }

  func mint(namespace: String, account: String, lifetime: Duration?) async throws -> JoinToken {
    JoinToken(
      token: "\(namespace)/\(account)/\(lifetime.map { "\($0.components.seconds)" } ?? "default")",
      expiresAt: Timestamp(secondsSinceEpoch: 0))
  }

  func knownWorkloads() async -> [KnownWorkload] {
    let workload = MeshWorkload(
      uid: "u1", name: "cart-1", namespace: "default", account: "cart", trustDomain: "cluster.local",
      labels: ["app": "cart"], address: "127.0.0.1", ports: [])
    return [KnownWorkload(workload: workload, services: [ServiceName(namespace: "default", name: "cart")])]
  }
}

/// An API over a store in a folder of its own.
final class TestAPI: Sendable {
  let store: SQLiteStore
  private let server: APIServer
  private let folder: String

  init() async throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    store = try await SQLiteStore.open(path: folder + "/apus.db", now: { Timestamp(secondsSinceEpoch: 1_800_000_000) })
    let fixed = FixedSources()
    server = try APIServer(
      settings: APISettings(token: "secret", version: "0.1.0"),
      sources: APISources(
        store: store, workloads: fixed, proxies: fixed, statistics: fixed, minter: fixed, unready: { [] }),
      logger: Logger(label: "test"))
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  struct Answer {
    var code: Int
    var body: Value
    var text: String

    /// `field reason` of every cause.
    var causes: [String] {
      (body["details"]?["causes"]?.elements ?? []).map { "\($0["field"]?.text ?? "?") \($0["reason"]?.text ?? "?")" }
    }

    var messages: [String] { (body["details"]?["causes"]?.elements ?? []).compactMap { $0["message"]?.text } }
  }

  func send(
    _ method: HTTPRequest.Method, _ path: String, _ body: String = "", token: String? = "secret",
    contentType: String? = nil
  ) async -> Answer {
    await send(method, path, bytes: Array(body.utf8), token: token, contentType: contentType)
  }

  func send(
    _ method: HTTPRequest.Method, _ path: String, bytes: [UInt8], token: String? = "secret", contentType: String? = nil
  ) async -> Answer {
    let response = await respond(method, path, bytes: bytes, token: token, contentType: contentType)
    let collector = Collector()
    try? await response.body.write(collector)
    let bytes = collector.bytes
    return Answer(
      code: response.status.code, body: (try? JSONReader.read(bytes)) ?? .null,
      text: String(decoding: bytes, as: UTF8.self))
  }

  func respond(
    _ method: HTTPRequest.Method, _ path: String, bytes: [UInt8] = [], token: String? = "secret",
    contentType: String? = nil
  ) async -> Response {
    var head = HTTPRequest(method: method, scheme: "http", authority: "localhost", path: path)
    head.headerFields[.contentType] = contentType
    if let token { head.headerFields[.authorization] = token.contains(" ") ? token : "Bearer \(token)" }
    return await server.respond(to: Request(head: head, body: RequestBody(buffer: ByteBuffer(bytes: bytes))))
  }

  func apply(_ text: String, query: String = "") async -> Answer {
    await send(.post, "/apis/apus.dev/v1/apply\(query)", text)
  }
}

/// Keeps what a response writes.
final class Collector: ResponseBodyWriter {
  private(set) var bytes: [UInt8] = []

  func write(_ buffer: ByteBuffer) async throws { bytes += buffer.readableBytesView }
  func finish(_ trailingHeaders: HTTPFields?) async throws {}
}

let catalog = """
  apiVersion: v1
  kind: Service
  metadata:
    name: catalog
    labels: {team: shop}
  spec:
    selector: {app: catalog}
    ports:
    - port: 80
      targetPort: 8080
  """

let canary = """
  apiVersion: gateway.networking.k8s.io/v1
  kind: HTTPRoute
  metadata:
    name: canary
  spec:
    parentRefs:
    - {group: "", kind: Service, name: catalog}
    rules:
    - backendRefs:
      - {name: catalog, port: 80, weight: 95}
      - {name: catalog-v2, port: 80, weight: 5}
  """
