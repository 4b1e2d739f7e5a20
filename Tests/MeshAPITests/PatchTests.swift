import HTTPTypes
import MeshAPI
import MeshControl
import Testing

/// `PATCH`, as kubectl's `patch`, `label`, `edit` and `apply` send it.
@Suite struct PatchTests {
  private let object = "/api/v1/namespaces/default/services/catalog"
  private let merge = "application/merge-patch+json"
  private let strategic = "application/strategic-merge-patch+json"

  private func stocked() async throws -> TestAPI {
    let api = try await TestAPI()
    _ = await api.apply(catalog)
    return api
  }

  @Test func `a merge patch changes what it names`() async throws {
    let api = try await stocked()
    let patch = #"{"metadata":{"labels":{"team":null,"tier":"back"}},"spec":{"selector":{"version":"v2"}}}"#
    let answer = await api.send(.patch, object, patch, contentType: merge + "; charset=utf-8")
    #expect(answer.code == 200)
    #expect(answer.body["metadata"]?["labels"] == .object([.init("tier", .string("back"))]))
    #expect(answer.body["spec"]?["selector"]?["app"]?.text == "catalog")
    #expect(answer.body["spec"]?["selector"]?["version"]?.text == "v2")
    #expect(answer.body["metadata"]?["resourceVersion"]?.text == "2")
    #expect(await api.send(.get, object).body == answer.body)
  }

  @Test func `a strategic patch keeps the ports that it does not name`() async throws {
    let api = try await stocked()
    let patch = #"{"spec":{"ports":[{"name":"admin","port":81}]}}"#
    let refused = await api.send(.patch, object, patch, contentType: strategic)
    #expect(refused.code == 422, "with two ports each needs a name")
    let named = #"{"spec":{"ports":[{"port":80,"name":"http"},{"name":"admin","port":81}]}}"#
    let answer = await api.send(.patch, object, named, contentType: strategic)
    #expect(answer.body["spec"]?["ports"]?.elements?.compactMap { $0["targetPort"] } == [.integer(8080)])
    #expect(answer.body["spec"]?["ports"]?.elements?.count == 2)
  }

  @Test func `a patch that breaks the object changes nothing and tells every mistake`() async throws {
    let api = try await stocked()
    let patch = #"{"spec":{"ports":[{"port":0}],"selectr":{}}}"#
    let answer = await api.send(.patch, object, patch, contentType: merge)
    #expect(answer.code == 422)
    #expect(Set(answer.causes.compactMap { $0.split(separator: " ").first }) == ["spec.ports[0].port", "spec.selectr"])
    #expect(await api.send(.get, object).body["metadata"]?["resourceVersion"]?.text == "1")
  }

  @Test func `a version in the patch must be the object's`() async throws {
    let api = try await stocked()
    func patch(_ version: String) -> String {
      #"{"metadata":{"resourceVersion":"\#(version)"},"spec":{"selector":{"version":"v2"}}}"#
    }
    #expect(await api.send(.patch, object, patch("7"), contentType: merge).code == 409)
    #expect(await api.send(.patch, object, patch("1"), contentType: merge).code == 200)
  }

  @Test func `a trial keeps nothing`() async throws {
    let api = try await stocked()
    let patch = #"{"spec":{"selector":{"version":"v2"}}}"#
    let answer = await api.send(.patch, object + "?dryRun=All", patch, contentType: merge)
    #expect(answer.body["spec"]?["selector"]?["version"]?.text == "v2")
    #expect(await api.send(.get, object).body["spec"]?["selector"]?["version"] == nil)
  }

  @Test(arguments: [
    ("{}", "application/json-patch+json", 400), ("{}", "application/apply-patch+yaml", 415), ("{}", nil, 415),
    (#"[{"op":"remove","path":"/no"}]"#, "application/json-patch+json", 400),
    (#"[{"op":"test","path":"/kind","value":"Pod"}]"#, "application/json-patch+json", 409),
    (#"[{"op":"test","path":"/kind","value":"Service"}]"#, "application/json-patch+json", 200),
    ("{", "application/merge-patch+json", 400), ("[]", "application/merge-patch+json", 400),
    (#"{"metadata":{"name":"other"}}"#, "application/merge-patch+json", 400),
  ]) func `what is no patch is told apart`(body: String, type: String?, code: Int) async throws {
    #expect(try await stocked().send(.patch, object, body, contentType: type).code == code)
  }

  @Test func `what is not there cannot be patched`() async throws {
    #expect(try await stocked().send(.patch, object + "-x", "{}", contentType: merge).code == 404)
  }

  @Test func `kubectl finds the verb, and no schemas`() async throws {
    let api = try await TestAPI()
    let resources = await api.send(.get, "/api/v1").body["resources"]?.elements ?? []
    #expect(resources.first?["verbs"]?.elements?.contains(.string("patch")) == true)
    #expect(await api.send(.get, "/openapi/v2").body["swagger"]?.text == "2.0")
    #expect(await api.send(.get, "/openapi/v3").body["paths"] == .object([]))
    #expect(await api.send(.get, "/openapi/v4").code == 404)
  }
}
