package import MeshWire

/// Who is in the mesh: registrations of proxies, their health, and how long one that lost its stream is kept.
///
/// A pure state machine: time is an argument (since any fixed moment), and each event returns what changed for the
/// compiler of configuration. One stream speaks for one workload; a newer stream of the same workload takes over from
/// an older one, whose end then means nothing any more.
package struct WorkloadTable: Sendable {
  /// Times and bounds. Beyond the bounds a registration is refused.
  package struct Limits: Sendable {
    /// How long a workload whose stream has gone is kept, so that a reconnecting proxy costs no endpoint.
    package var detachedGrace: Duration = .milliseconds(1500)
    /// How long workloads known from before a restart are kept while their proxies reconnect.
    package var restartGrace: Duration = .seconds(15)
    package var workloads = 20_000

    package init() {}
  }

  /// What changed for those who need endpoints.
  package enum Change: Sendable, Equatable {
    case upsert(MeshWorkload, Registration)
    case remove(uid: String)
  }

  private enum Presence: Sendable, Equatable {
    case attached(stream: UInt64)
    /// Its stream has gone; it may come back.
    case leaving(deadline: Duration)
    /// Known from before a restart of the control plane; nothing has been heard of it since.
    case remembered(deadline: Duration)

    /// When it is let go unless it comes back.
    var deadline: Duration? {
      switch self {
      case .attached: nil
      case .leaving(let deadline), .remembered(let deadline): deadline
      }
    }
  }

  private struct Entry: Sendable {
    var workload: MeshWorkload
    var registration: Registration
    var identity: String
    var presence: Presence
  }

  private var entries: [String: Entry] = [:]
  private var uidOfStream: [UInt64: String] = [:]
  private let limits: Limits

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// All workloads, in no particular order.
  package var workloads: [MeshWorkload] { entries.values.map(\.workload) }

  package var count: Int { entries.count }

  package func workload(uid: String) -> MeshWorkload? { entries[uid]?.workload }

  /// What the workload's proxy said about itself.
  package func registration(uid: String) -> Registration? { entries[uid]?.registration }

  /// Whether the workload's proxy has a stream now.
  package func isAttached(uid: String) -> Bool {
    if case .attached = entries[uid]?.presence { true } else { false }
  }

  /// Whether anything has been heard of the workload since the control plane started. What has ended while it was down
  /// is still an endpoint for `restartGrace`, and yet must not be counted as an instance.
  package func isHeardOf(uid: String) -> Bool {
    switch entries[uid]?.presence {
    case .attached, .leaving: true
    case .remembered, nil: false
    }
  }

  /// Takes in what was known before a restart; it stays for `restartGrace` unless its proxy comes back.
  package mutating func restore(_ known: [RegisteredWorkload], now: Duration) {
    for one in known where entries[one.workload.uid] == nil && entries.count < limits.workloads {
      entries[one.workload.uid] = Entry(
        workload: one.workload, registration: one.registration, identity: one.identity,
        presence: .remembered(deadline: now + limits.restartGrace))
    }
  }

  /// A proxy registers its workload on a stream, or says anew what it is.
  ///
  /// - Parameters:
  ///   - registered: a registration that has been checked against the certificate.
  ///   - stream: names the stream; never used twice.
  package mutating func attach(
    _ registered: RegisteredWorkload, stream: UInt64
  ) throws(RegistrationRefusal) -> [Change] {
    let uid = registered.workload.uid
    if let other = uidOfStream[stream], other != uid { throw .oneWorkloadPerStream(registered: other) }
    let before = entries[uid]
    if let before {
      guard before.identity == registered.identity else { throw .uidTaken(uid: uid) }
      if case .attached(let old) = before.presence, old != stream { uidOfStream[old] = nil }
    } else {
      guard entries.count < limits.workloads else { throw .tooManyWorkloads(limit: limits.workloads) }
    }
    entries[uid] = Entry(
      workload: registered.workload, registration: registered.registration, identity: registered.identity,
      presence: .attached(stream: stream))
    uidOfStream[stream] = uid
    if let before, before.workload == registered.workload, before.registration == registered.registration { return [] }
    return [.upsert(registered.workload, registered.registration)]
  }

  /// A proxy says how its application is.
  package mutating func report(_ health: Health, stream: UInt64) -> [Change] {
    guard let uid = uidOfStream[stream], var entry = entries[uid] else { return [] }
    let state = MeshWorkload.Health(health)
    guard entry.workload.health != state else { return [] }
    entry.workload.health = state
    entries[uid] = entry
    return [.upsert(entry.workload, entry.registration)]
  }

  /// A stream has ended. A draining workload leaves at once, since nobody expects it back; any other may reconnect.
  package mutating func detach(stream: UInt64, now: Duration) -> [Change] {
    guard let uid = uidOfStream.removeValue(forKey: stream), var entry = entries[uid] else { return [] }
    if entry.workload.health == .draining {
      entries[uid] = nil
      return [.remove(uid: uid)]
    }
    entry.presence = .leaving(deadline: now + limits.detachedGrace)
    entries[uid] = entry
    return []
  }

  /// Lets those go whose time is over.
  package mutating func sweep(now: Duration) -> [Change] {
    var gone: [String] = []
    for (uid, entry) in entries {
      if let deadline = entry.presence.deadline, deadline <= now { gone.append(uid) }
    }
    for uid in gone { entries[uid] = nil }
    return gone.sorted().map { .remove(uid: $0) }
  }
}

extension MeshWorkload.Health {
  /// The same state as proxies report it.
  package init(_ health: MeshWire.Health) {
    switch health {
    case .healthy: self = .healthy
    case .unhealthy: self = .unhealthy
    case .draining: self = .draining
    case .notListening: self = .notListening
    }
  }
}
