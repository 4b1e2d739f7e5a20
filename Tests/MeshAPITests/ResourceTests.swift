import HTTPTypes
import Hummingbird
import Logging
import MeshAPI
import MeshControl
import MeshStore
import Testing

@Suite struct ResourceTests {
  private let services = "/api/v1/namespaces/default/services"

  @Test func `an object is created, read, replaced and deleted`() async throws {
    let api = try await TestAPI()
    let created = await api.send(.post, services, catalog)
    #expect(created.code == 201)
    #expect(created.body["metadata"]?["resourceVersion"]?.text == "1")
    #expect(await api.send(.post, services, catalog).code == 409)

    let read = await api.send(.get, services + "/catalog")
    #expect(read.code == 200)
    #expect(read.body == created.body)

    let changed = read.text.replacing("8080", with: "9090")
    let replaced = await api.send(.put, services + "/catalog", changed)
    #expect(replaced.code == 200)
    #expect(replaced.body["metadata"]?["resourceVersion"]?.text == "2")
    #expect(replaced.body["spec"]?["ports"]?.elements?.first?["targetPort"] == .integer(9090))

    let stale = await api.send(.put, services + "/catalog", read.text.replacing("8080", with: "7070"))
    #expect(stale.code == 409)
    #expect(stale.body["reason"]?.text == "Conflict")

    #expect(await api.send(.delete, services + "/catalog").code == 200)
    let gone = await api.send(.get, services + "/catalog")
    #expect(gone.code == 404)
    #expect(gone.body["kind"]?.text == "Status")
    #expect(await api.send(.put, services + "/catalog", catalog).code == 404)
  }

  @Test func `lists are of a namespace or of all, and chosen by labels`() async throws {
    let api = try await TestAPI()
    _ = await api.send(.post, services, catalog)
    _ = await api.send(.post, "/api/v1/namespaces/other/services", catalog.replacing("shop", with: "else"))
    func names(_ path: String) async -> [String] {
      (await api.send(.get, path).body["items"]?.elements ?? []).compactMap { $0["metadata"]?["namespace"]?.text }
    }
    #expect(await names("/api/v1/services") == ["default", "other"])
    #expect(await names("/api/v1/namespaces/other/services") == ["other"])
    #expect(await names("/api/v1/services?labelSelector=team%3Dshop") == ["default"])
    #expect(await names("/api/v1/services?labelSelector=team%20in%20(shop,else),!old") == ["default", "other"])
    #expect(await names("/api/v1/services?labelSelector=team!%3Dshop") == ["other"])
    #expect(await names("/api/v1/services?fieldSelector=metadata.name%3Dnobody") == [])
    #expect(await api.send(.get, "/api/v1/services?labelSelector=team%20in%20shop").code == 400)
    let list = await api.send(.get, services)
    #expect(list.body["kind"]?.text == "ServiceList")
    #expect(list.body["metadata"]?["resourceVersion"]?.text == "2")
  }

  @Test func `what the URL says must agree with the object`() async throws {
    let api = try await TestAPI()
    let answer = await api.send(.put, "/api/v1/namespaces/other/services/cart", catalog + "\n  type: ClusterIP\n")
    #expect(answer.code == 422)
    #expect(answer.causes == ["metadata.name FieldValueInvalid"])
    let kind = await api.send(.post, "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes", catalog)
    #expect(kind.causes == ["kind FieldValueInvalid"])
  }

  @Test func `without the token nothing is answered but life, readiness and version`() async throws {
    let api = try await TestAPI()
    for path in ["/healthz", "/readyz", "/version"] {
      #expect(await api.send(.get, path, token: nil).code == 200)
    }
    for token in ["Basic YXB1czpzZWNyZXQ=", "basic OnNlY3JldA==", "Bearer secret"] {
      #expect(await api.send(.get, services, token: token).code == 200, "\(token)")
    }
    // Of the last three, one has another password, one none, one is no base64.
    for token in [
      nil, "", "secre", "secret2", "geheim", "Basic secret", "Basic YXB1czpzZWNyZXQy", "Basic c2VjcmV0", "Basic !",
    ] {
      for path in [services, "/apis", "/apis/apus.dev/v1/apply", "/nowhere"] {
        let answer = await api.send(.get, path, token: token)
        #expect(answer.code == 401)
        #expect(answer.body["reason"]?.text == "Unauthorized")
      }
    }
  }

  @Test(arguments: [
    ("/nowhere", 404), ("/api/v2/services", 404), ("/api/v1/pods", 404), ("/api/v1/namespaces/BAD/services", 400),
    ("/apis/gateway.networking.k8s.io/v1/udproutes", 404), ("/api/v1/namespaces/default/services/a/status", 404),
    ("/apis/apus.dev/v1/stats?window=0", 400), ("/apis/apus.dev/v1/apply", 405),
    ("/api/v1/services?watch=true&resourceVersion=x", 400), ("/api/v1/services?watch=1&resourceVersion=999", 410),
  ])
  func `what is not served says what is`(path: String, code: Int) async throws {
    let answer = try await TestAPI().send(.get, path)
    #expect(answer.code == code)
    #expect(answer.body["kind"]?.text == "Status")
    #expect(answer.body["code"] == .integer(code))
  }

  @Test func `a watch begins with what is there and goes on with each change`() async throws {
    let api = try await TestAPI()
    _ = await api.send(.post, services, catalog)
    let response = await api.respond(.get, services + "?watch=true")
    _ = await api.apply(catalog.replacing("8080", with: "9090"))
    _ = await api.apply(canary)
    _ = await api.send(.delete, services + "/catalog")
    try api.store.close()
    let collector = Collector()
    try await response.body.write(collector)
    let lines = String(decoding: collector.bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    let heard = try lines.map { try JSONReader.read(Array($0.utf8)) }
    #expect(heard.compactMap { $0["type"]?.text } == ["ADDED", "MODIFIED", "DELETED"])
    #expect(heard.allSatisfy { $0["object"]?["kind"]?.text == "Service" })
  }

  @Test func `the mesh's own answers have the shape that was agreed`() async throws {
    let api = try await TestAPI()
    let proxy = await api.send(.get, "/apis/apus.dev/v1/proxies").body["items"]?.elements?.first
    #expect(proxy?["status"]?.text == "NACKED")
    #expect(proxy?["nack"]?["message"]?.text == "no")
    let stat = await api.send(.get, "/apis/apus.dev/v1/stats?window=10").body["items"]?.elements?.first
    #expect(stat?["meshed"]?.text == "1/2")
    #expect(stat?["successRate"] == Value(.number(0.5)))
    #expect(stat?["p99Ms"] == .null)
    let token = await api.send(.post, "/apis/apus.dev/v1/namespaces/shop/serviceaccounts/cart/token")
    #expect(token.code == 201)
    #expect(token.body["token"]?.text == "shop/cart/default")
    let workload = await api.send(.get, "/apis/apus.dev/v1/namespaces/default/workloads/cart-1").body
    #expect(workload["status"]?["identity"]?.text == "spiffe://cluster.local/ns/default/sa/cart")
    #expect(await api.send(.get, "/apis/apus.dev/v1/workloads").body["items"]?.elements?.count == 1)
    let kinds = await api.send(.get, "/apis/apus.dev/v1").body["resources"]?.elements?.compactMap { $0["name"]?.text }
    #expect(
      kinds == ["trafficpolicies", "peerauthentications", "directresponses", "rollouts", "telemetries", "workloads"])
  }

  @Test func `an API that other machines could reach is refused unless permitted`() {
    let fixed = FixedSources()
    func make(_ host: String, permits: Bool = false, token: String = "t") -> APIError? {
      do throws(APIError) {
        _ = try APIServer(
          settings: APISettings(host: host, permitsOtherMachines: permits, token: token, version: "1"),
          sources: APISources(
            store: EmptyStore(), workloads: fixed, proxies: fixed, statistics: fixed, minter: fixed, unready: { [] }),
          logger: Logger(label: "test"))
        return nil
      } catch {
        return error
      }
    }
    #expect(make("127.0.0.1") == nil)
    #expect(make("::1") == nil)
    #expect(make("0.0.0.0") == .notLoopback("0.0.0.0"))
    #expect(make("10.0.0.1") == .notLoopback("10.0.0.1"))
    #expect(make("127.evil.example") == .notLoopback("127.evil.example"))
    #expect(make("0.0.0.0", permits: true) == nil)
    #expect(make("127.0.0.1", token: "") == .noToken)
  }
}

/// A store with nothing in it.
struct EmptyStore: ResourceStore {
  func resource(_ key: ResourceKey) async throws(StoreError) -> Resource? { nil }
  func resources(_ groupKind: GroupKind?, namespace: String?) async throws(StoreError) -> ResourceList {
    ResourceList(items: [], resourceVersion: 0)
  }
  func commit(_ changes: [ResourceChange], isDryRun: Bool) async throws(StoreError) -> [ResourceOutcome] {
    throw .full("no room")
  }
  func writeStatuses(_ statuses: [StatusUpdate]) async throws(StoreError) {}
  func changes(
    after version: UInt64
  ) async throws(StoreError) -> AsyncThrowingStream<[ResourceEvent], any Error> {
    throw .unavailable("no history")
  }
}
