import MeshControl
import Testing

@Suite struct ValidationTests {
  @Test func `every violation of an object is told at once, with path, reason and mend`() {
    let (resource, violations) = read(
      """
      {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "Bad Name"},
       "spec": {"parentRefs": [{"group": "", "kind": "Service"}],
         "rulez": [],
         "rules": [
           {"matches": [{"path": {"type": "Prefix", "value": "shop"}}],
            "backendRefs": [{"name": "a", "port": "80", "wieght": 3}]},
           {"matches": [{"headers": [{"name": "x", "value": "1"}, {"name": "X", "value": "2"}]}],
            "backendRefs": [{"name": "b", "port": 70000}],
            "timeouts": {"request": "ten seconds"}}]}}
      """)
    #expect(resource == nil)
    #expect(
      lines(violations) == [
        "metadata.name FieldValueInvalid",
        "spec.parentRefs[0].name FieldValueRequired",
        "spec.rules[0].matches[0].path.type FieldValueNotSupported",
        "spec.rules[0].backendRefs[0].port FieldValueTypeInvalid",
        "spec.rules[0].backendRefs[0].wieght FieldUnknown",
        "spec.rules[1].matches[0].headers[1].name FieldValueDuplicate",
        "spec.rules[1].backendRefs[0].port FieldValueInvalid",
        "spec.rules[1].timeouts.request FieldValueInvalid",
        "spec.rulez FieldUnknown",
      ])
    let messages = violations.map(\.message)
    #expect(messages[2].contains("did you mean") || messages[2].contains("use one of Exact, PathPrefix"))
    #expect(messages[3].contains("write 80 without quotes"))
    #expect(messages[4].contains("did you mean \"weight\"?"))
    #expect(messages[8].contains("did you mean \"rules\"?"))
    #expect(violations.allSatisfy { $0.message.contains(";") || $0.message.contains("?") })
    #expect(violations.allSatisfy { $0.position != nil || $0.path.isEmpty })
  }

  /// One row for each rule of the Gateway API's definition of HTTPRoute, and of the other kinds.
  @Test(arguments: [
    (#"[{"matches": [{"path": {"value": "a"}}]}]"#, "spec.rules[0].matches[0].path.value FieldValueInvalid"),
    (#"[{"matches": [{"path": {"value": "/a//b"}}]}]"#, "spec.rules[0].matches[0].path.value FieldValueInvalid"),
    (#"[{"matches": [{"path": {"value": "/a/../b"}}]}]"#, "spec.rules[0].matches[0].path.value FieldValueInvalid"),
    (#"[{"matches": [{"path": {"value": "/a%2Fb"}}]}]"#, "spec.rules[0].matches[0].path.value FieldValueInvalid"),
    (#"[{"matches": [{"path": {"value": "/a#b"}}]}]"#, "spec.rules[0].matches[0].path.value FieldValueInvalid"),
    (#"[{"matches": [{"path": {"value": "/a/."}}]}]"#, "spec.rules[0].matches[0].path.value FieldValueInvalid"),
    (#"[{"matches": [{"path": {"value": "/a b"}}]}]"#, "spec.rules[0].matches[0].path.value FieldValueInvalid"),
    (
      #"[{"matches": [{"path": {"type": "RegularExpression", "value": "(a"}}]}]"#,
      "spec.rules[0].matches[0].path.value FieldValueInvalid"
    ),
    (
      #"[{"matches": [{"headers": [{"name": "v", "type": "RegularExpression", "value": "((a{999}){999})"}]}]}]"#,
      "spec.rules[0].matches[0].headers[0].value FieldValueInvalid"
    ),
    (#"[{"matches": [{"method": "get"}]}]"#, "spec.rules[0].matches[0].method FieldValueNotSupported"),
    (
      #"[{"matches": [{"headers": [{"name": "a b", "value": "1"}]}]}]"#,
      "spec.rules[0].matches[0].headers[0].name FieldValueInvalid"
    ),
    (
      #"[{"matches": [{"queryParams": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}]}]"#,
      "spec.rules[0].matches[0].queryParams[1].name FieldValueDuplicate"
    ),
    (#"[{"name": "x"}, {"name": "x"}]"#, "spec.rules[1].name FieldValueDuplicate"),
    (#"[]"#, "spec.rules FieldValueRequired"),
    (#"[{"backendRefs": [{"name": "a"}]}]"#, "spec.rules[0].backendRefs[0].port FieldValueRequired"),
    (
      #"[{"backendRefs": [{"name": "a", "port": 80, "weight": 0}, {"name": "b", "port": 80, "weight": 0}]}]"#,
      "spec.rules[0].backendRefs FieldValueInvalid"
    ),
    (
      #"[{"backendRefs": [{"name": "a", "port": 80, "weight": -1}]}]"#,
      "spec.rules[0].backendRefs[0].weight FieldValueInvalid"
    ),
    (
      #"[{"backendRefs": [{"name": "a", "port": 80, "weight": 1000001}]}]"#,
      "spec.rules[0].backendRefs[0].weight FieldValueInvalid"
    ),
    (#"[{"filters": [{"type": "URLRewrite"}]}]"#, "spec.rules[0].filters[0].urlRewrite FieldValueRequired"),
    (
      #"[{"filters": [{"type": "URLRewrite", "urlRewrite": {}, "requestRedirect": {}}]}]"#,
      "spec.rules[0].filters[0].requestRedirect FieldValueForbidden"
    ),
    (
      #"[{"filters": [{"type": "RequestRedirect", "requestRedirect": {}}], "backendRefs": [{"name": "a", "port": 1}]}]"#,
      "spec.rules[0].backendRefs FieldValueForbidden"
    ),
    (
      #"[{"filters": [{"type": "RequestRedirect", "requestRedirect": {}}, {"type": "URLRewrite", "urlRewrite": {}}]}]"#,
      "spec.rules[0].filters FieldValueForbidden"
    ),
    (
      #"[{"filters": [{"type": "RequestRedirect", "requestRedirect": {"statusCode": 304}}]}]"#,
      "spec.rules[0].filters[0].requestRedirect.statusCode FieldValueNotSupported"
    ),
    (
      #"[{"matches": [{"path": {"type": "Exact", "value": "/a"}}], "filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}}}]}]"#,
      "spec.rules[0].filters[0].urlRewrite.path FieldValueInvalid"
    ),
    (
      #"[{"filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replacePrefixMatch": "/b"}}}]}]"#,
      "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath FieldValueRequired"
    ),
    (
      #"[{"filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/b c"}}}]}]"#,
      "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath FieldValueInvalid"
    ),
    (
      #"[{"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "A", "value": "1"}, {"name": "a", "value": "2"}]}}]}]"#,
      "spec.rules[0].filters[0].requestHeaderModifier.set[1].name FieldValueDuplicate"
    ),
    (
      #"[{"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "1\r\nb: 2"}]}}]}]"#,
      "spec.rules[0].filters[0].requestHeaderModifier.set[0].value FieldValueInvalid"
    ),
    (
      #"[{"timeouts": {"request": "1s", "backendRequest": "2s"}}]"#,
      "spec.rules[0].timeouts.backendRequest FieldValueInvalid"
    ),
    (#"[{"retry": {"codes": [200]}}]"#, "spec.rules[0].retry.codes[0] FieldValueInvalid"),
    (#"{"matches": []}"#, "spec.rules FieldValueTypeInvalid"),
    (#"["x"]"#, "spec.rules[0] FieldValueTypeInvalid"),
  ])
  func `each rule of HTTPRoute is checked`(rules: String, expected: String) {
    #expect(lines(read(route(rules)).violations).contains(expected))
    #expect(read(route(rules)).resource == nil)
  }

  @Test func `a rule may have seventeen matches but a route no more than 128 in all`() {
    let match = #"{"path": {"value": "/a"}}"#
    func rules(_ count: Int) -> String {
      let matches = Array(repeating: match, count: count).joined(separator: ",")
      return "[{\"matches\": [\(matches)]}, {\"matches\": [\(matches)]}, {\"matches\": [\(matches)]}]"
    }
    #expect(read(route(rules(42))).resource != nil)
    #expect(lines(read(route(rules(43))).violations) == ["spec.rules FieldValueTooMany"])
    #expect(lines(read(route(rules(65))).violations).contains("spec.rules[0].matches FieldValueTooMany"))
  }

  @Test func `two references to one parent need ports of their own`() {
    let parent = #"{"group": "", "kind": "Service", "name": "shop"}"#
    let withPort = #"{"group": "", "kind": "Service", "name": "shop", "port": 80}"#
    #expect(
      lines(read(route("[{}]", parent: "\(parent), \(parent)")).violations) == [
        "spec.parentRefs[1].port FieldValueRequired"
      ])
    #expect(
      lines(read(route("[{}]", parent: "\(withPort), \(withPort)")).violations)
        == ["spec.parentRefs[1] FieldValueDuplicate"])
  }

  @Test func `defaults are the Gateway API's`() throws {
    let resource = try #require(read(route(#"[{"backendRefs": [{"name": "a", "port": 80}]}]"#)).resource)
    let spec = try #require(resource.spec as? HTTPRouteSpec)
    #expect(spec.rules[0].matches[0].path.value == "/")
    #expect(spec.rules[0].matches[0].path.type == .pathPrefix)
    #expect(spec.rules[0].backendRefs[0].weight == 1)
    #expect(spec.rules[0].backendRefs[0].kind == "Service")
    let bare = try #require(
      read(route("[{}]", parent: #"{"name": "gate"}"#)).resource?.spec as? HTTPRouteSpec)
    #expect(bare.parentRefs[0].group == "gateway.networking.k8s.io")
    #expect(bare.parentRefs[0].kind == "Gateway")
  }

  @Test func `what is written with defaults filled in is read back the same`() throws {
    for text in [
      route(
        #"[{"filters": [{"type": "RequestRedirect", "requestRedirect": {"port": 1}}], "timeouts": {"request": "1s"}}]"#),
      service("shop"),
      #"{"apiVersion": "apus.dev/v1", "kind": "DirectResponse", "metadata": {"name": "d"}, "spec": {"status": 503}}"#,
    ] {
      let first = try #require(read(text).resource)
      let again = try #require(read(first.value.json()).resource)
      #expect(first.value == again.value)
      #expect(first.asksTheSame(as: again))
    }
  }

  @Test(arguments: [
    (
      #"{"apiVersion": "v1", "kind": "Deployment", "metadata": {"name": "a"}}"#, "kind FieldValueNotSupported",
      "HTTPRoute ("
    ),
    (
      #"{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "UDPRoute", "metadata": {"name": "a"}, "spec": {}}"#,
      "kind FieldValueNotSupported", "Known kinds: Service (v1), HTTPRoute"
    ),
    (
      #"{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HttpRoute", "metadata": {"name": "a"}, "spec": {}}"#,
      "kind FieldValueNotSupported", "did you mean \"HTTPRoute\"?"
    ),
    (
      #"{"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "HTTPRoute", "metadata": {"name": "a"}, "spec": {}}"#,
      "apiVersion FieldValueNotSupported", "use apiVersion gateway.networking.k8s.io/v1"
    ),
    (#"{"kind": "Service", "metadata": {"name": "a"}}"#, "apiVersion FieldValueRequired", "add it"),
    (#"{"apiVersion": "v1", "kind": "Service"}"#, "metadata FieldValueRequired", "add it"),
    (#"[1]"#, " FieldValueTypeInvalid", "not an object"),
    (
      #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "sepc": {}}"#, "sepc FieldUnknown",
      "did you mean \"spec\"?"
    ),
  ])
  func `an object that is not ours says what would be`(text: String, expected: String, mend: String) {
    let violations = read(text).violations
    #expect(lines(violations).contains(expected))
    #expect(violations.contains { $0.message.contains(mend) })
  }

  @Test(arguments: [
    (#"{"ports": [{"port": 80}, {"port": 81}]}"#, "spec.ports[0].name FieldValueRequired"),
    (#"{"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}"#, "spec.ports[1].name FieldValueDuplicate"),
    (#"{"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}"#, "spec.ports[1].port FieldValueDuplicate"),
    (#"{"ports": [{"port": 80, "targetPort": "HTTP"}]}"#, "spec.ports[0].targetPort FieldValueInvalid"),
    (#"{"ports": [{"port": 0}]}"#, "spec.ports[0].port FieldValueInvalid"),
    (#"{"ports": []}"#, "spec.ports FieldValueRequired"),
    (#"{"ports": [{"port": 80}], "type": "Magic"}"#, "spec.type FieldValueNotSupported"),
    (#"{"ports": [{"port": 80}], "selector": {"a": 1}}"#, "spec.selector[\"a\"] FieldValueTypeInvalid"),
  ])
  func `each rule of Service is checked`(spec: String, expected: String) {
    let text = #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": \#(spec)}"#
    #expect(lines(read(text).violations).contains(expected))
  }

  @Test func `an EndpointSlice keeps its parts beside the metadata`() throws {
    let text = """
      {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
       "metadata": {"name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
       "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.7"]}], "ports": [{"port": 5432}]}
      """
    let resource = try #require(read(text).resource)
    #expect(resource.value["endpoints"]?.elements?.count == 1)
    let wrong = text.replacing("IPv4", with: "IPv6")
    #expect(lines(read(wrong).violations) == ["endpoints[0].addresses[0] FieldValueInvalid"])
  }

  @Test func `a hostile object makes a bounded report`() {
    let fields = (0..<20_000).map { "\"x\($0)\": 1" }.joined(separator: ",")
    let report = ViolationReport()
    let text = #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {\#(fields)}}"#
    #expect(Resource.read(value(text), namespace: "default", into: report) == nil)
    #expect(report.violations.count == ViolationReport.limit)
    #expect(report.omittedCount == 20_001 - ViolationReport.limit)
  }

  @Test func `labels and annotations hold to their forms`() {
    let text = #"""
      {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]},
       "metadata": {"name": "a", "labels": {"a/b/c": "x", "ok": "not ok"}, "annotations": {" ": "x"}}}
      """#
    #expect(
      lines(read(text).violations) == [
        "metadata.labels FieldValueInvalid", "metadata.labels[\"ok\"] FieldValueInvalid",
        "metadata.annotations FieldValueInvalid",
      ])
  }
}
