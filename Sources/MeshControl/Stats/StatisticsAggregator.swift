package import MeshWire

/// Adds up what the proxies report, and serves it to `apus stat`.
package actor StatisticsAggregator: StatisticsSink, StatsSource {
  private var window: StatisticsWindow
  private let registry: WorkloadRegistry
  private let now: @Sendable () -> Duration

  /// - Parameters:
  ///   - registry: knows the workloads, so that those without traffic have rows too.
  ///   - now: a monotonic clock, since any fixed moment.
  package init(
    registry: WorkloadRegistry, limits: StatisticsWindow.Limits = StatisticsWindow.Limits(),
    now: @escaping @Sendable () -> Duration
  ) {
    window = StatisticsWindow(limits: limits)
    self.registry = registry
    self.now = now
  }

  package func record(_ report: StatisticsReport, proxy: String) { window.add(report, proxy: proxy, now: now()) }

  package func forget(proxy: String) { window.forget(proxy: proxy) }

  package func statistics(window length: Duration) async -> MeshStatistics {
    let subjects = await registry.workloads().map {
      StatisticsSubject(
        namespace: $0.workload.namespace, workload: $0.workload.name, service: $0.registration.service,
        isMeshed: $0.isAttached)
    }
    return window.statistics(window: length, now: now(), subjects: subjects)
  }
}
