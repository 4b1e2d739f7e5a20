import Foundation
import MeshControl
import MeshStore
import Testing

/// Damage to the file, a full disk, a process that dies at any moment.
@Suite(.serialized) struct FaultTests {
  @Test func `when there is no room a change is refused clearly, nothing of it is kept, and reading goes on`()
    async throws
  {
    let folder = try Folder()
    let store = try await open(folder.database, limits: StoreLimits(maxPageCount: 40))
    _ = try await store.commit([.create(service("a"))], isDryRun: false)
    var batch: [ResourceChange] = []
    for index in 0..<500 { batch.append(.create(service("big-\(index)"))) }
    let changes = batch
    let error = await #expect(throws: StoreError.self) { try await store.commit(changes, isDryRun: false) }
    guard case .full(let message) = error else {
      Issue.record("not told as a full disk: \(String(describing: error))")
      return
    }
    #expect(message.contains("nothing was changed"))
    #expect(message.contains("Make room"))
    let list = try await store.resources(nil, namespace: nil)
    #expect(list.items.map(\.metadata.name) == ["a"])
    #expect(list.resourceVersion == 1)
    _ = try await store.commit([.apply(service("a", targetPort: 1))], isDryRun: false)
    #expect(try await targetPort("a", in: store) == 1)
  }

  @Test func `an empty file and a file of another kind are refused and left as they are`() async throws {
    let folder = try Folder()
    for content in [Data(), Data("just some text, long enough to be looked at as a header of a database".utf8)] {
      try content.write(to: URL(fileURLWithPath: folder.database))
      let error = await #expect(throws: StoreError.self) { try await open(folder.database) }
      guard case .corrupt(let message) = error else {
        Issue.record("not told as damage: \(String(describing: error))")
        return
      }
      #expect(message.contains(folder.database))
      #expect(try Data(contentsOf: URL(fileURLWithPath: folder.database)) == content)
    }
  }

  @Test func `a log without its file is not taken for a new beginning`() async throws {
    let folder = try Folder()
    try Data("frames".utf8).write(to: URL(fileURLWithPath: folder.database + "-wal"))
    await #expect(throws: StoreError.self) { try await open(folder.database) }
    #expect(!FileManager.default.fileExists(atPath: folder.database))
  }

  /// A store with twenty services in it, closed; its file.
  private func sample(_ folder: Folder) async throws -> Data {
    let store = try await open(folder.database)
    for index in 0..<20 {
      _ = try await store.commit([.create(service("s\(index)", targetPort: 1000 + index))], isDryRun: false)
    }
    try await store.save(uid: "w", bytes: Array(repeating: 7, count: 100))
    try store.close()
    return try Data(contentsOf: URL(fileURLWithPath: folder.database))
  }

  private func names(_ store: SQLiteStore) async throws -> [String: Int] {
    var found: [String: Int] = [:]
    for item in try await store.resources(nil, namespace: nil).items {
      found[item.metadata.name] = try await targetPort(item.metadata.name, in: store)
    }
    return found
  }

  @Test func `a file cut off anywhere is refused, never emptied`() async throws {
    let folder = try Folder()
    let whole = try await sample(folder)
    for cut in stride(from: 0, to: whole.count, by: max(1, whole.count / 60)) {
      try whole.prefix(cut).write(to: URL(fileURLWithPath: folder.database))
      await #expect(throws: StoreError.self, "cut at \(cut) of \(whole.count)") { try await open(folder.database) }
      #expect(try Data(contentsOf: URL(fileURLWithPath: folder.database)) == whole.prefix(cut))
    }
  }

  @Test func `bytes overwritten anywhere are found, or were of no meaning`() async throws {
    let folder = try Folder()
    let whole = try await sample(folder)
    let expected = Dictionary(uniqueKeysWithValues: (0..<20).map { ("s\($0)", 1000 + $0) })
    var refusedCount = 0
    for offset in stride(from: 3, to: whole.count, by: max(1, whole.count / 150)) {
      var damaged = whole
      for index in offset..<min(offset + 5, whole.count) { damaged[index] ^= 0xA5 }
      for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: folder.database + suffix) }
      try damaged.write(to: URL(fileURLWithPath: folder.database))
      do {
        let store = try await open(folder.database)
        #expect(try await names(store) == expected, "damaged at \(offset)")
        try store.close()
      } catch {
        refusedCount += 1
      }
    }
    #expect(refusedCount > 20)
  }

  @Test func `a log cut off anywhere leaves a committed prefix`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    _ = try await store.commit([.create(service("a", targetPort: 1))], isDryRun: false)
    // Workloads stay in the log until it is folded in: there is something to cut.
    for index in 0..<30 { try await store.save(uid: "w\(100 + index)", bytes: [UInt8(index)]) }
    let file = try Data(contentsOf: URL(fileURLWithPath: folder.database))
    let log = try Data(contentsOf: URL(fileURLWithPath: folder.database + "-wal"))
    try store.close()
    #expect(log.count > 4096)
    for cut in stride(from: 0, through: log.count, by: max(1, log.count / 40)) {
      let copy = try Folder()
      try file.write(to: URL(fileURLWithPath: copy.database))
      if cut > 0 { try log.prefix(cut).write(to: URL(fileURLWithPath: copy.database + "-wal")) }
      let again = try await open(copy.database)
      #expect(try await targetPort("a", in: again) == 1)
      let known = try await again.load().map(\.uid)
      #expect(known == (0..<known.count).map { "w\(100 + $0)" }, "cut at \(cut)")
      try again.close()
    }
  }

  @Test func `a process killed at any moment leaves every answered commit behind`() async throws {
    let folder = try Folder()
    var seed: UInt64 = 5
    var last = 0
    for round in 0..<50 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let answered = try await ChildWriter.runAndKill(
        database: folder.database, afterMilliseconds: Int(seed >> 33) % 60)
      let store = try await open(folder.database)
      let list = try await store.resources(nil, namespace: nil)
      // Each commit of the child writes both services with one number: half of one would show as a difference.
      #expect(try await targetPort("left", in: store) == targetPort("right", in: store), "round \(round)")
      let stored = try await targetPort("left", in: store) ?? 0
      #expect(stored >= answered, "round \(round): \(answered) was answered, \(stored) is stored")
      #expect(stored <= answered + 1, "round \(round): \(answered) was answered, \(stored) is stored")
      #expect(list.resourceVersion == UInt64(2 * stored))
      last = stored
      try store.close()
    }
    // The children did write.
    #expect(last > 10)
  }

  /// Not a test of its own: the child that the test above starts and kills.
  @Test(.enabled(if: ChildWriter.isChild)) func `child that commits until it is killed`() async throws {
    try await ChildWriter.write()
  }
}
