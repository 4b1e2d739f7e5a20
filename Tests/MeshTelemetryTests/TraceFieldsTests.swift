import MeshModel
import MeshTelemetry
import Testing

/// The rules of the W3C Trace Context (Level 2) test suite and of B3, each as a row.
@Suite struct TraceFieldsTests {
  private static let trace = "12345678901234567890123456789012"
  private static let span = "1234567890123456"

  /// Reads fields as they would stand in a head; names are given in lower case.
  private func read(_ fields: [(String, String)]) -> TraceMark {
    var bytes: [UInt8] = []
    var refs: [FieldRef] = []
    for (name, value) in fields {
      func range(_ text: String) -> ByteRange {
        let range = ByteRange(offset: UInt32(bytes.count), length: UInt32(text.utf8.count))
        bytes += text.utf8
        return range
      }
      let known = KnownHeader.allCases.first { $0 != .other && $0.name.description == name } ?? .other
      refs.append(FieldRef(name: range(name), value: range(value), known: known))
    }
    bytes.append(0)
    return bytes.withUnsafeBufferPointer { bytes in
      refs.withUnsafeMutableBufferPointer { refs in
        var none: [FieldRef] = []
        return none.withUnsafeMutableBufferPointer { spare in
          guard let base = bytes.baseAddress, let start = refs.baseAddress ?? spare.baseAddress else {
            return TraceMark()
          }
          var head = MessageHead(base: base, fields: start)
          head.fieldCount = refs.count
          return TraceFields.read(head)
        }
      }
    }
  }

  private func written(_ mark: TraceMark) -> String {
    var room = [UInt8](repeating: 0, count: 1_024)
    return room.withUnsafeMutableBufferPointer { buffer in
      var writer = FixedWriter(buffer)
      TraceFields.write(mark, into: &writer)
      return String(decoding: writer.written, as: UTF8.self)
    }
  }

  private func isKept(_ value: String) -> Bool {
    let mark = read([("traceparent", value)])
    return mark.isPresent && mark.high == 0x1234_5678_9012_3456 && mark.low == 0x7890_1234_5678_9012
      && mark.parent == 0x1234_5678_9012_3456
  }

  @Test(arguments: [
    "00-\(trace)-\(span)-01", "00-\(trace)-\(span)-00", "00-\(trace)-\(span)-03", "00-\(trace)-\(span)-ff",
    // A later version, with and without more behind it.
    "cc-\(trace)-\(span)-01", "cc-\(trace)-\(span)-01-what-the-future-will-be-like",
  ])
  func tracesAreContinued(value: String) {
    #expect(isKept(value))
  }

  @Test(arguments: [
    "", "garbage", "00-\(trace)-\(span)-01.", "00-\(trace)-\(span)-01-what-the-future-will-be-like",
    "cc-\(trace)-\(span)-01.what-the-future-will-be-like", "ff-\(trace)-\(span)-01", ".0-\(trace)-\(span)-01",
    "0.-\(trace)-\(span)-01", "000-\(trace)-\(span)-01", "0000-\(trace)-\(span)-01", "0-\(trace)-\(span)-01",
    "00-00000000000000000000000000000000-\(span)-01", "00-.2345678901234567890123456789012-\(span)-01",
    "00-1234567890123456789012345678901.-\(span)-01", "00-123456789012345678901234567890123-\(span)-01",
    "00-1234567890123456789012345678901-\(span)-01", "00-\(trace)-0000000000000000-01",
    "00-\(trace)-.234567890123456-01", "00-\(trace)-123456789012345.-01", "00-\(trace)-12345678901234567-01",
    "00-\(trace)-123456789012345-01", "00-\(trace)-\(span)-.0", "00-\(trace)-\(span)-0.", "00-\(trace)-\(span)-001",
    "00-\(trace)-\(span)-1", "00-\(trace.replacing("1", with: "A"))-\(span)-01", "00_\(trace)-\(span)-01",
  ])
  func malformedTracesAreNone(value: String) {
    #expect(!read([("traceparent", value)]).isPresent)
  }

  @Test func hexadecimalTakesDigitsInLowerCaseAndNothingElse() {
    let digits = Array("0123456789abcdef".utf8)
    for place in 0..<16 {
      for byte in UInt8.min...UInt8.max {
        var text = Array("13579bdf02468ace".utf8)
        text[place] = byte
        for count in [8, 11, 16] where place < count {
          let values = text.prefix(count).map { digits.firstIndex(of: $0) }
          let expected = values.contains(nil) ? nil : values.reduce(UInt64(0)) { $0 << 4 | UInt64($1 ?? 0) }
          #expect(Hexadecimal.read(text, count) == expected)
        }
      }
    }
  }

  @Test func twoTraceparentsAreNone() {
    let one = ("traceparent", "00-\(Self.trace)-\(Self.span)-01")
    #expect(!read([one, one]).isPresent)
    #expect(read([one]).flags == [.sampled])
    #expect(!read([("trace-parent", one.1), ("trace.parent", one.1)]).isPresent)
  }

  @Test func flagsThatAreNotDefinedAreDropped() {
    #expect(read([("traceparent", "00-\(Self.trace)-\(Self.span)-ff")]).flags == [.sampled, .random])
    #expect(read([("traceparent", "00-\(Self.trace)-\(Self.span)-02")]).flags == [.random])
    #expect(written(read([("traceparent", "cc-\(Self.trace)-\(Self.span)-fd-x")])).hasPrefix("traceparent: 00-"))
    #expect(written(read([("traceparent", "00-\(Self.trace)-\(Self.span)-02")])).hasSuffix("-02\r\n"))
  }

  private func keepsState(_ values: [String]) -> Bool {
    let mark = read(
      [("traceparent", "00-\(Self.trace)-\(Self.span)-00")] + values.map { ("tracestate", $0) })
    return mark.isPresent && !mark.flags.contains(.dropsState)
  }

  @Test func stateIsPassedOn() {
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
    let value = String(decoding: (0x20...0x7E).filter { $0 != 0x2C && $0 != 0x3D }.map { UInt8($0) }, as: UTF8.self)
    let members = (1...32).map { "bar\($0)=\($0)" }
    for values in [
      [], ["foo=1"], ["foo=1", "bar=2"], ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], [""], ["foo=1", ""],
      ["foo=1,foo=1"], ["foo=1,foo=2"], ["\(key)=\(value)x"], ["\(key)@a-z0-9_-*/=\(value)x"],
      ["foo=1 \t , \t bar=2, \t baz=3"], ["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], [" foo=1"], ["\tfoo=1"], ["foo=1 "],
      ["\t foo=1 \t"], ["foo@=1,bar=2"], ["foo@@bar=1,bar=2"], ["foo@bar@baz=1,bar=2"],
      [members.joined(separator: ",")], [members[..<16].joined(separator: ","), members[16...].joined(separator: ",")],
      ["foo=1", String(repeating: "z", count: 256) + "=1"],
      ["foo=1", String(repeating: "t", count: 241) + "@" + String(repeating: "v", count: 14) + "=1"],
      ["foo=1", "t@" + String(repeating: "v", count: 15) + "=1"], ["0a=1"],
    ] {
      #expect(keepsState(values), "\(values)")
    }
  }

  @Test func malformedStateIsDroppedWhole() {
    let members = (1...33).map { "bar\($0)=\($0)" }
    for values in [
      ["foo =1"], ["FOO=1"], ["foo.bar=1"], ["@foo=1,bar=2"], ["foo=bar=baz"], ["foo=,bar=3"], ["foo"], ["=1"],
      [members.joined(separator: ",")], members, ["foo=1", String(repeating: "z", count: 257) + "=1"],
      ["foo=\(String(repeating: "v", count: 257))"], ["foo=\u{7F}"],
    ] {
      #expect(!keepsState(values), "\(values)")
    }
    #expect(read([("tracestate", "foo=1")]).flags.contains(.dropsState))
    #expect(read([("traceparent", "bad"), ("tracestate", "foo=1")]).flags.contains(.dropsState))
  }

  @Test func everyCutOfAValidFieldIsHarmless() {
    let value = Array("00-\(Self.trace)-\(Self.span)-01".utf8)
    for count in 0..<value.count {
      let cut = value.prefix(count).withUnsafeBufferPointer { TraceFields.parent($0) }
      #expect(cut == nil)
    }
  }

  // MARK: B3

  @Test func b3InOneFieldIsRead() {
    let ids = "\(Self.trace)-\(Self.span)"
    for (value, flags) in [
      ("\(ids)-1", TraceMark.Flags.sampled), ("\(ids)-0", []), ("\(ids)-d", [.sampled, .debug]), (ids, .undecided),
      ("\(ids)-1-05e3ac9a4f6e3b90", .sampled),
    ] {
      let mark = read([("b3", value)])
      #expect(mark.low == 0x7890_1234_5678_9012 && mark.parent == 0x1234_5678_9012_3456, "\(value)")
      #expect(mark.flags == flags.union([.b3Single, .dropsState]), "\(value)")
    }
    let short = read([("b3", "\(Self.span)-\(Self.span)-1")])
    #expect(short.high == 0 && short.low == 0x1234_5678_9012_3456)
    for (value, flags) in [("0", TraceMark.Flags()), ("1", .sampled), ("d", [.sampled, .debug])] {
      let mark = read([("b3", value)])
      #expect(!mark.isPresent && mark.flags == flags.union([.b3Single, .dropsState]), "\(value)")
    }
    for value in ["", "x", "\(ids)-2", "\(ids)-1-5", "\(ids)-", "\(Self.trace)", "\(Self.trace)--1", "00-\(ids)-1"] {
      #expect(!read([("b3", value)]).isPresent, "\(value)")
    }
  }

  @Test func b3InSeveralFieldsIsRead() {
    let ids = [("x-b3-traceid", Self.trace), ("x-b3-spanid", Self.span)]
    for (field, flags) in [
      (("x-b3-sampled", "1"), TraceMark.Flags.sampled), (("x-b3-sampled", "0"), []),
      (("x-b3-sampled", "true"), .sampled),
      (("x-b3-sampled", "false"), []), (("x-b3-flags", "1"), [.sampled, .debug]),
      (("x-b3-parentspanid", Self.span), .undecided),
    ] {
      let mark = read(ids + [field])
      #expect(mark.isPresent && mark.flags == flags.union([.b3Multi, .dropsState]), "\(field)")
    }
    #expect(!read([ids[0]]).isPresent)
  }

  @Test func aValidTraceparentGoesBeforeB3WhichGoesOnWithItsIds() {
    let mark = read([("b3", "0"), ("traceparent", "00-\(Self.trace)-\(Self.span)-01")])
    #expect(mark.flags == [.sampled, .b3Single])
    #expect(
      written(mark) == """
        traceparent: 00-\(Self.trace)-\(Self.span)-01\r
        b3: \(Self.trace)-\(Self.span)-1\r

        """)
  }

  @Test func bothFormsAreWrittenWithTheSpanOfThisHop() {
    var mark = read([("b3", "\(Self.trace)-\(Self.span)-1"), ("x-b3-sampled", "1")])
    mark = mark.continued(.callerSampled, ids: (1, 2, 0xABC))
    let own = "0000000000000abc"
    #expect(
      written(mark) == """
        traceparent: 00-\(Self.trace)-\(own)-01\r
        b3: \(Self.trace)-\(own)-1-\(Self.span)\r
        x-b3-traceid: \(Self.trace)\r
        x-b3-spanid: \(own)\r
        x-b3-parentspanid: \(Self.span)\r
        x-b3-sampled: 1\r

        """)
  }

  @Test func aHopThatRecordsNothingLeavesOpenWhatIsOpen() {
    let mark = read([("b3", "\(Self.trace)-\(Self.span)")]).continued(.off, ids: (1, 2, 3))
    #expect(written(mark).hasSuffix("b3: \(Self.trace)-\(Self.span)\r\n"))
    let decided = read([("b3", "\(Self.trace)-\(Self.span)")]).continued(.shareNot, ids: (1, 2, 3))
    #expect(written(decided).hasSuffix("b3: \(Self.trace)-\(Self.span)-0\r\n"))
  }

  // MARK: Decisions

  @Test func theCallerDecidesUnlessNobodyHas() {
    let (all, none) = (SamplingShare(perMillion: 1_000_000), SamplingShare(perMillion: 0))
    func decide(_ mark: TraceMark, isOn: Bool = true, forced: Bool = false, _ share: SamplingShare) -> SamplingDecision
    {
      SamplingDecision.decide(mark, isOn: isOn, isForced: forced, share: share, candidate: 7)
    }
    let sampled = read([("traceparent", "00-\(Self.trace)-\(Self.span)-01")])
    let unsampled = read([("traceparent", "00-\(Self.trace)-\(Self.span)-00")])
    #expect(decide(sampled, none) == .callerSampled)
    #expect(decide(unsampled, all) == .callerNot)
    #expect(decide(unsampled, forced: true, none) == .forced)
    #expect(decide(read([]), all) == .shareSampled)
    #expect(decide(read([]), none) == .shareNot)
    #expect(decide(read([("b3", "0")]), all) == .callerNot)
    #expect(decide(read([("b3", "1")]), none) == .callerSampled)
    #expect(decide(read([("b3", "\(Self.trace)-\(Self.span)")]), all) == .shareSampled)
    #expect(decide(read([("x-b3-flags", "1")]), none) == .forced)
    #expect(decide(sampled, isOn: false, all) == .offPassingSampled)
    #expect(decide(unsampled, isOn: false, all) == .off)
    #expect(decide(read([]), isOn: false, all) == .off)
    #expect(SamplingDecision.allCases.filter(\.isRecorded) == [.callerSampled, .forced, .shareSampled])
  }

  @Test func aTraceThatBeginsHereIsSaidToBeRandom() {
    let mark = read([]).continued(.shareNot, ids: (0, 0, 0))
    #expect(mark.isPresent && mark.parent == 0 && mark.span != 0 && mark.flags.contains(.random))
    #expect(written(mark) == "traceparent: 00-00000000000000000000000000000001-0000000000000001-02\r\n")
    // What is passed on unrecorded stays as it came.
    let passed = read([("traceparent", "00-\(Self.trace)-\(Self.span)-01")]).continued(
      .offPassingSampled, ids: (1, 2, 3))
    #expect(written(passed) == "traceparent: 00-\(Self.trace)-\(Self.span)-01\r\n")
  }

  @Test func sharesTakeWhatTheySay() {
    var state: UInt64 = 5
    for perMillion in [UInt32(0), 1_000, 10_000, 250_000, 999_000, 1_000_000, .max] {
      let share = SamplingShare(perMillion: perMillion)
      var taken = (random: 0, mixed: 0)
      for number in 0..<40_000 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let mixed = (state ^ (state >> 29)) &* 0xBF58_476D_1CE4_E5B9
        if share.takes(TraceMark(high: 1, low: mixed, parent: 0, flags: .random)) { taken.random += 1 }
        // Ids that merely count must not all be taken, or none.
        if share.takes(TraceMark(high: 1, low: UInt64(number), parent: 0, flags: [])) { taken.mixed += 1 }
      }
      let expected = 40_000.0 * Double(min(perMillion, 1_000_000)) / 1_000_000
      let bound = 5 * (expected * (1 - expected / 40_000)).squareRoot() + 0.5
      #expect(abs(Double(taken.random) - expected) <= bound, "\(perMillion): \(taken)")
      #expect(abs(Double(taken.mixed) - expected) <= bound, "\(perMillion): \(taken)")
    }
  }
}

@Test("Hexadecimal digits of any number, with room behind them and without", arguments: 1...16)
func hexadecimalDigits(digits: Int) {
  for number: UInt64 in [0, 9, 10, 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210, .max] {
    let whole = String(number, radix: 16)
    let expected = String((String(repeating: "0", count: 16) + whole).suffix(digits))
    for room in [digits - 1, digits, digits + 1, 64] {
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { memory in
        memory.initialize(repeating: 0x21)
        var writer = FixedWriter(UnsafeMutableBufferPointer(rebasing: memory[..<room]))
        Hexadecimal.write(number, digits, into: &writer)
        #expect(writer.overflowed == (room < digits))
        #expect(String(decoding: writer.written, as: UTF8.self) == (room < digits ? "" : expected))
        #expect(memory[room...].allSatisfy { $0 == 0x21 }, "nothing behind the room is touched")
      }
    }
  }
}
