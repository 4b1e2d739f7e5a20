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
    /// Of the specification that it was last brought up to date with.
    var revision: UInt64
  }

  private var held: [String: Held] = [:]
  private var keys: [Int32: String] = [:]
  private var removed: [EndpointRef] = []
  private var nextID: Int32 = 0
  private let loops: Int

  /// - Parameter loops: workers among which the limits of a policy are divided.
  init(loops: Int) { self.loops = loops }

  private func now() -> UInt64 { cms_monotonic_nanoseconds() }

  /// The cluster of a configuration's specification, brought up to date, with one holder more.
  func take(_ configuration: CompiledConfiguration, _ number: Int) -> ClusterRef {
    let spec = configuration.clusters[number]
    if let known = held[spec.key], spec.revision != 0, known.revision == spec.revision {
      known.cluster.pointee.holders &+= 1
      if known.cluster.pointee.dormant != nil { sleep(known.cluster, configuration, number) }
      return known.cluster
    }
    let cluster = held[spec.key]?.cluster ?? makeCluster(spec)
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
    let isNew = held[spec.key] == nil
    held[spec.key] = Held(cluster: cluster, revision: spec.revision)
    if !spec.members.isEager, isNew || cluster.pointee.dormant != nil {
      sleep(cluster, configuration, number)
    } else {
      forget(cluster)
      update(cluster, spec)
    }
    return cluster
  }

  /// Leaves the endpoints of a cluster where they are until somebody asks for it.
  private func sleep(_ cluster: ClusterRef, _ configuration: CompiledConfiguration, _ number: Int) {
    forget(cluster)
    cluster.pointee.dormant = .passRetained(configuration)
    cluster.pointee.number = Int32(clamping: number)
  }

  private func forget(_ cluster: ClusterRef) {
    cluster.pointee.dormant?.release()
    cluster.pointee.dormant = nil
  }

  /// Lays out the endpoints of a cluster that nobody had asked for until now.
  @inline(never)
  static func wake(_ cluster: ClusterRef) {
    guard let configuration = cluster.pointee.dormant?.takeUnretainedValue() else { return }
    let registry = cluster.pointee.registry.takeUnretainedValue()
    let spec = configuration.clusters[Int(cluster.pointee.number)]
    registry.update(cluster, spec)
    registry.forget(cluster)
  }

  /// One holder less; the last takes the cluster out.
  func letGo(_ cluster: ClusterRef) {
    cluster.pointee.holders &-= 1
    guard cluster.pointee.holders == 0, let key = keys[cluster.pointee.id], held.removeValue(forKey: key) != nil
    else { return }
    for index in 0..<Int(cluster.pointee.set.count) { remove(cluster.pointee.endpoints[index]) }
    keys[cluster.pointee.id] = nil
    if cluster.pointee.liveEndpoints == 0 { free(cluster) }
  }

  private func remove(_ endpoint: EndpointRef) {
    endpoint.pointee.slot = -1
    removed.append(endpoint)
  }

  private func free(_ cluster: ClusterRef) {
    forget(cluster)
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
        levelMemory: memory, balance: ClusterTables.none.balance.view, tables: .passRetained(.none),
        breaker: Breaker(spec.policy.circuit, loops: loops),
        budget: RetryBudget(spec.policy.retryBudget, loops: loops, now: Int64(bitPattern: now())),
        concurrency: ConcurrencyLimiter(
          spec.policy.concurrency ?? ConcurrencySettings(), now: Int64(bitPattern: now())),
        registry: .passUnretained(self)))
    return cluster
  }

  /// Lays the endpoints out anew, in the order of the specification.
  private func update(_ cluster: ClusterRef, _ spec: ClusterSpec) {
    let count = spec.endpoints.count
    var former: [UInt64: EndpointRef] = [:]
    for index in 0..<Int(cluster.pointee.set.count) {
      let endpoint = cluster.pointee.endpoints[index]
      if let twin = former.updateValue(endpoint, forKey: endpoint.pointee.key) { remove(twin) }
    }
    let isNew = former.isEmpty
    let clock = now()
    let states = UnsafeMutablePointer<EndpointState>.allocate(capacity: max(1, count))
    let references = UnsafeMutablePointer<EndpointRef>.allocate(capacity: max(1, count))
    for (index, endpoint) in spec.endpoints.enumerated() {
      var state = EndpointState(weight: endpoint.weight)
      let reference: EndpointRef
      if let known = former[endpoint.hash], known.pointee.address == endpoint.address,
        known.pointee.backendTLS?.takeUnretainedValue().source == endpoint.backendTLS?.source
      {
        reference = known
        former[endpoint.hash] = nil
        if known.pointee.slot >= 0 { state = cluster.pointee.set.base[Int(known.pointee.slot)] }
      } else {
        nextID += 1
        reference = .allocate(capacity: 1)
        reference.initialize(to: PooledEndpoint(id: nextID, address: endpoint.address, cluster: cluster))
        reference.pointee.backendTLS = endpoint.backendTLS.map { .passRetained($0) }
        reference.pointee.since = isNew ? 0 : clock
        cluster.pointee.liveEndpoints += 1
      }
      state.weight = endpoint.weight
      state.subset = endpoint.subset
      if spec.policy.outlier == nil { state.flags.remove(.ejected) }
      if spec.healthCheck?.settings != cluster.pointee.healthCheck {
        state.flags.remove(.failing)
        reference.pointee.health = HealthState()
      }
      if endpoint.isUsable { state.flags.remove(.unhealthy) } else { state.flags.insert(.unhealthy) }
      describe(reference, endpoint)
      (states + index).initialize(to: state)
      (references + index).initialize(to: reference)
    }
    for gone in former.values { remove(gone) }
    for index in 0..<count { references[index].pointee.slot = Int32(index) }
    cluster.pointee.set.base.deallocate()
    cluster.pointee.endpoints.deallocate()
    cluster.pointee.endpoints = references
    arrange(cluster, spec, states, count, clock)
  }

  /// Notes what the specification says of an endpoint.
  private func describe(_ reference: EndpointRef, _ endpoint: EndpointSpec) {
    reference.pointee.key = endpoint.hash
    reference.pointee.weight = endpoint.weight
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
