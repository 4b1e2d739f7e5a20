// Shared by the fuzz targets: memory around which every stray read or write is caught.
import Glibc

@_silgen_name("__asan_poison_memory_region")
private func poison(_ start: UnsafeMutableRawPointer, _ count: Int)
@_silgen_name("__asan_unpoison_memory_region")
private func unpoison(_ start: UnsafeMutableRawPointer, _ count: Int)

/// Input bytes with poisoned memory before and behind them, and writable scratch further on, in one allocation.
struct GuardedInput {
  /// Bytes of scratch: enough for every range of the input to be rewritten once.
  let scratchRoom: Int
  let bytes: UnsafeMutablePointer<UInt8>
  let count: Int
  /// Distance of the scratch from the bytes.
  let scratch: Int
  private let allocation: UnsafeMutableRawPointer
  private let size: Int

  init(_ source: UnsafePointer<UInt8>, _ count: Int) {
    scratch = (count + 128) & ~63
    scratchRoom = 2 * count + 64
    size = 64 + scratch + scratchRoom
    allocation = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    bytes = (allocation + 64).assumingMemoryBound(to: UInt8.self)
    self.count = count
    if count > 0 { memcpy(bytes, source, count) }
    poison(allocation, 64)
    poison(allocation + 64 + count, scratch - count)
  }

  func free() {
    unpoison(allocation, size)
    allocation.deallocate()
  }
}

/// Ends the run with the input that broke an invariant.
func require(_ condition: Bool, _ invariant: StaticString, line: UInt = #line) {
  if condition { return }
  let message = Array("broken: \(invariant) (line \(line))\n".utf8)
  _ = write(2, message, message.count)
  abort()
}

/// Places to cut an input, drawn from its own bytes, so that a run can be repeated.
struct Cuts {
  private var state: UInt64 = 0xCBF2_9CE4_8422_2325

  init(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    for index in 0..<count { state = (state ^ UInt64(bytes[index])) &* 0x100_0000_01B3 }
  }

  mutating func next(below bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return bound <= 0 ? 0 : Int((state >> 33) % UInt64(bound))
  }
}
