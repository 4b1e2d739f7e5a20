/// Remembers registered workloads across a restart of the control plane, so that endpoints are known until the
/// proxies attach again. The bytes are the caller's own; the store does not look into them.
package protocol WorkloadStore: Sendable {
  /// Everything remembered, with the time it was last saved, in no particular order.
  func load() async throws(StoreError) -> [StoredWorkload]
  /// Adds or replaces one workload and notes the present time beside it.
  func save(uid: String, bytes: [UInt8]) async throws(StoreError)
  /// Forgets one workload; forgetting what is not there is no error.
  func remove(uid: String) async throws(StoreError)
}

/// One workload as a `WorkloadStore` remembers it.
package struct StoredWorkload: Sendable, Equatable {
  package var uid: String
  package var bytes: [UInt8]
  package var lastSeen: Timestamp

  package init(uid: String, bytes: [UInt8], lastSeen: Timestamp) {
    self.uid = uid
    self.bytes = bytes
    self.lastSeen = lastSeen
  }
}

/// Takes what discovery learns about workloads; the compiler of configuration is behind it.
package protocol WorkloadSink: Sendable {
  /// A workload came, or changed (address, ports, labels, health).
  func upsert(_ workload: MeshWorkload) async
  /// A workload has gone; unknown ids are ignored.
  func remove(uid: String) async
  /// Replaces all that was known, as after a restart.
  func replaceAll(_ workloads: [MeshWorkload]) async
}

/// The proxies that are, or lately were, connected to this control plane.
package protocol ProxyDirectory: Sendable {
  func proxies() async -> [ProxyStatus]
}

/// How one proxy stands towards the configuration meant for it.
package struct ProxyStatus: Sendable, Equatable {
  package enum State: String, Sendable, Equatable, CaseIterable {
    /// Everything sent has been acknowledged.
    case synced = "SYNCED"
    /// Something sent has not been acknowledged yet.
    case stale = "STALE"
    /// The last answer to something sent was a refusal.
    case nacked = "NACKED"
    /// The stream has gone; the proxy keeps its last configuration.
    case disconnected = "DISCONNECTED"
  }

  /// A refusal that stands: which type, and the proxy's own words.
  package struct Refusal: Sendable, Equatable {
    package var typeURL: String
    package var message: String

    package init(typeURL: String, message: String) {
      self.typeURL = typeURL
      self.message = message
    }
  }

  package var id: String
  package var workload: String
  package var namespace: String
  package var service: String
  /// Version label of the workload; empty when it has none.
  package var version: String
  package var connectedSince: Timestamp?
  /// Per type URL, the version last sent and the version last acknowledged.
  package var sent: [String: String]
  package var acked: [String: String]
  package var refusal: Refusal?
  package var certificateNotAfter: Timestamp?
  package var state: State
  /// Port of the admin interface, on the loopback address of the proxy's machine; 0: not known.
  package var adminPort: Int
  /// The newest revision of the mesh's configuration of which the proxy has answered everything meant for it, and has in
  /// force what it did not refuse; 0: none on this connection.
  package var takenRevision: UInt64

  package init(
    id: String, workload: String, namespace: String, service: String, version: String, connectedSince: Timestamp?,
    sent: [String: String], acked: [String: String], refusal: Refusal?, certificateNotAfter: Timestamp?, state: State,
    adminPort: Int = 0, takenRevision: UInt64 = 0
  ) {
    self.id = id
    self.workload = workload
    self.namespace = namespace
    self.service = service
    self.version = version
    self.connectedSince = connectedSince
    self.sent = sent
    self.acked = acked
    self.refusal = refusal
    self.certificateNotAfter = certificateNotAfter
    self.state = state
    self.adminPort = adminPort
    self.takenRevision = takenRevision
  }
}

/// How far the configuration that is given out has come.
package struct ConfigProgress: Sendable, Equatable {
  /// Grows with every change of what is given out; `ProxyStatus.takenRevision` counts by it. It begins again when the
  /// control plane does.
  package var revision: UInt64
  /// Everything in the store up to this `resourceVersion` is in that revision.
  package var resourceVersion: UInt64
  /// Whether the store holds later changes that proxies are to have, and no revision yet.
  package var isBehind: Bool

  package init(revision: UInt64, resourceVersion: UInt64, isBehind: Bool = false) {
    self.revision = revision
    self.resourceVersion = resourceVersion
    self.isBehind = isBehind
  }
}

/// Says how far the configuration that is given out has come.
package protocol ConfigProgressSource: Sendable {
  func progress() async -> ConfigProgress
}

/// Issues the join tokens with which a workload's proxy asks for its first certificate.
package protocol TokenMinter: Sendable {
  /// A token for one service account, good until `expiresAt`.
  /// - Parameter lifetime: how long it is to be good; absent means the minter's default of 24 h. Minters bound it.
  func mint(namespace: String, account: String, lifetime: Duration?) async throws -> JoinToken
}

/// A join token and its end.
package struct JoinToken: Sendable, Equatable {
  package var token: String
  package var expiresAt: Timestamp

  package init(token: String, expiresAt: Timestamp) {
    self.token = token
    self.expiresAt = expiresAt
  }
}

/// The workloads that the control plane knows.
package protocol WorkloadDirectory: Sendable {
  /// Every workload with the services that choose it, in order of namespace and name.
  func knownWorkloads() async -> [KnownWorkload]
}

/// One workload and the services it belongs to.
package struct KnownWorkload: Sendable, Equatable {
  package var workload: MeshWorkload
  package var services: [ServiceName]

  package init(workload: MeshWorkload, services: [ServiceName]) {
    self.workload = workload
    self.services = services
  }
}
