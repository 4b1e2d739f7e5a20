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
    #expect(whole.ofAttempt(backendRequest: .off, perTry: .inherited, now: 0) == whole)
    let attempt = whole.ofAttempt(backendRequest: .nanoseconds(500), perTry: .nanoseconds(300), now: 100)
    #expect(attempt == Deadline(at: 400, source: .tryLimit))
    #expect(attempt.source.reason == .perTryTimeout)
    let backend = whole.ofAttempt(backendRequest: .nanoseconds(500), perTry: .off, now: 100)
    #expect(backend.source.reason == .backendRequestTimeout)
    #expect(attempt.remaining(now: 1_000) == 0 && attempt.remaining(now: 100) == 300)
    #expect(Deadline.never.remaining(now: 5) == .max)
    #expect(whole.limited(by: .nanoseconds(.max), now: .max - 1, source: .caller) == whole)
  }
}
