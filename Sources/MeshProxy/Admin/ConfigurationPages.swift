internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS
internal import MeshWire

/// What is in force, page by page.
extension Proxy {
  /// `/config_dump`: all that is in force, without what lets the proxy in elsewhere: the application can read it too.
  func configurationPage() -> String {
    var page = snapshot.unpacked
    let telemetry = page.proxy?.telemetry?.redacted
    page.proxy?.telemetry = telemetry
    return page.json() + "\n"
  }

  /// `/listeners`: where connections come in.
  func listenerPage() -> String {
    var page = Snapshot()
    page.listeners = listeners
    return page.json() + "\n"
  }

  /// `/routes`: the rules of every service that has some; `service=namespace/name` picks one.
  func routePage(service: String? = nil) -> String {
    var page = Snapshot()
    page.services = snapshot.services.compactMap(\.message).filter {
      !$0.routes.isEmpty && (service == nil || service == "\($0.namespace)/\($0.name)")
    }
    return page.json() + "\n"
  }

  /// `/endpoints`: services and endpoints as all workers together know them.
  func endpointPage(_ done: @escaping (AdminResponse) -> Void) {
    onAllWorkers({ $0.clusterPage() }) { pages in
      var whole = ClusterPage()
      for page in pages { whole.add(page) }
      whole.describeDormant(self.configuration)
      whole.clusters.sort { ($0.service, $0.port) < ($1.service, $1.port) }
      done(.json(whole.json() + "\n"))
    }
  }

  /// `/secrets`: certificates, never a key.
  func secretPage() -> String {
    var page = SecretPage()
    if let own = identity {
      page.certificates.append(CertificateReport("own", own.spiffeID.map { "\($0)" } ?? "", own.facts))
    }
    for bundle in snapshot.common.trust {
      for root in bundle.roots {
        if let facts = try? CertificateFacts(bytes: Array(root.utf8)) {
          page.certificates.append(CertificateReport("root", bundle.trustDomain, facts))
        }
      }
    }
    return page.json() + "\n"
  }
}

extension CertificateReport {
  fileprivate init(_ kind: String, _ identity: String, _ facts: CertificateFacts) {
    self.init()
    self.kind = kind
    self.identity = identity
    serial = Self.hexadecimal(facts.serial)
    notBeforeSeconds = UInt64(clamping: facts.notBeforeSeconds)
    notAfterSeconds = UInt64(clamping: facts.notAfterSeconds)
    fingerprint = Self.hexadecimal(facts.sha256)
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}

extension ClusterPage {
  /// Adds what another worker knows.
  mutating func add(_ other: ClusterPage) {
    for cluster in other.clusters {
      if let index = clusters.firstIndex(where: { $0.service == cluster.service && $0.port == cluster.port }) {
        clusters[index].add(cluster)
      } else {
        clusters.append(cluster)
      }
    }
  }
}

extension ClusterReport {
  fileprivate mutating func add(_ other: ClusterReport) {
    retryBudget &+= other.retryBudget
    if other.detection == "serverFirst" { detection = other.detection }
    for limit in other.limits {
      guard let index = limits.firstIndex(where: { $0.kind == limit.kind }) else { continue }
      limits[index].current &+= limit.current
      limits[index].refused &+= limit.refused
      // Each worker has its part of the limit.
      if let own = limits[index].limit, let more = limit.limit { limits[index].limit = own &+ more }
    }
    for endpoint in other.endpoints {
      guard let index = endpoints.firstIndex(where: { $0.uid == endpoint.uid && $0.address == endpoint.address }) else {
        endpoints.append(endpoint)
        continue
      }
      endpoints[index].inFlight &+= endpoint.inFlight
      endpoints[index].connections &+= endpoint.connections
      endpoints[index].idleConnections &+= endpoint.idleConnections
      endpoints[index].latencyMicroseconds = max(endpoints[index].latencyMicroseconds, endpoint.latencyMicroseconds)
      if endpoint.state != "healthy" { endpoints[index].state = endpoint.state }
    }
  }
}

extension ClusterPage {
  /// Says of services that no worker has had a request for what the configuration says of their endpoints.
  mutating func describeDormant(_ configuration: CompiledConfiguration) {
    var places: [String: Int] = [:]
    for (place, spec) in configuration.clusters.enumerated() where spec.identity == 0 {
      places["\(spec.service):\(spec.port)"] = place
    }
    for index in clusters.indices where clusters[index].endpoints.isEmpty {
      guard let place = places["\(clusters[index].service):\(clusters[index].port)"] else { continue }
      clusters[index].endpoints = configuration.clusters[place].members.glance.endpoints.map { spec in
        var report = EndpointReport()
        report.uid = spec.workload.uid
        report.address = "\(spec.address)"
        report.version = spec.workload.names.version
        report.state = spec.isUsable ? "healthy" : "unhealthy"
        report.weight = spec.weight
        report.identity = spec.expectation == nil ? "" : spec.workload.names.principal
        return report
      }
    }
  }
}

extension Worker {
  /// What this worker knows of services and endpoints.
  func clusterPage() -> ClusterPage {
    var page = ClusterPage()
    page.clusters = endpoints.clusters.map { cluster in
      var report = ClusterReport()
      report.service = String(decoding: cluster.pointee.label, as: UTF8.self)
      report.port = UInt32(cluster.pointee.port)
      report.isTCP = cluster.pointee.isTCP
      report.balancer = Self.name(cluster.pointee.policy.loadBalancer)
      report.retryBudget = UInt32(clamping: cluster.pointee.budget.available)
      if case .nanoseconds(let limit) = cluster.pointee.policy.requestTimeout {
        report.requestTimeoutMilliseconds = UInt32(clamping: limit / 1_000_000)
      }
      if cluster.pointee.isUndeclared {
        let isLearned = endpoints.key(of: cluster).map { settings.learned.contains($0) } ?? false
        report.detection = isLearned ? "serverFirst" : "firstBytes"
      }
      report.limits = BreakerKind.allCases.map { kind in
        var limit = LimitReport()
        limit.kind = "\(kind)"
        limit.current = cluster.pointee.breaker.count(kind)
        limit.limit = cluster.pointee.breaker.limit(kind)
        limit.refused = cluster.pointee.breaker.refused(kind)
        return limit
      }
      if cluster.pointee.policy.concurrency != nil {
        report.limits.append(Self.report(AdaptiveGauges(cluster.pointee.concurrency)))
      }
      report.endpoints = (0..<Int(cluster.pointee.set.count)).map { self.report(cluster, $0) }
      return report
    }
    return page
  }

  private static func report(_ gauges: AdaptiveGauges) -> LimitReport {
    var limit = LimitReport()
    limit.kind = LimitReport.adaptive
    limit.current = UInt32(clamping: gauges.underWay)
    limit.limit = UInt32(clamping: gauges.limit)
    limit.refused = gauges.refused
    return limit
  }

  private static func name(_ balancer: LoadBalancer) -> String {
    let text = "\(balancer)"
    return String(text.prefix { $0 != "(" })
  }

  /// The latency of an endpoint as its balancer takes it now, nanoseconds; 0 where nothing is known, or the balancer asks
  /// for none.
  func latencyNanoseconds(_ cluster: ClusterRef, _ index: Int) -> Int64 {
    guard case .peakEWMA(let decay) = cluster.pointee.policy.loadBalancer else { return 0 }
    return Int64(PeakEWMA.latency(cluster.pointee.set.base[index], now: clock, decayNanoseconds: decay))
  }

  private func report(_ cluster: ClusterRef, _ index: Int) -> EndpointReport {
    let endpoint = cluster.pointee.endpoints[index]
    let state = cluster.pointee.set.base[index]
    var report = EndpointReport()
    report.uid = endpoint.pointee.labels.uid
    report.address = "\(endpoint.pointee.address)"
    report.version = endpoint.pointee.labels.names.version
    report.state = state.flags.word
    report.weight = state.weight
    report.inFlight = UInt32(clamping: state.inFlight)
    report.latencyMicroseconds = UInt64(clamping: latencyNanoseconds(cluster, index) / 1_000)
    report.connections = endpoint.pointee.connectionCount
    report.idleConnections = endpoint.pointee.idleCount
    report.identity = endpoint.pointee.expectation == nil ? "" : endpoint.pointee.labels.names.principal
    return report
  }
}
