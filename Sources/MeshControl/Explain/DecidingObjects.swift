import MeshModel
package import MeshWire

/// Knows the configuration in force: which object it is that gives a service, or a rule, the setting that decided.
package protocol DecidingObjects: Sendable {
  /// The object itself, for what the proxies' records tell of it: proxies know the name of a service or route, not which
  /// policy is attached to it.
  func object(_ found: Explanation.Object, for record: DecisionRecord) async -> Explanation.Object
  /// Whether there is a Service of this name; nil: in whatever namespace.
  func knowsService(_ name: String, namespace: String?) async -> Bool
}

extension ConfigEngine: DecidingObjects {
  package func object(_ found: Explanation.Object, for record: DecisionRecord) -> Explanation.Object {
    picture.index.decider(found, for: record)
  }

  package func knowsService(_ name: String, namespace: String?) -> Bool {
    picture.index.services.keys.contains { $0.name == name && (namespace == nil || $0.namespace == namespace) }
  }
}

extension MeshIndex {
  /// As `DecidingObjects` asks. Pure: the index is all that it reads.
  package func decider(_ found: Explanation.Object, for record: DecisionRecord) -> Explanation.Object {
    let reason = Reason(name: record.reason) ?? Reason(name: record.attemptReason)
    switch found.kind {
    case "HTTPRoute": return routeDecider(found, reason, record)
    case "TrafficPolicy": return policyDecider(found, reason, record)
    case "Client" where reason == .tlsPlaintextRefused: return modeDecider(found, record)
    case "Certificate": return certificateDecider(found, record)
    case "Service" where reason == .noEndpoint: return nameDecider(found)
    default: return found
    }
  }

  /// A policy's setting, read from whichever object has it.
  private typealias Setting = (Typed<TrafficPolicySpec>) -> Bool

  private static func setting(_ reason: Reason?) -> Setting {
    switch reason {
    case .requestTimeout: { $0.spec.timeouts?.request != nil }
    case .backendRequestTimeout: { $0.spec.timeouts?.backendRequest != nil }
    case .perTryTimeout: { $0.spec.retry?.perTryTimeout != nil }
    case .retryLimit, .retryBodyTooLarge: { $0.spec.retry != nil }
    case .retryBudgetExhausted: { $0.spec.retryBudget != nil }
    case .circuitOpenConnections: { $0.spec.circuitBreaker?.maxConnections != nil }
    case .circuitOpenPending: { $0.spec.circuitBreaker?.maxPendingRequests != nil }
    case .circuitOpenRequests: { $0.spec.circuitBreaker?.maxRequests != nil }
    case .circuitOpenRetries: { $0.spec.circuitBreaker?.maxRetries != nil }
    case .overload: { $0.spec.adaptiveConcurrency != nil }
    default: { _ in true }
    }
  }

  /// The route, of whatever kind; for what a policy can set as well, the policy that does.
  private func routeDecider(
    _ found: Explanation.Object, _ reason: Reason?, _ record: DecisionRecord
  ) -> Explanation.Object {
    guard let route = route(namespace: found.namespace, name: found.name, of: record) else { return found }
    var object = found
    object.kind = route.kind.name
    let rule = rule(record.route, of: route)
    switch reason {
    case .requestTimeout where rule?.timeouts?.request == nil,
      .backendRequestTimeout where rule?.timeouts?.backendRequest == nil, .perTryTimeout:
      return inherited(reason, route, record) ?? object
    default: return object
    }
  }

  /// Where a rule says nothing: the policy of its route, else that of the service that the route is attached to.
  private func inherited(_ reason: Reason?, _ route: RouteObject, _ record: DecisionRecord) -> Explanation.Object? {
    let isSet = Self.setting(reason)
    let ofServices = route.parentServices.compactMap { decidingPolicy(for: $0) }
    let policies = [decidingPolicy(forRoute: route.key)].compactMap { $0 } + ofServices
    let detail = record.limit > 0 ? "timeout \(record.limit) ms" : ""
    return policies.first(where: isSet).map { Self.object(of: $0, detail) }
  }

  private func policyDecider(
    _ found: Explanation.Object, _ reason: Reason?, _ record: DecisionRecord
  ) -> Explanation.Object {
    // Limits on rates and faults carry their policy's name.
    if !record.policy.isEmpty { return limitDecider(found, reason, record) }
    let parts = record.route.split(separator: "/").map(String.init)
    let isRetry = reason == .retryLimit || reason == .retryBodyTooLarge
    if isRetry, parts.count >= 2, let route = route(namespace: parts[0], name: parts[1], of: record) {
      if rule(record.route, of: route)?.retry != nil {
        return .init(
          kind: route.kind.name, namespace: parts[0], name: parts[1],
          detail: parts.count > 2 ? "rule \(parts[2...].joined(separator: "/"))" : "")
      }
      if let policy = inherited(reason, route, record) { return policy }
    }
    let name = ServiceName(namespace: found.namespace, name: found.name)
    if let policy = effectivePolicy(for: name), Self.setting(reason)(policy) {
      return Self.object(of: policy, found.detail)
    }
    let detail = [found.detail, "the mesh's default"].filter { !$0.isEmpty }.joined(separator: ", ")
    return .init(kind: "Service", namespace: found.namespace, name: found.name, detail: detail)
  }

  /// What a limit on rates allows, in how long a time: proxies tell its name and number.
  private func limitDecider(
    _ found: Explanation.Object, _ reason: Reason?, _ record: DecisionRecord
  ) -> Explanation.Object {
    guard reason == .rateLimited || reason == .quotaExceeded else { return found }
    let parts = record.policy.split(separator: "/", maxSplits: 2).map(String.init)
    let policy = policies.values.first {
      parts.count == 3 && $0.metadata.namespace == parts[0] && $0.metadata.name == parts[1]
    }
    guard let limit = policy?.spec.rateLimits.first(where: { $0.name == parts[2] }) else { return found }
    var object = found
    object.detail = "rule \(limit.name), limit of \(limit.requests) requests in \(limit.per?.text ?? "1s")"
    return object
  }

  private static func object(of policy: Typed<TrafficPolicySpec>, _ detail: String) -> Explanation.Object {
    .init(kind: "TrafficPolicy", namespace: policy.metadata.namespace, name: policy.metadata.name, detail: detail)
  }

  /// The PeerAuthentication that demands mutual TLS of the workload's clients; without one it is the mesh's default.
  private func modeDecider(_ found: Explanation.Object, _ record: DecisionRecord) -> Explanation.Object {
    guard let workload = workloads[record.proxy] else { return found }
    let source = peerMode(port: nil, labels: workload.labels, namespace: workload.namespace).source
    let parts = source.split(separator: "/", maxSplits: 1).map(String.init)
    guard parts.count == 2 else {
      var object = found
      object.detail = "mutual TLS is demanded by the mesh's default, STRICT"
      return object
    }
    return .init(
      kind: "PeerAuthentication", namespace: parts[0], name: parts[1], detail: "refused \(found.name)")
  }

  /// Where the endpoints are the addresses of a name: what DNS says of it.
  private func nameDecider(_ found: Explanation.Object) -> Explanation.Object {
    let name = ServiceName(namespace: found.namespace, name: found.name)
    guard let service = services[name], let host = service.spec.resolvedName,
      let condition = resolution(of: service, host: host)
    else { return found }
    var object = found
    object.detail = condition.message
    return object
  }

  /// Endpoints outside the mesh are reached as a BackendTLSPolicy says.
  private func certificateDecider(_ found: Explanation.Object, _ record: DecisionRecord) -> Explanation.Object {
    guard record.destinationIdentity.isEmpty else { return found }
    let name = ServiceName(namespace: record.destinationNamespace, name: record.service)
    let policies = (backendPoliciesByTarget[name] ?? []).compactMap { backendPolicies[$0] }
    guard let policy = policies.min(by: Typed<BackendTLSPolicySpec>.hasPrecedence) else { return found }
    return .init(
      kind: "BackendTLSPolicy", namespace: policy.metadata.namespace, name: policy.metadata.name, detail: found.detail)
  }

  /// The route with this name; where several kinds have it, the one that has to do with the service that was called.
  private func route(namespace: String, name: String, of record: DecisionRecord) -> RouteObject? {
    let named = (routesByNamespace[namespace] ?? []).compactMap { routes[$0] }.filter { $0.metadata.name == name }
    let called = ServiceName(namespace: record.destinationNamespace, name: record.service)
    return named.sorted { $0.kind < $1.kind }
      .first { ($0.parentServices + $0.backendServices).contains(called) } ?? named.min { $0.kind < $1.kind }
  }

  /// The rule that a label `namespace/name/rule` names, by its own name or its number.
  private func rule(_ label: String, of route: RouteObject) -> RouteObject.Rule? {
    let parts = label.split(separator: "/", maxSplits: 2).map(String.init)
    guard parts.count == 3 else { return nil }
    return route.rules.first { $0.name == parts[2] }
      ?? Int(parts[2]).flatMap { route.rules.indices.contains($0) ? route.rules[$0] : nil }
  }
}
