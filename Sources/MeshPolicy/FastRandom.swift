/// A small, fast generator (SplitMix64; Steele, Lea, Flood 2014) for decisions that need no secrecy: which endpoint, how
/// long to wait. Each loop has its own; the seed comes from outside, so that a run can be replayed.
package struct FastRandom: RandomNumberGenerator, Sendable {
  @usableFromInline package var state: UInt64

  @inlinable
  package init(seed: UInt64) { state = seed }

  @inlinable
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// A number below `bound`, each as likely to within 2⁻³² (Lemire's multiplication, without rejection); 0 where
  /// `bound` is 0.
  @inlinable
  package mutating func below(_ bound: UInt32) -> UInt32 {
    UInt32(truncatingIfNeeded: ((next() >> 32) &* UInt64(bound)) >> 32)
  }

  /// A number below `bound`, for bounds up to 2⁶³; 0 where `bound` is not above 0.
  @inlinable
  package mutating func below(_ bound: Int64) -> Int64 {
    guard bound > 0 else { return 0 }
    return Int64(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
  }
}
