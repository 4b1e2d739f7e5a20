internal import MeshTelemetry

/// What workers counted is copied a part at a time, each in a turn of its own: nothing that a scrape asks for may hold
/// requests up.
extension Proxy {
  /// Everything that was asked for, of each worker.
  func gatherReports(_ contents: ReportContents, _ done: @escaping ([WorkerReport]) -> Void) {
    let gathered = Gathered<WorkerReport>(expected: workers.count) { done($0.sorted { $0.worker < $1.worker }) }
    for index in workers.indices {
      gather(WorkerReport(worker: index, contents)) { gathered.add($0) }
    }
  }

  private func gather(_ before: WorkerReport, _ done: @escaping (WorkerReport) -> Void) {
    guard let next = before.next else { return done(before) }
    onWorker(before.worker, { $0.reportPart(next) }) { [self] part in
      var after = before
      after.add(part)
      gather(after, done)
    }
  }
}
