import MeshAPI
import MeshControl
import Testing

@Suite struct YAMLReaderTests {
  private func read(_ text: String) -> YAMLReader.Stream {
    YAMLReader.read(Array(text.utf8))
  }

  @Test func `documents come in order, empty ones left out`() {
    let read = read("---\na: 1\n---\n---\nb: [x, 'y', \"z\"]\n...\n")
    #expect(read.failure == nil)
    #expect(read.documents.map { $0.json() } == [#"{"a":1}"#, #"{"b":["x","y","z"]}"#])
  }

  @Test(arguments: [
    ("yes", #""yes""#), ("no", #""no""#), ("on", #""on""#), ("true", "true"), ("null", "null"), ("~", "null"),
    ("12", "12"), ("0x1F", "31"), ("1.5", "1.5"), ("1e3", "1000.0"), ("1.2.3", #""1.2.3""#), ("10m", #""10m""#),
    ("'12'", #""12""#), ("\"true\"", #""true""#), ("!!str 12", #""12""#), ("12:30", #""12:30""#), (".inf", #"".inf""#),
    ("-7", "-7"), ("2026-01-01", #""2026-01-01""#),
  ])
  func `plain scalars mean what YAML 1.2 says`(text: String, json: String) {
    #expect(read("a: \(text)").documents.first?["a"]?.json() == json)
  }

  @Test func `a value knows its line and column`() {
    let value = read("a:\n  b:\n  - c: 1\n").documents.first?["a"]?["b"]?.elements?.first?["c"]
    #expect(value?.position == Value.Position(line: 3, column: 8))
  }

  @Test func `an anchor may be used again`() {
    #expect(read("a: &x {k: v}\nb: *x\n").documents.first?.json() == #"{"a":{"k":"v"},"b":{"k":"v"}}"#)
  }

  @Test(arguments: ["a: 1\n", "{\"a\": 1}"])
  func `a byte order mark is passed over`(text: String) {
    let read = YAMLReader.read([0xEF, 0xBB, 0xBF] + Array(text.utf8))
    #expect(read.failure == nil)
    #expect(read.documents.map { $0.json() } == [#"{"a":1}"#])
  }

  @Test(arguments: [
    "  apiVersion: v1\nkind: Service\n", "apiVersion: v1\n  kind: Service\n", "\"apiVersion\"\nkind: Service\n",
    "{apiVersion: v1}\nkind: Service\n", "{\"apiVersion\": \"v1\", \"kind\": \"Service\"\n",
  ])
  func `after a syntax error nothing is told to be missing`(text: String) {
    let violations = DocumentReader.read(Array(text.utf8), namespace: "default").violations
    #expect(violations.first?.message.contains("not YAML") == true || violations.first?.path.isEmpty == true)
    #expect(!violations.contains { $0.reason == .required }, "\(violations.map(\.message))")
  }

  @Test func `documents before a syntax error are checked all the same`() {
    let text = "apiVersion: v1\n---\na: [1\n"
    let violations = DocumentReader.read(Array(text.utf8), namespace: "default").violations
    #expect(violations.contains { $0.reason == .required && $0.path == "kind" }, "\(violations)")
    #expect(violations.contains { $0.reason == .malformed })
  }

  @Test(arguments: [
    ("a: 1\na: 2\n", "twice"), ("a: *nowhere", "no anchor"), ("? [a, b]\n: c", "a name is due"),
    ("<<: {a: 1}", "merging"), ("a: !custom 1", "tag"), ("a: !!binary aGk=", "tag"), ("a: [1, 2", "not YAML"),
    ("a:\n\t- b", "not YAML"), ("a: b: c", "not YAML"), ("%JUNK", "not YAML"),
    ("\u{1}\u{2}", "control characters"), ("? &a [*a]\n: 1", "name is due"), ("&a [*a]", "no anchor"),
  ])
  func `what is not read is refused with a place and a mend`(text: String, words: String) {
    let failure = read(text).failure
    #expect(failure?.message.contains(words) == true, "\(String(describing: failure))")
    #expect((failure?.position.line ?? 0) >= 1)
  }

  @Test func `aliases that multiply are refused quickly`() {
    var bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    for level in 1..<12 {
      let references = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ",")
      bomb += "a\(level): &a\(level) [\(references)]\n"
    }
    for text in [bomb, bomb + "? *a11\n: x\n"] {
      let started = ContinuousClock().now
      #expect(read(text).failure?.message.contains("aliases expand") == true)
      #expect(started.duration(to: ContinuousClock().now) < .seconds(2))
    }
  }

  @Test func `nesting and the number of values are bounded`() {
    #expect(read(String(repeating: "[", count: 100_000)).failure != nil)
    #expect(read(String(repeating: "- ", count: 100_000)).failure != nil)
    #expect(
      read(String(repeating: "{a: ", count: 70) + "1" + String(repeating: "}", count: 70)).failure?
        .message.contains("deeper") == true)
    let many = "[" + String(repeating: "1,", count: 400_000) + "1]"
    #expect(read(many).failure?.message.contains("over 300000 values") == true)
  }

  @Test func `bytes of any kind end in an answer`() {
    var seed: UInt64 = 3
    let meaningful = Array("{}[]:-,&*!|>'\"%@`#?\n \ta1~".utf8)
    for _ in 0..<3000 {
      let bytes = (0..<60).map { _ -> UInt8 in
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let number = Int(seed >> 33)
        return number % 4 == 0 ? UInt8(truncatingIfNeeded: number >> 8) : meaningful[(number >> 8) % meaningful.count]
      }
      let read = YAMLReader.read(bytes)
      #expect(read.documents.count <= 60)
      _ = DocumentReader.read(bytes, namespace: "default").violations
    }
  }
}
