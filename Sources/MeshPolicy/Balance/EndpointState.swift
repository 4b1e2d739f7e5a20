/// Why an endpoint is not to be picked now.
package struct EndpointFlags: OptionSet, Sendable, BitwiseCopyable {
  package let rawValue: UInt8

  @inlinable
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The workload says that it is not well.
  package static let unhealthy = EndpointFlags(rawValue: 1)
  /// Outlier detection has put it aside (see `OutlierDetector`).
  package static let ejected = EndpointFlags(rawValue: 2)
  /// It is going away: not picked even in a panic.
  package static let draining = EndpointFlags(rawValue: 4)
  /// It asked for a pause (`Retry-After`).
  package static let resting = EndpointFlags(rawValue: 8)
  /// It fails its health checks.
  package static let failing = EndpointFlags(rawValue: 16)

  /// The states that `word` can name, in the order in which the first that holds is named.
  package static let words = ["draining", "ejected", "failing", "unhealthy", "resting", "healthy"]

  /// The state of an endpoint for pages and metrics: the weightiest reason not to pick it, `healthy` where there is none.
  package var word: String { Self.words[place] }

  /// Where that stands in `words`.
  package var place: Int {
    if contains(.draining) { return 0 }
    if contains(.ejected) { return 1 }
    if contains(.failing) { return 2 }
    if contains(.unhealthy) { return 3 }
    return contains(.resting) ? 4 : 5
  }
}

/// What one loop knows of one endpoint. A plain value in memory of the loop; 80 bytes.
package struct EndpointState: Sendable, BitwiseCopyable {
  /// Its share in proportion to the others'; 0 for none. At most 1,000,000 (`EndpointSet.recount` holds it there).
  package var weight: UInt32
  package var flags: EndpointFlags = []
  /// The subset it is in; 0: none.
  package var subset: UInt16 = 0
  /// Requests (or TCP connections) under way.
  package var inFlight: UInt32 = 0
  /// Recent latency, see `PeakEWMA`; 0 while nothing is known.
  package var latencyNanoseconds: Double = 0
  /// When that was noted.
  package var notedAt: Int64 = 0
  package var outlier = OutlierState()
  /// When its rest is over.
  package var restsUntil: Int64 = 0

  @inlinable
  package init(weight: UInt32 = 1) { self.weight = weight }

  /// A request has been given to the endpoint.
  @inlinable
  package mutating func began() { inFlight &+= 1 }

  /// … and has ended, in whatever way. Call `PeakEWMA.note` besides where there is a latency to learn from.
  @inlinable
  package mutating func ended() { if inFlight > 0 { inFlight &-= 1 } }
}

/// What outlier detection remembers of an endpoint.
package struct OutlierState: Sendable, BitwiseCopyable {
  /// In a row.
  package var serverErrors: UInt16 = 0
  package var gatewayErrors: UInt16 = 0
  package var localFailures: UInt16 = 0
  /// How often it was ejected of late: the factor of the next ejection.
  package var ejections: UInt16 = 0
  /// Attempts, and those that succeeded, since the last review.
  package var attempts: UInt32 = 0
  package var successes: UInt32 = 0
  /// When the ejection ends, or when the factor next goes down.
  package var until: Int64 = 0

  @inlinable
  package init() {}
}

/// The endpoints that a request has been sent to already: a short list of fixed size, by value.
package struct TriedEndpoints: Sendable, BitwiseCopyable {
  /// More attempts than `RetrySettings` allows.
  package static let capacity = 12

  private var list = InlineArray<12, Int32>(repeating: -1)
  package private(set) var count = 0

  package init() {}

  /// Notes an endpoint; once the list is full, nothing.
  package mutating func insert(_ index: Int32) {
    guard count < Self.capacity else { return }
    list[count] = index
    count &+= 1
  }

  /// The same endpoints, counted from `start`; those before it are left out.
  package func shifted(by start: Int32) -> TriedEndpoints {
    var result = TriedEndpoints()
    var position = 0
    while position < count {
      if list[position] >= start { result.insert(list[position] &- start) }
      position &+= 1
    }
    return result
  }

  package func contains(_ index: Int32) -> Bool {
    var position = 0
    while position < count {
      if list[position] == index { return true }
      position &+= 1
    }
    return false
  }
}
