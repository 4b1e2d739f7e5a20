package import MeshModel

/// What a breaker counts.
package enum BreakerKind: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  case connections, pending, requests, retries

  /// Why something is refused when the limit of this kind is reached.
  package var reason: Reason {
    switch self {
    case .connections: .circuitOpenConnections
    case .pending: .circuitOpenPending
    case .requests: .circuitOpenRequests
    case .retries: .circuitOpenRetries
    }
  }
}

/// Limits on what is under way to one service from one loop: answers at once, rather than let a queue grow.
///
/// A plain value; a loop has one for each service. What is acquired must be released once.
package struct Breaker: Sendable, BitwiseCopyable {
  private var current = InlineArray<4, UInt32>(repeating: 0)
  private var limits = InlineArray<4, UInt32>(repeating: .max)
  /// How often something was refused, by kind, since the beginning.
  private var refusals = InlineArray<4, UInt64>(repeating: 0)

  /// A breaker with this loop's part of `limits`.
  package init(_ limits: CircuitLimits, loops: Int = 1) { set(limits, loops: loops) }

  /// Takes new limits; what is under way stays counted.
  package mutating func set(_ limits: CircuitLimits, loops: Int = 1) {
    let all = [limits.connections, limits.pending, limits.requests, limits.retries]
    for (index, limit) in all.enumerated() {
      guard case .atMost(let share) = limit.share(ofLoops: loops) else {
        self.limits[index] = .max
        continue
      }
      self.limits[index] = share
    }
  }

  /// Counts one more, or gives the reason why there may not be one.
  package mutating func acquire(_ kind: BreakerKind) -> Reason? {
    let index = Int(kind.rawValue)
    guard current[index] < limits[index] else {
      refusals[index] &+= 1
      return kind.reason
    }
    current[index] &+= 1
    return nil
  }

  /// Whether one more would be refused; counts nothing.
  package func isOpen(_ kind: BreakerKind) -> Bool {
    current[Int(kind.rawValue)] >= limits[Int(kind.rawValue)]
  }

  /// One has ended.
  package mutating func release(_ kind: BreakerKind) {
    let index = Int(kind.rawValue)
    if current[index] > 0 { current[index] &-= 1 }
  }

  /// How many are under way.
  package func count(_ kind: BreakerKind) -> UInt32 { current[Int(kind.rawValue)] }

  /// The number at which it opens; nil for never.
  package func limit(_ kind: BreakerKind) -> UInt32? {
    let limit = limits[Int(kind.rawValue)]
    return limit == .max ? nil : limit
  }

  /// How often it refused.
  package func refused(_ kind: BreakerKind) -> UInt64 { refusals[Int(kind.rawValue)] }
}
