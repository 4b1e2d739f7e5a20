internal import CMeshSystem
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshWire

/// What the admin interface shows and does.
extension Proxy {
  func answer(_ request: AdminRequest, _ done: @escaping (AdminResponse) -> Void) {
    switch (request.method, request.path) {
    case ("GET", "/"): done(.text(Self.adminIndex))
    case ("GET", "/live"): done(.text("live\n"))
    case ("GET", "/ready"):
      if isDraining { return done(.text("draining\n", status: 503)) }
      done(isReady ? .text("ready\n") : .text("not ready: \(control?.waitingFor ?? "starting")\n", status: 503))
    case ("GET", "/config_dump"): done(.json(configurationPage()))
    case ("GET", "/clusters"): clusters(done)
    case ("GET", "/connections"): connections(done)
    case ("GET", "/metrics"): metrics(accept: request.accept, done)
    case ("GET", "/decisions"): decisions(request, done)
    case ("GET", "/listeners"): done(.json(listenerPage()))
    case ("GET", "/routes"): done(.json(routePage()))
    case ("GET", "/endpoints"): endpointPage(done)
    case ("GET", "/secrets"): done(.json(secretPage()))
    case ("POST", "/drain"):
      done(.text("draining\n"))
      drain()
    case ("GET", "/logging"): done(.text("\(log.threshold)\n"))
    case ("POST", "/logging"): setLogging(request, done)
    default:
      let methods = Self.adminPages.filter { $0.path == request.path }.map(\.method)
      if methods.isEmpty { return done(.text("no such page; see /\n", status: 404)) }
      var refusal = AdminResponse.text("method \(request.method) is not allowed here\n", status: 405)
      refusal.allow = methods.map { $0 == "GET" ? "GET, HEAD" : $0 }.joined(separator: ", ")
      done(refusal)
    }
  }

  /// What there is, in the order in which `/` lists it. HEAD is allowed wherever GET is.
  private static let adminPages: [(method: String, path: String, what: String)] = [
    ("GET", "/", "this list"),
    ("GET", "/ready", "200 when there is a configuration to work from"),
    ("GET", "/live", "200 as long as the process turns"),
    ("GET", "/metrics", "Prometheus text; OpenMetrics where asked for by Accept"),
    ("GET", "/config_dump", "what is in force, as JSON that --config takes"),
    ("GET", "/clusters", "services, endpoints, what the balancer knows of them"),
    ("GET", "/endpoints", "the same as JSON, added up over the workers"),
    ("GET", "/listeners", "where connections come in"),
    ("GET", "/routes", "rules in force, by service"),
    ("GET", "/secrets", "certificates in force; never a key"),
    ("GET", "/decisions", "the last requests (id, notable, from, to, path, method, status, reason, limit)"),
    ("GET", "/connections", "how many of what kind, by worker"),
    ("GET", "/logging", "the log's level"),
    ("POST", "/logging", "?level=debug sets it"),
    ("POST", "/drain", "finishes what is under way and ends"),
  ]
  private static let adminIndex = adminPages.reduce(into: "") { text, page in
    let path =
      page.path.utf8.count < 12 ? page.path + String(repeating: " ", count: 12 - page.path.utf8.count) : page.path
    text += "\(page.method)\(page.method == "GET" ? "  " : " ")\(path)  \(page.what)\n"
  }

  private func setLogging(_ request: AdminRequest, _ done: (AdminResponse) -> Void) {
    guard let name = request.query["level"], let level = LogLevel.allCases.first(where: { "\($0)" == name }) else {
      return done(.text("level is one of error, warning, info, debug\n", status: 400))
    }
    log.threshold = level
    done(.text("\(level)\n"))
  }

  private func clusters(_ done: @escaping (AdminResponse) -> Void) {
    onAllWorkers({ $0.clusterReports() }) { reports in
      var text = ""
      for (index, report) in reports.enumerated() {
        text += "worker \(index)\n" + report.joined()
      }
      text += self.dormantReport()
      done(.text(text))
    }
  }

  /// What is known of the endpoints of services that a worker may not have had a request for.
  private func dormantReport() -> String {
    let dormant = configuration.clusters.filter { !$0.members.isEager }
    guard !dormant.isEmpty else { return "" }
    return "configured\n"
      + dormant.map { spec in
        let lines = spec.members.glance.endpoints.map {
          "  \($0.workload.uid) \($0.address) \($0.isUsable ? "healthy" : "unhealthy") weight \($0.weight)\n"
        }
        return "\(spec.key)\n" + lines.joined()
      }.joined()
  }

  private func connections(_ done: @escaping (AdminResponse) -> Void) {
    onAllWorkers({ ($0.downstreamCount, $0.upstreamCount, $0.exchangeCount) }) { counts in
      let workers = counts.enumerated().map {
        "{\"worker\":\($0.offset),\"downstream\":\($0.element.0),\"upstream\":\($0.element.1),\"exchanges\":\($0.element.2)}"
      }
      done(.json("{\"workers\":[\(workers.joined(separator: ","))]}\n"))
    }
  }
}

extension Worker {
  /// The clusters as people read them.
  func clusterReports() -> [String] {
    endpoints.clusters.map { cluster in
      let name = String(decoding: cluster.pointee.label, as: UTF8.self)
      var text = "\(name):\(cluster.pointee.port)\n"
      text += "  breaker"
      for kind in BreakerKind.allCases {
        let limit = cluster.pointee.breaker.limit(kind).map { "\($0)" } ?? "off"
        text += "  \(kind) \(cluster.pointee.breaker.count(kind))/\(limit)"
      }
      if cluster.pointee.policy.concurrency != nil {
        let limiter = cluster.pointee.concurrency
        text +=
          "  adaptive \(limiter.inFlight)/\(Int(limiter.limit)), calm at \(Int(limiter.calmNanoseconds / 1000)) us"
      }
      text += "  retry budget left \(cluster.pointee.budget.available)\n"
      if cluster.pointee.isUndeclared {
        text += "  protocol undeclared: told from the first bytes"
        text += cluster.pointee.serverSpeaksFirst ? "; learned that the server speaks first\n" : "\n"
      }
      if cluster.pointee.dormant != nil { text += "  no request yet\n" }
      for index in 0..<Int(cluster.pointee.set.count) {
        let endpoint = cluster.pointee.endpoints[index]
        let state = cluster.pointee.set.base[index]
        text += "  \(endpoint.pointee.labels.uid) \(endpoint.pointee.address) \(state.flags.word)"
        text += " weight \(state.weight) in flight \(state.inFlight)"
        text += " latency \(latencyNanoseconds(cluster, index) / 1_000) us"
        text += " connections \(endpoint.pointee.connectionCount) idle \(endpoint.pointee.idleCount)"
        text += endpoint.pointee.multiplexedHead == nil ? "" : " HTTP/2"
        text += endpoint.pointee.expectation == nil ? " plaintext\n" : " mTLS\n"
      }
      return text
    }
  }

  /// What inbound listeners demand of clients from now on.
  func setModes(_ modes: [MutualTLSMode]) {
    for index in listeners.indices where index < modes.count { listeners[index].mutualTLS = modes[index] }
  }
}
