import Foundation
import MeshControl
import MeshStore
import Testing

@Suite struct StoreTests {
  @Test func `what is committed is there after the file is opened again`() async throws {
    let folder = try Folder()
    let first = try await open(folder.database)
    _ = try await first.commit([.create(service("a")), .create(service("b"))], isDryRun: false)
    try first.close()
    let again = try await open(folder.database)
    let list = try await again.resources(nil, namespace: nil)
    #expect(list.items.map(\.metadata.name) == ["a", "b"])
    #expect(list.resourceVersion == 2)
    #expect(list.items[0].metadata.creationTimestamp == epoch)
  }

  @Test func `versions grow by one with each change, and generations with each change of the spec`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    let created = try await store.commit([.create(service("a"))], isDryRun: false)[0]
    #expect(created.result == .created)
    #expect(created.resource.metadata.resourceVersion == "1")
    #expect(created.resource.metadata.generation == 1)

    let same = try await store.commit([.apply(service("a"))], isDryRun: false)[0]
    #expect(same.result == .unchanged)
    #expect(same.resource.metadata.resourceVersion == "1")

    var labelled = service("a")
    labelled.metadata.labels = ["team": "shop"]
    let relabelled = try await store.commit([.apply(labelled)], isDryRun: false)[0]
    #expect(relabelled.result == .configured)
    #expect(relabelled.resource.metadata.resourceVersion == "2")
    #expect(relabelled.resource.metadata.generation == 1)

    let changed = try await store.commit([.apply(service("a", targetPort: 9090))], isDryRun: false)[0]
    #expect(changed.resource.metadata.resourceVersion == "3")
    #expect(changed.resource.metadata.generation == 2)
    #expect(changed.resource.metadata.uid == created.resource.metadata.uid)
  }

  @Test func `a change based on a stale version is refused and changes nothing`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    var read = try await store.commit([.create(service("a"))], isDryRun: false)[0].resource
    _ = try await store.commit([.apply(service("a", targetPort: 1))], isDryRun: false)
    read.spec = service("a", targetPort: 2).spec
    let stale = read
    await #expect(throws: StoreError.conflict(key("a"), expected: 1, actual: 2)) {
      try await store.commit([.replace(stale)], isDryRun: false)
    }
    await #expect(throws: StoreError.conflict(key("a"), expected: 1, actual: 2)) {
      try await store.commit([.delete(key("a"), ifVersion: 1)], isDryRun: false)
    }
    #expect(try await targetPort("a", in: store) == 1)
  }

  @Test func `a batch with one impossible change makes none`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    _ = try await store.commit([.create(service("b"))], isDryRun: false)
    await #expect(throws: StoreError.alreadyExists(key("b"))) {
      try await store.commit([.create(service("a")), .create(service("b"))], isDryRun: false)
    }
    #expect(try await store.resource(key("a")) == nil)
    await #expect(throws: StoreError.notFound(key("c"))) {
      try await store.commit([.apply(service("a")), .delete(key("c"), ifVersion: nil)], isDryRun: false)
    }
    #expect(try await store.resources(nil, namespace: nil).resourceVersion == 1)
  }

  @Test func `a dry run answers as if and keeps nothing`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    let outcome = try await store.commit([.apply(service("a"))], isDryRun: true)[0]
    #expect(outcome.result == .created)
    #expect(try await store.resource(key("a")) == nil)
    #expect(try await store.resources(nil, namespace: nil).resourceVersion == 0)
  }

  @Test func `a watcher hears every change since its version, each commit together`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    _ = try await store.commit([.create(service("a"))], isDryRun: false)
    let changes = try await store.changes(after: 0)
    _ = try await store.commit([.apply(service("a", targetPort: 1)), .create(service("b"))], isDryRun: false)
    _ = try await store.commit([.delete(key("a"), ifVersion: nil)], isDryRun: false)
    try store.close()
    var heard: [[String]] = []
    for try await events in changes {
      heard.append(events.map { "\($0.change.rawValue) \($0.resource.metadata.name) \($0.resourceVersion)" })
    }
    #expect(heard == [["ADDED a 1"], ["MODIFIED a 2", "ADDED b 3"], ["DELETED a 4"]])
  }

  @Test func `a version that the history has forgotten is gone`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database, limits: StoreLimits(historyCount: 5))
    for port in 1...20 { _ = try await store.commit([.apply(service("a", targetPort: port))], isDryRun: false) }
    await #expect(throws: StoreError.gone(requested: 3, oldest: 16)) { try await store.changes(after: 3) }
    await #expect(throws: StoreError.self) { try await store.changes(after: 999) }
    var backlog: [UInt64] = []
    let changes = try await store.changes(after: 15)
    try store.close()
    for try await events in changes { backlog += events.map(\.resourceVersion) }
    #expect(backlog == [16, 17, 18, 19, 20])
  }

  @Test func `a watcher that does not read is ended, and the others hear on`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database, limits: StoreLimits(watchBufferCount: 3))
    let slow = try await store.changes(after: 0)
    for port in 1...10 { _ = try await store.commit([.apply(service("a", targetPort: port))], isDryRun: false) }
    var count = 0
    await #expect(throws: StoreError.self) { for try await events in slow { count += events.count } }
    #expect(count <= 4)
    #expect(try await targetPort("a", in: store) == 10)
  }

  @Test func `a status is written once, and only to the object it was made for`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    let resource = try await store.commit([.create(service("a"))], isDryRun: false)[0].resource
    let uid = try #require(resource.metadata.uid)
    let status = Value.object([Value.Member("ready", .boolean(true))])
    try await store.writeStatuses([StatusUpdate(key: key("a"), uid: uid, status: status)])
    try await store.writeStatuses([StatusUpdate(key: key("a"), uid: uid, status: status)])
    try await store.writeStatuses([StatusUpdate(key: key("a"), uid: "another", status: nil)])
    let stored = try #require(try await store.resource(key("a")))
    #expect(stored.status == status)
    #expect(stored.metadata.resourceVersion == "2")
    #expect(stored.metadata.generation == 1)
    // A later change of the spec keeps the status that stands.
    _ = try await store.commit([.apply(service("a", targetPort: 1))], isDryRun: false)
    #expect(try await store.resource(key("a"))?.status == status)
  }

  @Test func `workloads are remembered with the time they were seen`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    try await store.save(uid: "w1", bytes: [1, 2, 3])
    try await store.save(uid: "w2", bytes: [])
    try await store.save(uid: "w1", bytes: [4])
    try await store.remove(uid: "w2")
    try await store.remove(uid: "never there")
    try store.close()
    let again = try await open(folder.database)
    #expect(try await again.load() == [StoredWorkload(uid: "w1", bytes: [4], lastSeen: epoch)])
  }

  @Test func `a second process is told that the file is in use`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    _ = try await store.commit([.create(service("a"))], isDryRun: false)
    await #expect(throws: StoreError.self) { try await open(folder.database) }
    #expect(try await store.resource(key("a")) != nil)
  }

  @Test func `random batches leave what a plain dictionary would hold`() async throws {
    let folder = try Folder()
    let store = try await open(folder.database)
    var model: [String: Int] = [:]
    var version: UInt64 = 0
    var seed: UInt64 = 11
    func random(_ bound: Int) -> Int {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((seed >> 33) % UInt64(bound))
    }
    for _ in 0..<150 {
      var next = model
      var changes: [ResourceChange] = []
      var isPossible = true
      var changed: UInt64 = 0
      for _ in 0...random(3) {
        let name = "s\(random(6))"
        if random(4) == 0 {
          changes.append(.delete(key(name), ifVersion: nil))
          if next.removeValue(forKey: name) == nil { isPossible = false }
          changed += 1
        } else {
          let port = 1 + random(4)
          changes.append(.apply(service(name, targetPort: port)))
          if next[name] != port { changed += 1 }
          next[name] = port
        }
      }
      let outcome = try? await store.commit(changes, isDryRun: false)
      #expect((outcome != nil) == isPossible)
      if isPossible {
        model = next
        version += changed
      }
    }
    var stored: [String: Int] = [:]
    let list = try await store.resources(nil, namespace: nil)
    for item in list.items { stored[item.metadata.name] = try await targetPort(item.metadata.name, in: store) }
    #expect(stored == model)
    #expect(list.resourceVersion == version)
  }
}
