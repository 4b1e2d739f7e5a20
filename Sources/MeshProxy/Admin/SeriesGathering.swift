internal import MeshTelemetry

/// Series are copied a part at a time, each in a turn of its own: a scrape of thousands must not hold a worker up.
extension Proxy {
  /// Everything that the workers counted, for a scrape.
  func gatherReports(_ done: @escaping ([WorkerReport]) -> Void) {
    onAllWorkers({ $0.report(takingEdges: false) }) { [self] reports in
      gatherSeries(of: 0, into: reports, done)
    }
  }

  /// How often series that have moved meanwhile are gathered anew; after that they are taken as they are.
  private static let mostRestarts = 3

  private func gatherSeries(
    of worker: Int, into reports: [WorkerReport], _ done: @escaping ([WorkerReport]) -> Void
  ) {
    guard worker < workers.count, worker < reports.count else { return done(reports) }
    gatherPart(of: worker, SeriesSoFar()) { [self] series in
      var filled = reports
      filled[worker].metrics = filled[worker].metrics.with(requests: series)
      gatherSeries(of: worker + 1, into: filled, done)
    }
  }

  private func gatherPart(
    of worker: Int, _ before: SeriesSoFar, _ done: @escaping ([RequestSeries]) -> Void
  ) {
    let first = before.series.count
    onWorker(worker, { $0.telemetry.metrics.requestPart(from: first) }) { [self] part in
      var after = before
      if let epoch = before.epoch, epoch != part.epoch, before.restarts < Self.mostRestarts {
        return gatherPart(of: worker, SeriesSoFar(restarts: before.restarts + 1), done)
      }
      after.epoch = part.epoch
      after.series += part.series
      part.isLast ? done(after.series) : gatherPart(of: worker, after, done)
    }
  }
}

/// What has been gathered of one worker.
private struct SeriesSoFar: Sendable {
  var series: [RequestSeries] = []
  var epoch: UInt64?
  var restarts = 0
}
