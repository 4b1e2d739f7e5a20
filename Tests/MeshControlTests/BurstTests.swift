import MeshControl
import Testing

/// What a burst of changes costs, each a commit of its own.
@Suite struct BurstTests {
  private static let count = 300

  @Test func `changes that come while others are compiled are taken together`() async throws {
    let shop = try #require(read(service("shop")).resource)
    var split = try #require(read(route(#"[{"backendRefs": [{"name": "shop", "port": 80}]}]"#)).resource)
    split.metadata.uid = "u"
    let others = try (0..<Self.count).map { try #require(read(service("s\($0)")).resource) }
    let store = BurstStore(holding: shop, changes: [split] + others)
    let engine = ConfigEngine(store: store, trustDomain: "cluster.local", now: { Timestamp(secondsSinceEpoch: 0) })
    try await engine.start()
    let before = await engine.progress()
    let running = Task { await engine.run() }
    defer { running.cancel() }
    // The first change is being told of, for as long as it takes, and all others have come.
    await store.everythingIsRead()
    let meanwhile = await engine.progress()
    #expect(meanwhile.isBehind && meanwhile.revision == before.revision + 1)
    await store.goOn()
    for _ in 0..<2_000 where await engine.progress().resourceVersion < UInt64(Self.count + 2) {
      try await Task.sleep(for: .milliseconds(5))
    }
    let after = await engine.progress()
    #expect(after.resourceVersion == UInt64(Self.count + 2) && !after.isBehind)
    #expect(after.revision == before.revision + 2, "all others in one")
    let anybody = ProxyDescription(workload: "p", namespace: "default", account: "p", labels: [:])
    #expect(await engine.view(for: anybody).resources[.serviceConfig]?.count == Self.count + 1)
  }
}

/// A store with one object and changes that come one by one: the first, and, while its status is being written, all
/// others. Writing goes on when the test says so.
private actor BurstStore: ResourceStore {
  private let object: Resource
  private let events: [[ResourceEvent]]
  private var read = 0
  private var isWriting = false
  private var mayGoOn = false

  init(holding object: Resource, changes: [Resource]) {
    self.object = object
    events = changes.enumerated().map { [ResourceEvent(change: .added, resource: $1, resourceVersion: UInt64($0 + 2))] }
  }

  func everythingIsRead() async { await wait { $0.read > $0.events.count } }
  func goOn() { mayGoOn = true }

  /// Not for ever: then the test fails where it looks.
  private func wait(until isSo: (isolated BurstStore) -> Bool) async {
    for _ in 0..<10_000 where !isSo(self) { try? await Task.sleep(for: .milliseconds(1)) }
  }

  private func next() async -> [ResourceEvent]? {
    read += 1
    if read == 2 { await wait { $0.isWriting } }
    if read <= events.count { return events[read - 1] }
    // Nothing more, until whoever reads is cancelled.
    try? await Task.sleep(for: .seconds(60))
    return nil
  }

  func resource(_ key: ResourceKey) async throws(StoreError) -> Resource? { key == object.key ? object : nil }

  func resources(_ groupKind: GroupKind?, namespace: String?) async throws(StoreError) -> ResourceList {
    ResourceList(items: [object], resourceVersion: 1)
  }

  func commit(_ changes: [ResourceChange], isDryRun: Bool) async throws(StoreError) -> [ResourceOutcome] { [] }

  func writeStatuses(_ statuses: [StatusUpdate]) async throws(StoreError) {
    isWriting = true
    await wait { $0.mayGoOn }
  }

  func changes(after version: UInt64) async throws(StoreError) -> AsyncThrowingStream<[ResourceEvent], any Error> {
    AsyncThrowingStream { await self.next() }
  }
}
