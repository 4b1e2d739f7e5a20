import Foundation
import GRDB
package import MeshControl

/// The store of one machine: an SQLite file in write-ahead mode with one connection, held exclusively.
///
/// A commit is on the disk (`synchronous=FULL`) before it is answered. The log is folded into the file after every
/// change of a resource, so that the file alone has everything that matters. Each row carries a checksum, so that damage
/// which leaves the file's structure whole is found too.
package final class SQLiteStore: ResourceStore, WorkloadStore {
  let queue: DatabaseQueue
  let watchers = Watchers()
  let limits: StoreLimits
  private let path: String
  private let now: @Sendable () -> Timestamp

  private init(queue: DatabaseQueue, path: String, limits: StoreLimits, now: @escaping @Sendable () -> Timestamp) {
    self.queue = queue
    self.path = path
    self.limits = limits
    self.now = now
  }

  /// Opens the file, or makes it where there is none, and checks all that is in it.
  ///
  /// A file that is there and damaged, empty or of another program is refused and left as it is: it is never replaced.
  /// - Parameters:
  ///   - now: the clock for creation times and for when a workload was last seen.
  package static func open(
    path: String, limits: StoreLimits = StoreLimits(), now: @escaping @Sendable () -> Timestamp
  ) async throws(StoreError) -> SQLiteStore {
    do {
      try StoreFile.prepare(path: path)
      let queue = try StoreFile.connect(path: path, limits: limits)
      try await queue.writeWithoutTransaction { db in try StoreFile.verify(db, path: path) }
      return SQLiteStore(queue: queue, path: path, limits: limits, now: now)
    } catch {
      throw StoreFile.storeError(error, path: path)
    }
  }

  /// Closes the file; every later call fails. Watchers end.
  package func close() throws(StoreError) {
    watchers.finishAll()
    do { try queue.close() } catch { throw StoreFile.storeError(error, path: path) }
  }

  package func resource(_ key: ResourceKey) async throws(StoreError) -> Resource? {
    try await perform { [path] db in try ObjectTable.fetch(key, db, path: path) }
  }

  package func resources(_ groupKind: GroupKind?, namespace: String?) async throws(StoreError) -> ResourceList {
    try await perform { [path] db in
      ResourceList(
        items: try ObjectTable.fetchAll(groupKind, namespace: namespace, db, path: path),
        resourceVersion: try EventTable.newestVersion(db))
    }
  }

  package func commit(
    _ changes: [ResourceChange], isDryRun: Bool
  ) async throws(StoreError) -> [ResourceOutcome] {
    let time = now()
    return try await perform { [path, limits, watchers] db in
      var writer = ChangeWriter(db: db, path: path, now: time, newest: try EventTable.newestVersion(db))
      var outcomes: [ResourceOutcome] = []
      try db.inTransaction {
        for change in changes { outcomes.append(try writer.write(change)) }
        if !isDryRun { try EventTable.trim(db, keep: limits.historyCount) }
        return isDryRun ? .rollback : .commit
      }
      if !isDryRun { Self.finish(writer.events, db: db, watchers: watchers) }
      return outcomes
    }
  }

  package func writeStatuses(_ statuses: [StatusUpdate]) async throws(StoreError) {
    let time = now()
    try await perform { [path, limits, watchers] db in
      var writer = ChangeWriter(db: db, path: path, now: time, newest: try EventTable.newestVersion(db))
      try db.inTransaction {
        for update in statuses { try writer.writeStatus(update) }
        try EventTable.trim(db, keep: limits.historyCount)
        return .commit
      }
      Self.finish(writer.events, db: db, watchers: watchers)
    }
  }

  package func changes(
    after version: UInt64
  ) async throws(StoreError) -> AsyncThrowingStream<[ResourceEvent], any Error> {
    try await perform { [path, limits, watchers] db in
      let newest = try EventTable.newestVersion(db)
      let oldest = try EventTable.oldestVersion(db)
      guard version <= newest, oldest == 0 || version >= oldest - 1 else {
        throw StoreError.gone(requested: version, oldest: oldest)
      }
      let backlog = try EventTable.events(after: version, db, path: path)
      // Nothing can be committed between reading the backlog and this: both are on the connection's own queue.
      return watchers.add(backlog: backlog, bufferCount: limits.watchBufferCount)
    }
  }

  /// What follows a commit, on the connection's queue, so that watchers hear changes in their order.
  private static func finish(_ events: [ResourceEvent], db: Database, watchers: Watchers) {
    guard !events.isEmpty else { return }
    watchers.publish(events)
    // The commit is durable already. Where folding the log in fails (a full disk), the next commit tries again.
    _ = try? db.checkpoint(.truncate)
  }

  /// Runs `body` on the connection and turns every failure into a `StoreError`.
  func perform<Result: Sendable>(
    _ body: @escaping @Sendable (Database) throws -> Result
  ) async throws(StoreError) -> Result {
    do {
      return try await queue.writeWithoutTransaction(body)
    } catch {
      throw StoreFile.storeError(error, path: path)
    }
  }
}

// Workloads lie beside the resources, so that endpoints are known again after a restart.
extension SQLiteStore {
  package func load() async throws(StoreError) -> [StoredWorkload] {
    try await perform { db in
      try Row.fetchAll(db, sql: "SELECT uid, body, last_seen, checksum FROM workload ORDER BY uid").compactMap { row in
        let bytes = [UInt8](row["body"] as Data)
        // A damaged entry is passed over: its proxy registers again.
        guard row["checksum"] as Int64 == Checksum.of([row["uid"]], bytes) else { return nil }
        return StoredWorkload(
          uid: row["uid"], bytes: bytes, lastSeen: Timestamp(secondsSinceEpoch: row["last_seen"]))
      }
    }
  }

  package func save(uid: String, bytes: [UInt8]) async throws(StoreError) {
    let time = now()
    try await perform { db in
      try db.execute(
        sql: """
          INSERT INTO workload (uid, body, last_seen, checksum) VALUES (?, ?, ?, ?)
          ON CONFLICT (uid) DO UPDATE SET body = excluded.body, last_seen = excluded.last_seen,
            checksum = excluded.checksum
          """,
        arguments: [uid, Data(bytes), time.secondsSinceEpoch, Checksum.of([uid], bytes)])
      try Self.foldLogIfLong(db)
    }
  }

  package func remove(uid: String) async throws(StoreError) {
    try await perform { db in
      try db.execute(sql: "DELETE FROM workload WHERE uid = ?", arguments: [uid])
      try Self.foldLogIfLong(db)
    }
  }

  /// Workloads come and go more often than configuration: the log is folded in when it has grown to 1000 pages.
  private static func foldLogIfLong(_ db: Database) throws {
    let frames = try? db.checkpoint(.passive).walFrameCount
    if frames ?? 0 > 1000 { _ = try? db.checkpoint(.truncate) }
  }
}

/// Bounds of the store.
package struct StoreLimits: Sendable {
  /// How many past changes are kept for watchers; default 10,000.
  package var historyCount: Int
  /// How many commits may wait for one watcher before it is ended; default 1000.
  package var watchBufferCount: Int
  /// Pages of 4 KiB that the file may have; absent: as many as the disk holds.
  package var maxPageCount: Int?

  package init(historyCount: Int = 10_000, watchBufferCount: Int = 1000, maxPageCount: Int? = nil) {
    self.historyCount = historyCount
    self.watchBufferCount = watchBufferCount
    self.maxPageCount = maxPageCount
  }
}
