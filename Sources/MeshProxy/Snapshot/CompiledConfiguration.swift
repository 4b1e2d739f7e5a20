package import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS
package import MeshTelemetry
package import MeshWire

/// A configuration compiled for the traffic path: immutable, shared by all workers, kept as long as one of them uses it.
package final class CompiledConfiguration: Sendable {
  /// What it was compiled from, but for services and workloads.
  package let common: Snapshot
  package let clusters: [ClusterSpec]
  package let hosts: HostTable
  /// For each listener of the proxy the index of its cluster; -1 where its service is not known (yet).
  package let listenerClusters: [Int32]
  /// What could not be compiled, for the log and for a NACK: path and reason.
  package let problems: [SettingViolation]
  /// Workloads by their identity, for the labels of those who call.
  package let workloads: [String: WorkloadNames]
  /// The buckets of its rate limits, by what they belong to: the next configuration goes on with them.
  let buckets: [String: LimitBuckets]
  /// What is recorded and logged of requests.
  let telemetry: TelemetryPlan

  /// The limits among them that are shared with other proxies.
  let sharedLimits: [SharedLimit]
  /// Counts the configurations of this run.
  let revision: UInt64
  let zone: String
  let namespace: String
  /// What the next configuration can take over.
  let leftovers: Leftovers
  /// The policy of services that have none.
  let standardPolicy: Shared<TrafficPolicy>

  /// Compiles `snapshot` for a proxy with these listeners. One bad service does not keep the others from working: it is
  /// left out and named in `problems`.
  /// - Parameters:
  ///   - previous: the configuration before; limits that stay go on where they are.
  ///   - accessLog: the format of the access log, where the configuration does not decide; nil: none.
  package convenience init(
    _ snapshot: Snapshot, listeners: [ListenerConfig], previous: CompiledConfiguration? = nil,
    accessLog: AccessLogFormat? = nil
  ) {
    self.init(PackedSnapshot(snapshot), listeners: listeners, previous: previous, accessLog: accessLog)
  }

  /// The same from a packed snapshot: what has not changed since `previous` is not even read.
  package init(
    _ snapshot: PackedSnapshot, listeners: [ListenerConfig], previous: CompiledConfiguration? = nil,
    accessLog: AccessLogFormat? = nil
  ) {
    common = snapshot.common
    revision = (previous?.revision ?? 0) + 1
    zone = common.proxy?.zone ?? ""
    namespace = common.proxy?.namespace ?? common.node?.namespace ?? "default"
    var builder = ConfigurationBuilder(snapshot, namespace: namespace, revision: revision, previous: previous)
    builder.addServices()
    // Each identity has clusters, and so connections, of its own.
    for name in builder.actingIdentities(listeners) {
      builder.act(for: name)
      builder.addServices()
    }
    listenerClusters = listeners.map { builder.cluster(for: $0) }
    clusters = builder.clusters
    telemetry = .plan(
      common.proxy?.telemetry, accessLog, checks: Set(clusters.compactMap(\.healthCheck?.requestPath)).sorted(),
      previous: previous?.telemetry)
    problems = builder.problems + builder.gates.problems + telemetry.problems
    buckets = builder.gates.buckets
    sharedLimits = buckets.values.compactMap(\.shared)
    workloads = builder.directory.names
    hosts = builder.keptHosts ?? HostTable(builder.hosts)
    leftovers = builder.leftovers
    standardPolicy = builder.standardPolicy
  }
}

extension EndpointWire {
  /// What is spoken with an application whose port declares this protocol.
  init(_ declared: AppProtocol) {
    switch declared {
    case .http2, .grpc: self = .http2
    case .http, .unspecified, .tcp, .tls: self = .application
    }
  }
}

extension Snapshot {
  /// The place of one of the proxy's identities: 0 is its own, which has no name; nil: there is none of that name.
  func place(ofIdentity name: String) -> Int? {
    if name.isEmpty { return 0 }
    return identities.firstIndex { $0.name == name }.map { $0 + 1 }
  }
}
