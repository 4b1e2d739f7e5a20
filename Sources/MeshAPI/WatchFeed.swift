import MeshControl

/// What one watching client is to be sent: the store's changes, and a beat now and then by which a client that has gone
/// is noticed.
struct WatchFeed: Sendable {
  enum Item: Sendable {
    case events([ResourceEvent])
    case beat
    case failed(StoreError)
  }

  /// How often a beat comes.
  static let beatInterval = Duration.seconds(15)
  /// Commits that may wait for the client; one that falls further behind is ended and may watch again.
  static let bufferCount = 256

  let items: AsyncStream<Item>
  private let tasks: [Task<Void, Never>]

  init(_ changes: AsyncThrowingStream<[ResourceEvent], any Error>) {
    let (stream, continuation) = AsyncStream<Item>.makeStream(bufferingPolicy: .bufferingOldest(Self.bufferCount))
    let pump = Task {
      do {
        for try await events in changes {
          if case .dropped = continuation.yield(.events(events)) { break }
        }
      } catch let error as StoreError {
        continuation.yield(.failed(error))
      } catch {
        // The task was cancelled: nobody listens any more.
      }
      continuation.finish()
    }
    let clock = Task {
      while (try? await Task.sleep(for: Self.beatInterval)) != nil { continuation.yield(.beat) }
    }
    items = stream
    tasks = [pump, clock]
  }

  func cancel() {
    for task in tasks { task.cancel() }
  }
}
