import HTTPTypes
import MeshAPI
import MeshControl
import MeshStore
import Testing

/// The analysis, of what is stored and of what might be.
@Suite struct AnalysisAnswerTests {
  private static let route = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: shop}
    spec:
      parentRefs: [{group: "", kind: Service, name: shop}]
      rules:
      - backendRefs:
        - {name: gone, port: 80}
    """

  @Test func `finds in the mesh, and in documents as if they were applied`() async throws {
    let api = try await TestAPI()
    let empty = await api.send(.get, "/apis/apus.dev/v1/analyze")
    #expect(empty.body["items"]?.elements?.isEmpty == true)
    let asked = await api.send(.post, "/apis/apus.dev/v1/analyze", Self.route)
    let found = asked.body["items"]?.elements ?? []
    #expect(found.compactMap { $0["code"]?.text } == ["AP101", "AP102"])
    #expect(found.compactMap { $0["line"] } == [.integer(5), .integer(8)])
    #expect(try await api.store.resources(nil, namespace: nil).items.isEmpty)
    _ = await api.apply(Self.route)
    let stored = await api.send(.get, "/apis/apus.dev/v1/analyze")
    #expect(stored.body["items"]?.elements?.count == 2)
  }

  @Test func `what cannot be read is a finding with its line`() async throws {
    let read = AnalysisReader.read(
      Array("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  prots: []\n".utf8), namespace: "default")
    #expect(read.objects.isEmpty)
    #expect(read.findings.contains { $0.code == .invalid && $0.path == "spec.prots" && $0.line == 5 })
  }

  @Test func `what is wrong with several fields together has a line as well`() {
    let text = """
      apiVersion: gateway.networking.k8s.io/v1
      kind: BackendTLSPolicy
      metadata: {name: a}
      spec:
        targetRefs: [{group: "", kind: Service, name: a}]
        validation:
          hostname: a.test
      """
    let found = AnalysisReader.read(Array("---\n---\n\(text)".utf8), namespace: "default").findings
    #expect(found.map(\.path) == ["spec.validation.caCertificateRefs"])
    #expect(found.first?.line == 9)
  }

  @Test func `rollouts' verbs are told apart`() async throws {
    let api = try await TestAPI()
    let path = "/apis/apus.dev/v1/namespaces/default/rollouts/shop"
    #expect(await api.send(.post, "\(path)/explode").code == 404)
    #expect(await api.send(.post, "\(path)/pause").code == 503)
    #expect(await api.send(.get, "\(path)/pause").code == 405)
  }
}
