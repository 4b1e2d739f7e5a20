/// Numbers for keys, the same in every proxy, so that all of them send a key to the same endpoint.
package enum KeyHash {
  /// The number of a key: a cookie's value, a header's, an address.
  package static func of(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
    guard let start = bytes.baseAddress else { return mixed(0) }
    return pathHash(start, bytes.count, seed: 0x5851_F42D_4C95_7F2D)
  }

  /// The number of a text, for endpoints' names.
  package static func of(_ text: String) -> UInt64 {
    Array(text.utf8).withUnsafeBufferPointer { of($0) }
  }

  /// Spreads a number over all of 64 bits (the finalizer of SplitMix64).
  static func mixed(_ number: UInt64) -> UInt64 {
    var value = number &+ 0x9E37_79B9_7F4A_7C15
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}

/// An endpoint for a consistent table: its name's number, which must not depend on its place among the others, and its
/// weight.
package struct HashedEndpoint: Equatable, Sendable, BitwiseCopyable {
  package var key: UInt64
  package var weight: UInt32

  package init(key: UInt64, weight: UInt32 = 1) {
    self.key = key
    self.weight = weight
  }
}

/// Places of endpoints on a ring (Karger 1997, "ketama"): a key goes to the next place on it. When one of n endpoints
/// comes or goes about one key in n moves.
///
/// Built when the endpoints change, immutable; 12 bytes a place.
package final class HashRing: Sendable {
  /// What the traffic path reads; valid while this object lives.
  package let view: HashRingView
  private let store: FrozenStore

  /// Places of an endpoint for each unit of weight, where there are not more than `maxPlaces` in all: the shares deviate
  /// from the weights by about 3 %.
  package static let placesPerUnit = 1_024
  /// The most places; 1.5 MB.
  package static let maxPlaces = 131_072

  /// A unit of weight is the greatest common divisor of all weights. How many places an endpoint has depends on nothing
  /// but its weight in units, so that nothing moves between those that stay; only where `maxPlaces` would be passed each
  /// has half of its places, or a quarter, and so on.
  package init(_ endpoints: [HashedEndpoint]) {
    let unit = max(1, endpoints.reduce(0) { Self.divisor($0, $1.weight) })
    let units = endpoints.reduce(0) { $0 + Int($1.weight / unit) }
    var places = Self.placesPerUnit
    while places > 1, units * places > Self.maxPlaces { places /= 2 }
    // Weights of which the sum passes the bound by themselves lose their finest differences.
    let coarseness = max(1, units * places / Self.maxPlaces)
    var ring: [(hash: UInt64, endpoint: Int32)] = []
    for (index, endpoint) in endpoints.enumerated() where endpoint.weight > 0 {
      let count = max(1, Int(endpoint.weight / unit) * places / coarseness)
      for replica in 0..<count {
        let hash = KeyHash.mixed(endpoint.key ^ KeyHash.mixed(UInt64(replica)))
        ring.append((hash, Int32(clamping: index)))
      }
    }
    ring.sort { $0.hash != $1.hash ? $0.hash < $1.hash : $0.endpoint < $1.endpoint }
    store = FrozenStore()
    view = HashRingView(hashes: store.freeze(ring.map(\.hash)), endpoints: store.freeze(ring.map(\.endpoint)))
  }

  /// The greatest common divisor; 0 divides like nothing.
  private static func divisor(_ left: UInt32, _ right: UInt32) -> UInt32 {
    var (larger, smaller) = (left, right)
    while smaller != 0 { (larger, smaller) = (smaller, larger % smaller) }
    return larger
  }
}

/// A `HashRing` as plain pointers.
package struct HashRingView: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory that is never written after it was built.
  let hashes: UnsafeBufferPointer<UInt64>
  let endpoints: UnsafeBufferPointer<Int32>

  /// The endpoint of a key: the first one on the ring from there that may be picked, one that was not tried before one
  /// that was; -1 where there is none. The set must be the one that the ring was built for.
  package func pick(_ hash: UInt64, in set: EndpointSet, tried: TriedEndpoints) -> Int32 {
    guard hashes.count > 0 else { return -1 }
    var low = 0
    var high = hashes.count
    while low < high {
      let middle = (low &+ high) >> 1
      if hashes[middle] < hash { low = middle &+ 1 } else { high = middle }
    }
    var fallback: Int32 = -1
    var step = 0
    while step < hashes.count {
      let endpoint = endpoints[(low &+ step) % hashes.count]
      step &+= 1
      guard endpoint < set.count, set.isEligible(Int(endpoint)) else { continue }
      if !tried.contains(endpoint) { return endpoint }
      if fallback < 0 { fallback = endpoint }
    }
    return fallback
  }
}

/// Google's Maglev table (Eisenbud and others, NSDI 2016): the shares are as even as can be, a look-up is one read, and
/// little more than the keys of an endpoint that comes or goes move.
///
/// Built when the endpoints change, immutable; 4 bytes a place.
package final class MaglevTable: Sendable {
  /// What the traffic path reads; valid while this object lives.
  package let view: MaglevView
  private let store: FrozenStore

  /// Places of the table: a prime, as Envoy's default; at least a hundred for each of 655 endpoints.
  package static let places = 65_537

  package init(_ endpoints: [HashedEndpoint]) {
    let usable = endpoints.enumerated().filter { $0.element.weight > 0 }
    store = FrozenStore()
    guard !usable.isEmpty else {
      view = MaglevView(table: store.freeze([]))
      return
    }
    let size = UInt64(Self.places)
    let heaviest = usable.reduce(1) { max($0, $1.element.weight) }
    var next = usable.map { KeyHash.mixed($0.element.key) % size }
    let skip = usable.map { KeyHash.mixed($0.element.key ^ 0xDEAD_BEEF_CAFE_F00D) % (size - 1) + 1 }
    // An endpoint takes its turn in the rounds in which its share of the heaviest weight adds up to a whole.
    var credit = [Double](repeating: 0, count: usable.count)
    var table = [Int32](repeating: -1, count: Self.places)
    var filled = 0
    // By key, so that the result does not depend on the order in which the endpoints come.
    let order = usable.indices.sorted { usable[$0].element.key < usable[$1].element.key }
    while filled < Self.places {
      for index in order where filled < Self.places {
        credit[index] += Double(usable[index].element.weight) / Double(heaviest)
        guard credit[index] >= 1 else { continue }
        credit[index] -= 1
        while table[Int(next[index])] >= 0 { next[index] = (next[index] + skip[index]) % size }
        table[Int(next[index])] = Int32(clamping: usable[index].offset)
        filled += 1
      }
    }
    view = MaglevView(table: store.freeze(table))
  }
}

/// A `MaglevTable` as plain pointers.
package struct MaglevView: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory that is never written after it was built.
  let table: UnsafeBufferPointer<Int32>

  /// The endpoint of a key. Where that may not be picked the key's number is mixed again, up to 64 times, so that the
  /// keys of an endpoint that is out spread over all others; then the places after it are looked at. -1 where there is
  /// none. The set must be the one that the table was built for.
  package func pick(_ hash: UInt64, in set: EndpointSet, tried: TriedEndpoints) -> Int32 {
    guard table.count > 0 else { return -1 }
    var number = hash
    var fallback: Int32 = -1
    var attempt = 0
    while attempt < 64 {
      let endpoint = table[Int(number % UInt64(table.count))]
      if endpoint < set.count, set.isEligible(Int(endpoint)) {
        if !tried.contains(endpoint) { return endpoint }
        if fallback < 0 { fallback = endpoint }
      }
      number = KeyHash.mixed(number)
      attempt &+= 1
    }
    let start = Int(hash % UInt64(table.count))
    var step = 0
    while step < table.count {
      let endpoint = table[(start &+ step) % table.count]
      step &+= 1
      guard endpoint < set.count, set.isEligible(Int(endpoint)) else { continue }
      if !tried.contains(endpoint) { return endpoint }
      if fallback < 0 { fallback = endpoint }
    }
    return fallback
  }
}
