import MeshControl
import MeshModel
import MeshWire
import Synchronization
import Testing

private actor RecordingSink: WorkloadSink {
  private(set) var known: [String: MeshWorkload] = [:]
  private(set) var replaced = 0
  func upsert(_ workload: MeshWorkload) { known[workload.uid] = workload }
  func remove(uid: String) { known[uid] = nil }
  func replaceAll(_ workloads: [MeshWorkload]) {
    replaced += 1
    known = Dictionary(uniqueKeysWithValues: workloads.map { ($0.uid, $0) })
  }
}

private actor MemoryStore: WorkloadStore {
  private(set) var rows: [String: StoredWorkload] = [:]
  private(set) var isFull = false
  func load() -> [StoredWorkload] { Array(rows.values) }
  func save(uid: String, bytes: [UInt8]) throws(StoreError) {
    if isFull { throw .full("the disk is full") }
    rows[uid] = StoredWorkload(uid: uid, bytes: bytes, lastSeen: Timestamp(secondsSinceEpoch: 0))
  }
  func remove(uid: String) { rows[uid] = nil }
  func fill() { isFull = true }
}

private func eventually(_ condition: () async -> Bool) async -> Bool {
  for _ in 0..<500 {
    if await condition() { return true }
    try? await Task.sleep(for: .milliseconds(10))
  }
  return false
}

@Suite struct WorkloadRegistryTests {
  private let identity: SPIFFEID

  init() throws { identity = try SPIFFEID("spiffe://cluster.local/ns/shop/sa/catalog") }

  @Test func whatIsRegisteredReachesTheCompilerAndSurvivesARestart() async throws {
    let sink = RecordingSink(), store = MemoryStore()
    let time = Mutex(Duration.zero)
    let clock: @Sendable () -> Duration = { time.withLock { $0 } }
    let registry = WorkloadRegistry(trustDomain: .standard, sink: sink, store: store, now: clock)
    await registry.restore()
    let running = Task { await registry.run() }
    let stream = await registry.openStream()
    try await registry.attach(registration("u1"), health: .healthy, identity: identity, stream: stream)
    await registry.report(.unhealthy, stream: stream)
    #expect(await eventually { await sink.known["u1"]?.health == .unhealthy })
    #expect(await eventually { await store.rows["u1"] != nil })
    running.cancel()
    await running.value

    let secondSink = RecordingSink()
    let second = WorkloadRegistry(trustDomain: .standard, sink: secondSink, store: store, now: clock)
    await second.restore()
    #expect(await secondSink.known["u1"]?.health == .unhealthy)
    #expect(await secondSink.replaced == 1)
    let secondRun = Task { await second.run() }
    time.withLock { $0 = .seconds(15) }
    #expect(await eventually { await secondSink.known.isEmpty })
    #expect(await eventually { await store.rows.isEmpty })
    secondRun.cancel()
    await secondRun.value
  }

  @Test func aFullDiskStopsNoRegistration() async throws {
    let sink = RecordingSink(), store = MemoryStore()
    await store.fill()
    let errors = Mutex(0)
    let registry = WorkloadRegistry(
      trustDomain: .standard, sink: sink, store: store, now: { .zero },
      onStoreError: { _ in errors.withLock { $0 += 1 } })
    let running = Task { await registry.run() }
    try await registry.attach(registration("u1"), health: .healthy, identity: identity, stream: registry.openStream())
    #expect(await eventually { await sink.known["u1"] != nil })
    #expect(await eventually { errors.withLock { $0 } == 1 })
    running.cancel()
    await running.value
  }
}
