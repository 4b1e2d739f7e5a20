package import MeshControl
import MeshWire

/// The proxies that have a discovery stream, or lately had one, and how they stand. Serves `apus proxy-status`.
package actor ConnectedProxies: ProxyDirectory {
  /// How long a proxy is still listed after its stream has ended.
  package static let disconnectedTime: Duration = .seconds(300)
  /// Proxies that are listed; beyond it the longest disconnected are forgotten.
  package static let maximumProxies = 20_000

  private struct Entry {
    var description: ProxyDescription
    var stream: UInt64
    var connectedSince: Timestamp?
    var standings: [ConfigType: DeltaStanding] = [:]
    var disconnectedAt: Duration?
    /// What the workload last said of itself, for when discovery has forgotten it.
    var registration: Registration?
    /// It said that it is going: nobody misses it when its stream ends.
    var isEnding = false
  }

  private var entries: [String: Entry] = [:]
  private var certificates: [String: Timestamp] = [:]
  private var lastStream: UInt64 = 0
  private let registry: WorkloadRegistry
  private let now: @Sendable () -> Duration
  private let wallClock: @Sendable () -> Timestamp

  /// - Parameters:
  ///   - registry: knows the services and versions of the workloads.
  ///   - now: a monotonic clock.
  ///   - wallClock: the time of day.
  package init(
    registry: WorkloadRegistry, now: @escaping @Sendable () -> Duration,
    wallClock: @escaping @Sendable () -> Timestamp
  ) {
    self.registry = registry
    self.now = now
    self.wallClock = wallClock
  }

  /// A discovery stream has begun. Returns its name.
  func connect(_ description: ProxyDescription) -> UInt64 {
    forgetOld()
    lastStream &+= 1
    var entry = Entry(description: description, stream: lastStream)
    entry.connectedSince = wallClock()
    entries[description.workload] = entry
    return lastStream
  }

  /// How the proxy of a stream stands now. Streams that have been replaced are not heard.
  func note(_ standings: [ConfigType: DeltaStanding], proxy: String, stream: UInt64) {
    guard entries[proxy]?.stream == stream else { return }
    entries[proxy]?.standings = standings
  }

  /// A discovery stream has ended.
  func disconnect(proxy: String, stream: UInt64) async {
    let registration = await registry.registration(uid: proxy)
    guard entries[proxy]?.stream == stream else { return }
    if entries[proxy]?.isEnding == true { return forget(proxy) }
    entries[proxy]?.registration = registration
    entries[proxy]?.disconnectedAt = now()
    entries[proxy]?.connectedSince = nil
  }

  /// A proxy says that it is going. It is listed until its stream ends, and no longer.
  func noteEnding(proxy: String) {
    entries[proxy]?.isEnding = true
    // The two streams of a proxy end in any order.
    if entries[proxy]?.disconnectedAt != nil { forget(proxy) }
  }

  private func forget(_ proxy: String) {
    entries[proxy] = nil
    certificates[proxy] = nil
  }

  /// When the certificate of a proxy ends, seconds since 1970; 0: it has none.
  func noteCertificate(proxy: String, notAfterSeconds: UInt64) {
    guard entries[proxy] != nil else { return }
    certificates[proxy] =
      notAfterSeconds == 0 ? nil : Int64(exactly: notAfterSeconds).map { Timestamp(secondsSinceEpoch: $0) }
  }

  private func forgetOld() {
    let limit = now() - Self.disconnectedTime
    for (proxy, entry) in entries {
      if let since = entry.disconnectedAt, since < limit || entries.count >= Self.maximumProxies {
        forget(proxy)
      }
    }
  }

  package func proxies() async -> [ProxyStatus] {
    forgetOld()
    var result: [ProxyStatus] = []
    for (uid, entry) in entries.sorted(by: { $0.key < $1.key }) {
      let registration = await registry.registration(uid: uid) ?? entry.registration
      var sent: [String: String] = [:]
      var acked: [String: String] = [:]
      var refusal: ProxyStatus.Refusal?
      for type in DeltaSession.order {
        guard let standing = entry.standings[type] else { continue }
        sent[type.typeURL] = standing.sentVersion
        acked[type.typeURL] = standing.ackedVersion
        if let message = standing.refusal, refusal == nil {
          refusal = .init(typeURL: type.typeURL, message: message)
        }
      }
      result.append(
        ProxyStatus(
          id: uid, workload: registration.map { $0.name.isEmpty ? $0.service : $0.name } ?? uid,
          namespace: entry.description.namespace, service: registration?.service ?? entry.description.account,
          version: registration?.version ?? "", connectedSince: entry.connectedSince, sent: sent, acked: acked,
          refusal: refusal, certificateNotAfter: certificates[uid], state: Self.state(entry, refusal: refusal),
          adminPort: Int(registration?.adminPort ?? 0),
          takenRevision: entry.standings.values.map(\.takenRevision).min() ?? 0))
    }
    return result
  }

  private static func state(_ entry: Entry, refusal: ProxyStatus.Refusal?) -> ProxyStatus.State {
    if entry.disconnectedAt != nil { return .disconnected }
    if refusal != nil { return .nacked }
    return entry.standings.values.allSatisfy(\.isSettled) && !entry.standings.isEmpty ? .synced : .stale
  }
}
