/// A rate limit that several proxies share: one token bucket, and what each proxy may take out of it until it is told
/// anew.
///
/// Proxies report what they have let in and how much came; `divide` sets for each how far it may go. What is given out
/// and not used yet stays in the bucket, so that over time no more passes than the limit and its burst, however the
/// requests fall among the proxies: what one proxy lets in beyond its part, because it heard too late that the part had
/// shrunk, is missing in the next division. Shares are fair by need (max-min): a proxy that needs little gets it whole,
/// the others get equal parts of the rest.
///
/// Pure: the clock is an argument. O(proxies × log proxies) for a division.
package struct QuotaBucket: Sendable {
  /// One proxy's part.
  private struct Part: Sendable {
    /// Names the proxy's stream.
    var stream: UInt64
    /// What it has reported as let in.
    var used: Int64 = 0
    /// How far it may go.
    var allowed: Int64 = 0
    /// Requests that it will likely see until it is told anew.
    var demand: Int64 = 0
    /// Whether it has reported since it was last told.
    var isOwed = true
    var told: Grant?
  }

  /// What one proxy is told.
  package struct Grant: Equatable, Sendable {
    package var stream: UInt64
    /// Requests that it may let in on this stream, those of the past included.
    package var allowed: Int64
    /// When more may be expected, nanoseconds; 0: there is some.
    package var waitNanoseconds: Int64
    /// Millionths of the limit that it holds to when it hears nothing more: an equal part.
    package var sharePerMillion: UInt32
  }

  /// Of how many reports' time a division has to last: until the next one, and the way there and back.
  private static let horizon: Int64 = 2

  /// The limit; a change of it counts from the next division on.
  package var settings: RateLimitSettings
  /// What is in the bucket, nanoseconds of the limit's rate; below 0: what passed beyond the limit, still to be made up.
  private var level: Int64
  private var lastTime: Int64
  /// In the order in which they came.
  private var parts: [Part] = []
  /// Whether a proxy needed more at the last division than there was: the next one is worth while without a report.
  package private(set) var isShort = false
  /// Where single requests that cannot be divided begin to be given out.
  private var turn = 0
  private static let mostNanoseconds: Int64 = 31_536_000_000_000_000

  /// A full bucket.
  package init(_ settings: RateLimitSettings, now: Int64) {
    self.settings = settings
    level = Self.capacity(settings, tokens: Int64(settings.burst))
    lastTime = now
  }

  /// No proxy has a part in it.
  package var isUnused: Bool { parts.isEmpty }

  /// It holds all that it can: forgetting it changes nothing.
  package mutating func isFull(now: Int64) -> Bool {
    advance(now)
    return level >= Self.capacity(settings, tokens: Int64(settings.burst))
  }

  private static func capacity(_ settings: RateLimitSettings, tokens: Int64) -> Int64 {
    let (product, isTooLarge) = settings.interval.multipliedReportingOverflow(by: max(0, tokens))
    return isTooLarge ? mostNanoseconds : min(product, mostNanoseconds)
  }

  /// Takes a proxy's report.
  /// - Parameters:
  ///   - used: requests let in on its stream so far.
  ///   - arrived: requests that came since its last report, those turned away included.
  package mutating func report(stream: UInt64, used: Int64, arrived: Int64, now: Int64) {
    advance(now)
    let place = parts.firstIndex { $0.stream == stream } ?? parts.count
    if place == parts.count { parts.append(Part(stream: stream)) }
    // Numbers of a peer: neither going back nor leaping takes more than a year's worth out.
    let fresh = max(0, max(0, min(used, Int64.max / 4)) - parts[place].used)
    if fresh > 0 { turn = (turn + 1) % max(1, parts.count) }
    level = max(level - Self.capacity(settings, tokens: fresh), -Self.mostNanoseconds)
    parts[place].used += fresh
    // One is kept for a proxy with little traffic, so that its next request finds it.
    parts[place].demand = max(1, min(max(0, arrived), Int64(UInt32.max)) * Self.horizon)
    parts[place].isOwed = true
  }

  /// A proxy takes no more: its stream has ended, or nothing comes to it.
  package mutating func leave(stream: UInt64) { parts.removeAll { $0.stream == stream } }

  /// Lets the time pass. What requests under way will take is kept on top of the burst: it has not been reported yet.
  private mutating func advance(_ now: Int64) {
    guard now > lastTime else { return }
    let (sum, isTooLarge) = level.addingReportingOverflow(now - lastTime)
    lastTime = now
    let underWay = parts.reduce(into: Int64(0)) { $0 &+= max(0, min($1.allowed - $1.used, $1.demand)) }
    let most = Self.capacity(settings, tokens: Int64(settings.burst) + underWay)
    level = isTooLarge ? most : min(sum, most)
  }

  /// Divides what there is among the proxies. Returns what is new to them, or answers a report.
  package mutating func divide(now: Int64) -> [Grant] {
    advance(now)
    guard !parts.isEmpty else { return [] }
    let interval = settings.interval
    let pool = max(0, level / interval)
    let shares = Self.divide(pool, among: parts.map(\.demand), from: turn)
    isShort = zip(shares, parts).contains { $0 < $1.demand }
    let equal = UInt32(1_000_000 / parts.count)
    return parts.indices.compactMap { index in
      parts[index].allowed = parts[index].used + shares[index]
      let wait = shares[index] > 0 ? 0 : pool > 0 ? interval : max(1, interval - level)
      let grant = Grant(
        stream: parts[index].stream, allowed: parts[index].allowed, waitNanoseconds: wait, sharePerMillion: equal)
      guard parts[index].isOwed || parts[index].told != grant else { return nil }
      parts[index].isOwed = false
      parts[index].told = grant
      return grant
    }
  }

  /// Divides `pool` so that small needs are met and large ones get equal parts; what nobody needs is divided evenly, for
  /// what may come. What cannot be divided goes one by one, beginning at `turn`.
  package static func divide(_ pool: Int64, among needs: [Int64], from turn: Int) -> [Int64] {
    var shares = needs.map { _ in Int64(0) }
    var rest = max(0, pool)
    var open = needs.indices.filter { needs[$0] > 0 }.sorted { needs[$0] < needs[$1] }[...]
    while let least = open.first {
      let part = rest / Int64(open.count)
      guard needs[least] <= part else { break }
      shares[least] = needs[least]
      rest -= needs[least]
      open = open.dropFirst()
    }
    let receivers = open.isEmpty ? Array(needs.indices) : open.sorted()
    guard !receivers.isEmpty else { return shares }
    let (part, single) = rest.quotientAndRemainder(dividingBy: Int64(receivers.count))
    for (place, index) in receivers.enumerated() {
      let rank = (place + receivers.count - turn % receivers.count) % receivers.count
      shares[index] += part + (Int64(rank) < single ? 1 : 0)
    }
    return shares
  }
}
