package import MeshModel

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One alternative of one rule, as the traffic path tests it. The path has been matched by where the entry was found,
/// except for its regular expression.
struct RouteEntry {
  var rule: Int32
  /// Raw value of `Method`, `anyMethod` for every one.
  var method: UInt8
  var headers: TableSlice
  var query: TableSlice
  /// Index of the path's regular expression, -1 for none.
  var regex: Int32
  var prefixLength: UInt32

  static let anyMethod: UInt8 = 255
}

/// A condition on a header field or query parameter.
struct NamedCondition {
  /// Lower case for headers.
  var name: ByteRange
  var known: KnownHeader
  /// The condition is on the request's authority: `host` or `:authority`.
  var isAuthority: Bool
  /// The header name's place in `FieldPlaces`; -1 where there was none left.
  var place: Int8
  /// The text to be equal to, where `regex` is -1.
  var value: ByteRange
  var regex: Int32
}

/// Where the fields are that a request's conditions ask for, found once however many rules ask.
struct FieldPlaces {
  /// The number of names that are remembered; those of a table beyond it are looked up each time.
  static let capacity = 24
  static let unknown: Int16 = -2
  static let absent: Int16 = -1
  static let repeated: Int16 = -3

  var places = InlineArray<24, Int16>(repeating: unknown)
}

/// A place in the tree of path elements: what is known once the elements so far have matched.
struct PrefixNode {
  var entries: RouteRun
  /// The nearest node above that has entries, -1 for none.
  var fallback: Int32
}

/// A hash slot: for exact paths `owner` is 0 and `target` a bucket, for prefixes a parent and its child node.
struct PathSlot {
  var hash: UInt64
  var text: ByteRange
  var owner: Int32
  /// -1 marks a free slot.
  var target: Int32
}

/// A compiled route table as plain pointers, for the traffic path: nothing in it is retained or allocated. Valid while
/// the `RouteTable` it belongs to lives.
package struct RouteTableView: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory that is never written after compilation.
  /// What all ranges of the table are relative to.
  package let bytes: UnsafePointer<UInt8>
  package let rules: UnsafeBufferPointer<CompiledRule>
  package let backends: UnsafeBufferPointer<CompiledBackend>
  package let edits: UnsafeBufferPointer<CompiledEdit>
  package let droppedNames: UnsafeBufferPointer<ByteRange>
  package let fields: UnsafeBufferPointer<CompiledField>
  package let mirrors: UnsafeBufferPointer<CompiledMirror>
  /// Cross-origin resource sharing of the rules that have to do with it.
  package let sharing: UnsafeBufferPointer<CompiledCORS>

  let origins: UnsafeBufferPointer<CompiledOrigin>
  let entries: UnsafeBufferPointer<RouteEntry>
  let conditions: UnsafeBufferPointer<NamedCondition>
  let programs: UnsafeBufferPointer<RegexView>
  let exactSlots: UnsafeBufferPointer<PathSlot>
  let exactBuckets: UnsafeBufferPointer<RouteRun>
  let regexEntries: RouteRun
  let prefixSlots: UnsafeBufferPointer<PathSlot>
  let nodes: UnsafeBufferPointer<PrefixNode>
  let headerIndexes: UnsafeBufferPointer<HeaderIndex>
  let headerGroups: UnsafeBufferPointer<HeaderGroup>
  let headerSlots: UnsafeBufferPointer<HeaderSlot>
  let postings: UnsafeBufferPointer<Int32>

  /// Whether some rule is for some paths only: it must not be got around by another spelling of its path.
  package var distinguishesPaths: Bool { !exactSlots.isEmpty || regexEntries.entries.count > 0 || nodes.count > 1 }

  /// How many runs of rules have an index by their headers.
  package var headerIndexCount: Int { headerIndexes.count }

  /// The text of a range of this table.
  @inlinable
  package func text(_ range: ByteRange) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: bytes + Int(range.offset), count: Int(range.length))
  }

  /// The rule that takes the request, by the precedence of Gateway API: an exact path, then a regular expression
  /// (longest pattern first; Gateway API leaves their place open), then the longest prefix; among equals one with a
  /// method, then most headers, then most query parameters, then the oldest route, then `namespace/name` in alphabetical
  /// order, then the order within the route.
  package func match(_ head: borrowing MessageHead) -> RouteHit {
    let path = head.bytes(head.path)
    var places = FieldPlaces()
    if exactSlots.count > 0, let hit = matchExact(path, head, &places) { return hit }
    if regexEntries.entries.count > 0, let hit = scan(regexEntries, path, head, &places) { return hit }
    return matchPrefix(path, head, &places)
  }

  private func matchExact(
    _ path: UnsafeBufferPointer<UInt8>, _ head: borrowing MessageHead, _ places: inout FieldPlaces
  ) -> RouteHit? {
    guard let start = path.baseAddress,
      let bucket = find(exactSlots, owner: 0, start, path.count)
    else { return nil }
    return scan(exactBuckets[Int(bucket)], path, head, &places)
  }

  private func matchPrefix(
    _ path: UnsafeBufferPointer<UInt8>, _ head: borrowing MessageHead, _ places: inout FieldPlaces
  ) -> RouteHit {
    var node: Int32 = 0
    if prefixSlots.count > 0, let start = path.baseAddress, path.count > 1, start[0] == UInt8(ascii: "/") {
      var position = 1
      while position <= path.count {
        let rest = path.count &- position
        var length = rest
        if rest > 0, let slash = memchr(start + position, 47, rest) {
          length = UnsafeRawPointer(slash) - UnsafeRawPointer(start + position)
        }
        guard let child = find(prefixSlots, owner: node, start + position, length) else { break }
        node = child
        position &+= length &+ 1
      }
    }
    while node >= 0 {
      let place = nodes[Int(node)]
      if place.entries.entries.count > 0, let hit = scan(place.entries, path, head, &places) { return hit }
      node = place.fallback
    }
    return .none
  }

  private func find(
    _ slots: UnsafeBufferPointer<PathSlot>, owner: Int32, _ start: UnsafePointer<UInt8>, _ count: Int
  ) -> Int32? {
    let hash = pathHash(start, count, seed: UInt64(truncatingIfNeeded: owner))
    let mask = slots.count &- 1
    var index = Int(truncatingIfNeeded: hash) & mask
    while true {
      let slot = slots[index]
      if slot.target < 0 { return nil }
      if slot.hash == hash, slot.owner == owner, Int(slot.text.length) == count,
        memcmp(bytes + Int(slot.text.offset), start, count) == 0
      {
        return slot.target
      }
      index = (index &+ 1) & mask
    }
  }

  private func scan(
    _ run: RouteRun, _ path: UnsafeBufferPointer<UInt8>, _ head: borrowing MessageHead,
    _ places: inout FieldPlaces
  ) -> RouteHit? {
    if run.index >= 0 { return scanIndexed(run.index, path, head, &places) }
    var index = Int(run.entries.start)
    let end = index &+ Int(run.entries.count)
    while index < end {
      if let hit = hit(entries[index], path, head, &places) { return hit }
      index &+= 1
    }
    return nil
  }

  /// The entry's rule, where all of its conditions hold.
  @inline(__always)
  func hit(
    _ entry: RouteEntry, _ path: UnsafeBufferPointer<UInt8>, _ head: borrowing MessageHead,
    _ places: inout FieldPlaces
  ) -> RouteHit? {
    if entry.method != RouteEntry.anyMethod, entry.method != head.methodToken.rawValue { return nil }
    if entry.regex >= 0, !programs[Int(entry.regex)].matches(path) { return nil }
    if entry.headers.count > 0, !allHeaders(entry.headers, head, &places) { return nil }
    if entry.query.count > 0, !allQuery(entry.query, head) { return nil }
    return RouteHit(rule: entry.rule, prefixLength: entry.prefixLength)
  }

  /// One of the rule's backends, each with the probability of its weight.
  package func pickBackend(_ rule: Int32, _ random: inout FastRandom) -> BackendPick {
    guard rule >= 0, Int(rule) < rules.count else { return .unavailable(.noRoute) }
    let found = rules[Int(rule)]
    return backends.pick(found.backends, of: found.totalWeight, &random)
  }
}

extension UnsafeBufferPointer<CompiledBackend> {
  /// One of a run of them, each with the probability of its weight.
  func pick(_ run: TableSlice, of totalWeight: UInt32, _ random: inout FastRandom) -> BackendPick {
    guard totalWeight > 0 else { return .unavailable(.noBackendWeight) }
    var index = run.start
    if run.count > 1 {
      let drawn = random.below(totalWeight)
      while self[Int(index)].cumulativeWeight <= drawn { index &+= 1 }
    }
    if let reason = self[Int(index)].unusable { return .unavailable(reason) }
    return .backend(index)
  }
}

/// A hash of a path or path element. Keys come from configuration, so that nobody can send colliding ones.
func pathHash(_ bytes: UnsafePointer<UInt8>, _ count: Int, seed: UInt64) -> UInt64 {
  @inline(__always) func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
  }
  var hash = seed &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(truncatingIfNeeded: count)
  let raw = UnsafeRawPointer(bytes)
  var offset = 0
  while count &- offset >= 8 {
    hash = mix(hash ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self), 0xA076_1D64_78BD_642F)
    offset &+= 8
  }
  var tail: UInt64 = 0
  while offset < count {
    tail = tail << 8 | UInt64(bytes[offset])
    offset &+= 1
  }
  return mix(hash ^ tail ^ 0xE703_7ED1_A0B4_28DB, 0x8EBC_6AF0_9C88_C6E3)
}
