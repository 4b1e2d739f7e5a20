import MeshControl
import Synchronization

/// Those who watch the store. Each has a bounded queue of its own; one that falls too far behind is ended, and lists
/// again.
final class Watchers: Sendable {
  private struct State {
    var nextID = 0
    var open: [Int: AsyncThrowingStream<[ResourceEvent], any Error>.Continuation] = [:]
  }

  private let state = Mutex(State())

  func add(
    backlog: [ResourceEvent], bufferCount: Int
  ) -> AsyncThrowingStream<[ResourceEvent], any Error> {
    let (stream, continuation) = AsyncThrowingStream<[ResourceEvent], any Error>.makeStream(
      bufferingPolicy: .bufferingOldest(1 + max(1, bufferCount)))
    if !backlog.isEmpty { continuation.yield(backlog) }
    let id = state.withLock { state in
      state.nextID += 1
      state.open[state.nextID] = continuation
      return state.nextID
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { _ = $0.open.removeValue(forKey: id) }
    }
    return stream
  }

  func publish(_ events: [ResourceEvent]) {
    // Ending a watcher calls back into this object: that is done outside the lock.
    let open = state.withLock { $0.open }
    for continuation in open.values {
      guard case .dropped = continuation.yield(events), let first = events.first else { continue }
      continuation.finish(throwing: StoreError.gone(requested: first.resourceVersion, oldest: first.resourceVersion))
    }
  }

  func finishAll() {
    let open = state.withLock { state in
      defer { state.open = [:] }
      return state.open
    }
    for continuation in open.values { continuation.finish() }
  }
}
