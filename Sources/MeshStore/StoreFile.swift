import Foundation
import GRDB
import MeshControl

/// The file itself: making, opening, checking it, and telling what is wrong with it.
enum StoreFile {
  /// Marks the file as ours (`PRAGMA application_id`): the letters APUS.
  static let applicationID = 0x4150_5553
  /// Version of the tables.
  static let schemaVersion = 1

  /// Makes the file where there is none. It is built beside its place and moved there whole, so that a file in its place
  /// always has its tables: an empty one is a damaged one.
  static func prepare(path: String) throws {
    let files = FileManager.default
    if let size = (try? files.attributesOfItem(atPath: path))?[.size] as? Int {
      guard size > 0 else {
        throw StoreError.corrupt(
          "\(path) is there and empty: it was cut off. Restore it from a copy, or move it away to begin with nothing")
      }
      return
    }
    let logSize = (try? files.attributesOfItem(atPath: path + "-wal"))?[.size] as? Int ?? 0
    guard logSize == 0 else {
      throw StoreError.corrupt(
        "\(path) is gone, but its log \(path)-wal is there. Restore the file beside its log, or move the log away to "
          + "begin with nothing")
    }
    let draft = path + ".new"
    for suffix in ["", "-wal", "-shm", "-journal"] where files.fileExists(atPath: draft + suffix) {
      try files.removeItem(atPath: draft + suffix)
    }
    // Only the owner may read it.
    guard files.createFile(atPath: draft, contents: nil, attributes: [.posixPermissions: 0o600]) else {
      throw StoreError.unavailable(
        "\(draft) cannot be made: see that the folder is there, writable, and has room left")
    }
    var configuration = Configuration()
    configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA synchronous = FULL") }
    let queue = try DatabaseQueue(path: draft, configuration: configuration)
    try queue.write { db in try createTables(db) }
    try queue.close()
    try files.moveItem(atPath: draft, toPath: path)
  }

  private static func createTables(_ db: Database) throws {
    try db.execute(
      sql: """
        PRAGMA application_id = \(applicationID);
        PRAGMA user_version = \(schemaVersion);
        CREATE TABLE object (
          api_group TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
          version INTEGER NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL,
          PRIMARY KEY (api_group, kind, namespace, name)
        );
        CREATE TABLE event (
          version INTEGER PRIMARY KEY, change TEXT NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL
        );
        CREATE TABLE workload (
          uid TEXT PRIMARY KEY, body BLOB NOT NULL, last_seen INTEGER NOT NULL, checksum INTEGER NOT NULL
        );
        """)
  }

  static func connect(path: String, limits: StoreLimits) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.busyMode = .timeout(0.5)
    configuration.prepareDatabase { db in
      try db.execute(
        sql: """
          PRAGMA locking_mode = EXCLUSIVE;
          PRAGMA journal_mode = WAL;
          PRAGMA synchronous = FULL;
          PRAGMA wal_autocheckpoint = 0;
          PRAGMA cell_size_check = ON;
          """)
      if let count = limits.maxPageCount { try db.execute(sql: "PRAGMA max_page_count = \(count)") }
    }
    return try DatabaseQueue(path: path, configuration: configuration)
  }

  /// Reads everything once: the structure, and every row against its checksum.
  static func verify(_ db: Database, path: String) throws {
    let application = try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0
    guard application == applicationID else {
      throw StoreError.corrupt(
        "\(path) is not a store of Apus. Give another data folder, or move the file away")
    }
    let schema = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
    guard schema == schemaVersion else {
      throw StoreError.corrupt(
        "\(path) has tables of version \(schema), this program knows \(schemaVersion). "
          + "Use the program that wrote it, or a newer one")
    }
    let faults = try String.fetchAll(db, sql: "PRAGMA integrity_check(5)")
    guard faults == ["ok"] else { throw damage(path, faults.joined(separator: "; ")) }
    let objects = try ObjectTable.fetchAll(nil, namespace: nil, db, path: path)
    let events = try EventTable.events(after: 0, db, path: path)
    // The last change of each object that the history still knows must be what the table has.
    var latest: [ResourceKey: ResourceEvent] = [:]
    for event in events { latest[event.resource.key] = event }
    let stored = Dictionary(
      objects.map { ($0.key, $0.metadata.resourceVersion) }, uniquingKeysWith: { first, _ in first })
    for (key, event) in latest {
      let expected = event.change == .deleted ? nil : String(event.resourceVersion)
      guard stored[key].flatMap({ $0 }) == expected else {
        throw damage(path, "\(key) is not as its last change, \(event.resourceVersion), left it")
      }
    }
  }

  /// The message for a file whose content is wrong.
  static func damage(_ path: String, _ what: String) -> StoreError {
    .corrupt(
      "\(path) is damaged (\(what)). It was left as it is: restore it from a copy, or move it away to begin with "
        + "nothing and apply your files again")
  }

  /// Every error of the database as one of ours.
  static func storeError(_ error: any Error, path: String) -> StoreError {
    if let known = error as? StoreError { return known }
    if error is CancellationError { return .unavailable("\(path) was not opened: the control plane is being stopped") }
    guard let failure = error as? DatabaseError else {
      return .unavailable("\(path) cannot be used: \(error). See that the folder is there and writable")
    }
    let text = failure.message ?? "code \(failure.extendedResultCode.rawValue)"
    switch failure.resultCode {
    case .SQLITE_FULL:
      return .full(
        "no room for the change in \(path) (\(text)); nothing was changed. Make room on the disk and repeat it")
    case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_FORMAT:
      return damage(path, text)
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      return .locked(
        "\(path) is in use by another process; stop the other control plane, or give this one another data folder")
    case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH:
      return .unavailable("\(path) cannot be written (\(text)); see that the folder is there and writable")
    default:
      return .unavailable("\(path): \(text); nothing was changed. See the disk, then repeat it")
    }
  }
}

/// Checksums of rows.
enum Checksum {
  /// Over texts and bytes, each ended by a byte that no text has.
  static func of(_ texts: [String], _ bytes: [UInt8]) -> Int64 {
    var all: [UInt8] = []
    all.reserveCapacity(bytes.count + 64)
    for text in texts {
      all += text.utf8
      all.append(0xFF)
    }
    all += bytes
    return Int64(bitPattern: ContentHash.value(of: all))
  }
}
