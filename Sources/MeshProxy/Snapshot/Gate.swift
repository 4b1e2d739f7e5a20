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
        // A shared limit has one name in the whole mesh, and a new one is another limit.
        let key =
          rule.quota.isEmpty
          ? "\(place)|\(rule.policy)|\(rule.name)|\(rule.key)" : "\(rule.quota)|\(rule.settings)|\(rule.key)"
        let held = known[key] ?? taken[key] ?? former[key] ?? LimitBuckets(rule)
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

/// Keeps the requests of a session at one endpoint: the cookie or header says which.
package final class Session: @unchecked Sendable {
  // Unchecked: the memory is written in `init` and only read afterwards.
  let view: UnsafePointer<SessionView>
  private let text: UnsafeMutableBufferPointer<UInt8>

  init(_ persistence: SessionPersistence) {
    var (name, path, lifetime) = ("", "/", UInt32(0))
    var isHeader = false
    switch persistence.carrier {
    case .header(let header): (name, isHeader) = (header.lowercased(), true)
    case .cookie(let cookie, let place, let time):
      (name, path) = (cookie, place)
      lifetime = time.map { UInt32(clamping: max(1, $0.saturatingNanoseconds / 1_000_000_000)) } ?? 0
    }
    text = .allocate(capacity: max(1, name.utf8.count + path.utf8.count))
    _ = text.initialize(from: Array(name.utf8) + Array(path.utf8))
    let view = UnsafeMutablePointer<SessionView>.allocate(capacity: 1)
    view.initialize(
      to: SessionView(
        name: UnsafeBufferPointer(rebasing: text[..<name.utf8.count]),
        path: UnsafeBufferPointer(rebasing: text[name.utf8.count..<(name.utf8.count + path.utf8.count)]),
        isHeader: isHeader, lifetimeSeconds: lifetime))
    self.view = UnsafePointer(view)
  }

  deinit {
    view.deallocate()
    text.deallocate()
  }
}

/// A `Session` as the traffic path reads it.
struct SessionView {
  let name: UnsafeBufferPointer<UInt8>
  /// Of the cookie.
  let path: UnsafeBufferPointer<UInt8>
  let isHeader: Bool
  /// Of the cookie; 0: as long as the client's session.
  let lifetimeSeconds: UInt32

  /// The number of the endpoint that the request's session is at.
  func endpoint(_ head: borrowing MessageHead) -> UInt64? {
    let found = isHeader ? HeaderSearch.first(name, .other, head) : HeaderSearch.cookie(name, head)
    guard let found, found.length == 16 else { return nil }
    var number: UInt64 = 0
    for byte in head.bytes(found) {
      let digit = byte &- 0x30 < 10 ? byte &- 0x30 : byte &- 0x57
      guard digit < 16, byte &- 0x30 < 10 || byte >= 0x61 else { return nil }
      number = number << 4 | UInt64(digit)
    }
    return number == 0 ? nil : number
  }
}

/// The gates of a configuration's clusters, as a worker's generation holds them.
struct GateTable {
  private let services: UnsafeMutablePointer<UnsafePointer<GateView>?>
  private let rules: UnsafeMutablePointer<UnsafeMutablePointer<UnsafePointer<GateView>?>?>
  private let sessions: UnsafeMutablePointer<UnsafeMutablePointer<UnsafePointer<SessionView>?>?>
  private let count: Int

  /// Room for those of `clusters`, to be filled in one by one; nil where no cluster has any.
  init?(_ clusters: [ClusterSpec]) {
    guard clusters.contains(where: { $0.gate != nil || !$0.ruleGates.isEmpty || !$0.ruleSessions.isEmpty }) else {
      return nil
    }
    count = clusters.count
    services = .allocate(capacity: count)
    rules = .allocate(capacity: count)
    sessions = .allocate(capacity: count)
    services.initialize(repeating: nil, count: count)
    rules.initialize(repeating: nil, count: count)
    sessions.initialize(repeating: nil, count: count)
  }

  /// Fills in those of the cluster at `index`, once.
  func fill(_ index: Int, _ cluster: borrowing ClusterSpec) {
    services[index] = cluster.gate?.view
    rules[index] = Self.pointers(cluster.ruleGates.map { $0?.view })
    sessions[index] = Self.pointers(cluster.ruleSessions.map { $0?.view })
  }

  /// The elements in memory of their own; nil where there are none.
  private static func pointers<View>(_ views: [UnsafePointer<View>?]) -> UnsafeMutablePointer<UnsafePointer<View>?>? {
    guard !views.isEmpty else { return nil }
    let memory = UnsafeMutablePointer<UnsafePointer<View>?>.allocate(capacity: views.count)
    for (index, view) in views.enumerated() { (memory + index).initialize(to: view) }
    return memory
  }

  func deallocate() {
    for index in 0..<count {
      rules[index]?.deallocate()
      sessions[index]?.deallocate()
    }
    sessions.deallocate()
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

  /// The sessions of one of its rules.
  func session(_ cluster: Int32, _ rule: Int32) -> UnsafePointer<SessionView>? {
    guard cluster >= 0, Int(cluster) < count, rule >= 0, let views = sessions[Int(cluster)] else { return nil }
    return views[Int(rule)]
  }
}
