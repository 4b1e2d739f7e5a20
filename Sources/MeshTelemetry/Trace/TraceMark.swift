/// Where a request stands in its trace: what was read of the caller's fields and what is passed on. Two zero halves of
/// the trace's id: there is no trace.
package struct TraceMark: Equatable, Sendable, BitwiseCopyable {
  /// The lowest two bits are those of `trace-flags` (W3C Trace Context, Level 2); the others stay in the process.
  package struct Flags: OptionSet, Sendable, BitwiseCopyable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Somebody records the trace.
    package static let sampled = Flags(rawValue: 1)
    /// The lower seven bytes of the trace's id are random.
    package static let random = Flags(rawValue: 2)
    /// It is passed on as `b3` too.
    package static let b3Single = Flags(rawValue: 4)
    /// It is passed on as `x-b3-…` too.
    package static let b3Multi = Flags(rawValue: 8)
    /// B3's debug flag: sampled whatever anybody's share is.
    package static let debug = Flags(rawValue: 16)
    /// `tracestate` belongs to no trace, or is malformed: it goes no further.
    package static let dropsState = Flags(rawValue: 32)
    /// Nobody has decided yet whether the trace is recorded: it begins here, or B3 has left it open.
    package static let undecided = Flags(rawValue: 64)
  }

  /// Halves of the trace's id.
  package var high: UInt64 = 0
  package var low: UInt64 = 0
  /// The caller's span; 0: the trace begins here.
  package var parent: UInt64 = 0
  /// The span of this hop; 0: it has none, and the caller's is passed on.
  package var span: UInt64 = 0
  package var flags: Flags = []

  package init() {}

  package init(high: UInt64, low: UInt64, parent: UInt64, flags: Flags) {
    self.high = high
    self.low = low
    self.parent = parent
    self.flags = flags
  }

  /// Whether there is a trace.
  package var isPresent: Bool { high | low != 0 }

  /// The id that the next hop gets as its parent's.
  package var outgoingSpan: UInt64 { span == 0 ? parent : span }

  /// The same trace, or a new one where there is none, with what this hop makes of it.
  ///
  /// - Parameters:
  ///   - decision: whether this hop records a span.
  ///   - ids: three random numbers: the halves of a new trace's id, and a span's.
  package func continued(_ decision: SamplingDecision, ids: (UInt64, UInt64, UInt64)) -> TraceMark {
    var next = self
    if !isPresent {
      next.high = ids.0
      // Never all zero, and the lower seven bytes stay as random as they are.
      next.low = ids.1 == 0 ? 1 : ids.1
      next.parent = 0
      next.flags.insert(.random)
    }
    // A hop that records nothing leaves open what the caller has left open.
    if decision != .off || !isPresent { next.flags.remove(.undecided) }
    if decision.isSampled { next.flags.insert(.sampled) } else { next.flags.remove(.sampled) }
    if decision.isRecorded || next.parent == 0 { next.span = ids.2 == 0 ? 1 : ids.2 }
    return next
  }
}

/// Whether a hop records a span, and who decided.
package enum SamplingDecision: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// This hop records none: it passes the caller's decision on as it came.
  case offPassingSampled, off
  /// The caller's decision (parent-based sampling).
  case callerSampled, callerNot
  /// A header field, or B3's debug flag, asked for it.
  case forced
  /// The share of traces that begin here.
  case shareSampled, shareNot

  /// Whether `sampled` is passed on.
  package var isSampled: Bool {
    switch self {
    case .offPassingSampled, .callerSampled, .forced, .shareSampled: true
    case .off, .callerNot, .shareNot: false
    }
  }

  /// Whether a span is recorded here.
  package var isRecorded: Bool { isSampled && self != .offPassingSampled }

  /// Decides.
  ///
  /// - Parameters:
  ///   - isOn: whether this hop records spans at all.
  ///   - isForced: a header field asks for it.
  ///   - share: of traces that nobody has decided about.
  ///   - candidate: the lower half of a trace that would begin here.
  package static func decide(
    _ mark: TraceMark, isOn: Bool, isForced: Bool, share: SamplingShare, candidate: UInt64
  ) -> SamplingDecision {
    guard isOn else { return mark.flags.contains(.sampled) ? .offPassingSampled : .off }
    if isForced || mark.flags.contains(.debug) { return .forced }
    // A caller may decide without a trace: `b3: 0`.
    if !mark.flags.contains(.undecided) { return mark.flags.contains(.sampled) ? .callerSampled : .callerNot }
    return share.takes(mark.isPresent ? mark : TraceMark(high: 1, low: candidate, parent: 0, flags: .random))
      ? .shareSampled : .shareNot
  }
}

/// A share of traces, chosen by their ids, so that every hop with the same share chooses the same traces.
package struct SamplingShare: Equatable, Sendable, BitwiseCopyable {
  /// Traces whose randomness is below it are not taken: 0…2⁵⁶.
  package let rejected: UInt64

  /// - Parameter perMillion: 0…1,000,000; above counts as all.
  package init(perMillion: UInt32) {
    let (million, all): (UInt64, UInt64) = (1_000_000, 1 << 56)
    let kept = UInt64(min(perMillion, 1_000_000))
    // In two steps, since the product has 76 bits.
    rejected = all &- (all / million &* kept &+ all % million &* kept / million)
  }

  /// Whether the trace is taken. Where its id is not said to be random, its bits are mixed first.
  package func takes(_ mark: TraceMark) -> Bool {
    var value = mark.low
    if !mark.flags.contains(.random) {
      value = (value ^ (value >> 30) ^ mark.high) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
      value ^= value >> 31
    }
    return value & ((1 << 56) &- 1) >= rejected
  }
}
