/// When which name is asked for, and what is known of it. A pure state machine: time is an argument, since any fixed
/// moment.
///
/// An answer is believed for as long as it says, within bounds. A failure of any sort takes nothing away: what was known
/// goes on being used, and the name is asked for again, less and less often.
package struct NameTable: Sendable {
  /// The times between which an answer is believed, whatever it says of itself.
  package static let shortestBelief: Duration = .seconds(1)
  package static let longestBelief: Duration = .seconds(300)
  /// How long after a failure a name is asked for again: the first number, doubled with each failure up to the second.
  package static let firstPause: Duration = .seconds(1)
  package static let longestPause: Duration = .seconds(30)
  /// Names asked for at the same time.
  package static let maxAtOnce = 16

  private struct Entry: Sendable {
    var known = KnownName()
    var due: Duration
    var isAsked = false
    var failures = 0
    var figures = NameFigures()
  }

  private var entries: [String: Entry] = [:]
  private var underWay = 0

  package init() {}

  /// All that has been found out.
  package var known: [String: KnownName] { entries.mapValues(\.known) }

  /// How the questions for each wanted name have gone.
  package var figures: [String: NameFigures] { entries.mapValues(\.figures) }

  /// Says which names are wanted from now on; others are forgotten.
  package mutating func want(_ names: Set<String>, now: Duration) {
    for name in entries.keys where !names.contains(name) { entries[name] = nil }
    for name in names where entries[name] == nil { entries[name] = Entry(due: now) }
  }

  /// The names that are to be asked for now, those that wait longest first. For each of them `take` must follow.
  package mutating func begin(now: Duration) -> [String] {
    let room = Self.maxAtOnce - underWay
    guard room > 0 else { return [] }
    let due = entries.filter { $0.value.due <= now && !$0.value.isAsked }
      .sorted { ($0.value.due, $0.key) < ($1.value.due, $1.key) }.prefix(room).map(\.key)
    for name in due { entries[name]?.isAsked = true }
    underWay += due.count
    return due
  }

  /// Takes the answers for a name that was begun.
  /// - Returns: whether what is known of it has changed.
  package mutating func take(_ name: String, ipv4: NameAnswer, ipv6: NameAnswer, now: Duration) -> Bool {
    underWay -= 1
    // Not wanted any more.
    guard var entry = entries[name], entry.isAsked else { return false }
    let before = entry.known
    entry.isAsked = false
    switch Self.conclusion(ipv4, ipv6) {
    case .answered(let first, let second, let holds):
      // Where only one kind was answered, the other stays as it was.
      if let first { entry.known.ipv4 = first.sorted() }
      if let second { entry.known.ipv6 = second.sorted() }
      entry.known.failure = nil
      entry.failures = 0
      entry.due = now + min(max(holds, Self.shortestBelief), Self.longestBelief)
    case .failed(let failure):
      entry.known.failure = failure
      entry.due = now + min(Self.firstPause * (1 << min(entry.failures, 10)), Self.longestPause)
      entry.failures += 1
    }
    entry.figures.note(entry.known.failure, now: now)
    entries[name] = entry
    return entry.known != before
  }

  private enum Conclusion {
    case answered(ipv4: [String]?, ipv6: [String]?, holds: Duration)
    case failed(NameFailure)
  }

  /// One kind is enough: there are servers that fail when asked for the other. An answer without any address is none.
  private static func conclusion(_ ipv4: NameAnswer, _ ipv6: NameAnswer) -> Conclusion {
    switch (ipv4, ipv6) {
    case (.addresses(let first, let one), .addresses(let second, let other)):
      if first.isEmpty, second.isEmpty { return .failed(.noAddresses) }
      let holds = first.isEmpty ? other : second.isEmpty ? one : min(one, other)
      return .answered(ipv4: first, ipv6: second, holds: holds)
    case (.addresses(let first, let one), .failed(let failure)):
      return first.isEmpty ? .failed(failure) : .answered(ipv4: first, ipv6: nil, holds: one)
    case (.failed(let failure), .addresses(let second, let other)):
      return second.isEmpty ? .failed(failure) : .answered(ipv4: nil, ipv6: second, holds: other)
    case (.failed(let failure), .failed): return .failed(failure)
    }
  }
}
