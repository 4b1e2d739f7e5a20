import MeshTelemetry
import Testing

@Suite struct LatencySketchTests {
  @Test func quantilesAreWithinFivePerCent() throws {
    var sketch = LatencySketch()
    var values: [Int64] = []
    var state: UInt64 = 5
    for _ in 0..<20_000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      // From 20 µs to half a minute, as many in each doubling.
      let value = Int64(20_000) << Int64((state >> 40) % 20) + Int64((state >> 20) % 20_000)
      values.append(value)
      sketch.add(nanoseconds: value)
    }
    values.sort()
    for share in [0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999] {
      let exact = Double(values[Int((share * 20_000).rounded(.up)) - 1])
      let found = try #require(sketch.quantile(share))
      #expect(abs(found - exact) <= exact * 0.05, "\(share): \(found) for \(exact)")
    }
  }

  @Test func everyValueFallsIntoABucketWhoseMiddleIsNear() throws {
    var value: Int64 = 1_000
    while value < 134_000_000_000 {
      var sketch = LatencySketch()
      sketch.add(nanoseconds: value)
      let middle = try #require(sketch.quantile(0.5))
      #expect(abs(middle - Double(value)) <= max(500, Double(value) * 0.033), "\(value)")
      value += value / 37 + 1
    }
  }

  @Test func extremesAreHeldAndNothingIsNoQuantile() {
    #expect(LatencySketch().quantile(0.5) == nil)
    var sketch = LatencySketch()
    sketch.add(nanoseconds: .max)
    sketch.add(nanoseconds: -1)
    #expect(sketch.count == 2)
    #expect(sketch.quantile(0) == 500)
    #expect((sketch.quantile(1) ?? 0) > 130e9)
    #expect(sketch.quantile(.nan) == nil)
  }

  @Test func sketchesAddUpAndSurviveTheWire() {
    var (left, right, both) = (LatencySketch(), LatencySketch(), LatencySketch())
    for number in 0..<1_000 as Range<Int64> {
      let value = number * number * 7_919
      if number % 3 == 0 { left.add(nanoseconds: value) } else { right.add(nanoseconds: value) }
      both.add(nanoseconds: value)
    }
    left.merge(right)
    #expect(left == both)
    #expect(LatencySketch(sparse: left.sparse) == both)
    #expect(LatencySketch(sparse: [1, 2, 384, 5, .max, 1, 3]).sparse == [1, 2])
  }

  @Test func edgesReportWhatHappenedSinceTheLastReport() {
    let statistics = EdgeStatistics(limit: 3)
    for number in 0..<100 as Range<Int64> {
      statistics.record(
        edge: UInt32(number % 4), durationNanoseconds: number * 1_000_000, failed: number % 10 == 0)
    }
    let first = statistics.drain(from: 0, most: 1_000).reports
    #expect(first.map(\.edge) == [0, 1, 2])
    #expect(first.map(\.successes) == [20, 25, 20] && first.map(\.failures) == [5, 0, 5])
    #expect(first.allSatisfy { $0.latency.count == 25 })
    #expect(statistics.dropped == 25)
    #expect(statistics.drain(from: 0, most: 1_000).reports.isEmpty)
    statistics.record(edge: 1, durationNanoseconds: 5, failed: false)
    #expect(statistics.drain(from: 0, most: 1_000).reports.map(\.edge) == [1])
  }
}
