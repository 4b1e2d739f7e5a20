package import MeshWire

/// Adds up what the proxies report, and serves it to people: second by second for five minutes, then in steps of ten
/// seconds for an hour.
package actor StatisticsAggregator: StatisticsSink, StatsSource {
  private var window: StatisticsWindow
  private var past: StatisticsHistory
  private let registry: WorkloadRegistry
  private let directory: any WorkloadDirectory
  private let now: @Sendable () -> Duration
  private let edgesPerReport: Int

  /// - Parameters:
  ///   - registry: knows the workloads, so that those without traffic have rows too.
  ///   - directory: knows which services choose them.
  ///   - now: a monotonic clock, since any fixed moment.
  package init(
    registry: WorkloadRegistry, directory: any WorkloadDirectory,
    limits: StatisticsWindow.Limits = StatisticsWindow.Limits(),
    historyLimits: StatisticsHistory.Limits = StatisticsHistory.Limits(), now: @escaping @Sendable () -> Duration
  ) {
    window = StatisticsWindow(limits: limits)
    past = StatisticsHistory(limits: historyLimits)
    edgesPerReport = limits.edgesPerReport
    self.registry = registry
    self.directory = directory
    self.now = now
  }

  package func record(_ report: StatisticsReport, proxy: String) {
    let time = now()
    window.add(report, proxy: proxy, now: time)
    past.add(report, edgeLimit: edgesPerReport, now: time)
  }

  package func forget(proxy: String) { window.forget(proxy: proxy) }

  package func statistics(window length: Duration) async -> MeshStatistics {
    var chosenBy: [String: [String]] = [:]
    for known in await directory.knownWorkloads() { chosenBy[known.workload.uid] = known.services.map(\.name) }
    // A workload that no selector chooses is shown under the service that it says it runs.
    let subjects = await registry.workloads().map { known in
      let services = chosenBy[known.workload.uid] ?? []
      return StatisticsSubject(
        namespace: known.workload.namespace, workload: known.workload.name,
        services: services.isEmpty ? [known.registration.service] : services, isMeshed: known.isAttached)
    }
    return totals(length).statistics(subjects: subjects)
  }

  package func traffic(_ query: TrafficQuery) async -> [TrafficRow] { totals(query.window).traffic(query) }

  package func history(_ query: TrafficQuery, step: Duration) async -> [TrafficPoint] {
    past.points(query, step: step, now: now())
  }

  /// The counts of a stretch that ends now.
  private func totals(_ length: Duration) -> StatisticsTotals {
    let time = now()
    let recent = window.totals(length, time)
    // In a large mesh the last five minutes do not fit second by second.
    guard length.components.seconds > window.completeSeconds(now: time) else { return recent }
    let whole = past.totals(length, time)
    return StatisticsTotals(edges: whole.edges, active: recent.active, seconds: whole.seconds)
  }
}
