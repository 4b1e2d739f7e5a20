import MeshModel
import MeshWire

/// Answers "why": from what the proxies keep of single requests, from the counts of the last hour, and, where there was
/// no traffic, from what the control plane knows of the two.
package struct TrafficExplainer: Sendable {
  private let reader: DecisionReader
  private let statistics: any StatsSource
  private let workloads: any WorkloadDirectory
  private let objects: (any DecidingObjects)?

  /// - Parameter objects: knows which policies and routes are in force; without it objects are named as proxies know them.
  package init(
    pages: any ProxyPages, statistics: any StatsSource, workloads: any WorkloadDirectory,
    objects: (any DecidingObjects)? = nil
  ) {
    reader = DecisionReader(pages: pages)
    self.statistics = statistics
    self.workloads = workloads
    self.objects = objects
  }

  /// Explains one request; nil where no proxy keeps anything of it.
  package func explain(requestID: String) async -> Explanation? {
    await explanation(of: await reader.decisions(DecisionQuery(requestID: requestID, limit: 50)))
  }

  private func explanation(of decisions: [DecisionRecord]) async -> Explanation? {
    guard var explanation = Explanation(of: decisions) else { return nil }
    if let objects, let object = explanation.object, let told = explanation.told {
      explanation.object = await objects.object(object, for: told)
    }
    if explanation.object?.kind == "BackendTLSPolicy" {
      explanation.remedy =
        "Compare the certificate that the server shows with the hostname and the authorities that the policy names; "
        + "`apus analyze` says whether they are there."
    }
    return explanation
  }

  /// Explains what happens between two: the newest failure or refusal, else the newest request, else why there is none.
  /// - Parameters:
  ///   - from, to: `NAME` or `NAMESPACE/NAME` of a workload or service.
  ///     One of the two may be empty: anybody.
  ///   - path: the beginning of the path.
  ///   - reason: only requests and connections that came to this.
  package func explain(from: String, to: String, path: String?, reason: String? = nil) async -> Explanation {
    let figures = await hour(from: from, to: to)
    var query = DecisionQuery(
      from: from.isEmpty ? nil : from, to: to.isEmpty ? nil : to, path: path, reason: reason, isNotable: true, limit: 20
    )
    var found = await reader.decisions(query)
    if found.isEmpty {
      query.isNotable = false
      found = await reader.decisions(query)
    }
    if let newest = found.first {
      let same = await both(newest, found.filter { $0.requestID == newest.requestID })
      if var explanation = await explanation(of: same) {
        if let figures { explanation.chain.insert(.init(place: "last hour", text: figures), at: 0) }
        return explanation
      }
    }
    guard !from.isEmpty, !to.isEmpty else { return nothing(from.isEmpty ? "to \(to)" : "from \(from)", figures) }
    return await withoutTraffic(from: from, to: to, figures: figures)
  }

  /// Everything that both ends of a call keep of it: the question by names finds only the ends that answer to it.
  private func both(_ newest: DecisionRecord, _ named: [DecisionRecord]) async -> [DecisionRecord] {
    guard !newest.requestID.isEmpty else { return [newest] }
    let all = await reader.decisions(DecisionQuery(requestID: newest.requestID, limit: 50))
    let hops = Hop.all(in: all).filter { hop in hop.records.contains { named.contains($0) } }
    return hops.isEmpty ? named : hops.flatMap(\.records)
  }

  /// Nothing is kept of what only one side is named of.
  private func nothing(_ what: String, _ figures: String?) -> Explanation {
    Explanation(
      sentence: "No proxy keeps a request \(what) that is like this.",
      chain: figures.map { [.init(place: "last hour", text: $0)] } ?? [],
      remedy: "Ask again after the next request, or look at what there is: `apus tap --notable`.")
  }

  /// The last hour in words; nil where nothing passed.
  private func hour(from: String, to: String) async -> String? {
    let query = TrafficQuery(
      window: .seconds(3600), dimensions: [], from: TrafficPeer(text: from), to: TrafficPeer(text: to))
    guard let figures = await statistics.traffic(query).first?.figures, figures.requests > 0 else { return nil }
    var text = "\(figures.requests) requests, \(figures.failures) failed"
    if figures.retries > 0 { text += ", \(figures.retries) retries" }
    if !figures.reasons.isEmpty {
      text += "; " + figures.reasons.prefix(3).map { "\($0.count) \($0.reason)" }.joined(separator: ", ")
    }
    return text
  }

  /// No proxy keeps a request between the two.
  private func withoutTraffic(from: String, to: String, figures: String?) async -> Explanation {
    let known = await workloads.knownWorkloads()
    let callers = known.filter { Self.isNamed(from, $0) }
    let called = known.filter { Self.isNamed(to, $0) }
    if let figures {
      return Explanation(
        sentence: "Requests from \(from) to \(to) passed within the hour, and the proxies no longer keep one of them.",
        chain: [.init(place: "last hour", text: figures)], remedy: "Ask again after the next request.")
    }
    if callers.isEmpty {
      return Explanation(
        sentence: "There is no workload or service \(from) in the mesh, so it called nothing through it.",
        object: .init(kind: "Workload", namespace: "", name: from, detail: "not there"),
        remedy: "Compare the name with `apus get workloads -A`, and start the program under `apus run`.")
    }
    let peer = TrafficPeer(text: to)
    if called.isEmpty, let objects, await !objects.knowsService(peer.name ?? "", namespace: peer.namespace) {
      return Explanation(
        sentence: "There is no service or workload \(to) in the mesh.", reason: "\(Reason.noService.name)",
        object: .init(kind: "Service", namespace: peer.namespace ?? "", name: peer.name ?? to, detail: "not there"),
        remedy: "\(Reason.noService.remedy)")
    }
    if called.isEmpty {
      return Explanation(
        sentence: "\(from) called nothing named \(to) through the mesh, and no workload stands behind that name now.",
        reason: "\(Reason.noEndpoint.name)", object: .init(kind: "Service", namespace: "", name: to),
        remedy: "Compare the name with `apus get services -A`; \(Reason.noEndpoint.remedy)")
    }
    let isMeshed = callers.contains { $0.workload.hasProxy }
    return Explanation(
      sentence: "No request from \(from) to \(to) passed through the mesh within the last hour.",
      object: .init(kind: "Workload", namespace: callers[0].workload.namespace, name: callers[0].workload.name),
      chain: [
        .init(
          place: from,
          text: isMeshed
            ? "has a proxy; requests reach it through HTTP_PROXY or an --upstream port"
            : "has no proxy: what it sends goes past the mesh"),
        .init(
          place: to, text: "\(called.count { $0.workload.health == .healthy }) of \(called.count) endpoints healthy"),
      ],
      remedy: "See that the program calls \(to) by HTTP_PROXY or by the port that `apus run --upstream` gave it.")
  }

  private static func isNamed(_ text: String, _ known: KnownWorkload) -> Bool {
    let peer = TrafficPeer(text: text)
    guard peer.namespace == nil || peer.namespace == known.workload.namespace else { return false }
    return [known.workload.name, known.workload.uid].contains(peer.name)
      || known.services.contains { $0.name == peer.name }
  }
}

extension TrafficPeer {
  /// Reads `NAME`, `NAMESPACE/NAME`, or `NAMESPACE/` for everything in it.
  package init(text: String) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 else {
      self.init(name: text.isEmpty ? nil : text)
      return
    }
    self.init(namespace: parts[0].isEmpty ? nil : parts[0], name: parts[1].isEmpty ? nil : parts[1])
  }
}
