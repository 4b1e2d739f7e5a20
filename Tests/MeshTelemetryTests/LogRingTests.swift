import MeshModel
import MeshTelemetry
import Testing

@Suite struct LogRingTests {
  private func put(_ ring: LogRing, _ text: String) -> Bool {
    Array(text.utf8).withUnsafeBufferPointer { ring.append($0) }
  }

  private func takeAll(_ ring: LogRing) -> String {
    var bytes: [UInt8] = []
    while ring.read({
      bytes += $0; return $0.count
    }) {}
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test func linesComeOutInOrderAcrossTheEnd() {
    let ring = LogRing(capacity: 4_096)
    var expected = ""
    for number in 0..<2_000 {
      let line = "line \(number) " + String(repeating: "x", count: number % 50) + "\n"
      let isTaken = put(ring, line)
      #expect(isTaken)
      expected += line
      if number % 20 == 19 {
        let taken = takeAll(ring)
        #expect(taken == expected)
        expected = ""
      }
    }
    #expect(ring.lineCount == 2_000 && ring.droppedCount == 0)
  }

  @Test func aFullRingDropsWholeLinesAndCountsThem() {
    let ring = LogRing(capacity: 1)
    let line = String(repeating: "y", count: 999) + "\n"
    let taken = (0..<10).map { _ in put(ring, line) }
    #expect(taken == [true, true, true, true] + Array(repeating: false, count: 6))
    #expect(ring.droppedCount == 6 && ring.lineCount == 4)
    #expect(takeAll(ring) == String(repeating: line, count: 4))
    let again = put(ring, line)
    #expect(again)
  }

  @Test func aReaderThatTakesPartGetsTheRestLater() {
    let ring = LogRing(capacity: 4_096)
    _ = put(ring, "abcdef\n")
    var seen: [String] = []
    while ring.read({
      seen.append(String(decoding: $0, as: UTF8.self)); return 2
    }) {}
    #expect(seen == ["abcdef\n", "cdef\n", "ef\n", "\n"])
  }

  @Test func linesAreWrittenWhereTheyStayAndTheReaderIsCalledOnce() throws {
    let ring = LogRing(capacity: 4_096)
    #expect(ring.reserve(4_097) == nil)
    for round in 0..<10 {
      let place = try #require(ring.reserve(1_000))
      place.update(repeating: UInt8(ascii: "0") + UInt8(round), count: 400)
      ring.commit(400)
      // Half of it is 2,048 bytes: the sixth line is beyond.
      #expect(ring.callsReader() == (round == 5))
      if round == 6 { break }
    }
    #expect(takeAll(ring) == (0..<7).map { String(repeating: "\($0)", count: 400) }.joined())
    // 2,800 are behind, so that 1,296 lie together.
    #expect(ring.reserve(1_297) == nil && ring.reserve(1_296) != nil && ring.lineCount == 7)
    let more = String(repeating: "z", count: 2_100)
    _ = put(ring, more)
    #expect(ring.callsReader())
    #expect(takeAll(ring) == more)
  }

  @Test func aWriterAndAReaderOnTwoThreadsLoseAndMixNothing() async {
    let ring = LogRing(capacity: 8_192)
    let total = 50_000
    let reader = Task.detached { () -> (count: Int, isOrdered: Bool) in
      var (rest, next, count, isOrdered) = ([UInt8](), 0, 0, true)
      while true {
        var isLast = false
        if !ring.read({
          rest += $0; return $0.count
        }) {
          await Task.yield()
        }
        while let end = rest.firstIndex(of: 10) {
          let text = String(decoding: rest[..<end], as: UTF8.self)
          rest.removeSubrange(...end)
          if text == "end" {
            isLast = true
            break
          }
          guard let number = Int(text), number >= next else {
            isOrdered = false
            continue
          }
          next = number + 1
          count += 1
        }
        if isLast { return (count, isOrdered) }
      }
    }
    let writer = Task.detached { () -> Int in
      var refused = 0
      for number in 0..<total where !self.put(ring, "\(number)\n") {
        refused += 1
        await Task.yield()
      }
      while !self.put(ring, "end\n") { await Task.yield() }
      return refused
    }
    let refused = await writer.value
    let (count, isOrdered) = await reader.value
    #expect(isOrdered && count + refused == total)
    #expect(ring.droppedCount >= UInt64(refused))
  }
}
