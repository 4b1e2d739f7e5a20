// Unsafe by design: works on endpoints' states where they lie.

/// Leaves endpoints alone that ask for a pause (`Retry-After` with 429 or 503, RFC 9110, 10.2.3).
package enum RestPolicy {
  /// Lets the endpoint `index` rest, unless more than half of those that may be picked would: then the pause would only
  /// move the load to endpoints that have no room for it. True where it rests.
  ///
  /// - Parameter longest: the longest pause that is granted, nanoseconds; 0 grants none.
  package static func ask(
    seconds: UInt64, at index: Int32, in set: inout EndpointSet, longest: Int64, now: Int64
  ) -> Bool {
    guard index >= 0, index < set.count, seconds > 0, longest > 0 else { return false }
    let time = min(Int64(min(seconds, 86_400)) * 1_000_000_000, longest)
    let isResting = set.base[Int(index)].flags.contains(.resting)
    guard isResting || (resting(set) &+ 1) &* 2 <= Int(set.candidateCount) else { return false }
    set.base[Int(index)].restsUntil = now &+ time
    if !isResting { set.set(.resting, true, at: index) }
    return true
  }

  /// Takes back those whose pause is over.
  package static func sweep(_ set: inout EndpointSet, now: Int64) {
    var isChanged = false
    for index in 0..<Int(set.count) where set.base[index].flags.contains(.resting) && set.base[index].restsUntil <= now
    {
      set.base[index].flags.remove(.resting)
      isChanged = true
    }
    if isChanged { set.recount() }
  }

  private static func resting(_ set: EndpointSet) -> Int {
    (0..<Int(set.count)).reduce(0) { $0 &+ (set.base[$1].flags.contains(.resting) ? 1 : 0) }
  }
}
