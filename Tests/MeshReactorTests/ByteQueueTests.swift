import MeshReactor
import Testing

@Suite struct ByteQueueTests {
  /// Numbers that are the same in every run.
  private struct Dice {
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15
    mutating func pick(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
  }

  /// What is appended comes out again, whatever the sizes; byte n is a function of n.
  @Test(arguments: [300, 40_000, 400_000])
  func bytesComeOutAsTheyWentIn(_ most: Int) {
    func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8) }
    var dice = Dice()
    var queue = ByteQueue()
    defer { queue.release() }
    var written = 0
    var read = 0
    for _ in 0..<400 {
      let piece = (written..<written + dice.pick(most)).map(byte)
      queue.append(piece, piece.count)
      written += piece.count
      let taken = dice.pick(queue.count + 1)
      if let bytes = queue.bytes {
        for index in stride(from: 0, to: taken, by: 97) where bytes[index] != byte(read + index) {
          Issue.record("byte \(read + index) is another")
          return
        }
      }
      queue.consume(taken)
      read += taken
      #expect(queue.count == written - read)
    }
  }

  /// A reader that is 4 MiB behind costs little more than these, while they come and while they slide through the queue.
  @Test func aLargeQueueIsHardlyLargerThanWhatItHolds() {
    var queue = ByteQueue()
    defer { queue.release() }
    let piece = [UInt8](repeating: 7, count: 16_384)
    let window = 4 << 20
    var largest = 0
    for _ in 0..<2000 {
      queue.append(piece, piece.count)
      if queue.count > window { queue.consume(piece.count) }
      largest = max(largest, queue.capacity)
    }
    #expect(largest <= window * 3 / 2, "\(largest) bytes")
  }
}
