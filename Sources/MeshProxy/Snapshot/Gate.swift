// Unsafe by design: what the traffic path reads of limits and faults, as plain pointers.
internal import MeshModel
internal import MeshPolicy

/// Limits and faults of a service, of a route or of a port of our own, with the buckets that they count in.
package final class Gate: @unchecked Sendable {
  // Unchecked: the memory is written in `init` and only read afterwards.
  let view: UnsafePointer<GateView>
  private let table: AdmissionTable
  private let buckets: [LimitBuckets]
  private let bucketViews: UnsafeMutablePointer<LimitBucketsView>

  /// - Parameter bucket: the buckets of each rule.
  /// - Throws: every condition that cannot be compiled.
  init(_ rules: AdmissionRules, bucket: (RateLimitRule) -> LimitBuckets) throws(RouteTableError) {
    table = try AdmissionTable(rules)
    buckets = rules.limits.map(bucket)
    bucketViews = .allocate(capacity: max(1, buckets.count))
    for (index, held) in buckets.enumerated() { (bucketViews + index).initialize(to: held.view) }
    let view = UnsafeMutablePointer<GateView>.allocate(capacity: 1)
    view.initialize(to: GateView(rules: table.view, buckets: UnsafePointer(bucketViews)))
    self.view = UnsafePointer(view)
  }

  deinit {
    view.deallocate()
    bucketViews.deallocate()
  }
}

/// A `Gate` as the traffic path reads it; valid while it lives.
struct GateView {
  let rules: AdmissionView
  /// One for each of the rules' limits.
  let buckets: UnsafePointer<LimitBucketsView>
}

/// Makes gates; limits that were there in the configuration before keep their buckets.
struct GateBuilder {
  private let former: [String: LimitBuckets]
  private(set) var buckets: [String: LimitBuckets] = [:]
  private(set) var problems: [SettingViolation] = []

  init(former: [String: LimitBuckets]) { self.former = former }

  /// The gate of `rules`; nil where there is nothing to ask.
  /// - Parameter place: what the rules are attached to; their buckets belong to it.
  mutating func gate(_ rules: AdmissionRules, at place: String) -> Gate? {
    guard !rules.isEmpty else { return nil }
    var taken: [String: LimitBuckets] = [:]
    do throws(RouteTableError) {
      let known = buckets
      let former = former
      let gate = try Gate(rules) { rule in
        let key = "\(place)|\(rule.policy)|\(rule.name)|\(rule.key)"
        let held = known[key] ?? former[key] ?? LimitBuckets(isKeyed: rule.key != .everyone)
        taken[key] = held
        return held
      }
      buckets.merge(taken) { $1 }
      return gate
    } catch {
      problems += error.violations.map { SettingViolation(path: "\(place).\($0.path)", message: $0.message) }
      return nil
    }
  }
}

/// The gates of a configuration's clusters, as a worker's generation holds them.
struct GateTable {
  private let services: UnsafeMutablePointer<UnsafePointer<GateView>?>
  private let rules: UnsafeMutablePointer<UnsafeMutablePointer<UnsafePointer<GateView>?>?>
  private let count: Int

  /// Nil where no cluster has any.
  init?(_ clusters: [ClusterSpec]) {
    guard clusters.contains(where: { $0.gate != nil || !$0.ruleGates.isEmpty }) else { return nil }
    count = clusters.count
    services = .allocate(capacity: count)
    rules = .allocate(capacity: count)
    for (index, cluster) in clusters.enumerated() {
      (services + index).initialize(to: cluster.gate?.view)
      var views: UnsafeMutablePointer<UnsafePointer<GateView>?>?
      if !cluster.ruleGates.isEmpty {
        let memory = UnsafeMutablePointer<UnsafePointer<GateView>?>.allocate(capacity: cluster.ruleGates.count)
        for (rule, gate) in cluster.ruleGates.enumerated() { (memory + rule).initialize(to: gate?.view) }
        views = memory
      }
      (rules + index).initialize(to: views)
    }
  }

  func deallocate() {
    for index in 0..<count { rules[index]?.deallocate() }
    services.deallocate()
    rules.deallocate()
  }

  /// The gate of a cluster's service.
  func gate(_ cluster: Int32) -> UnsafePointer<GateView>? {
    cluster >= 0 && Int(cluster) < count ? services[Int(cluster)] : nil
  }

  /// The gate of one of its rules; there are none, or one place for each rule.
  func gate(_ cluster: Int32, rule: Int32) -> UnsafePointer<GateView>? {
    guard cluster >= 0, Int(cluster) < count, rule >= 0, let gates = rules[Int(cluster)] else { return nil }
    return gates[Int(rule)]
  }
}
