import MeshPolicy
import Testing

@Suite struct RegexTests {
  static let cases: [(pattern: String, matching: [String], other: [String])] = [
    ("", [""], ["a"]),
    ("/users/[0-9]+", ["/users/1", "/users/123"], ["/users/", "/users/1/", "x/users/1", "/users/1a"]),
    ("^/v[12]/.*$", ["/v1/", "/v2/x/y"], ["/v3/", "/v1"]),
    ("a|bc|", ["a", "bc", ""], ["b", "abc"]),
    ("(a|b)*abb", ["abb", "aabb", "babb"], ["ab", "abba"]),
    ("a{3}", ["aaa"], ["aa", "aaaa"]),
    ("a{2,}", ["aa", "aaaaa"], ["a"]),
    ("a{1,3}b", ["ab", "aaab"], ["b", "aaaab"]),
    ("x{0}y", ["y"], ["xy"]),
    ("a{,3}", ["a{,3}"], ["aaa"]),
    ("a.c", ["abc", "a.c"], ["ac", "a\nc"]),
    ("(?s)a.c", ["a\nc"], ["ac"]),
    ("(?i)Chrome", ["chrome", "CHROME"], ["chrom"]),
    ("a(?i:b)c", ["abc", "aBc"], ["ABc", "abC"]),
    ("[^/]+", ["abc"], ["a/b", ""]),
    ("[]a]+", ["]a"], ["b"]),
    ("[a-c-]+", ["a-b"], ["d"]),
    ("[[:alpha:]_]+", ["aZ_"], ["a1"]),
    ("[[:digit:][:upper:]]+", ["A1"], ["a"]),
    (#"\d+\.\d+"#, ["1.23"], ["1x23", "1."]),
    (#"\w+\s\W"#, ["ab !"], ["ab a"]),
    (#"\x41\t"#, ["A\t"], ["A"]),
    ("é+", ["é", "ééé"], ["e", ""]),
    ("(?P<id>a)(?<b>b)", ["ab"], ["a"]),
    ("(a*)*", ["", "aaa"], ["b"]),
    ("(a?){3}", ["", "a", "aaa"], ["aaaa"]),
    ("a+?", ["a", "aa"], [""]),
    ("(^a|b)c", ["ac", "bc"], ["c"]),
    (".*foo.*", ["foo", "xfooy"], ["fo"]),
  ]

  @Test func wholeTextsMatchAsRE2SaysTheyDo() throws {
    for (pattern, matching, other) in Self.cases {
      let program = try RegexProgram(pattern)
      for text in matching { #expect(program.matches(text), "\(pattern) ~ \(text)") }
      for text in other { #expect(!program.matches(text), "\(pattern) !~ \(text)") }
    }
  }

  static let refused: [(pattern: String, error: RegexError)] = [
    ("(a", .unbalanced(offset: 0)), ("a)", .unbalanced(offset: 1)), ("[a", .unbalanced(offset: 0)),
    ("*a", .badRepeat(offset: 0)), ("a**", .badRepeat(offset: 2)), ("a{2}{3}", .badRepeat(offset: 4)),
    ("a{1001}", .badRepeat(offset: 1)), ("a{3,2}", .badRepeat(offset: 1)), ("|*", .badRepeat(offset: 1)),
    ("[b-a]", .badClass(offset: 0)), ("[é]", .badClass(offset: 0)), ("[[:nope:]]", .badClass(offset: 0)),
    (#"a\"#, .badEscape(offset: 1)), (#"\xg1"#, .badEscape(offset: 0)), (#"\y"#, .badEscape(offset: 0)),
    (#"(a)\1"#, .unsupported(offset: 3)), ("a(?=b)", .unsupported(offset: 1)), ("(?<!a)b", .unsupported(offset: 0)),
    (#"\bword"#, .unsupported(offset: 0)), (#"\pL"#, .unsupported(offset: 0)), ("a^b", .unsupported(offset: 1)),
    ("a$b", .unsupported(offset: 1)), ("(?x)a", .unsupported(offset: 0)),
    ("((a{100}){100}){100}", .tooLarge), ("[a-z]{600}", .tooLarge),
    (String(repeating: "(", count: 60) + String(repeating: ")", count: 60), .tooDeep),
  ]

  @Test func whatCannotBeDoneIsRefusedWithItsPlace() {
    for (pattern, expected) in Self.refused {
      #expect(throws: expected, "\(pattern)") { try RegexProgram(pattern) }
    }
  }

  /// A random expression of ordinary syntax.
  private func randomPattern(_ depth: Int, _ random: inout FastRandom) -> String {
    switch random.below(UInt32(depth <= 0 ? 4 : 9)) {
    case 0: return "a"
    case 1: return "b"
    case 2: return "[ab]"
    case 3: return "[^a]"
    case 4: return randomPattern(depth - 1, &random) + randomPattern(depth - 1, &random)
    case 5: return "(?:" + randomPattern(depth - 1, &random) + "|" + randomPattern(depth - 1, &random) + ")"
    case 6: return "(?:" + randomPattern(depth - 1, &random) + ")*"
    case 7: return "(?:" + randomPattern(depth - 1, &random) + ")?"
    default: return "(?:" + randomPattern(depth - 1, &random) + "){1,2}"
    }
  }

  @Test func randomExpressionsAgreeWithTheStandardLibrary() throws {
    var random = FastRandom(seed: 7)
    for _ in 0..<300 {
      let pattern = randomPattern(3, &random)
      guard let program = try? RegexProgram(pattern), let oracle = try? Regex(pattern) else { continue }
      for _ in 0..<12 {
        let text = String((0..<random.below(UInt32(6))).map { _ in "abc".randomElement(using: &random) ?? "a" })
        #expect(program.matches(text) == (text.wholeMatch(of: oracle) != nil), "\(pattern) on \(text)")
      }
    }
  }

  @Test func expressionsTooLargeForATableRunOnBitSetsWithTheSameResult() throws {
    // The classic that needs 2¹⁶ states when made deterministic.
    let program = try RegexProgram("(a|b)*a(a|b){15}")
    var random = FastRandom(seed: 3)
    for _ in 0..<200 {
      let text = String((0..<20).map { _ in random.below(UInt32(2)) == 0 ? "a" : "b" })
      let isMatch = text.dropLast(15).last == "a"
      #expect(program.matches(text) == isMatch, "\(text)")
    }
  }

  @Test func nestedRepeatsTakeTimeInProportionToTheText() throws {
    let program = try RegexProgram("(a*)*b|(a|aa)+c|(.*)(.*)(.*)(.*)(.*)[xyz]")
    let short = String(repeating: "a", count: 10_000)
    let long = String(repeating: "a", count: 80_000)
    let clock = ContinuousClock()
    _ = program.matches(short)
    let once = clock.measure { #expect(!program.matches(short)) }
    let eightTimes = clock.measure { #expect(!program.matches(long)) }
    // Eight times the text; a hundred leaves room for a busy machine, and none for anything exponential.
    #expect(eightTimes < once * 100 + .milliseconds(100))
  }
}
