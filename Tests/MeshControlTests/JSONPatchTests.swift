import MeshControl
import Testing

@Suite struct JSONPatchTests {
  private func patched(_ document: String, _ patch: String) throws -> Value {
    var patch = try JSONPatch(value(patch))
    return try patch.applied(to: value(document))
  }

  /// The cases of RFC 6902, appendix A, and of RFC 6901's escapes.
  @Test(arguments: [
    (#"{"a":"x"}"#, #"[{"op":"add","path":"/b","value":1}]"#, #"{"a":"x","b":1}"#),
    (#"{"a":["x","z"]}"#, #"[{"op":"add","path":"/a/1","value":"y"}]"#, #"{"a":["x","y","z"]}"#),
    (#"{"a":["x"]}"#, #"[{"op":"add","path":"/a/-","value":["y"]}]"#, #"{"a":["x",["y"]]}"#),
    (#"{"a":["x"]}"#, #"[{"op":"add","path":"/a/1","value":"y"}]"#, #"{"a":["x","y"]}"#),
    (#"{"a":1}"#, #"[{"op":"add","path":"","value":{"b":2}}]"#, #"{"b":2}"#),
    (#"{"a":1,"b":2}"#, #"[{"op":"remove","path":"/a"}]"#, #"{"b":2}"#),
    (#"{"a":["x","y","z"]}"#, #"[{"op":"remove","path":"/a/1"}]"#, #"{"a":["x","z"]}"#),
    (#"{"a":1}"#, #"[{"op":"replace","path":"/a","value":null}]"#, #"{"a":null}"#),
    (#"{"a":[1,2]}"#, #"[{"op":"replace","path":"/a/0","value":3}]"#, #"{"a":[3,2]}"#),
    (#"{"a":1}"#, #"[{"op":"replace","path":"","value":{"b":2}}]"#, #"{"b":2}"#),
    (#"{"a":{"x":1},"b":{}}"#, #"[{"op":"move","from":"/a/x","path":"/b/y"}]"#, #"{"a":{},"b":{"y":1}}"#),
    (#"{"a":[1,2,3]}"#, #"[{"op":"move","from":"/a/0","path":"/a/2"}]"#, #"{"a":[2,3,1]}"#),
    (#"{"a":1}"#, #"[{"op":"move","from":"/a","path":"/a"}]"#, #"{"a":1}"#),
    (#"{"a":{"x":1}}"#, #"[{"op":"copy","from":"/a","path":"/b"}]"#, #"{"a":{"x":1},"b":{"x":1}}"#),
    (#"{"a":{"x":1,"y":2}}"#, #"[{"op":"test","path":"/a","value":{"y":2,"x":1}}]"#, #"{"a":{"x":1,"y":2}}"#),
    (#"{"a/b":1,"m~n":2}"#, #"[{"op":"remove","path":"/a~1b"},{"op":"remove","path":"/m~0n"}]"#, "{}"),
    (#"{"~1":1}"#, #"[{"op":"replace","path":"/~01","value":2}]"#, #"{"~1":2}"#),
    (#"{"":1}"#, #"[{"op":"replace","path":"/","value":2}]"#, #"{"":2}"#),
    (#"{"a":1}"#, #"[{"op":"add","path":"/b","value":2,"unknown":true}]"#, #"{"a":1,"b":2}"#),
  ]) func `a patch does what its standard says`(document: String, patch: String, result: String) throws {
    #expect(try patched(document, patch) == value(result))
  }

  @Test(arguments: [
    (#"{"op":"add","path":"/b","value":1}"#, "the patch is an object, not a list"),
    (#"[{"op":"put","path":"/a"}]"#, #"operation 0: "op" must be add, remove, replace, move, copy or test"#),
    (#"[{"op":"add","value":1}]"#, #"operation 0: "path" is missing"#),
    (#"[{"op":"add","path":"/b"}]"#, #"operation 0: "value" is missing"#),
    (#"[{"op":"move","path":"/b"}]"#, #"operation 0: "from" is missing"#),
    (#"[{"op":"add","path":"b","value":1}]"#, #"operation 0: "path" must begin with /, as in /spec/rules/0"#),
    (#"[{"op":"add","path":"/a~2","value":1}]"#, "operation 0: in a path ~ is written ~0, and / within a name ~1"),
    (#"[{"op":"add","path":"/b","value":1},{"op":"remove","path":"/c"}]"#, "operation 1: there is no c in the path"),
    (#"[{"op":"add","path":"/x/y","value":1}]"#, "operation 0: there is no x in the path"),
    (#"[{"op":"add","path":"/l/3","value":1}]"#, "operation 0: 3 is no place in a list of 2"),
    (#"[{"op":"add","path":"/l/01","value":1}]"#, "operation 0: 01 is no place in a list of 2"),
    (#"[{"op":"remove","path":"/l/-"}]"#, "operation 0: - is no place in a list of 2"),
    (#"[{"op":"remove","path":"/l/-1"}]"#, "operation 0: -1 is no place in a list of 2"),
    (#"[{"op":"replace","path":"/n","value":1}]"#, "operation 0: there is no n in the path"),
    (#"[{"op":"remove","path":""}]"#, "operation 0: the whole document cannot be removed; delete the object"),
    (#"[{"op":"move","from":"/o","path":"/o/p/q"}]"#, "operation 0: nothing can be moved into itself"),
    (#"[{"op":"test","path":"/a","value":2}]"#, "operation 0: /a is not what the test wants"),
    (#"[{"op":"add","path":"/a/b","value":2}]"#, "operation 0: there is no b in the path"),
  ]) func `what cannot be done is said, with its place`(patch: String, message: String) {
    #expect {
      try patched(#"{"a":1,"l":[1,2],"o":{"p":{}}}"#, patch)
    } throws: { ($0 as? JSONPatch.Failure)?.message == message }
  }

  @Test func `copies of copies are bounded`() {
    let double = #"{"op":"copy","from":"/a","path":"/a/-"}"#
    let patch = "[" + Array(repeating: double, count: 40).joined(separator: ",") + "]"
    #expect(throws: JSONPatch.Failure.self) { try patched(#"{"a":[1]}"#, patch) }
    let long = "[" + Array(repeating: #"{"op":"test","path":"","value":1}"#, count: 1001).joined(separator: ",") + "]"
    #expect(throws: JSONPatch.Failure.self) { try patched("1", long) }
  }
}
