/// What tells one series from another, packed.
struct PackedKey: Hashable, BitwiseCopyable, Sendable {
  var high: UInt64
  var low: UInt64
}

/// Finds the slot of a key: open addressing, at most half full. Allocates only when a key comes for the first time.
struct SeriesIndex {
  private struct Place: BitwiseCopyable {
    var key: PackedKey
    /// -1 marks a free place.
    var slot: Int32
  }

  private var places: UnsafeMutablePointer<Place>
  private var mask: Int
  private(set) var count = 0

  init() {
    mask = 63
    places = Self.allocate(64)
  }

  func deallocate() { places.deallocate() }

  private static func allocate(_ size: Int) -> UnsafeMutablePointer<Place> {
    let memory = UnsafeMutablePointer<Place>.allocate(capacity: size)
    memory.initialize(repeating: Place(key: PackedKey(high: 0, low: 0), slot: -1), count: size)
    return memory
  }

  @inline(__always)
  private func home(_ key: PackedKey) -> Int {
    let product = (key.high ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: key.low ^ 0xA076_1D64_78BD_642F)
    return Int(truncatingIfNeeded: product.high ^ product.low) & mask
  }

  /// The slot of `key`; -1 where it has none.
  func find(_ key: PackedKey) -> Int32 {
    let place = place(of: key)
    return place < 0 ? -1 : places[place].slot
  }

  /// Gives `key`, which has none yet, a slot.
  mutating func insert(_ key: PackedKey, slot: Int32) {
    if (count &+ 1) &* 2 > mask &+ 1 { grow() }
    put(key, slot)
    count &+= 1
  }

  private func put(_ key: PackedKey, _ slot: Int32) {
    var place = home(key)
    while places[place].slot >= 0 { place = (place &+ 1) & mask }
    places[place] = Place(key: key, slot: slot)
  }

  private mutating func grow() {
    let old = places
    let size = mask &+ 1
    mask = size &* 2 &- 1
    places = Self.allocate(size &* 2)
    for index in 0..<size where old[index].slot >= 0 { put(old[index].key, old[index].slot) }
    old.deallocate()
  }

  /// Gives `key`, which has a slot, another one.
  mutating func move(_ key: PackedKey, to slot: Int32) {
    let place = place(of: key)
    if place >= 0 { places[place].slot = slot }
  }

  /// Forgets `key`. What stands behind it moves up, so that no search ends at the gap.
  mutating func remove(_ key: PackedKey) {
    var gap = place(of: key)
    guard gap >= 0 else { return }
    count &-= 1
    var next = (gap &+ 1) & mask
    while places[next].slot >= 0 {
      // It may stand in the gap unless its home lies behind the gap, on the way from there to where it is.
      if (next &- home(places[next].key)) & mask >= (next &- gap) & mask {
        places[gap] = places[next]
        gap = next
      }
      next = (next &+ 1) & mask
    }
    places[gap].slot = -1
  }

  /// Where `key` stands; -1: nowhere.
  @inline(__always)
  private func place(of key: PackedKey) -> Int {
    var place = home(key)
    while places[place].slot >= 0 {
      if places[place].key == key { return place }
      place = (place &+ 1) & mask
    }
    return -1
  }
}
