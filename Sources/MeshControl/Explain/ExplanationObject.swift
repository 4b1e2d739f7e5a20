import MeshModel
import MeshWire

extension Explanation {
  /// Why no further attempt was made, as `attemptReason` has it beside the failure itself.
  static let retryRefusals: Set<Reason> = [
    .retryLimit, .retryBudgetExhausted, .retryBodyTooLarge, .circuitOpenRetries,
  ]

  /// Who decided, by what the reason is about, as far as the proxies' records tell. Which policy it is that a service has
  /// is for `DecidingObjects` to say.
  static func object(_ hop: Hop) -> Object? {
    let told = hop.decisive
    let isUnretried = told.isUnretried || told.reason.isEmpty && hop.retryRefusal != nil
    if isUnretried, told.isAnswered { return withoutReason(hop) }
    guard let reason = Reason(name: told.reason) ?? Reason(name: told.attemptReason) else { return withoutReason(hop) }
    switch reason {
    case .noService: return Object(kind: "Service", namespace: "", name: told.authority, detail: "not there")
    case .noEndpoint, .noHealthyEndpoint: return service(told, "Service")
    case .noRoute: return service(told, "Service", detail: "none of its routes matches")
    case .backendNotFound, .backendNotPermitted, .noBackendWeight, .directResponse, .redirect, .corsPreflight:
      return route(told)
    case .requestTimeout, .backendRequestTimeout, .perTryTimeout:
      let detail = told.limit > 0 ? "timeout \(told.limit) ms" : ""
      return told.route.isEmpty ? service(told, "TrafficPolicy", detail: detail) : route(told, detail: detail)
    case .callerDeadlineExceeded:
      return client(told, detail: told.limit > 0 ? "its deadline of \(told.limit) ms" : "its deadline")
    case .circuitOpenConnections: return service(told, "TrafficPolicy", detail: limit(told, "connections"))
    case .circuitOpenPending: return service(told, "TrafficPolicy", detail: limit(told, "waiting requests"))
    case .circuitOpenRequests: return service(told, "TrafficPolicy", detail: limit(told, "requests under way"))
    case .circuitOpenRetries: return service(told, "TrafficPolicy", detail: limit(told, "retries under way"))
    case .retryBudgetExhausted, .retryLimit, .retryBodyTooLarge: return service(told, "TrafficPolicy")
    case .rateLimited, .quotaExceeded:
      return policy(told, detail: told.limit > 0 ? "limit of \(told.limit) requests" : "")
    case .faultInjected: return policy(told)
    case .overload where told.attempts == 0 && !told.service.isEmpty:
      return service(told, "TrafficPolicy", detail: "adaptive concurrency")
    case .overload, .connectionLimit, .descriptorLimit, .tlsNoOwnCertificate, .maxForwardsReached:
      return Object(kind: "Proxy", namespace: "", name: told.proxy)
    case .connectTargetForbidden:
      return Object(
        kind: "Proxy", namespace: "", name: told.proxy, detail: "does not lead to \(told.authority) on this port")
    default: return peer(told, reason)
    }
  }

  /// A retry that helped is about the endpoint that failed before, a delay about the policy that put it in, a failure that
  /// was passed on about the application.
  private static func withoutReason(_ hop: Hop) -> Object? {
    let told = hop.decisive
    if told.status >= 500 || told.isFailure {
      return Object(kind: "Application", namespace: told.destinationNamespace, name: hop.answererName)
    }
    if let attempt = told.failedAttempts.last {
      return Object(
        kind: "Endpoint", namespace: told.destinationNamespace,
        name: attempt.workload.isEmpty ? told.service : attempt.workload, detail: attempt.endpoint)
    }
    return told.delayMilliseconds > 0 ? policy(told, detail: "delay \(told.delayMilliseconds) ms") : nil
  }

  private static func limit(_ record: DecisionRecord, _ what: String) -> String {
    record.limit > 0 ? "limit \(record.limit) \(what) for each worker" : ""
  }

  private static func service(_ record: DecisionRecord, _ kind: String, detail: String = "") -> Object {
    Object(kind: kind, namespace: record.destinationNamespace, name: record.service, detail: detail)
  }

  /// The policy that the proxy names itself, with the limit of it that decided: `namespace/name/limit`.
  private static func policy(_ record: DecisionRecord, detail: String = "") -> Object {
    let parts = record.policy.split(separator: "/", maxSplits: 2).map(String.init)
    guard parts.count >= 2 else { return service(record, "TrafficPolicy", detail: detail) }
    let rule = parts.count > 2 ? "rule \(parts[2])" : ""
    return Object(
      kind: "TrafficPolicy", namespace: parts[0], name: parts[1],
      detail: [rule, detail].filter { !$0.isEmpty }.joined(separator: ", "))
  }

  /// `namespace/name/rule` of a route's label.
  private static func route(_ record: DecisionRecord, detail: String = "") -> Object {
    let parts = record.route.split(separator: "/").map(String.init)
    guard parts.count >= 2 else { return service(record, "Service", detail: detail) }
    let rule = parts.count > 2 ? "rule \(parts[2...].joined(separator: "/"))" : ""
    return Object(
      kind: "HTTPRoute", namespace: parts[0], name: parts[1],
      detail: [rule, detail].filter { !$0.isEmpty }.joined(separator: ", "))
  }

  private static func client(_ record: DecisionRecord, detail: String = "") -> Object {
    let names = [record.sourceIdentity, record.source].filter { !$0.isEmpty && $0 != "unknown" }
    guard let name = names.first else {
      return Object(
        kind: "Client", namespace: "", name: record.peer.isEmpty ? "unknown" : record.peer, detail: detail)
    }
    return Object(
      kind: "Client", namespace: record.sourceNamespace, name: name,
      detail: [detail, record.peer].filter { !$0.isEmpty }.joined(separator: ", "))
  }

  /// The other side of a connection: an endpoint, its certificate, or the client.
  private static func peer(_ record: DecisionRecord, _ reason: Reason) -> Object {
    let isTLS = "\(reason.name)".hasPrefix("tls_")
    let isOfClient =
      record.isConnection
      ? record.endpoint.isEmpty
      : reason.flag == .downstreamProtocolError || reason.flag == .downstreamTermination
        || record.reporter == .destination && isTLS || reason == .headerTimeout || reason == .bodyTimeout
    if isOfClient { return client(record) }
    if isTLS {
      let name = record.destinationIdentity.isEmpty ? record.service : record.destinationIdentity
      return Object(kind: "Certificate", namespace: "", name: name, detail: "endpoint \(record.endpoint)")
    }
    if record.reporter == .destination {
      return Object(
        kind: "Application", namespace: record.destinationNamespace,
        name: record.workload.isEmpty ? record.proxy : record.workload, detail: record.endpoint)
    }
    return Object(
      kind: "Endpoint", namespace: record.destinationNamespace,
      name: record.workload.isEmpty ? record.service : record.workload, detail: record.endpoint)
  }
}
