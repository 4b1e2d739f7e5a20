package import MeshModel
package import MeshWire

/// Discovery: takes registrations from the streams of proxies and tells the compiler of configuration and the store.
///
/// `run()` carries the changes out, in the order in which they happened, and lets workloads go whose time is over.
package actor WorkloadRegistry {
  /// How often the registry looks for workloads whose time is over.
  package static let sweepInterval: Duration = .milliseconds(250)

  private var table: WorkloadTable
  private let trustDomain: TrustDomain
  private let sink: any WorkloadSink
  private let store: any WorkloadStore
  private let now: @Sendable () -> Duration
  private let onStoreError: @Sendable (StoreError) -> Void
  private let changes: AsyncStream<WorkloadTable.Change>
  private let pending: AsyncStream<WorkloadTable.Change>.Continuation
  private var lastStream: UInt64 = 0

  /// - Parameters:
  ///   - trustDomain: the mesh's own; registrations under other domains are refused.
  ///   - sink: learns of every workload that comes, changes, goes.
  ///   - store: remembers workloads over a restart. Its errors stop nothing; they go to `onStoreError`.
  ///   - now: a monotonic clock, since any fixed moment.
  package init(
    trustDomain: TrustDomain, sink: any WorkloadSink, store: any WorkloadStore,
    limits: WorkloadTable.Limits = WorkloadTable.Limits(), now: @escaping @Sendable () -> Duration,
    onStoreError: @escaping @Sendable (StoreError) -> Void = { _ in }
  ) {
    self.trustDomain = trustDomain
    self.sink = sink
    self.store = store
    self.now = now
    self.onStoreError = onStoreError
    table = WorkloadTable(limits: limits)
    (changes, pending) = AsyncStream.makeStream(of: WorkloadTable.Change.self)
  }

  /// Loads what was known before a restart and hands it on, once, before any proxy is served.
  package func restore() async {
    var known: [RegisteredWorkload] = []
    do {
      known = try await store.load().compactMap {
        RegisteredWorkload(storedBytes: $0.bytes, trustDomain: trustDomain)
      }
    } catch {
      // What is broken off at the end is no problem.
      if !Task.isCancelled { onStoreError(error) }
    }
    table.restore(known, now: now())
    await sink.replaceAll(table.workloads)
  }

  /// Carries changes out until the task is cancelled.
  package func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.sweepUntilCancelled() }
      group.addTask { await self.carryOut() }
    }
  }

  private func sweepUntilCancelled() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: Self.sweepInterval)
      publish(table.sweep(now: now()))
    }
    pending.finish()
  }

  private func carryOut() async {
    for await change in changes {
      switch change {
      case .upsert(let workload, let registration):
        await sink.upsert(workload)
        guard let registered = RegisteredWorkload(workload: workload, registration: registration) else { continue }
        do { try await store.save(uid: workload.uid, bytes: registered.storedBytes) } catch { failed(error) }
      case .remove(let uid):
        await sink.remove(uid: uid)
        do { try await store.remove(uid: uid) } catch { failed(error) }
      }
    }
  }

  /// What the store refuses because everything ends is no news: the proxies register again at the next start.
  private func failed(_ error: StoreError) {
    if !Task.isCancelled { onStoreError(error) }
  }

  private func publish(_ changes: [WorkloadTable.Change]) {
    for change in changes { pending.yield(change) }
  }

  /// A name for a new stream.
  package func openStream() -> UInt64 {
    lastStream &+= 1
    return lastStream
  }

  /// The workload of a stream registers.
  package func attach(
    _ registration: Registration, health: Health, identity: SPIFFEID, stream: UInt64
  ) throws(RegistrationRefusal) {
    let registered = try RegisteredWorkload(
      registration, health: health, identity: identity, trustDomain: trustDomain)
    publish(try table.attach(registered, stream: stream))
  }

  /// The workload of a stream says how it is.
  package func report(_ health: Health, stream: UInt64) { publish(table.report(health, stream: stream)) }

  /// A stream has ended.
  package func detach(stream: UInt64) { publish(table.detach(stream: stream, now: now())) }

  /// All that something has been heard of since the start, with whether their proxies are connected.
  package func workloads() -> [(workload: MeshWorkload, registration: Registration, isAttached: Bool)] {
    table.workloads.filter { table.isHeardOf(uid: $0.uid) }.compactMap { workload in
      table.registration(uid: workload.uid).map { (workload, $0, table.isAttached(uid: workload.uid)) }
    }
  }

  /// One workload; nil if it is not known.
  package func workload(uid: String) -> MeshWorkload? { table.workload(uid: uid) }

  /// What the proxy of a workload said of itself; nil if it is not known.
  package func registration(uid: String) -> Registration? { table.registration(uid: uid) }
}
