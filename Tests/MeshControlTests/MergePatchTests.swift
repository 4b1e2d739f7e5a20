import MeshControl
import Testing

@Suite struct MergePatchTests {
  /// The examples of RFC 7396, appendix A.
  @Test(arguments: [
    (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
    (#"{"a":"b"}"#, #"{"a":null}"#, "{}"), (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#),
    (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"c"}"#, #"{"a":["b"]}"#, #"{"a":["b"]}"#),
    (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
    (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#), (#"["a","b"]"#, #"["c","d"]"#, #"["c","d"]"#),
    (#"{"a":"b"}"#, #"["c"]"#, #"["c"]"#), (#"{"a":"foo"}"#, "null", "null"), (#"{"a":"foo"}"#, #""bar""#, #""bar""#),
    (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#), ("[1,2]", #"{"a":"b","c":null}"#, #"{"a":"b"}"#),
    ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
  ]) func `a merge patch does what its standard says`(original: String, patch: String, result: String) {
    #expect(value(original).merged(with: value(patch)) == value(result))
  }

  private let ports = #"{"kind":"Service","spec":{"ports":[{"name":"a","port":80},{"name":"b","port":81}]}}"#

  private func patched(_ spec: String) -> [String] {
    let result = value(ports).strategicallyMerged(with: value(#"{"spec":\#(spec)}"#))
    return (result["spec"]?["ports"]?.elements ?? []).map { $0.json(sorted: true) }
  }

  @Test func `a strategic patch changes a service's ports by their numbers`() {
    let added = #"{"$setElementOrder/ports":[{"port":79},{"port":80},{"port":81}],"ports":[{"name":"n","port":79}]}"#
    #expect(
      patched(added) == [#"{"name":"n","port":79}"#, #"{"name":"a","port":80}"#, #"{"name":"b","port":81}"#])
    #expect(
      patched(#"{"ports":[{"port":81,"targetPort":9090}]}"#)
        == [#"{"name":"a","port":80}"#, #"{"name":"b","port":81,"targetPort":9090}"#])
    #expect(patched(#"{"ports":[{"$patch":"delete","port":80}]}"#) == [#"{"name":"b","port":81}"#])
    #expect(
      patched(#"{"ports":[{"$patch":"replace"},{"name":"z","port":1}]}"#) == [#"{"name":"z","port":1}"#])
  }

  @Test func `in other kinds a strategic patch replaces lists and leaves no directive behind`() {
    let route = value(#"{"kind":"HTTPRoute","spec":{"rules":[{"name":"a"},{"name":"b"}]}}"#)
    let result = route.strategicallyMerged(
      with: value(#"{"metadata":{"$retainKeys":["x"]},"spec":{"rules":[{"name":"c"}]}}"#))
    #expect(result == value(#"{"kind":"HTTPRoute","spec":{"rules":[{"name":"c"}]},"metadata":{}}"#))
  }
}
