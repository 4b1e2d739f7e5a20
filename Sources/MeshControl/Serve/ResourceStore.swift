/// Keeps the resources: every change is all or nothing, durable before it is answered, and numbered.
///
/// Each change of an object takes the next number of one sequence, the `resourceVersion`. A bounded number of past
/// changes is kept, so that a watcher that knows a number hears everything since.
package protocol ResourceStore: Sendable {
  /// One object; nil where there is none of that name.
  func resource(_ key: ResourceKey) async throws(StoreError) -> Resource?
  /// All objects of a kind (nil: of every kind) in a namespace (nil: in every one), in order of their names.
  func resources(_ groupKind: GroupKind?, namespace: String?) async throws(StoreError) -> ResourceList
  /// Makes all the changes or none of them. A change that would change nothing makes no new version.
  /// - Parameter isDryRun: answer as if, and keep nothing.
  /// - Returns: an outcome for each change, in their order.
  func commit(_ changes: [ResourceChange], isDryRun: Bool) async throws(StoreError) -> [ResourceOutcome]
  /// Writes statuses. Objects that have gone or were replaced since (another uid) and statuses that are already so are
  /// passed over. The generation stays.
  func writeStatuses(_ statuses: [StatusUpdate]) async throws(StoreError)
  /// Changes after `version`, in order, without end; those of one commit come together. Ends with `StoreError.gone` when
  /// the history does not reach back so far, or when the watcher is too slow for the changes.
  func changes(after version: UInt64) async throws(StoreError) -> AsyncThrowingStream<[ResourceEvent], any Error>
}

/// Objects, and the version at which the list was true: the point to watch from.
package struct ResourceList: Sendable {
  package var items: [Resource]
  package var resourceVersion: UInt64

  package init(items: [Resource], resourceVersion: UInt64) {
    self.items = items
    self.resourceVersion = resourceVersion
  }
}

/// One change that is asked of the store.
package enum ResourceChange: Sendable {
  /// The object must not be there.
  case create(Resource)
  /// The object must be there, at the `resourceVersion` that the new one gives, if it gives one.
  case replace(Resource)
  /// Creates or replaces.
  case apply(Resource)
  /// The object must be there, at this version if one is given.
  case delete(ResourceKey, ifVersion: UInt64?)

  /// The object that the change is about.
  package var key: ResourceKey {
    switch self {
    case .create(let resource), .replace(let resource), .apply(let resource): resource.key
    case .delete(let key, _): key
    }
  }
}

/// What became of a change.
package struct ResourceOutcome: Sendable {
  package enum Result: String, Sendable, Equatable {
    case created, configured, unchanged, deleted
  }

  package var result: Result
  /// The object as it is stored now, or as it was last.
  package var resource: Resource

  package init(result: Result, resource: Resource) {
    self.result = result
    self.resource = resource
  }
}

/// A status for one object.
package struct StatusUpdate: Sendable {
  package var key: ResourceKey
  package var uid: String
  package var status: Value?

  package init(key: ResourceKey, uid: String, status: Value?) {
    self.key = key
    self.uid = uid
    self.status = status
  }
}

/// A change that has been made.
package struct ResourceEvent: Sendable {
  package enum Change: String, Sendable, Equatable {
    case added = "ADDED"
    case modified = "MODIFIED"
    case deleted = "DELETED"
  }

  package var change: Change
  /// The object after the change; for a deletion as it was, with the deletion's version.
  package var resource: Resource
  package var resourceVersion: UInt64

  package init(change: Change, resource: Resource, resourceVersion: UInt64) {
    self.change = change
    self.resource = resource
    self.resourceVersion = resourceVersion
  }
}
