import MeshModel
import MeshPolicy
import Testing

@Suite struct DeadlineTests {
  private func with<Result>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    Array(text.utf8).withUnsafeBufferPointer(body)
  }

  @Test func grpcTimeoutsAreReadAndNonsenseIsIgnored() {
    let cases: [(String, Int64?)] = [
      ("1S", 1_000_000_000), ("10m", 10_000_000), ("7u", 7_000), ("9n", 9), ("2M", 120_000_000_000),
      ("1H", 3_600_000_000_000), ("00000001n", 1), ("99999999H", TimeLimit.longestNanoseconds), ("0n", 0),
      ("123456789n", nil), ("", nil), ("S", nil), ("1", nil), ("-1S", nil), ("1s", nil), ("1 S", nil), ("1.5S", nil),
    ]
    for (text, expected) in cases {
      #expect(with(text, Deadline.grpcTimeout) == expected, "\(text)")
    }
  }

  @Test func millisecondsAreReadAndNonsenseIsIgnored() {
    let cases: [(String, Int64?)] = [
      ("0", 0), ("15000", 15_000_000_000), ("999999999999", TimeLimit.longestNanoseconds), ("9999999999999", nil),
      ("", nil), ("1.5", nil), ("+1", nil), ("1e3", nil),
    ]
    for (text, expected) in cases {
      #expect(with(text, Deadline.milliseconds) == expected, "\(text)")
    }
  }

  @Test func timeoutsAreWrittenInEightDigitsRoundedUpAndReadBackNoShorter() {
    let cases: [(Int64, String)] = [
      (0, "0n"), (1, "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"), (100_000_001, "100001u"),
      (1_000_000_000, "1000000u"), (TimeLimit.longestNanoseconds, "31536000S"), (.max, "2562048H"), (-5, "0n"),
    ]
    for (time, expected) in cases {
      #expect(written { Deadline.writeGRPCTimeout(time, into: &$0) } == expected)
    }
    #expect(written { Deadline.writeMilliseconds(1_000_001, into: &$0) } == "2")
    var random = FastRandom(seed: 4)
    for _ in 0..<1_000 {
      let time = random.below(Int64(1) << Int64(random.below(UInt32(54))))
      let text = written { Deadline.writeGRPCTimeout(time, into: &$0) } ?? ""
      let back = with(text, Deadline.grpcTimeout) ?? -1
      #expect(back >= time)
    }
  }

  /// Writes over `text`, as before another attempt.
  private func over(_ text: String, _ write: (inout FixedWriter) -> Void) -> String {
    var bytes = Array(text.utf8)
    bytes.withUnsafeMutableBufferPointer { buffer in
      var writer = FixedWriter(buffer)
      write(&writer)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test func whatIsLeftIsWrittenOverWhatThereWasInTheSameLength() {
    let milliseconds: [(String, Int64, String)] = [
      ("1500", 900_000_001, "0901"), ("10", 10_000_000, "10"), ("7", 0, "0"), ("7", 11_000_000, "7"),
      ("1", .max, "1"),
    ]
    for (before, time, after) in milliseconds {
      #expect(over(before) { Deadline.writeMilliseconds(time, filling: &$0) } == after)
    }
    let grpc: [(String, Int64, String)] = [
      ("100000u", 80_000_000, "080000u"), ("99999999n", 1, "00000001n"), ("31536000S", 60_000_000_000, "60000000u"),
      ("1000000u", 999_999_999, "1000000u"), ("5n", 0, "0n"), ("5n", 3_000, "3u"), ("5n", .max, "5n"),
    ]
    for (before, time, after) in grpc {
      let text = over(before) { Deadline.writeGRPCTimeout(time, filling: &$0) }
      #expect(text == after)
      if time < .max { #expect((with(text, Deadline.grpcTimeout) ?? -1) >= time) }
    }
  }

  @Test func theShortestLimitHoldsAndSaysWhoseItIs() {
    let caller = [("x-envoy-expected-rq-timeout-ms", "50"), ("grpc-timeout", "20m")]
    let cases: [([(String, String)], TimeLimit, Bool, Deadline)] = [
      ([], .off, true, .never),
      ([], .nanoseconds(10), true, Deadline(at: 110, source: .route)),
      (caller, .off, true, Deadline(at: 20_000_100, source: .caller)),
      (caller, .off, false, .never),
      (caller, .nanoseconds(1_000), true, Deadline(at: 1_100, source: .route)),
      ([caller[0]], .nanoseconds(90_000_000), true, Deadline(at: 50_000_100, source: .caller)),
      ([("x-envoy-expected-rq-timeout-ms", "0")], .off, true, .never),
      ([("grpc-timeout", "soon")], .off, true, .never),
    ]
    for (headers, route, trusts, expected) in cases {
      let fixture = HeadFixture("/", headers: headers)
      defer { keep(fixture) }
      #expect(Deadline.ofRequest(fixture.head, route: route, trustsCaller: trusts, now: 100) == expected)
    }
    let whole = Deadline(at: 1_000, source: .route)
    #expect(whole.source.reason == .requestTimeout)
    #expect(Deadline(at: 1, source: .caller).source.reason == .callerDeadlineExceeded)
    #expect(whole.remaining(now: 1_000) == 0 && whole.remaining(now: 100) == 900)
    #expect(Deadline.never.remaining(now: 5) == .max)
    #expect(whole.limited(by: .nanoseconds(.max), now: .max - 1, source: .caller) == whole)
  }
}
