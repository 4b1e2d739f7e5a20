/// Series side by side, found by key.
struct SeriesStore<Element: BitwiseCopyable> {
  private var index = SeriesIndex()
  private var elements: UnsafeMutablePointer<Element>
  private var keys: UnsafeMutablePointer<PackedKey>
  private var capacity = 16
  private(set) var count = 0
  /// Requests come in runs of the same key.
  private var lastSlot = -1

  init() {
    elements = .allocate(capacity: 16)
    keys = .allocate(capacity: 16)
  }

  func deallocate() {
    index.deallocate()
    elements.deallocate()
    keys.deallocate()
  }

  @inline(__always)
  mutating func find(_ key: PackedKey) -> UnsafeMutablePointer<Element>? {
    if lastSlot >= 0, keys[lastSlot] == key { return elements + lastSlot }
    let slot = Int(index.find(key))
    guard slot >= 0 else { return nil }
    lastSlot = slot
    return elements + slot
  }

  /// Nil where there are `limit` already.
  mutating func insert(_ key: PackedKey, _ element: Element, limit: Int) -> UnsafeMutablePointer<Element>? {
    guard count < limit else { return nil }
    if count == capacity { grow() }
    (elements + count).initialize(to: element)
    (keys + count).initialize(to: key)
    index.insert(key, slot: Int32(truncatingIfNeeded: count))
    lastSlot = count
    count &+= 1
    return elements + lastSlot
  }

  private mutating func grow() {
    let (oldElements, oldKeys) = (elements, keys)
    capacity *= 2
    elements = .allocate(capacity: capacity)
    keys = .allocate(capacity: capacity)
    elements.initialize(from: oldElements, count: count)
    keys.initialize(from: oldKeys, count: count)
    oldElements.deallocate()
    oldKeys.deallocate()
  }

  /// Looks at `most` elements from a place on and drops those that `isKept` is false for; the last one takes the place
  /// of one that goes.
  ///
  /// - Returns: how many were looked at, where to go on (nil: there are no more), and whether any was dropped.
  mutating func sweep(
    from first: Int, most: Int, _ isKept: (Element) -> Bool
  ) -> (looked: Int, next: Int?, hasDropped: Bool) {
    let before = count
    var place = first
    var looked = 0
    while place < count, looked < most {
      looked += 1
      if isKept(elements[place]) { place += 1 } else { remove(place) }
    }
    return (looked, place < count ? place : nil, count != before)
  }

  private mutating func remove(_ place: Int) {
    index.remove(keys[place])
    count &-= 1
    lastSlot = -1
    guard place < count else { return }
    elements[place] = elements[count]
    keys[place] = keys[count]
    index.move(keys[place], to: Int32(truncatingIfNeeded: place))
  }

  /// Those at some places; places beyond the last are left out.
  func copy(_ places: Range<Int>) -> [Element] {
    let places = places.clamped(to: 0..<count)
    return Array(UnsafeBufferPointer(start: elements + places.lowerBound, count: places.count))
  }
}
