// Unsafe by design: a worker is handed to its thread once.
internal import CMeshSystem
internal import Glibc
internal import MeshReactor

/// A worker on a thread of its own. Everything but `submit` happens on that thread.
final class WorkerThread: @unchecked Sendable {
  // Unchecked: `worker` is touched by its own thread only, once `start` was called.
  private let worker: Worker
  private let submitter: Submitter
  private var thread = pthread_t()

  init(_ worker: Worker) {
    self.worker = worker
    submitter = worker.submitter
  }

  /// Begins to run.
  func start() throws(SystemError) {
    let box = Unmanaged.passRetained(self)
    let result = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        let owner = Unmanaged<WorkerThread>.fromOpaque(context).takeRetainedValue()
        cms_name_thread("worker-\(owner.worker.index)")
        cms_pause_exactly()
        cms_run_in_short_turns()
        owner.worker.run()
        return nil
      }, box.toOpaque())
    guard result == 0 else {
      box.release()
      throw SystemError("pthread_create", code: result)
    }
  }

  /// Runs `job` with the worker, on its thread, soon.
  func submit(_ job: @escaping @Sendable (Worker) -> Void) {
    submitter.submit { [self] in job(worker) }
  }
}
