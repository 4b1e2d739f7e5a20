package import MeshModel

/// Which requests a log tells of: those that fail, are slow or have a reason, and a share of the others.
package struct LogCondition: Sendable, BitwiseCopyable {
  /// Ranges of statuses, inclusive; `count` of them are set. 0 is a status: nothing was answered.
  package var statuses = InlineArray<8, StatusRange>(repeating: StatusRange(from: 1, to: 0))
  package var statusCount: UInt8 = 0
  /// Requests that take at least so long; nil: that is no condition.
  package var slowNanoseconds: Int64?
  /// By the reasons' raw values.
  package var reasons = InlineArray<4, UInt64>(repeating: 0)
  /// Any reason.
  package var anyReason = false
  /// Of the others: millionths.
  package var sharePerMillion: UInt32 = 1_000_000

  /// Statuses from one to another.
  package struct StatusRange: Sendable, BitwiseCopyable {
    package var from: UInt16
    package var to: UInt16

    package init(from: UInt16, to: UInt16) {
      self.from = from
      self.to = to
    }
  }

  /// Everything is told of.
  package init() {}

  /// Adds a reason.
  package mutating func add(_ reason: Reason) {
    reasons[Int(reason.rawValue >> 6)] |= 1 << UInt64(reason.rawValue & 63)
  }

  /// Adds a range of statuses; more than eight are not kept.
  package mutating func add(_ range: StatusRange) {
    guard Int(statusCount) < 8 else { return }
    statuses[Int(statusCount)] = range
    statusCount &+= 1
  }

  /// Whether a request is told of.
  ///
  /// - Parameter chance: a random number.
  package func takes(status: UInt16, durationNanoseconds: Int64, reason: Reason?, chance: UInt64) -> Bool {
    var index = 0
    while index < Int(statusCount) {
      if status >= statuses[index].from, status <= statuses[index].to { return true }
      index &+= 1
    }
    if let slowNanoseconds, durationNanoseconds >= slowNanoseconds { return true }
    if let reason, anyReason || reasons[Int(reason.rawValue >> 6)] >> UInt64(reason.rawValue & 63) & 1 == 1 {
      return true
    }
    if sharePerMillion >= 1_000_000 { return true }
    return ((chance >> 32) &* 1_000_000) >> 32 < UInt64(sharePerMillion)
  }
}
