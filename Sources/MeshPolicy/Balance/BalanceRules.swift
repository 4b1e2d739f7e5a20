// Unsafe by design: compiled once into memory that the traffic path reads.
package import MeshModel

/// What of a request keeps it at one endpoint.
package enum AffinitySource: Hashable, Sendable {
  /// A header's value; its name is in lower case.
  case header(String)
  /// A cookie's value. A request without it is given one, which lasts so long; nil: as long as the client's session.
  case cookie(name: String, lifetimeSeconds: UInt32?)
  /// The address that the connection comes from, without its port.
  case sourceAddress
}

/// Endpoints chosen by a label whose value a request names in a header.
package struct SubsetRule: Hashable, Sendable {
  package var label: String
  /// In lower case.
  package var header: String
  /// Whether requests for a subset without endpoints go to any; if not they are refused.
  package var fallsBackToAny: Bool

  package init(label: String, header: String, fallsBackToAny: Bool) {
    self.label = label
    self.header = header
    self.fallsBackToAny = fallsBackToAny
  }
}

/// How the endpoints of a service are arranged, beyond what `LoadBalancer` says.
package struct BalanceRules: Hashable, Sendable {
  package var affinity: AffinitySource?
  /// Nil: new endpoints get their whole share at once.
  package var slowStart: SlowStart?
  /// Whether the nearest endpoints are preferred.
  package var isZoneAware = false
  /// See `EndpointLevels.busy`.
  package var busyRequests: UInt32 = 100
  /// Labels of the endpoints of each priority, best first; endpoints that none describes come last.
  package var priorities: [[String: String]] = []
  package var subset: SubsetRule?

  package init() {}

  /// How much an endpoint is preferred; less is better.
  package func preference(labels: [String: String], from own: Locality, to locality: Locality) -> Int {
    let priority = priorities.firstIndex { wanted in wanted.allSatisfy { labels[$0.key] == $0.value } }
    return (priority ?? priorities.count) * 3 + (isZoneAware ? own.distance(to: locality) : 0)
  }
}

/// `BalanceRules` compiled for the traffic path. Owns the memory that its `view` reads.
package final class BalanceTable: Sendable {
  /// Valid while this object lives.
  package let view: BalanceView
  private let store: FrozenStore

  /// - Parameter subsets: the label's values, from number 1.
  package init(_ rules: BalanceRules, subsets: [String]) {
    var bytes: [UInt8] = []
    func intern(_ text: String) -> ByteRange {
      let range = ByteRange(offset: UInt32(clamping: bytes.count), length: UInt32(clamping: text.utf8.count))
      bytes += text.utf8
      return range
    }
    var kind = BalanceView.Affinity.none
    var name = ""
    var lifetime: UInt32 = 0
    switch rules.affinity {
    case nil: break
    case .sourceAddress: kind = .sourceAddress
    case .header(let header): (kind, name) = (.header, header.lowercased())
    case .cookie(let cookie, let seconds): (kind, name, lifetime) = (.cookie, cookie, seconds ?? 0)
    }
    let header = rules.subset?.header.lowercased() ?? ""
    let ranges = (intern(name), intern(header))
    store = FrozenStore()
    view = BalanceView(
      affinity: kind, lifetimeSeconds: lifetime, bytes: store.freeze(bytes).baseAddress.unsafelyUnwrapped,
      name: ranges.0, known: kind == .header ? KnownHeader.named(name) : .other, subsetHeader: ranges.1,
      subsetKnown: KnownHeader.named(header), subsets: store.freeze(subsets.map { KeyHash.of($0) }),
      fallsBackToAny: rules.subset?.fallsBackToAny ?? true)
  }
}

/// A `BalanceTable` as plain pointers.
package struct BalanceView: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory that is never written after compilation.
  /// What of a request keeps it at one endpoint.
  package enum Affinity: UInt8, Sendable, BitwiseCopyable {
    case none, header, cookie, sourceAddress
  }

  package let affinity: Affinity
  /// Of a cookie that we give; 0: as long as the client's session.
  package let lifetimeSeconds: UInt32
  let bytes: UnsafePointer<UInt8>
  let name: ByteRange
  let known: KnownHeader
  let subsetHeader: ByteRange
  let subsetKnown: KnownHeader
  let subsets: UnsafeBufferPointer<UInt64>
  /// Whether requests for a subset without endpoints go to any.
  package let fallsBackToAny: Bool
  /// A subset that no endpoint is in.
  package static let unknownSubset = UInt16.max

  /// The name of the header or cookie.
  package var nameText: UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: bytes + Int(name.offset), count: Int(name.length))
  }

  /// The number of the request's key, where it is in its head and there; nil where it is not.
  package func key(_ head: borrowing MessageHead) -> UInt64? {
    let value: ByteRange?
    switch affinity {
    case .none, .sourceAddress: value = nil
    case .header: value = HeaderSearch.first(nameText, known, head)
    case .cookie: value = HeaderSearch.cookie(nameText, head)
    }
    guard let value, value.length > 0 else { return nil }
    return KeyHash.of(head.bytes(value))
  }

  /// The number of the subset that the request asks for; 0: any.
  package func subset(_ head: borrowing MessageHead) -> UInt16 {
    guard subsetHeader.length > 0 else { return 0 }
    let header = UnsafeBufferPointer(start: bytes + Int(subsetHeader.offset), count: Int(subsetHeader.length))
    guard let value = HeaderSearch.first(header, subsetKnown, head) else { return 0 }
    let hash = KeyHash.of(head.bytes(value))
    var index = 0
    while index < subsets.count {
      if subsets[index] == hash { return UInt16(truncatingIfNeeded: index &+ 1) }
      index &+= 1
    }
    return Self.unknownSubset
  }
}
