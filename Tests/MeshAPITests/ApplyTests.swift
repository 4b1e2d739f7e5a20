import HTTPTypes
import MeshAPI
import MeshControl
import MeshStore
import Testing

/// Applying texts: all or nothing, and every mistake told.
@Suite struct ApplyTests {
  @Test func `several documents are applied together, and again without effect`() async throws {
    let api = try await TestAPI()
    let first = await api.apply("\(catalog)\n---\n\(canary)")
    #expect(first.code == 200)
    #expect(first.body["items"]?.elements?.compactMap { $0["result"]?.text } == ["created", "created"])
    let again = await api.apply("\(catalog)\n---\n\(canary)")
    #expect(again.body["items"]?.elements?.compactMap { $0["result"]?.text } == ["unchanged", "unchanged"])
    let changed = await api.apply(canary.replacing("95", with: "90"), query: "?namespace=default")
    #expect(changed.body["items"]?.elements?.first?["result"]?.text == "configured")
  }

  @Test func `a dangling reference is taken, warned of, and becomes a condition`() async throws {
    let api = try await TestAPI()
    let answer = await api.apply("\(catalog)\n---\n\(canary)")
    let warnings = answer.body["items"]?.elements?.last?["warnings"]?.elements?.compactMap(\.text) ?? []
    #expect(warnings.count == 1)
    #expect(warnings.first?.contains("BackendNotFound") == true)
    #expect(warnings.first?.contains("catalog-v2") == true)
  }

  @Test func `a dry run tells what would be and keeps nothing`() async throws {
    let api = try await TestAPI()
    let answer = await api.apply(catalog, query: "?dryRun=All&namespace=shop")
    #expect(answer.body["items"]?.elements?.first?["result"]?.text == "created")
    #expect(answer.body["items"]?.elements?.first?["namespace"]?.text == "shop")
    #expect(try await api.store.resources(nil, namespace: nil).items.isEmpty)
  }

  @Test func `a list of kind List counts as its items, in JSON too`() async throws {
    let api = try await TestAPI()
    let service = #"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80}]}}"#
    let answer = await api.apply(
      #"{"apiVersion":"v1","kind":"List","items":[\#(service),\#(service.replacing("\"a\"", with: "\"b\""))]}"#)
    #expect(answer.code == 200)
    #expect(answer.body["items"]?.elements?.count == 2)
  }

  /// Each row is text that goes in beside a good document; none of either may be kept.
  static let bad: [(name: String, text: String, expected: [String])] = [
    (
      "unknown field", canary.replacing("weight: 95", with: "wieght: 95"),
      ["spec.rules[0].backendRefs[0].wieght FieldUnknown"]
    ),
    (
      "wrong type", canary.replacing("weight: 95", with: "weight: heavy"),
      ["spec.rules[0].backendRefs[0].weight FieldValueTypeInvalid"]
    ),
    (
      "all weights zero", canary.replacing("weight: 95", with: "weight: 0").replacing("weight: 5", with: "weight: 0"),
      ["spec.rules[0].backendRefs FieldValueInvalid"]
    ),
    (
      "bad regex",
      canary.replacing(
        "- backendRefs:", with: "- matches: [{path: {type: RegularExpression, value: '(a'}}]\n    backendRefs:"),
      ["spec.rules[0].matches[0].path.value FieldValueInvalid"]
    ),
    (
      "regex that explodes",
      canary.replacing(
        "- backendRefs:",
        with: "- matches: [{path: {type: RegularExpression, value: '((a{999}){999}){999}'}}]\n    backendRefs:"),
      ["spec.rules[0].matches[0].path.value FieldValueInvalid"]
    ),
    ("duplicate object", catalog, ["metadata.name FieldValueDuplicate"]),
    ("duplicate member", "a: 1\na: 2\n", [" DocumentMalformed"]),
    ("cycle", "a: &a [*a]\n", [" DocumentMalformed"]),
    ("binary junk", "\u{0}\u{1}\u{2}\u{3}ELF", [" DocumentMalformed"]),
    ("unknown kind", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n", ["kind FieldValueNotSupported"]),
    (
      "reference that cannot mean anything", canary.replacing("port: 80, weight: 5", with: "weight: 5"),
      ["spec.rules[0].backendRefs[1].port FieldValueRequired"]
    ),
    (
      "name that is none", canary.replacing("name: canary", with: "name: Canary_1"), ["metadata.name FieldValueInvalid"]
    ),
  ]

  @Test(arguments: bad.indices) func `what is wrong is refused with every violation, and nothing is applied`(
    row: Int
  ) async throws {
    let (name, text, expected) = Self.bad[row]
    let api = try await TestAPI()
    let answer = await api.apply("\(catalog)\n---\n\(text)")
    #expect(answer.code == 422, "\(name)")
    let paths = answer.causes.map { $0.replacing("documents[1].", with: "") }
    #expect(paths == expected, "\(name)")
    #expect(
      answer.messages.allSatisfy { $0.contains(";") || $0.contains("?") || $0.contains("Known kinds") }, "\(name)")
    #expect(try await api.store.resources(nil, namespace: nil).items.isEmpty, "\(name)")
  }

  @Test func `mistakes of several documents are told together`() async throws {
    let api = try await TestAPI()
    let texts = Self.bad[0...3].enumerated().map { $1.text.replacing("name: canary", with: "name: canary-\($0)") }
    let answer = await api.apply(texts.joined(separator: "\n---\n") + "\n---\na: [\n")
    #expect(answer.code == 422)
    #expect(answer.causes.count == 5)
    #expect(answer.causes.contains("documents[2].spec.rules[0].backendRefs FieldValueInvalid"))
    #expect(answer.messages.contains { $0.contains("HTTPRoute canary-2") })
    #expect(answer.body["message"]?.text?.contains("5 mistakes, nothing was changed") == true)
  }

  @Test func `a document of ten megabytes is refused for its size`() async throws {
    let api = try await TestAPI()
    let answer = await api.apply("# " + String(repeating: "x", count: 10 << 20) + "\n" + catalog)
    #expect(answer.code == 413)
    #expect(answer.body["message"]?.text?.contains("in parts") == true)
  }

  @Test func `an alias bomb and bytes that are no text are refused quickly`() async throws {
    let api = try await TestAPI()
    var bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    for level in 1..<12 {
      bomb += "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ",") + "]\n"
    }
    let started = ContinuousClock().now
    #expect(await api.apply(bomb).causes == [" DocumentMalformed"])
    var seed: UInt64 = 1
    for _ in 0..<200 {
      let junk = (0..<500).map { _ -> UInt8 in
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: seed >> 40)
      }
      let answer = await api.send(.post, "/apis/apus.dev/v1/apply", bytes: junk)
      #expect(answer.code == 422)
    }
    #expect(started.duration(to: ContinuousClock().now) < .seconds(20))
    #expect(try await api.store.resources(nil, namespace: nil).items.isEmpty)
  }

  @Test func `the last good configuration stays in force when a change is refused`() async throws {
    let api = try await TestAPI()
    _ = await api.apply("\(catalog)\n---\n\(canary)")
    let before = try await api.store.resources(nil, namespace: nil)
    for (_, text, _) in Self.bad { _ = await api.apply("\(catalog.replacing("8080", with: "1"))\n---\n\(text)") }
    let after = try await api.store.resources(nil, namespace: nil)
    #expect(before.resourceVersion == after.resourceVersion)
    #expect(before.items.map(\.value) == after.items.map(\.value))
  }

  @Test func `an empty text is told as such`() async throws {
    let status = try await TestAPI().send(.post, "/apis/apus.dev/v1/apply", "")
    #expect(status.code == 422)
    #expect(status.messages.first?.contains("there is no object in it") == true)
  }
}
