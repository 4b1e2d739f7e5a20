package import MeshWire

/// Adds up what the proxies report, and serves it to `apus stat`.
package actor StatisticsAggregator: StatisticsSink, StatsSource {
  private var window: StatisticsWindow
  private let registry: WorkloadRegistry
  private let directory: any WorkloadDirectory
  private let now: @Sendable () -> Duration

  /// - Parameters:
  ///   - registry: knows the workloads, so that those without traffic have rows too.
  ///   - directory: knows which services choose them.
  ///   - now: a monotonic clock, since any fixed moment.
  package init(
    registry: WorkloadRegistry, directory: any WorkloadDirectory,
    limits: StatisticsWindow.Limits = StatisticsWindow.Limits(), now: @escaping @Sendable () -> Duration
  ) {
    window = StatisticsWindow(limits: limits)
    self.registry = registry
    self.directory = directory
    self.now = now
  }

  package func record(_ report: StatisticsReport, proxy: String) { window.add(report, proxy: proxy, now: now()) }

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
    return window.statistics(window: length, now: now(), subjects: subjects)
  }
}
