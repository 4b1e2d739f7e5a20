internal import MeshModel

/// Some of a table's entries, in the order in which they are asked; where they are many and ask for the values of
/// headers, with an index by those.
struct RouteRun {
  var entries: TableSlice
  /// Place in `RouteTableView.headerIndexes`; -1: the entries are gone through one after the other.
  var index: Int32 = -1

  static let empty = RouteRun(entries: .empty)
}

/// The entries of a run by the value of a header that each of them wants. It only leaves out entries that cannot hold:
/// those that are left are asked in their order, with all their conditions.
struct HeaderIndex {
  /// In `headerGroups`: one for each header that is looked up.
  var groups: TableSlice
  /// In `postings`: entries that no group has, because they want no such header.
  var others: TableSlice

  /// Runs that are shorter are not worth an index.
  static let smallestRun = 12
  /// Headers that are looked up in one run, those first that tell apart the most.
  static let maxGroups = 4
}

/// The entries of a run that want one value or another of the same header.
struct HeaderGroup {
  /// What the header is found by; its value is of no account.
  var header: NamedCondition
  /// Bytes of the longest value that an entry wants.
  var longest: UInt32
  /// In `headerSlots`: a power of two of them, by the hash of the value.
  var slots: TableSlice
}

/// A value of a header, by its hash, with the entries that want it; without any it is free.
struct HeaderSlot {
  var hash: UInt64
  /// In `postings`.
  var postings: TableSlice
}

/// The hash of a header's value, which may come in several fields. Values come from configuration, so that nobody can
/// send colliding ones to any effect.
struct HeaderValueHash {
  private var state: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func feed(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }

  var value: UInt64 {
    let mixed = (state ^ state >> 32) &* 0xD6E8_FEB8_6659_FD93
    return mixed ^ mixed >> 32
  }
}

extension RouteTableView {
  /// The first entry of the run that holds, asking only those that can.
  func scanIndexed(
    _ number: Int32, _ path: UnsafeBufferPointer<UInt8>, _ head: borrowing MessageHead, _ places: inout FieldPlaces
  ) -> RouteHit? {
    let index = headerIndexes[Int(number)]
    var lists = InlineArray<5, TableSlice>(repeating: .empty)
    lists[0] = index.others
    let count = Int(index.groups.count)
    for offset in 0..<count {
      lists[offset &+ 1] = postings(headerGroups[Int(index.groups.start) &+ offset], head, &places)
    }
    while true {
      var next = Int32.max
      var chosen = -1
      for offset in 0...count where lists[offset].count > 0 {
        let entry = postings[Int(lists[offset].start)]
        if entry < next { (next, chosen) = (entry, offset) }
      }
      guard chosen >= 0 else { return nil }
      lists[chosen].start &+= 1
      lists[chosen].count &-= 1
      if let hit = hit(entries[Int(next)], path, head, &places) { return hit }
    }
  }

  /// The entries that want what the request's header says; none where it has no such header.
  private func postings(
    _ group: HeaderGroup, _ head: borrowing MessageHead, _ places: inout FieldPlaces
  ) -> TableSlice {
    guard let hash = valueHash(group.header, longest: Int(group.longest), head, &places) else { return .empty }
    let mask = Int(group.slots.count) &- 1
    var place = Int(truncatingIfNeeded: hash) & mask
    while true {
      let slot = headerSlots[Int(group.slots.start) &+ place]
      if slot.postings.count == 0 || slot.hash == hash { return slot.postings }
      place = (place &+ 1) & mask
    }
  }
}

extension RouteTableBuilder {
  /// An index of the entries from `start` on, where it is worth while; -1: there is none.
  mutating func index(from start: Int, to end: Int) -> Int32 {
    guard end - start >= HeaderIndex.smallestRun else { return -1 }
    let wanted = headersWanted(from: start, to: end)
    guard !wanted.isEmpty else { return -1 }
    var others: [Int32] = []
    var groups = [[UInt64: [Int32]]](repeating: [:], count: wanted.count)
    var headers = [NamedCondition?](repeating: nil, count: wanted.count)
    var longest = [UInt32](repeating: 0, count: wanted.count)
    for place in start..<end {
      let exact = exactHeaders(entries[place])
      guard let group = wanted.firstIndex(where: { name in exact.contains { key($0) == name } }),
        let condition = exact.first(where: { key($0) == wanted[group] })
      else {
        others.append(Int32(clamping: place))
        continue
      }
      headers[group] = condition
      longest[group] = max(longest[group], condition.value.length)
      groups[group][hash(condition.value), default: []].append(Int32(clamping: place))
    }
    let firstGroup = headerGroups.count
    for (group, values) in groups.enumerated() {
      guard let header = headers[group] else { continue }
      headerGroups.append(HeaderGroup(header: header, longest: longest[group], slots: add(values)))
    }
    headerIndexes.append(
      HeaderIndex(
        groups: TableSlice(
          start: Int32(clamping: firstGroup), count: Int32(clamping: headerGroups.count - firstGroup)),
        others: post(others)))
    return Int32(clamping: headerIndexes.count - 1)
  }

  /// What tells a header from others; `host` and `:authority` are one.
  private func key(_ condition: NamedCondition) -> ByteRange {
    condition.isAuthority ? .empty : condition.name
  }

  private func exactHeaders(_ entry: RouteEntry) -> ArraySlice<NamedCondition> {
    let first = Int(entry.headers.start)
    return conditions[first..<(first + Int(entry.headers.count))].filter { $0.regex < 0 }[...]
  }

  /// The headers that the entries want exact values of, those first that tell apart the most.
  private func headersWanted(from start: Int, to end: Int) -> [ByteRange] {
    var values: [ByteRange: Set<ByteRange>] = [:]
    for place in start..<end {
      for condition in exactHeaders(entries[place]) { values[key(condition), default: []].insert(condition.value) }
    }
    let ranked = values.sorted { ($0.value.count, $1.key.offset) > ($1.value.count, $0.key.offset) }
    return ranked.prefix(HeaderIndex.maxGroups).map(\.key)
  }

  private func hash(_ range: ByteRange) -> UInt64 {
    var hash = HeaderValueHash()
    for byte in bytes[Int(range.offset)..<Int(range.offset + range.length)] { hash.feed(byte) }
    return hash.value
  }

  private mutating func post(_ list: [Int32]) -> TableSlice {
    postings += list
    return TableSlice(start: Int32(clamping: postings.count - list.count), count: Int32(clamping: list.count))
  }

  private mutating func add(_ values: [UInt64: [Int32]]) -> TableSlice {
    var capacity = 2
    while capacity < values.count * 2 { capacity *= 2 }
    var slots = [HeaderSlot](repeating: HeaderSlot(hash: 0, postings: .empty), count: capacity)
    for (hash, list) in values {
      var place = Int(truncatingIfNeeded: hash) & (capacity - 1)
      while slots[place].postings.count > 0 { place = (place + 1) & (capacity - 1) }
      slots[place] = HeaderSlot(hash: hash, postings: post(list))
    }
    headerSlots += slots
    return TableSlice(start: Int32(clamping: headerSlots.count - capacity), count: Int32(clamping: capacity))
  }
}
