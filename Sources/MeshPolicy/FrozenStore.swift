/// Owns memory that is written once, while something is compiled, and only read ever after: the traffic path reads it
/// through plain pointers, with nothing to retain, for as long as its owner lives.
package final class FrozenStore: @unchecked Sendable {
  // Unchecked: `blocks` changes only before the owner is handed out, and what it points at never does after.
  private var blocks: [UnsafeMutableRawPointer] = []

  package init() {}

  deinit {
    for block in blocks { block.deallocate() }
  }

  /// A copy of `elements` that lives as long as this store. There is always an address; that of nothing is not memory.
  package func freeze<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafeBufferPointer<Element> {
    guard !elements.isEmpty else {
      return UnsafeBufferPointer(start: UnsafePointer(bitPattern: MemoryLayout<Element>.alignment), count: 0)
    }
    let block = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
    blocks.append(UnsafeMutableRawPointer(block.baseAddress.unsafelyUnwrapped))
    _ = block.initialize(from: elements)
    return UnsafeBufferPointer(block)
  }
}
