import MeshWire

/// Keeps the configuration of every proxy in step with the resources and the workloads.
///
/// Changes come in (from the store's watch, from discovery), what they touch is compiled again, and whoever waits on
/// `revisions()` is told. Everything compiled lies in dictionaries that views share: a view costs no copying.
package actor ConfigEngine: ConfigSource, ConfigProgressSource, WorkloadSink, WorkloadDirectory, NameSink {
  private let store: any ResourceStore
  private let now: @Sendable () -> Timestamp
  private var index: MeshIndex
  private var compiled = CompiledMesh()
  private var revision: UInt64 = 0
  /// The version of the store that the index is at.
  private var resourceVersion: UInt64 = 0
  private var listeners: [Int: AsyncStream<UInt64>.Continuation] = [:]
  private var nextListener = 0
  private var trust: (domain: String, bundle: ConfigResource?)
  /// Objects whose status is to be written.
  private var pendingStatuses: Set<ResourceKey> = []
  private var isWritingStatuses = false
  /// What comes from the store while it is followed.
  private var queue: ChangeQueue?

  /// - Parameters:
  ///   - trustDomain: of this mesh; it stands in every proxy's configuration.
  ///   - now: the clock for transition times in statuses.
  ///   - requiresGrants: whether routes need a ReferenceGrant for backends in other namespaces.
  package init(
    store: any ResourceStore, trustDomain: String, requiresGrants: Bool = false,
    now: @escaping @Sendable () -> Timestamp
  ) {
    index = MeshIndex(requiresGrants: requiresGrants)
    self.store = store
    self.now = now
    trust = (trustDomain, nil)
  }

  // MARK: Configuration out

  package func view(for proxy: ProxyDescription) async -> ConfigView {
    var resources: [ConfigType: [String: ConfigResource]] = [
      .serviceConfig: compiled.services(for: proxy.namespace),
      .workload: compiled.workloads,
      .proxyConfig: ["self": index.compile(proxy: proxy, trustDomain: trust.domain)],
    ]
    if let bundle = trust.bundle { resources[.trustBundle] = [trust.domain: bundle] }
    return ConfigView(revision: revision, resources: resources)
  }

  package func revisions() async -> AsyncStream<UInt64> {
    let (stream, continuation) = AsyncStream<UInt64>.makeStream(bufferingPolicy: .bufferingNewest(1))
    nextListener += 1
    let id = nextListener
    listeners[id] = continuation
    continuation.onTermination = { [weak self] _ in
      Task { [weak self] in await self?.forget(listener: id) }
    }
    continuation.yield(revision)
    return stream
  }

  private func forget(listener id: Int) {
    listeners[id] = nil
  }

  /// The mesh as it is.
  var picture: MeshPicture { MeshPicture(index: index, compiled: compiled, trustDomain: trust.domain) }

  /// The version of the store that the configuration given out is at.
  package func storeVersion() -> UInt64 { resourceVersion }

  package func progress() -> ConfigProgress {
    let isBehind = queue?.contains { !($0.change == .modified && isStatusOnly($0.resource)) } ?? false
    return ConfigProgress(revision: revision, resourceVersion: resourceVersion, isBehind: isBehind)
  }

  package func knownWorkloads() async -> [KnownWorkload] {
    index.workloads.values.sorted { ($0.namespace, $0.name, $0.uid) < ($1.namespace, $1.name, $1.uid) }.map {
      workload in
      let chosenBy = index.services(choosing: workload)
      return KnownWorkload(
        workload: workload,
        services: chosenBy.map { ServiceName(namespace: $0.metadata.namespace, name: $0.metadata.name) })
    }
  }

  // MARK: Changes in

  /// The roots that proxies are to trust, PEM, one certificate each.
  package func setTrust(roots: [String]) {
    var bundle = TrustBundle()
    bundle.trustDomain = trust.domain
    bundle.roots = roots
    let resource = ConfigResource(name: trust.domain, bytes: bundle.protobuf())
    guard resource != trust.bundle else { return }
    trust.bundle = resource
    publish()
  }

  package func upsert(_ workload: MeshWorkload) async {
    guard index.workloads[workload.uid] != workload else { return }
    recompile(index.put(workload))
  }

  package func remove(uid: String) async {
    guard index.workloads[uid] != nil else { return }
    recompile(index.remove(workload: uid))
  }

  package func replaceAll(_ workloads: [MeshWorkload]) async {
    var affected = Affected()
    let staying = Set(workloads.map(\.uid))
    for uid in index.workloads.keys where !staying.contains(uid) {
      affected.formUnion(index.remove(workload: uid))
    }
    for workload in workloads where index.workloads[workload.uid] != workload {
      affected.formUnion(index.put(workload))
    }
    guard affected != Affected() else { return }
    recompile(affected)
  }

  package func wantedNames() async -> Set<String> { index.wantedNames }

  package func take(names: [String: KnownName], hasIPv6: Bool) async {
    let affected = index.put(names: names, hasIPv6: hasIPv6)
    guard affected != Affected() else { return }
    recompile(affected)
    await writeStatuses()
  }

  /// Reads all resources from the store. To be called once before `run()`; a view before that is empty.
  package func start() async throws(StoreError) {
    try await relist()
  }

  /// Follows the store until the task is cancelled. A watch that breaks off is begun again from a new list; while the
  /// store fails, the last configuration stays in force.
  package func run() async {
    var pause = Duration.milliseconds(50)
    while !Task.isCancelled {
      do {
        await writeStatuses()
        try await follow()
        // The stream ends without an error when the store is closed.
        return
      } catch {
        do {
          try await relist()
          pause = .milliseconds(50)
        } catch {
          // The store fails: wait, then try again.
          try? await Task.sleep(for: pause)
          pause = min(pause * 2, .seconds(5))
        }
      }
    }
  }

  /// Takes changes as they come, and those together that came while earlier ones were compiled and their statuses written.
  private func follow() async throws {
    let changes = try await store.changes(after: resourceVersion)
    let queue = ChangeQueue()
    self.queue = queue
    defer { self.queue = nil }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { queue.finish() }
        for try await events in changes { try await queue.add(events) }
      }
      for await _ in queue.arrivals {
        take(queue.take())
        await writeStatuses()
      }
      take(queue.take())
      try await group.waitForAll()
    }
  }

  private func relist() async throws(StoreError) {
    let list = try await store.resources(nil, namespace: nil)
    var affected = Affected()
    let staying = Set(list.items.map(\.key))
    for key in index.allKeys where !staying.contains(key) { affected.formUnion(index.remove(key)) }
    for resource in list.items { affected.formUnion(index.put(resource)) }
    resourceVersion = list.resourceVersion
    recompile(affected)
  }

  /// Takes the changes of whole commits together, so that proxies never see half of one.
  private func take(_ events: [ResourceEvent]) {
    guard !events.isEmpty else { return }
    var affected = Affected()
    for event in events {
      resourceVersion = max(resourceVersion, event.resourceVersion)
      switch event.change {
      case .added, .modified:
        if isStatusOnly(event.resource) {
          // Nothing to compile; the index keeps the new status, so that transition times last.
          _ = index.put(event.resource)
        } else {
          affected.formUnion(index.put(event.resource))
        }
      case .deleted: affected.formUnion(index.remove(event.resource.key))
      }
    }
    // These change what proxies know of themselves only.
    let isAboutProxies = events.contains { event in
      event.resource.spec is PeerAuthenticationSpec || event.resource.spec is TelemetrySpec
    }
    guard affected != Affected() || isAboutProxies else { return }
    recompile(affected)
  }

  private func isStatusOnly(_ resource: Resource) -> Bool {
    guard let known = index.metadata(of: resource.key) else { return false }
    return known.uid == resource.metadata.uid && known.generation == resource.metadata.generation
      && known.labels == resource.metadata.labels && known.annotations == resource.metadata.annotations
  }

  private func recompile(_ affected: Affected) {
    compiled.update(affected, from: index)
    pendingStatuses.formUnion(affected.routes)
    pendingStatuses.formUnion(affected.policies)
    pendingStatuses.formUnion(affected.externals.map(\.key))
    publish()
  }

  private func publish() {
    revision &+= 1
    for continuation in listeners.values { continuation.yield(revision) }
  }

  /// Writes what compiling has found into the objects' statuses, one set after the other, so that an older status is
  /// never written over a newer one. The store passes over what is already so.
  private func writeStatuses() async {
    // Whoever writes looks again when that is done.
    guard !isWritingStatuses else { return }
    isWritingStatuses = true
    defer { isWritingStatuses = false }
    while !pendingStatuses.isEmpty {
      let keys = pendingStatuses
      pendingStatuses = []
      let time = now()
      let decisions = RouteDecisions(index)
      let updates = keys.sorted().compactMap { key -> StatusUpdate? in
        guard let uid = index.metadata(of: key)?.uid, let status = index.status(of: key, now: time, decisions),
          status != index.knownStatus(of: key)
        else { return nil }
        return StatusUpdate(key: key, uid: uid, status: status)
      }
      guard !updates.isEmpty else { continue }
      do {
        try await store.writeStatuses(updates)
      } catch {
        // A full disk must not stop the traffic's configuration: the statuses stay pending until the next change.
        return pendingStatuses.formUnion(keys)
      }
    }
  }
}

extension MeshIndex {
  var allKeys: [ResourceKey] {
    var keys = services.values.map(\.key)
    keys += routes.keys
    keys += slices.keys
    keys += policies.keys
    keys += authentications.keys
    keys += directResponses.keys
    keys += grants.keys
    keys += backendPolicies.keys
    keys += configMaps.keys
    keys += telemetries.keys
    return keys
  }

  func metadata(of key: ResourceKey) -> Metadata? {
    if let telemetry = telemetries[key] { return telemetry.metadata }
    return services[ServiceName(namespace: key.namespace, name: key.name)].flatMap { $0.key == key ? $0.metadata : nil }
      ?? routes[key]?.metadata ?? slices[key]?.metadata ?? policies[key]?.metadata
      ?? authentications[key]?.metadata ?? directResponses[key]?.metadata ?? grants[key]?.metadata
      ?? backendPolicies[key]?.metadata ?? configMaps[key]?.metadata
  }

  /// The status that the object has, as far as the store has told.
  func knownStatus(of key: ResourceKey) -> Value? {
    routes[key]?.status ?? policies[key]?.status ?? backendPolicies[key]?.status
      ?? (key.groupKind == ServiceSpec.kind.groupKind ? service(key)?.status : nil)
  }

  /// The status that the object should have; nil for kinds without one.
  package func status(of key: ResourceKey, now: Timestamp) -> Value? { status(of: key, now: now, RouteDecisions(self)) }

  /// The same for one of several objects.
  func status(of key: ResourceKey, now: Timestamp, _ decisions: RouteDecisions) -> Value? {
    if let route = routes[key] { return status(of: route, now: now, decisions) }
    if let policy = policies[key] { return status(of: policy, now: now) }
    if let policy = backendPolicies[key] { return status(of: policy, now: now) }
    if key.groupKind == ServiceSpec.kind.groupKind { return status(of: service(key), now: now) }
    return nil
  }
}
