// Unsafe by design: the head is parsed in memory that lives as long as the call.
internal import MeshHTTP
package import MeshModel
internal import MeshPolicy

/// A request that might be made, for asking where it would go.
package struct RouteQuestion: Sendable, Equatable {
  /// Host, with the port where it is not 80.
  package var authority: String
  package var method: String
  /// Path and query.
  package var target: String
  package var headers: [(name: String, value: String)]

  package init(authority: String, method: String = "GET", target: String = "/", headers: [(String, String)] = []) {
    self.authority = authority
    self.method = method
    self.target = target
    self.headers = headers.map { (name: $0.0, value: $0.1) }
  }

  package static func == (left: RouteQuestion, right: RouteQuestion) -> Bool {
    left.authority == right.authority && left.method == right.method && left.target == right.target
      && left.headers.map { [$0.name, $0.value] } == right.headers.map { [$0.name, $0.value] }
  }
}

/// Where a request would go.
package struct RouteOutcome: Sendable, Equatable {
  package enum Kind: String, Sendable, Equatable {
    /// The mesh would refuse it; `reason` says why.
    case refused
    /// No route is attached: it would go to the service itself.
    case service
    /// A rule would forward it to its backends.
    case forwarded
    /// A rule would answer it, or send it elsewhere.
    case answered
  }

  /// A backend, and the share of the requests it gets.
  package struct Backend: Sendable, Equatable {
    /// `namespace/name:port`; where it cannot be used, the reason its share would be refused with.
    package var service: String
    package var percent: Double
    package var reason: Reason?
  }

  package var kind: Kind
  /// `namespace/name` of the service that was asked for; empty where there is none.
  package var service = ""
  /// `namespace/name/rule`; empty where no rule took it.
  package var rule = ""
  package var backends: [Backend] = []
  package var reason: Reason?
  /// The status of an answer of the mesh itself; 0: none.
  package var status: UInt16 = 0
}

extension CompiledConfiguration {
  /// Where a request to this question's authority would go, decided by what the traffic path decides with.
  package func outcome(of question: RouteQuestion) -> RouteOutcome {
    var text = "\(question.method) \(question.target) HTTP/1.1\r\nhost: \(question.authority)\r\n"
    for header in question.headers { text += "\(header.name): \(header.value)\r\n" }
    var bytes = Array((text + "\r\n").utf8)
    let count = bytes.count
    let scratch = 16 * 1024
    bytes += [UInt8](repeating: 0, count: scratch)
    var fields = [FieldRef](repeating: FieldRef(name: .empty, value: .empty, known: .other), count: FieldSet.capacity)
    return bytes.withUnsafeMutableBufferPointer { memory in
      fields.withUnsafeMutableBufferPointer { storage in
        guard let base = memory.baseAddress, let first = storage.baseAddress else {
          return RouteOutcome(kind: .refused, reason: .malformedRequest)
        }
        var head = MessageHead(base: base, fields: first)
        var info = HTTP1RequestInfo()
        let result = HTTP1Parser.parseRequestHead(
          base, count: count, scanned: 0, limits: HTTP1Limits(),
          scratch: HeadScratch(offset: count, capacity: scratch), into: &head, info: &info)
        switch result {
        case .needMore: return RouteOutcome(kind: .refused, reason: .malformedRequest)
        case .failure(let error): return RouteOutcome(kind: .refused, reason: error.reasonCode, status: error.status)
        case .complete: return outcome(of: head)
        }
      }
    }
  }

  private func outcome(of head: borrowing MessageHead) -> RouteOutcome {
    guard let number = hosts.view.pointee.cluster(authority: head.bytes(head.authority), isConnect: false),
      Int(number) < clusters.count, number >= 0
    else { return RouteOutcome(kind: .refused, reason: .noService, status: Reason.noService.httpStatus ?? 0) }
    let cluster = clusters[Int(number)]
    guard let table = cluster.routes else {
      return RouteOutcome(
        kind: .service, service: cluster.service, backends: [.init(service: cluster.key, percent: 100)])
    }
    // The view reads memory of the table, which `clusters` keeps.
    let hit = table.view.match(head)
    guard !hit.isNone else {
      return RouteOutcome(
        kind: .refused, service: cluster.service, reason: .noRoute, status: Reason.noRoute.httpStatus ?? 0)
    }
    return outcome(table.view, table.view.rules[Int(hit.rule)], cluster)
  }

  private func outcome(_ view: RouteTableView, _ rule: CompiledRule, _ cluster: ClusterSpec) -> RouteOutcome {
    var outcome = RouteOutcome(kind: .forwarded, service: cluster.service)
    outcome.rule = String(decoding: view.text(rule.label), as: UTF8.self)
    switch rule.action {
    case .redirect: (outcome.kind, outcome.status) = (.answered, rule.redirect.status)
    case .respond: (outcome.kind, outcome.status) = (.answered, rule.answerStatus)
    case .forward:
      var before: UInt32 = 0
      for index in Int(rule.backends.start)..<Int(rule.backends.start &+ rule.backends.count) {
        let backend = view.backends[index]
        let share = Double(backend.cumulativeWeight &- before) * 100 / Double(max(1, rule.totalWeight))
        before = backend.cumulativeWeight
        let place = Int(backend.cluster)
        let name = backend.unusable == nil && clusters.indices.contains(place) ? clusters[place].key : ""
        outcome.backends.append(.init(service: name, percent: share, reason: backend.unusable))
      }
      if outcome.backends.isEmpty { outcome.reason = .noBackendWeight }
    }
    return outcome
  }
}
