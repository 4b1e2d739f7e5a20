// Unsafe by design: clusters and endpoints are plain structs whose memory this registry owns.
internal import CMeshSystem
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS

/// The clusters and endpoints of one worker, across configurations: what is there under the same key stays, with its
/// connections, its latencies and its counts.
final class EndpointRegistry {
  private struct Held {
    var cluster: ClusterRef
    var endpoints: [String: EndpointRef] = [:]
    /// Of the specification that it was last brought up to date with.
    var revision: UInt64 = 0
  }

  private var held: [String: Held] = [:]
  private var keys: [Int32: String] = [:]
  private var removed: [EndpointRef] = []
  private var nextID: Int32 = 0
  private let loops: Int

  /// - Parameter loops: workers among which the limits of a policy are divided.
  init(loops: Int) { self.loops = loops }

  private func now() -> UInt64 { cms_monotonic_nanoseconds() }

  /// The cluster of a specification, brought up to date, with one holder more.
  func take(_ spec: ClusterSpec) -> ClusterRef {
    if let known = held[spec.key], spec.revision != 0, known.revision == spec.revision {
      known.cluster.pointee.holders &+= 1
      return known.cluster
    }
    var entry = held[spec.key] ?? Held(cluster: makeCluster(spec))
    entry.revision = spec.revision
    let cluster = entry.cluster
    cluster.pointee.holders &+= 1
    if cluster.pointee.policy.retryBudget != spec.policy.retryBudget {
      cluster.pointee.budget = RetryBudget(spec.policy.retryBudget, loops: loops, now: Int64(bitPattern: now()))
    }
    if cluster.pointee.policy.concurrency != spec.policy.concurrency {
      cluster.pointee.concurrency.set(spec.policy.concurrency ?? ConcurrencySettings())
    }
    cluster.pointee.policy = spec.policy
    cluster.pointee.isTCP = spec.isTCP
    cluster.pointee.identity = spec.identity
    cluster.pointee.isUndeclared = spec.isUndeclared
    cluster.pointee.breaker.set(spec.policy.circuit, loops: loops)
    update(&entry, spec)
    held[spec.key] = entry
    return cluster
  }

  /// One holder less; the last takes the cluster out.
  func letGo(_ cluster: ClusterRef) {
    cluster.pointee.holders &-= 1
    guard cluster.pointee.holders == 0, let key = keys[cluster.pointee.id], let entry = held.removeValue(forKey: key)
    else {
      return
    }
    for endpoint in entry.endpoints.values {
      endpoint.pointee.slot = -1
      removed.append(endpoint)
    }
    keys[cluster.pointee.id] = nil
    if cluster.pointee.liveEndpoints == 0 { free(cluster) }
  }

  private func free(_ cluster: ClusterRef) {
    cluster.pointee.label.deallocate()
    cluster.pointee.endpoints.deallocate()
    cluster.pointee.set.base.deallocate()
    cluster.pointee.levelMemory.deallocate()
    cluster.pointee.tables.release()
    cluster.deinitialize(count: 1)
    cluster.deallocate()
  }

  /// `namespace/name:port` of a cluster.
  func key(of cluster: ClusterRef) -> String? { keys[cluster.pointee.id] }

  /// Endpoints that are no longer part of any configuration, once each.
  func takeRemoved() -> [EndpointRef] {
    defer { removed = [] }
    return removed
  }

  /// Frees an endpoint that nothing uses.
  func retire(_ endpoint: EndpointRef) {
    let cluster = endpoint.pointee.cluster
    endpoint.pointee.expectation?.release()
    endpoint.pointee.backendTLS?.release()
    endpoint.pointee.ticket?.free()
    endpoint.deinitialize(count: 1)
    endpoint.deallocate()
    cluster.pointee.liveEndpoints -= 1
    // No exchange points at a cluster that no configuration holds: each holds the configuration it began with.
    if cluster.pointee.holders == 0, cluster.pointee.liveEndpoints == 0 { free(cluster) }
  }

  /// All clusters, for the sweep and for `/clusters`.
  var clusters: [ClusterRef] { held.values.map(\.cluster) }

  private func makeCluster(_ spec: ClusterSpec) -> ClusterRef {
    let label = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, spec.service.utf8.count))
    _ = label.initialize(from: spec.service.utf8)
    nextID += 1
    keys[nextID] = spec.key
    let cluster = ClusterRef.allocate(capacity: 1)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: EndpointLevels.byteCount(levels: 0), alignment: 16)
    let none = EndpointSet(base: .allocate(capacity: 1), count: 0, sequence: 0)
    cluster.initialize(
      to: ClusterState(
        id: nextID, port: spec.port,
        label: UnsafeBufferPointer(rebasing: UnsafeBufferPointer(label)[..<spec.service.utf8.count]),
        endpoints: .allocate(capacity: 1), levels: EndpointLevels(none, levels: [], busy: 0, memory: memory),
        levelMemory: memory, balance: spec.tables.balance.view, tables: .passRetained(spec.tables),
        breaker: Breaker(spec.policy.circuit, loops: loops),
        budget: RetryBudget(spec.policy.retryBudget, loops: loops, now: Int64(bitPattern: now())),
        concurrency: ConcurrencyLimiter(
          spec.policy.concurrency ?? ConcurrencySettings(), now: Int64(bitPattern: now()))))
    return cluster
  }

  /// Lays the endpoints out anew, in the order of the specification.
  private func update(_ entry: inout Held, _ spec: ClusterSpec) {
    let cluster = entry.cluster
    let count = spec.endpoints.count
    let isNew = entry.endpoints.isEmpty
    let clock = now()
    let states = UnsafeMutablePointer<EndpointState>.allocate(capacity: max(1, count))
    let references = UnsafeMutablePointer<EndpointRef>.allocate(capacity: max(1, count))
    var kept: [String: EndpointRef] = [:]
    for (index, endpoint) in spec.endpoints.enumerated() {
      var state = EndpointState(weight: endpoint.weight)
      let reference: EndpointRef
      if let known = entry.endpoints.removeValue(forKey: endpoint.key), known.pointee.address == endpoint.address,
        known.pointee.backendTLS?.takeUnretainedValue().source == endpoint.backendTLS?.source
      {
        reference = known
        if known.pointee.slot >= 0 { state = cluster.pointee.set.base[Int(known.pointee.slot)] }
      } else {
        nextID += 1
        reference = .allocate(capacity: 1)
        reference.initialize(to: PooledEndpoint(id: nextID, address: endpoint.address, cluster: cluster))
        reference.pointee.backendTLS = endpoint.backendTLS.map { .passRetained($0) }
        reference.pointee.since = isNew ? 0 : clock
        cluster.pointee.liveEndpoints += 1
      }
      reference.pointee.key = endpoint.hash
      reference.pointee.weight = endpoint.weight
      state.weight = endpoint.weight
      state.subset = endpoint.subset
      if spec.policy.outlier == nil { state.flags.remove(.ejected) }
      if spec.healthCheck?.settings != cluster.pointee.healthCheck {
        state.flags.remove(.failing)
        reference.pointee.health = HealthState()
      }
      if endpoint.isUsable { state.flags.remove(.unhealthy) } else { state.flags.insert(.unhealthy) }
      replaceExpectation(reference, endpoint.expectation)
      reference.pointee.applicationPort = endpoint.applicationPort
      if reference.pointee.declared != endpoint.wire {
        reference.pointee.declared = endpoint.wire
        reference.pointee.wire = endpoint.wire
      }
      if reference.pointee.labels != endpoint.workload {
        reference.pointee.labels = endpoint.workload
        reference.pointee.edge = 0
      }
      kept[endpoint.key] = reference
      (states + index).initialize(to: state)
      (references + index).initialize(to: reference)
    }
    for (index, endpoint) in spec.endpoints.enumerated() { kept[endpoint.key]?.pointee.slot = Int32(index) }
    for gone in entry.endpoints.values {
      gone.pointee.slot = -1
      removed.append(gone)
    }
    cluster.pointee.set.base.deallocate()
    cluster.pointee.endpoints.deallocate()
    cluster.pointee.endpoints = references
    arrange(cluster, spec, states, count, clock)
    entry.endpoints = kept
  }

  /// Puts the endpoints' states in levels.
  private func arrange(
    _ cluster: ClusterRef, _ spec: ClusterSpec, _ states: UnsafeMutablePointer<EndpointState>, _ count: Int,
    _ clock: UInt64
  ) {
    let levels = spec.tables.endpointLevels
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: EndpointLevels.byteCount(levels: levels.count), alignment: 16)
    cluster.pointee.slowStart = spec.balance.slowStart
    cluster.pointee.healthCheck = spec.healthCheck?.settings
    cluster.pointee.isWarming = spec.balance.slowStart != nil
    let all = EndpointSet(
      base: states, count: Int32(count), panicPercent: spec.policy.panicThresholdPercent,
      sequence: UInt32(truncatingIfNeeded: clock))
    cluster.pointee.levels = EndpointLevels(all, levels: levels, busy: spec.balance.busyRequests, memory: memory)
    cluster.pointee.levelMemory.deallocate()
    cluster.pointee.levelMemory = memory
    let former = cluster.pointee.tables
    cluster.pointee.tables = .passRetained(spec.tables)
    cluster.pointee.balance = spec.tables.balance.view
    former.release()
    Warming.update(cluster, now: clock)
  }

  private func replaceExpectation(_ endpoint: EndpointRef, _ expectation: TLSExpectation?) {
    if endpoint.pointee.expectation?.takeUnretainedValue().identities == expectation?.identities { return }
    endpoint.pointee.expectation?.release()
    endpoint.pointee.expectation = expectation.map { .passRetained($0) }
  }
}
