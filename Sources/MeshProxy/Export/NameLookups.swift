// Unsafe by design: the system's resolver answers in memory of its own.
internal import CMeshSystem
internal import Glibc
internal import MeshReactor

/// Addresses of host names, as the system's resolver has them (`/etc/hosts`, DNS and whatever else it asks).
///
/// Asking may take seconds and happens on threads of its own, never on a loop. What was found is believed for ten
/// seconds, then asked again when it is needed; when that fails, what was known goes on being used. On the side thread.
final class NameLookups {
  /// How long an answer is believed, and how long after a failure it is asked again, nanoseconds.
  static let belief: UInt64 = 10_000_000_000
  static let afterFailure: UInt64 = 5_000_000_000
  /// Names asked for at the same time; a resolver that does not answer holds no more threads than that.
  static let maxAtOnce = 4
  /// Names that are remembered; configurations name a few.
  private static let maxNames = 64

  /// What became of a question.
  enum Answer: Sendable {
    /// At least one; the port is 0.
    case addresses([SocketAddress])
    /// Why there is none.
    case failed(String)
  }

  private struct Entry {
    var addresses: [SocketAddress] = []
    /// When what is known is to be asked for again, monotonic nanoseconds.
    var due: UInt64 = 0
    var isAsked = false
    var waiting: [(Answer) -> Void] = []
  }

  /// Questions that the resolver answered, and those that it did not.
  private(set) var answered: UInt64 = 0
  private(set) var failed: UInt64 = 0
  private var entries: [String: Entry] = [:]
  private var underWay = 0
  private let submitter: Submitter

  init(loop: SideLoop) { submitter = loop.submitter }

  /// Calls `done` with the addresses of a name: at once where they are known, else when the resolver has answered.
  func resolve(_ host: String, _ done: @escaping (Answer) -> Void) {
    let now = cms_monotonic_nanoseconds()
    var entry = entries[host] ?? Entry()
    if !entry.addresses.isEmpty, now < entry.due { return done(.addresses(entry.addresses)) }
    if !entry.isAsked {
      guard underWay < Self.maxAtOnce, begin(host) else {
        failed &+= 1
        return done(.failed("\(host) cannot be looked up now: the resolver answers nothing"))
      }
      entry.isAsked = true
    }
    entry.waiting.append(done)
    if entries[host] == nil, entries.count >= Self.maxNames { forgetOldest() }
    entries[host] = entry
  }

  private func forgetOldest() {
    let idle = entries.filter { !$0.value.isAsked }
    if let oldest = idle.min(by: { $0.value.due < $1.value.due }) { entries[oldest.key] = nil }
  }

  private func finish(_ host: String, _ answer: Answer) {
    underWay -= 1
    let now = cms_monotonic_nanoseconds()
    var entry = entries[host] ?? Entry()
    var told = answer
    switch answer {
    case .addresses(let found):
      answered &+= 1
      entry.addresses = found
      entry.due = now &+ Self.belief
    case .failed:
      failed &+= 1
      entry.due = now &+ Self.afterFailure
      if !entry.addresses.isEmpty { told = .addresses(entry.addresses) }
    }
    let waiting = entry.waiting
    entry.waiting = []
    entry.isAsked = false
    entries[host] = entry
    for done in waiting { done(told) }
  }

  // MARK: Asking

  /// A question on its way to a thread and back.
  private final class Question: @unchecked Sendable {
    // Unchecked: `lookups` is touched on the side thread only, to which `submitter` leads.
    let lookups: NameLookups
    let host: String

    init(_ lookups: NameLookups, _ host: String) {
      self.lookups = lookups
      self.host = host
    }

    func finish(_ answer: Answer) { lookups.finish(host, answer) }
  }

  /// Asks on a thread of its own; false: there is none to be had.
  private func begin(_ host: String) -> Bool {
    let box = Unmanaged.passRetained(Question(self, host))
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        let question = Unmanaged<Question>.fromOpaque(context).takeRetainedValue()
        cms_name_thread("lookup")
        let answer = NameLookups.ask(question.host)
        question.lookups.submitter.submit { question.finish(answer) }
        return nil
      }, box.toOpaque())
    guard result == 0 else {
      box.release()
      return false
    }
    pthread_detach(thread)
    underWay += 1
    return true
  }

  /// Asks the system, for as long as that takes.
  private static func ask(_ host: String) -> Answer {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_ADDRCONFIG
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, nil, &hints, &list)
    guard code == 0 else { return .failed("\(host) cannot be looked up: \(String(cString: gai_strerror(code)))") }
    defer { freeaddrinfo(list) }
    var found: [SocketAddress] = []
    var next = list
    while let item = next, found.count < 16 {
      next = item.pointee.ai_next
      guard let place = item.pointee.ai_addr, item.pointee.ai_addrlen <= socklen_t(MemoryLayout<sockaddr_storage>.size)
      else { continue }
      var storage = sockaddr_storage()
      memcpy(&storage, place, Int(item.pointee.ai_addrlen))
      if let address = SocketAddress(&storage), !found.contains(address) { found.append(address) }
    }
    return found.isEmpty ? .failed("\(host) has no address") : .addresses(found)
  }
}
