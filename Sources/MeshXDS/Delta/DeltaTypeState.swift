import MeshControl

/// What the server knows of one client and one type: what it wants, what it has, what is on the way.
struct DeltaTypeState: Sendable {
  /// What a client has under one name once everything sent has arrived.
  private enum Held: Sendable, Equatable {
    case version(String)
    /// It refused this version, so that what it has is not known; nil: it refused the removal.
    case refused(String?)
  }

  /// One response's worth.
  struct Batch: Sendable {
    var resources: [ConfigResource] = []
    var removed: [String] = []
    /// More of the same revision follows.
    var isPartial = false
  }

  /// A response that has been sent and not answered yet.
  struct Outstanding: Sendable {
    var nonce: String
    var systemVersion: String
    var changes: [String: Change]
    /// The revision of which nothing is left once this is answered; nil: something is.
    var completes: UInt64?
  }

  enum Change: Sendable {
    case upsert(version: String)
    case removal
  }

  /// What the client refuses: its words, and the resources meant.
  struct Refusal: Sendable {
    var message: String
    var names: Set<String>
    /// Whether the client itself named the resources; otherwise they are all those of the refused response.
    var isExact: Bool
  }

  private var isWildcard = false
  private var names: Set<String> = []
  private var held: [String: Held] = [:]
  /// Names to be sent again although the client is believed to have them, or to be told of their absence.
  private var demanded: Set<String> = []
  private var outstanding: Outstanding?
  private(set) var sentVersion: String?
  private(set) var ackedVersion: String?
  private(set) var refusal: Refusal?
  /// The newest revision of which everything was sent and answered; 0: none.
  private(set) var takenRevision: UInt64 = 0
  /// Whether there may be something to send.
  var isDirty = true

  var isAwaitingAnswer: Bool { outstanding != nil }
  var subscribedCount: Int { names.count }

  // MARK: Subscriptions

  /// The first request of the type on this stream.
  mutating func begin(with initialVersions: [String: String], subscribe: [String]) {
    isWildcard = subscribe.isEmpty || subscribe.contains("*")
    let wanted = Set(subscribe)
    for (name, version) in initialVersions where isWildcard || wanted.contains(name) { held[name] = .version(version) }
  }

  /// A client that subscribes to a name is sent it even if it is believed to have it, for it may have dropped it;
  /// except for the versions that it brings along in the very same request.
  mutating func subscribe(_ added: [String], keeping initial: [String: String]) {
    for name in added {
      if name == "*" {
        isWildcard = true
      } else {
        names.insert(name)
        if initial[name] == nil { demanded.insert(name) }
      }
      isDirty = true
    }
  }

  mutating func unsubscribe(_ removed: [String]) {
    for name in removed {
      if name == "*" {
        isWildcard = false
        held = held.filter { names.contains($0.key) }
        demanded.formIntersection(names)
      } else if names.remove(name) != nil {
        // Under a wildcard the client is told whether it still gets the resource.
        if isWildcard {
          demanded.insert(name)
        } else {
          held[name] = nil
          demanded.remove(name)
        }
      }
      isDirty = true
    }
    if !removed.isEmpty { narrowRefusal(to: wants) }
  }

  private func wants(_ name: String) -> Bool { isWildcard || names.contains(name) }

  // MARK: What to send

  private func isDue(_ resource: ConfigResource) -> Bool {
    if demanded.contains(resource.name) { return true }
    switch held[resource.name] {
    case .version(let version): return version != resource.version
    case .refused(let version): return version != resource.version
    case nil: return true
    }
  }

  func hasUpserts(_ desired: [String: ConfigResource]) -> Bool {
    isWildcard
      ? desired.values.contains(where: isDue)
      : names.contains { desired[$0].map(isDue) ?? false }
  }

  /// Additions and changes, in the order of names; nil if there are none. The first answer of a type is sent even when
  /// it is empty, so that the client knows that it has everything.
  func upserts(_ desired: [String: ConfigResource], limit: Int) -> Batch? {
    let due =
      isWildcard ? desired.values.filter(isDue) : names.compactMap { desired[$0] }.filter(isDue)
    guard !due.isEmpty else { return sentVersion == nil ? Batch() : nil }
    var batch = Batch()
    var size = 0
    for resource in due.sorted(by: { $0.name < $1.name }) {
      size += resource.bytes.count + resource.name.utf8.count + 64
      if size > limit, !batch.resources.isEmpty {
        batch.isPartial = true
        break
      }
      batch.resources.append(resource)
    }
    return batch
  }

  func hasRemovals(_ desired: [String: ConfigResource]) -> Bool {
    held.contains { desired[$0.key] == nil && $0.value != .refused(nil) }
      || demanded.contains { desired[$0] == nil && held[$0] == nil }
  }

  /// Removals, in the order of names; nil if there are none.
  func removals(_ desired: [String: ConfigResource], limit: Int) -> Batch? {
    var gone = held.filter { desired[$0.key] == nil && $0.value != .refused(nil) }.map(\.key)
    gone += demanded.filter { desired[$0] == nil && held[$0] == nil }
    guard !gone.isEmpty else { return nil }
    var batch = Batch()
    var size = 0
    for name in gone.sorted() {
      size += name.utf8.count + 8
      if size > limit, !batch.removed.isEmpty {
        batch.isPartial = true
        break
      }
      batch.removed.append(name)
    }
    return batch
  }

  /// There is nothing to send of a revision, and nothing on the way.
  mutating func settle(at revision: UInt64) {
    isDirty = false
    takenRevision = max(takenRevision, revision)
  }

  /// - Parameter completes: the revision, if nothing of it is left once this is answered.
  mutating func sent(_ batch: Batch, nonce: String, systemVersion: String, completes: UInt64?) {
    var changes: [String: Change] = [:]
    for resource in batch.resources {
      held[resource.name] = .version(resource.version)
      demanded.remove(resource.name)
      changes[resource.name] = .upsert(version: resource.version)
    }
    for name in batch.removed {
      held[name] = nil
      demanded.remove(name)
      changes[name] = .removal
    }
    outstanding = Outstanding(
      nonce: nonce, systemVersion: systemVersion, changes: changes, completes: completes)
    sentVersion = systemVersion
  }

  // MARK: Answers

  /// The response that this nonce answers, if it is the one that awaits an answer.
  mutating func answer(nonce: String) -> Outstanding? {
    guard let sent = outstanding, sent.nonce == nonce else { return nil }
    outstanding = nil
    isDirty = true
    takenRevision = max(takenRevision, sent.completes ?? 0)
    return sent
  }

  mutating func accept(_ sent: Outstanding) {
    ackedVersion = sent.systemVersion
    guard let refused = refusal else { return }
    if refused.isExact {
      narrowRefusal { sent.changes[$0] == nil }
    } else if refused.names.contains(where: { sent.changes[$0] != nil }) {
      refusal = nil
    }
  }

  /// The client keeps what it had of `refusedNames` (nil: it does not say of which) and has the rest of the response.
  /// What it refused is not sent again until it changes.
  mutating func refuse(_ sent: Outstanding, names refusedNames: Set<String>?, message: String) {
    let isExact = refusedNames.map { !$0.isDisjoint(with: sent.changes.keys) } ?? false
    var meant: Set<String> = []
    for (name, change) in sent.changes {
      if isExact, let refusedNames, !refusedNames.contains(name) { continue }
      meant.insert(name)
      guard wants(name) else { continue }
      switch change {
      case .upsert(let version): held[name] = .refused(version)
      case .removal: held[name] = .refused(nil)
      }
    }
    if isExact, let before = refusal, before.isExact {
      meant.formUnion(before.names.filter { sent.changes[$0] == nil })
    }
    refusal = Refusal(message: message, names: meant, isExact: isExact)
  }

  private mutating func narrowRefusal(to isKept: (String) -> Bool) {
    guard let refused = refusal else { return }
    let names = refused.names.filter(isKept)
    refusal = names.isEmpty ? nil : Refusal(message: refused.message, names: names, isExact: refused.isExact)
  }
}
