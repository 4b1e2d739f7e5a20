import MeshControl
import Testing

@Suite struct TextFormatTests {
  @Test(arguments: [
    (TextFormat.dnsLabel, "a"), (.dnsLabel, "a-b-1"), (.dnsLabel, "0"), (.serviceName, "shop"), (.dnsSubdomain, "a.b"),
    (.dnsSubdomain, "echo-v1"), (.apiGroup, ""), (.hostname, "*.example.com"), (.kindName, "HTTPRoute"),
    (.token, "X-Header_1"), (.headerValue, "a b\tc"), (.portName, "http-2"), (.labelKey, "app"),
    (.labelKey, "kubernetes.io/service-name"), (.labelValue, ""), (.labelValue, "v1.2_a"), (.ipAddress, "10.0.0.7"),
    (.ipAddress, "::"), (.ipAddress, "::1"), (.ipAddress, "2001:db8::1"), (.ipAddress, "::ffff:10.0.0.1"),
    (.ipAddress, "1:2:3:4:5:6:7:8"), (.duration, "1h30m"), (.duration, "500ms"), (.duration, "0s"),
  ])
  func `what is of the form is taken`(format: TextFormat, text: String) {
    #expect(format.fault(in: text) == nil)
  }

  @Test(arguments: [
    (TextFormat.dnsLabel, ""), (.dnsLabel, "A"), (.dnsLabel, "-a"), (.dnsLabel, "a-"), (.dnsLabel, "a.b"),
    (.dnsLabel, "a_b"), (.dnsLabel, String(repeating: "a", count: 64)), (.serviceName, "1shop"),
    (.dnsSubdomain, "a..b"),
    (.dnsSubdomain, ".a"), (.dnsSubdomain, "a."), (.dnsSubdomain, "é"), (.hostname, "*"), (.hostname, "*."),
    (.hostname, "a.*"), (.kindName, "1Kind"), (.token, ""), (.token, "a b"), (.token, "a:"), (.headerValue, ""),
    (.headerValue, " a"), (.headerValue, "a "), (.headerValue, "a  b"), (.headerValue, "a\r\nb"), (.headerValue, "é"),
    (.portName, "8080"), (.portName, "averylongportname"), (.portName, "a--b"), (.labelKey, ""), (.labelKey, "a/b/c"),
    (.labelKey, "/a"), (.labelKey, "A.com/a"), (.labelValue, "-"), (.labelValue, "a b"), (.ipAddress, ""),
    (.ipAddress, "10.0.0"), (.ipAddress, "10.0.0.256"), (.ipAddress, "10.0.0.07"), (.ipAddress, "1::2::3"),
    (.ipAddress, ":::"), (.ipAddress, "1:2:3:4:5:6:7"), (.ipAddress, "1:2:3:4:5:6:7:8:9"), (.ipAddress, "::g"),
    (.ipAddress, "fe80::1%eth0"), (.duration, ""), (.duration, "1"), (.duration, "-1s"), (.duration, "1.5s"),
    (.duration, "1d"), (.duration, "123456s"), (.duration, "1h1m1s1ms1h"), (.duration, "1 s"),
  ])
  func `what is not of the form is refused, with the form`(format: TextFormat, text: String) {
    #expect(format.fault(in: text)?.contains(format.demand) == true)
  }

  @Test func `durations are counted in milliseconds`() {
    #expect(GatewayDuration("1h2m3s4ms")?.milliseconds == 3_723_004)
    #expect(GatewayDuration("99999h99999h99999h99999h")?.milliseconds == 1_439_985_600_000)
    #expect(GatewayDuration("60s") == GatewayDuration("1m"))
  }

  @Test(arguments: [
    (".*", true), ("/api/v[0-9]+/(cart|order)s?", true), ("a{2,5}", true), ("(?i)abc", true), ("[[:alpha:]]+", true),
    ("(?P<year>[0-9]{4})", true), ("a{", true), ("x{,3}", true), ("[]a]", true), ("[^]]", true), (#"\d+\.\w*"#, true),
    ("", false), ("(", false), (")", false), ("[", false), ("[z-a]", false), ("*a", false), ("a**", false),
    (#"\"#, false), (#"(a)\1"#, false), ("(?=a)", false), ("(?<!a)b", false), ("a{1001}", false), ("a{5,2}", false),
    ("((a{1000}){1000}){1000}", false), ("(a{100}){100}", false), (#"\p{Greek}"#, false), (#"\y"#, false),
    ("[[:nope:]]", false),
  ])
  func `regular expressions are RE2's, bounded in size`(expression: String, isTaken: Bool) {
    #expect((RegularExpressionCheck.fault(in: expression) == nil) == isTaken)
  }

  @Test func `deep and long expressions are refused quickly`() {
    let started = ContinuousClock().now
    for expression in [
      String(repeating: "(", count: 500) + String(repeating: ")", count: 500), String(repeating: "(a|", count: 300),
      String(repeating: "a", count: 5000), String(repeating: "(a*)*", count: 200),
    ] {
      _ = RegularExpressionCheck.fault(in: expression)
    }
    #expect(RegularExpressionCheck.fault(in: String(repeating: "(", count: 500)) != nil)
    #expect(started.duration(to: ContinuousClock().now) < .seconds(2))
  }

  @Test(arguments: [
    ("backendRef", "backendRefs"), ("mathces", "matches"), ("NAME", "name"), ("wieght", "weight"),
  ])
  func `a slip of the pen is told what was meant`(written: String, meant: String) {
    let known = ["name", "matches", "filters", "backendRefs", "timeouts", "weight"]
    #expect(Suggestion.nearest(to: written, among: known) == meant)
  }

  @Test func `a word that resembles nothing gets no guess`() {
    #expect(Suggestion.nearest(to: "zzzzzz", among: ["name", "matches"]) == nil)
    #expect(Suggestion.nearest(to: String(repeating: "n", count: 100_000), among: ["name"]) == nil)
  }
}
