import MeshReactor
import Testing

@Suite struct CoalescingTests {
  @Test(
    arguments: [
      ("many exchanges, thick and small turns", 16, 20_000, 30_000, 50_000),
      ("a lone request", 1, 20_000, 30_000, 0),
      ("few", 15, 20_000, 30_000, 0),
      ("no connection that many share", 0, 0, 0, 0),
      ("events far apart", 100, 200_000, 30_000, 0),
      ("turns that are full anyway", 100, 0, 200_000, 0),
      ("just not full", 100, 199_999, 199_999, 50_000),
    ] as [(String, Int, UInt64, UInt64, UInt64)])
  func aLoopWaitsOnlyWhereItGathersSomething(
    circumstances: String, inFlight: Int, wait: UInt64, work: UInt64, pause: UInt64
  ) {
    #expect(Coalescing().pause(inFlight: inFlight, wait: wait, work: work) == pause, "\(circumstances)")
  }

  @Test func itCanBeTurnedOff() {
    var coalescing = Coalescing()
    coalescing.pauseNanoseconds = 0
    #expect(coalescing.pause(inFlight: 1000, wait: 0, work: 0) == 0)
  }
}

@Suite struct StreamCrowdTests {
  private static let span = StreamCrowd.spanNanoseconds

  /// The count at the end of a span in which `busy` has moved on some marks.
  private func after(_ crowd: inout StreamCrowd, _ start: UInt64, _ work: (inout StreamCrowd) -> Void) -> Int {
    _ = crowd.count(now: start)
    work(&crowd)
    return crowd.count(now: start + Self.span - 1)
  }

  @Test func everyExchangeThatMovesCountsOnce() {
    var crowd = StreamCrowd()
    var marks = [UInt32](repeating: 0, count: 20)
    let count = after(&crowd, Self.span) { crowd in
      for _ in 0..<3 { for index in marks.indices { crowd.moved(&marks[index]) } }
    }
    #expect(count == 20)
    // It goes on counting in the span after it.
    #expect(crowd.count(now: 2 * Self.span) == 20)
  }

  @Test func silentStreamsDoNotCount() {
    var crowd = StreamCrowd()
    var idle = [UInt32](repeating: 0, count: 1000)
    _ = after(&crowd, Self.span) { crowd in for index in idle.indices { crowd.moved(&idle[index]) } }
    var busy: UInt32 = 0
    for turn in 2..<10 {
      _ = crowd.count(now: UInt64(turn) * Self.span)
      crowd.moved(&busy)
    }
    #expect(crowd.count(now: 10 * Self.span) == 1)
  }

  @Test func oneRequestAfterTheOtherIsNoCrowd() {
    var crowd = StreamCrowd()
    let count = after(&crowd, Self.span) { crowd in
      for _ in 0..<100 {
        var mark: UInt32 = 0
        crowd.moved(&mark)
        crowd.ended(mark)
      }
    }
    #expect(count == 0)
  }

  @Test func exchangesThatBeganInAnEarlierSpanTakeNothingAwayWhenTheyEnd() {
    var crowd = StreamCrowd()
    var old = [UInt32](repeating: 0, count: 50)
    _ = after(&crowd, Self.span) { crowd in for index in old.indices { crowd.moved(&old[index]) } }
    var fresh = [UInt32](repeating: 0, count: 30)
    _ = crowd.count(now: 2 * Self.span)
    for index in fresh.indices { crowd.moved(&fresh[index]) }
    for mark in old { crowd.ended(mark) }
    #expect(crowd.count(now: 3 * Self.span) == 30)
  }

  @Test func aPauseEndsIt() {
    var crowd = StreamCrowd()
    var marks = [UInt32](repeating: 0, count: 20)
    _ = after(&crowd, Self.span) { crowd in for index in marks.indices { crowd.moved(&marks[index]) } }
    #expect(crowd.count(now: 100 * Self.span) == 0)
  }
}
