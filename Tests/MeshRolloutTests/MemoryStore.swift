import MeshControl

/// A store in memory, for one test: versions, conflicts and statuses as the real one has them.
actor MemoryStore: ResourceStore {
  private var objects: [ResourceKey: Resource] = [:]
  private var version: UInt64 = 0
  /// How many commits changed something.
  private(set) var writeCount = 0

  func resource(_ key: ResourceKey) async throws(StoreError) -> Resource? { objects[key] }

  func resources(_ groupKind: GroupKind?, namespace: String?) async throws(StoreError) -> ResourceList {
    let found = objects.values.filter {
      (groupKind == nil || $0.key.groupKind == groupKind) && (namespace == nil || $0.metadata.namespace == namespace)
    }
    return ResourceList(items: found.sorted { $0.key < $1.key }, resourceVersion: version)
  }

  func commit(_ changes: [ResourceChange], isDryRun: Bool) async throws(StoreError) -> [ResourceOutcome] {
    var outcomes: [ResourceOutcome] = []
    for change in changes { outcomes.append(try commit(change)) }
    return outcomes
  }

  private func commit(_ change: ResourceChange) throws(StoreError) -> ResourceOutcome {
    let key = change.key
    let existing = objects[key]
    switch change {
    case .create(let resource):
      guard existing == nil else { throw .alreadyExists(key) }
      return put(resource, over: nil)
    case .replace(let resource):
      guard let existing else { throw .notFound(key) }
      if let wanted = resource.metadata.resourceVersion, wanted != existing.metadata.resourceVersion {
        throw .conflict(key, expected: UInt64(wanted) ?? 0, actual: version)
      }
      return put(resource, over: existing)
    case .apply(let resource): return put(resource, over: existing)
    case .delete:
      guard let gone = objects.removeValue(forKey: key) else { throw .notFound(key) }
      return ResourceOutcome(result: .deleted, resource: gone)
    }
  }

  private func put(_ resource: Resource, over existing: Resource?) -> ResourceOutcome {
    if let existing, existing.asksTheSame(as: resource) {
      return ResourceOutcome(result: .unchanged, resource: existing)
    }
    version += 1
    writeCount += 1
    var resource = resource
    let generation = existing?.metadata.generation ?? 0
    resource.metadata.generation = existing.map { $0.hasSameSpec(as: resource) } == true ? generation : generation + 1
    resource.metadata.uid = existing?.metadata.uid ?? "uid-\(version)"
    resource.metadata.resourceVersion = "\(version)"
    resource.status = existing?.status
    objects[resource.key] = resource
    return ResourceOutcome(result: existing == nil ? .created : .configured, resource: resource)
  }

  func writeStatuses(_ statuses: [StatusUpdate]) async throws(StoreError) {
    for update in statuses {
      guard objects[update.key]?.metadata.uid == update.uid, objects[update.key]?.status != update.status else {
        continue
      }
      version += 1
      objects[update.key]?.status = update.status
      objects[update.key]?.metadata.resourceVersion = "\(version)"
    }
  }

  func changes(after version: UInt64) async throws(StoreError) -> AsyncThrowingStream<[ResourceEvent], any Error> {
    AsyncThrowingStream { $0.finish() }
  }
}
