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
