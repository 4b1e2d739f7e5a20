/// Faults to put into the traffic on purpose.
package struct FaultSettings: Hashable, Sendable, BitwiseCopyable {
  /// Requests that are delayed, of a million. Default 0.
  package var delayPerMillion: UInt32 = 0
  package var delayNanoseconds: Int64 = 0
  /// Requests that are answered with `abortStatus` instead, of a million. Default 0.
  package var abortPerMillion: UInt32 = 0
  /// 400…599.
  package var abortStatus: UInt16 = 503

  package init() {}
}

/// What to do to a request.
package struct FaultDecision: Equatable, Sendable, BitwiseCopyable {
  /// Wait so long first; nil for not at all.
  package var delayNanoseconds: Int64?
  /// Then answer with this status and the reason `fault_injected`; nil to go on.
  package var abortStatus: UInt16?

  package init() {}

  /// Draws for one request. Delay and abort are independent of each other.
  package static func draw(_ settings: FaultSettings, _ random: inout FastRandom) -> FaultDecision {
    var decision = FaultDecision()
    if settings.delayPerMillion > 0, settings.delayNanoseconds > 0,
      random.below(UInt32(1_000_000)) < settings.delayPerMillion
    {
      decision.delayNanoseconds = settings.delayNanoseconds
    }
    if settings.abortPerMillion > 0, random.below(UInt32(1_000_000)) < settings.abortPerMillion {
      decision.abortStatus = min(max(settings.abortStatus, 400), 599)
    }
    return decision
  }
}
