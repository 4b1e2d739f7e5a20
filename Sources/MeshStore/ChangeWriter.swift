import Foundation
import GRDB
import MeshControl

/// Makes the changes of one transaction, numbering them.
struct ChangeWriter {
  let db: Database
  let path: String
  let now: Timestamp
  /// The last number given out.
  var newest: UInt64
  /// What has been changed, for watchers.
  private(set) var events: [ResourceEvent] = []

  init(db: Database, path: String, now: Timestamp, newest: UInt64) {
    self.db = db
    self.path = path
    self.now = now
    self.newest = newest
  }

  mutating func write(_ change: ResourceChange) throws -> ResourceOutcome {
    let existing = try ObjectTable.fetch(change.key, db, path: path)
    switch (change, existing) {
    case (.create, .some): throw StoreError.alreadyExists(change.key)
    case (.replace, .none), (.delete, .none): throw StoreError.notFound(change.key)
    case (.create(let resource), .none), (.apply(let resource), .none):
      return try create(resource)
    case (.replace(let resource), .some(let existing)), (.apply(let resource), .some(let existing)):
      try checkVersion(resource.metadata.resourceVersion.flatMap { UInt64($0) }, of: existing)
      return try replace(existing, by: resource)
    case (.delete(_, let version), .some(let existing)):
      try checkVersion(version, of: existing)
      return try delete(existing)
    }
  }

  mutating func writeStatus(_ update: StatusUpdate) throws {
    guard var resource = try ObjectTable.fetch(update.key, db, path: path), resource.metadata.uid == update.uid,
      resource.status != update.status
    else { return }
    resource.status = update.status
    try store(&resource, change: .modified)
  }

  private func checkVersion(_ expected: UInt64?, of existing: Resource) throws {
    let actual = existing.metadata.resourceVersion.flatMap { UInt64($0) } ?? 0
    guard let expected, expected != actual else { return }
    throw StoreError.conflict(existing.key, expected: expected, actual: actual)
  }

  private mutating func create(_ resource: Resource) throws -> ResourceOutcome {
    var resource = resource
    resource.metadata.uid = UUID().uuidString.lowercased()
    resource.metadata.generation = 1
    resource.metadata.creationTimestamp = now
    resource.status = nil
    try store(&resource, change: .added)
    return ResourceOutcome(result: .created, resource: resource)
  }

  private mutating func replace(_ existing: Resource, by resource: Resource) throws -> ResourceOutcome {
    if existing.asksTheSame(as: resource) { return ResourceOutcome(result: .unchanged, resource: existing) }
    var resource = resource
    let generation = existing.metadata.generation ?? 1
    resource.metadata.uid = existing.metadata.uid
    resource.metadata.generation = existing.hasSameSpec(as: resource) ? generation : generation + 1
    resource.metadata.creationTimestamp = existing.metadata.creationTimestamp
    resource.status = existing.status
    try store(&resource, change: .modified)
    return ResourceOutcome(result: .configured, resource: resource)
  }

  private mutating func delete(_ existing: Resource) throws -> ResourceOutcome {
    newest += 1
    var last = existing
    last.metadata.resourceVersion = String(newest)
    try ObjectTable.delete(existing.key, db)
    try append(ResourceEvent(change: .deleted, resource: last, resourceVersion: newest))
    return ResourceOutcome(result: .deleted, resource: last)
  }

  private mutating func store(_ resource: inout Resource, change: ResourceEvent.Change) throws {
    newest += 1
    resource.metadata.resourceVersion = String(newest)
    try ObjectTable.put(resource, version: newest, db)
    try append(ResourceEvent(change: change, resource: resource, resourceVersion: newest))
  }

  private mutating func append(_ event: ResourceEvent) throws {
    try EventTable.append(event, db)
    events.append(event)
  }
}
