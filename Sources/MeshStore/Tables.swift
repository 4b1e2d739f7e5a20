import Foundation
import GRDB
import MeshControl

/// The objects as they are now.
enum ObjectTable {
  static func fetch(_ key: ResourceKey, _ db: Database, path: String) throws -> Resource? {
    let row = try Row.fetchOne(
      db, sql: "SELECT * FROM object WHERE api_group = ? AND kind = ? AND namespace = ? AND name = ?",
      arguments: [key.groupKind.group, key.groupKind.kind, key.namespace, key.name])
    return try row.map { try resource($0, path: path) }
  }

  static func fetchAll(
    _ groupKind: GroupKind?, namespace: String?, _ db: Database, path: String
  ) throws -> [Resource] {
    var conditions: [String] = []
    var arguments: [String] = []
    if let groupKind {
      conditions += ["api_group = ?", "kind = ?"]
      arguments += [groupKind.group, groupKind.kind]
    }
    if let namespace {
      conditions.append("namespace = ?")
      arguments.append(namespace)
    }
    let filter = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
    return try Row.fetchAll(
      db, sql: "SELECT * FROM object \(filter) ORDER BY api_group, kind, namespace, name",
      arguments: StatementArguments(arguments)
    ).map { try resource($0, path: path) }
  }

  static func put(_ resource: Resource, version: UInt64, _ db: Database) throws {
    let key = resource.key
    let body = Array(resource.value.json().utf8)
    try db.execute(
      sql: """
        INSERT INTO object (api_group, kind, namespace, name, version, body, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (api_group, kind, namespace, name)
          DO UPDATE SET version = excluded.version, body = excluded.body, checksum = excluded.checksum
        """,
      arguments: [
        key.groupKind.group, key.groupKind.kind, key.namespace, key.name, Int64(clamping: version), Data(body),
        Checksum.of(
          [key.groupKind.group, key.groupKind.kind, key.namespace, key.name, String(version)], body),
      ])
  }

  static func delete(_ key: ResourceKey, _ db: Database) throws {
    try db.execute(
      sql: "DELETE FROM object WHERE api_group = ? AND kind = ? AND namespace = ? AND name = ?",
      arguments: [key.groupKind.group, key.groupKind.kind, key.namespace, key.name])
  }

  private static func resource(_ row: Row, path: String) throws -> Resource {
    let group: String = row["api_group"]
    let kind: String = row["kind"]
    let namespace: String = row["namespace"]
    let name: String = row["name"]
    let version: Int64 = row["version"]
    let body = [UInt8](row["body"] as Data)
    guard row["checksum"] as Int64 == Checksum.of([group, kind, namespace, name, String(version)], body) else {
      throw StoreFile.damage(path, "the checksum of \(kind) \(namespace)/\(name) is wrong")
    }
    return try StoredBody.resource(body, path: path)
  }
}

/// The last changes, for watchers.
enum EventTable {
  static func newestVersion(_ db: Database) throws -> UInt64 {
    UInt64(clamping: try Int64.fetchOne(db, sql: "SELECT max(version) FROM event") ?? 0)
  }

  /// 0 where there is no change yet.
  static func oldestVersion(_ db: Database) throws -> UInt64 {
    UInt64(clamping: try Int64.fetchOne(db, sql: "SELECT min(version) FROM event") ?? 0)
  }

  static func append(_ event: ResourceEvent, _ db: Database) throws {
    let body = Array(event.resource.value.json().utf8)
    try db.execute(
      sql: "INSERT INTO event (version, change, body, checksum) VALUES (?, ?, ?, ?)",
      arguments: [
        Int64(clamping: event.resourceVersion), event.change.rawValue, Data(body),
        Checksum.of([String(event.resourceVersion), event.change.rawValue], body),
      ])
  }

  static func events(after version: UInt64, _ db: Database, path: String) throws -> [ResourceEvent] {
    try Row.fetchAll(
      db, sql: "SELECT * FROM event WHERE version > ? ORDER BY version", arguments: [Int64(clamping: version)]
    ).map { row in
      let version: Int64 = row["version"]
      let word: String = row["change"]
      let body = [UInt8](row["body"] as Data)
      guard let change = ResourceEvent.Change(rawValue: word),
        row["checksum"] as Int64 == Checksum.of([String(version), word], body)
      else { throw StoreFile.damage(path, "the checksum of change \(version) is wrong") }
      return ResourceEvent(
        change: change, resource: try StoredBody.resource(body, path: path), resourceVersion: UInt64(clamping: version))
    }
  }

  /// Forgets all but the newest `keep` changes. The newest one always stays: it is the present version.
  static func trim(_ db: Database, keep: Int) throws {
    try db.execute(
      sql: "DELETE FROM event WHERE version <= (SELECT max(version) FROM event) - ?", arguments: [max(1, keep)])
  }
}

/// An object as it lies in a row.
enum StoredBody {
  static func resource(_ body: [UInt8], path: String) throws -> Resource {
    do {
      let report = ViolationReport()
      if let resource = Resource.read(try JSONReader.read(body), namespace: "", into: report) { return resource }
      let first = report.violations.first.map { "\($0.path): \($0.message)" } ?? "no reason known"
      throw StoreFile.damage(path, "an object cannot be read: \(first)")
    } catch let failure as JSONReader.Failure {
      throw StoreFile.damage(path, "an object is not JSON: \(failure.message)")
    }
  }
}
