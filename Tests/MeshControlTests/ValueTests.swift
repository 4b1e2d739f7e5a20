import MeshControl
import Testing

@Suite struct ValueTests {
  @Test(arguments: [
    #"{"a":1,"b":[true,false,null],"c":{"d":"e"}}"#, #"[]"#, #"{}"#, #""\"\\\n\t\u0001é😀""#, "-9223372036854775808",
    "1.5", #"{"weights":[90,10]}"#,
  ])
  func `JSON that is written is read back the same`(text: String) throws {
    let first = try JSONReader.read(Array(text.utf8))
    let again = try JSONReader.read(Array(first.json().utf8))
    #expect(first == again)
  }

  @Test func `escapes and surrogate pairs mean characters`() throws {
    #expect(try JSONReader.read(Array(#""\u00e9\uD83D\uDE00\/""#.utf8)).text == "é😀/")
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a: 1}", "\"", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\"", "01", "1.",
    "--1", "+1", "nul", "tru", "1 2", "\u{1}", "\"\u{1}\"", "1e999", ".5", "NaN", "[1", "{\"a\"", "\"\\u12\"",
  ])
  func `what is not JSON is refused with a place`(text: String) {
    #expect(throws: JSONReader.Failure.self) { try JSONReader.read(Array(text.utf8)) }
  }

  @Test func `a name that comes twice is refused`() {
    let failure = #expect(throws: JSONReader.Failure.self) {
      try JSONReader.read(Array("{\n \"a\": 1,\n \"a\": 2}".utf8))
    }
    #expect(failure?.position.line == 3)
    #expect(failure?.message.contains("twice") == true)
  }

  @Test func `deep nesting is refused, not followed to the end of the stack`() {
    let text = [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)
    let failure = #expect(throws: JSONReader.Failure.self) { try JSONReader.read(text) }
    #expect(failure?.message.contains("deeper") == true)
  }

  @Test func `bytes that are no UTF-8 are refused`() {
    #expect(throws: JSONReader.Failure.self) { try JSONReader.read([0x22, 0xFF, 0xFE, 0x22]) }
  }

  @Test func `random bytes never crash the reader`() {
    var generator = SplitMix(state: 7)
    let alphabet = Array("{}[]\",:\\u0123456789abcdef-+.eE tn\n\u{7f}".utf8) + [0xC3, 0xFF, 0x00]
    for _ in 0..<20_000 {
      let bytes = (0..<Int(generator.next() % 40)).map { _ in alphabet[Int(generator.next() % UInt64(alphabet.count))] }
      if let value = try? JSONReader.read(bytes) {
        #expect((try? JSONReader.read(Array(value.json().utf8))) == value)
      }
    }
  }

  @Test func `equality leaves the order of members out, and counts them`() {
    #expect(value(#"{"a":1,"b":2}"#) == value(#"{"b":2,"a":1}"#))
    #expect(value(#"{"a":1}"#) != value(#"{"a":1,"b":2}"#))
  }

  @Test(arguments: [
    "1970-01-01T00:00:00Z", "2000-02-29T23:59:59Z", "2026-11-23T01:28:00Z", "2100-03-01T00:00:00Z",
    "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z",
  ])
  func `times are written as they were read`(text: String) {
    #expect(Timestamp(rfc3339: text)?.rfc3339 == text)
  }

  @Test func `times agree with the calendar`() {
    #expect(Timestamp(rfc3339: "2026-11-23T01:28:00Z")?.secondsSinceEpoch == 1_795_397_280)
    #expect(Timestamp(rfc3339: "2026-02-29T00:00:00Z") == nil)
    #expect(Timestamp(rfc3339: "2026-13-01T00:00:00Z") == nil)
    #expect(Timestamp(rfc3339: "2026-01-01 00:00:00Z") == nil)
  }
}

/// A small seeded generator, so that a failure comes again.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
