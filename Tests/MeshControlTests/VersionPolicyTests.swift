import MeshControl
import MeshWire
import Testing

/// Whose TrafficPolicy holds where a service's route leads to its versions.
@Suite struct VersionPolicyTests {
  private static let version = ServiceName(namespace: "default", name: "shop-v1")

  private func policy(_ spec: String, target: String = "shop") -> String {
    """
    {"apiVersion": "apus.dev/v1", "kind": "TrafficPolicy", "metadata": {"name": "p-\(target)", "namespace": "default"},
     "spec": {"targetRefs": [{"kind": "Service", "name": "\(target)"}], \(spec)}}
    """
  }

  private static let settings =
    #""circuitBreaker": {"maxRequests": 7}, "rateLimits": [{"name": "a", "requests": 5, "side": "Client"}], "#
    + #""faultInjection": [{"abort": {"status": 500}}], "retryBudget": {"percent": 1}"#

  private let narrow = service("shop-v1", selector: #"{"app": "shop", "version": "v1"}"#)
  private let split = route(#"[{"backendRefs": [{"name": "shop-v1", "port": 80}]}]"#)

  private func index(_ objects: [String]) throws -> MeshIndex {
    MeshIndex(resources: try objects.map { try #require(read($0).resource) })
  }

  private func policy(of name: ServiceName, in index: MeshIndex) throws -> TrafficPolicyConfig? {
    let compiled = try #require(index.compile(service: name))
    return try ServiceConfig(protobuf: compiled.common.bytes).policy
  }

  @Test func `a version without a policy has the one of the service whose route leads to it`() throws {
    let index = try index([service("shop"), narrow, split, policy(Self.settings)])
    let found = try #require(try policy(of: Self.version, in: index))
    #expect(found.source == "default/p-shop" && found.circuitBreaker?.maxRequests == 7)
    #expect(found.retryBudget?.percent == 1)
    // What is counted where the request comes in is not counted again.
    #expect(found.rateLimits.isEmpty && found.faults.isEmpty)
    let whole = try #require(try policy(of: ServiceName(namespace: "default", name: "shop"), in: index))
    #expect(whole.rateLimits.count == 1 && whole.faults.count == 1)
  }

  @Test func `its own policy goes before`() throws {
    let own = policy(#""circuitBreaker": {"maxRequests": 9}"#, target: "shop-v1")
    let index = try index([service("shop"), narrow, split, policy(Self.settings), own])
    #expect(try policy(of: Self.version, in: index)?.circuitBreaker?.maxRequests == 9)
    #expect(try policy(of: Self.version, in: index)?.retryBudget == nil)
  }

  @Test func `what is no version, or is led to by nobody or by others, goes by its own`() throws {
    let elsewhere = service("shop-v1", selector: #"{"app": "cart", "version": "v1"}"#)
    let same = service("shop-v1", selector: #"{"app": "shop"}"#)
    let foreign = route(
      #"[{"backendRefs": [{"name": "shop-v1", "port": 80, "namespace": "default"}]}]"#, namespace: "other",
      parent: #"{"group": "", "kind": "Service", "name": "shop", "namespace": "default"}"#)
    for objects in [[elsewhere, split], [same, split], [narrow], [narrow, foreign]] {
      let index = try index([service("shop"), policy(Self.settings)] + objects)
      #expect(try policy(of: Self.version, in: index) == nil)
    }
  }

  @Test(arguments: ["policy", "route", "service"])
  func `whatever of it changes, the version is compiled again`(what: String) throws {
    let objects = ["policy": policy(Self.settings), "route": split, "service": service("shop")]
    let changed = try #require(objects[what].flatMap { read($0).resource })
    var index = try index([narrow] + objects.filter { $0.key != what }.map(\.value))
    #expect(try policy(of: Self.version, in: index) == nil)
    #expect(index.put(changed).services.contains(Self.version))
    #expect(try policy(of: Self.version, in: index) != nil)
    #expect(index.remove(changed.key).services.contains(Self.version))
    #expect(try policy(of: Self.version, in: index) == nil)
  }
}
