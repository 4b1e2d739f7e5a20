import MeshModel

/// An open-addressing hash table under construction, at most half full; its size is a power of two.
struct PathIndex {
  private(set) var slots: [PathSlot] = []
  private var count = 0

  private static let free = PathSlot(hash: 0, text: .empty, owner: 0, target: -1)

  mutating func insert(_ key: [UInt8], _ text: ByteRange, owner: Int32, target: Int32) {
    if (count + 1) * 2 > slots.count { grow() }
    let hash = key.withUnsafeBufferPointer { buffer -> UInt64 in
      guard let start = buffer.baseAddress else {
        var none: UInt8 = 0
        return pathHash(&none, 0, seed: UInt64(truncatingIfNeeded: owner))
      }
      return pathHash(start, buffer.count, seed: UInt64(truncatingIfNeeded: owner))
    }
    place(PathSlot(hash: hash, text: text, owner: owner, target: target))
    count += 1
  }

  private mutating func place(_ slot: PathSlot) {
    let mask = slots.count - 1
    var index = Int(truncatingIfNeeded: slot.hash) & mask
    while slots[index].target >= 0 { index = (index + 1) & mask }
    slots[index] = slot
  }

  private mutating func grow() {
    let old = slots
    slots = Array(repeating: Self.free, count: max(8, old.count * 2))
    for slot in old where slot.target >= 0 { place(slot) }
  }
}

/// The path elements of all prefixes, as a tree. Node 0 is the root, which matches every path; parents come before their
/// children.
struct PrefixTree {
  struct Node {
    var element: [UInt8]
    /// -1 for the root.
    var parent: Int
    /// Bytes of the path up to here, without a final slash.
    var length: Int
    var matches: [RankedMatch] = []
    var children: [[UInt8]: Int] = [:]
  }

  private(set) var nodes = [Node(element: [], parent: -1, length: 0)]

  mutating func insert(_ match: RankedMatch, at prefix: String) {
    var elements = Array(prefix.utf8).split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
      .map { Array($0) }
    if elements.first?.isEmpty == true { elements.removeFirst() }
    if elements.last?.isEmpty == true { elements.removeLast() }
    var node = 0
    for element in elements {
      if let child = nodes[node].children[element] {
        node = child
        continue
      }
      nodes.append(Node(element: element, parent: node, length: nodes[node].length + 1 + element.count))
      nodes[node].children[element] = nodes.count - 1
      node = nodes.count - 1
    }
    nodes[node].matches.append(match)
  }
}
