package import MeshModel

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The rules for connections to one service's port, compiled: an index of server names. Owns the memory that its `view`
/// reads.
package final class StreamTable: Sendable {
  /// What the traffic path reads; valid while this object lives.
  package let view: StreamTableView
  private let store: FrozenStore

  /// Compiles `rules`, which are in order of precedence: of the same server name twice the first is in force.
  ///
  /// - Parameter resolve: what a backend's name stands for.
  package init(_ rules: [StreamRule], resolve: (BackendReference) -> BackendResolution) {
    var builder = RouteTableBuilder()
    var index = PathIndex()
    var compiled: [CompiledStreamRule] = []
    var backends: [CompiledBackend] = []
    var known: Set<String> = []
    var anyName: Int32 = -1
    for (number, rule) in rules.enumerated() {
      var entry = CompiledStreamRule(label: builder.intern(rule.origin.label), backends: .empty, totalWeight: 0)
      let start = backends.count
      for target in rule.backends where target.weight > 0 {
        entry.totalWeight = entry.totalWeight.addingReportingOverflow(target.weight).partialValue
        var backend = CompiledBackend(cluster: -1, cumulativeWeight: entry.totalWeight)
        switch resolve(target.reference) {
        case .cluster(let cluster): backend.cluster = cluster
        case .unusable(let reason): backend.unusable = reason
        }
        backends.append(backend)
      }
      entry.backends = TableSlice(start: Int32(clamping: start), count: Int32(clamping: backends.count - start))
      compiled.append(entry)
      if rule.serverNames.isEmpty, anyName < 0 { anyName = Int32(clamping: number) }
      for name in rule.serverNames {
        let lower = name.lowercased()
        guard !lower.isEmpty, known.insert(lower).inserted else { continue }
        // A wildcard stands under what follows its star: `.example.org`.
        let text = lower.hasPrefix("*.") ? String(lower.dropFirst()) : lower
        let owner = lower.hasPrefix("*.") ? StreamTableView.below : StreamTableView.whole
        index.insert(Array(text.utf8), builder.intern(text), owner: owner, target: Int32(clamping: number))
      }
    }
    store = FrozenStore()
    let text = store.freeze(builder.bytes)
    view = StreamTableView(
      bytes: text.baseAddress.unsafelyUnwrapped, rules: store.freeze(compiled), backends: store.freeze(backends),
      anyName: anyName, slots: store.freeze(index.slots))
  }
}

/// A rule for connections as the traffic path reads it.
package struct CompiledStreamRule: Sendable, BitwiseCopyable {
  /// `namespace/name/rule`: the label `route_name`.
  package var label: ByteRange
  var backends: TableSlice
  var totalWeight: UInt32
}

/// The rules for connections as plain pointers. Valid while the `StreamTable` lives.
package struct StreamTableView: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory that is never written after compilation.
  let bytes: UnsafePointer<UInt8>
  package let rules: UnsafeBufferPointer<CompiledStreamRule>
  package let backends: UnsafeBufferPointer<CompiledBackend>
  /// The rule that takes every connection; -1: none does.
  let anyName: Int32
  let slots: UnsafeBufferPointer<PathSlot>

  static let whole: Int32 = 0
  static let below: Int32 = 1
  /// The longest host name.
  private static let longestName = 253

  /// Whether a connection's first message must be read to find its rule.
  package var needsServerName: Bool { slots.count > 0 }

  /// The text of a range of this table.
  package func text(_ range: ByteRange) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: bytes + Int(range.offset), count: Int(range.length))
  }

  /// The rule that takes a connection: one with exactly this server name, else the one with the longest wildcard, else one
  /// for all; -1 for none.
  ///
  /// - Parameter serverName: as the client sent it; empty where it sent none.
  package func match(serverName: UnsafeBufferPointer<UInt8>) -> Int32 {
    guard needsServerName, let start = serverName.baseAddress, !serverName.isEmpty else { return anyName }
    var count = serverName.count
    // A root's dot at the end makes no other name.
    if start[count &- 1] == UInt8(ascii: ".") { count &-= 1 }
    guard count > 0, count <= Self.longestName else { return anyName }
    var name = InlineArray<256, UInt8>(repeating: 0)
    for index in 0..<count { name[index] = Self.lower(start[index]) }
    let found = withUnsafeBytes(of: &name) { buffer -> Int32? in
      guard let lower = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return nil }
      if let rule = find(lower, count, owner: Self.whole) { return rule }
      // From the left: the longest suffix first.
      for index in 1..<max(1, count) where lower[index] == UInt8(ascii: ".") {
        if let rule = find(lower + index, count &- index, owner: Self.below) { return rule }
      }
      return nil
    }
    return found ?? anyName
  }

  private static func lower(_ byte: UInt8) -> UInt8 { byte &- 65 < 26 ? byte | 32 : byte }

  private func find(_ name: UnsafePointer<UInt8>, _ count: Int, owner: Int32) -> Int32? {
    let hash = pathHash(name, count, seed: UInt64(truncatingIfNeeded: owner))
    let mask = slots.count &- 1
    var index = Int(truncatingIfNeeded: hash) & mask
    while slots[index].target >= 0 {
      let slot = slots[index]
      if slot.hash == hash, slot.owner == owner, Int(slot.text.length) == count,
        memcmp(bytes + Int(slot.text.offset), name, count) == 0
      {
        return slot.target
      }
      index = (index &+ 1) & mask
    }
    return nil
  }

  /// One of the rule's backends, each with the probability of its weight.
  package func pickBackend(_ rule: Int32, _ random: inout FastRandom) -> BackendPick {
    guard rule >= 0, Int(rule) < rules.count else { return .unavailable(.noRoute) }
    let found = rules[Int(rule)]
    return backends.pick(found.backends, of: found.totalWeight, &random)
  }
}
