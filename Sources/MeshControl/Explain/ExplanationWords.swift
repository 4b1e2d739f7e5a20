import MeshModel
import MeshWire

/// The first line of an explanation.
enum Sentence {
  static func text(_ hop: Hop) -> String {
    let told = hop.decisive
    let request = "\(what(told)) from \(hop.callerName) to \(hop.calleeName)"
    if let reason = Reason(name: told.reason) {
      return "\(request) \(outcome(told, reason)): \(lowered(reason.sentence))"
    }
    if told.status >= 500 || told.isFailure {
      let status = told.grpcStatus.map { "gRPC status \($0)" } ?? "\(told.status)"
      return "\(request) was answered with \(status) by the application \(hop.answererName) itself; "
        + "the mesh passed the answer on."
    }
    if told.retries > 0, let before = Reason(name: told.attemptReason) {
      return
        "\(request) \(ending(told)) after \(times(told.retries, "retry", "retries")); the attempt before had failed: "
        + lowered(before.sentence)
    }
    return "\(request) \(ending(told)) after \(duration(told.durationMicroseconds))."
  }

  private static func what(_ record: DecisionRecord) -> String {
    if record.isTunnel { return "A connection" }
    return record.path.isEmpty ? "A request" : "\(record.method) \(record.path)"
  }

  private static func outcome(_ record: DecisionRecord, _ reason: Reason) -> String {
    if reason == .directResponse || reason == .redirect || reason == .corsPreflight {
      return "was answered with \(record.status) by the mesh"
    }
    if record.status == 0 { return record.isTunnel ? "was ended" : "was broken off" }
    return record.isLocalReply
      ? "was refused with \(record.status) by the proxy of \(record.reporter == .source ? "the caller" : "the service")"
      : "ended with \(record.status)"
  }

  private static func ending(_ record: DecisionRecord) -> String {
    record.isTunnel
      ? "ended" : record.status < 400 ? "succeeded with \(record.status)" : "was answered with \(record.status)"
  }

  static func times(_ count: UInt32, _ one: String, _ many: String) -> String {
    count == 1 ? "one \(one)" : "\(count) \(many)"
  }

  static func duration(_ microseconds: UInt64) -> String {
    if microseconds < 10_000 {
      let tenths = (microseconds + 50) / 100
      return "\(tenths / 10).\(tenths % 10) ms"
    }
    return microseconds < 10_000_000 ? "\(microseconds / 1000) ms" : "\(microseconds / 1_000_000) s"
  }

  /// A sentence as the second half of another: `The endpoint …` becomes `the endpoint …`, `TLS …` stays.
  static func lowered(_ sentence: StaticString) -> String {
    let text = "\(sentence)"
    guard let first = text.first, let second = text.dropFirst().first, second.isLowercase || second == " " else {
      return text
    }
    return first.lowercased() + text.dropFirst()
  }
}

extension Hop {
  /// What each end did, in words.
  var steps: [Explanation.Step] {
    var steps: [Explanation.Step] = []
    if let source { steps.append(clientStep(source)) }
    if let destination {
      steps.append(serverStep(destination))
    } else if let source, source.attempts > 0, !source.destinationIdentity.isEmpty {
      steps.append(
        .init(
          place: "proxy of \(source.workload)",
          text: "keeps nothing of it: it did not arrive, or was too long ago"))
    }
    return steps
  }

  private func clientStep(_ record: DecisionRecord) -> Explanation.Step {
    var parts: [String] = []
    let target = record.service.isEmpty ? record.authority : "\(record.destinationNamespace)/\(record.service)"
    if !target.isEmpty { parts.append("for \(target)") }
    if !record.route.isEmpty { parts.append("route \(record.route)") }
    if !record.endpoint.isEmpty {
      let workload = record.workload.isEmpty ? "" : "\(record.workload) at "
      parts.append("endpoint \(workload)\(record.endpoint), \(record.isMutualTLS ? "mutual TLS" : "plaintext")")
    }
    if record.attempts > 1 { parts.append("\(record.attempts) attempts") }
    if !record.attemptReason.isEmpty, record.attemptReason != record.reason {
      parts.append("an attempt failed: \(record.attemptReason)")
    }
    return .init(
      place: "proxy of \(name(record.source, record.proxy))", text: (parts + [end(record)]).joined(separator: "; "))
  }

  private func serverStep(_ record: DecisionRecord) -> Explanation.Step {
    let caller =
      record.sourceIdentity.isEmpty || record.sourceIdentity == "unknown"
      ? "from a caller without identity" : "from \(record.sourceIdentity)"
    var parts = [caller, record.isMutualTLS ? "mutual TLS" : "plaintext"]
    if record.isAnswered, record.reason.isEmpty {
      parts.append("the application answered in \(Sentence.duration(record.upstreamMicroseconds))")
    }
    return .init(
      place: "proxy of \(name(record.workload, record.proxy))", text: (parts + [end(record)]).joined(separator: "; "))
  }

  private func name(_ workload: String, _ proxy: String) -> String {
    workload.isEmpty || workload == "unknown" ? proxy : workload
  }

  private func end(_ record: DecisionRecord) -> String {
    let reason = record.reason.isEmpty ? "" : " (\(record.reason))"
    let status = record.status == 0 ? "ended" : "\(record.status)"
    return "\(status)\(reason) after \(Sentence.duration(record.durationMicroseconds))"
  }
}

extension Explanation {
  /// Who decided, by what the reason is about.
  static func object(_ hop: Hop) -> Object? {
    let told = hop.decisive
    guard let reason = Reason(name: told.reason) ?? Reason(name: told.attemptReason) else {
      return told.status >= 500 || told.isFailure
        ? Object(kind: "Application", namespace: told.destinationNamespace, name: hop.answererName) : nil
    }
    switch reason {
    case .noService: return Object(kind: "Service", namespace: "", name: told.authority, detail: "not there")
    case .noEndpoint, .noHealthyEndpoint: return service(told, "Service")
    case .noRoute: return service(told, "Service", detail: "none of its routes matches")
    case .backendNotFound, .backendNotPermitted, .noBackendWeight, .directResponse, .redirect, .corsPreflight:
      return route(told)
    case .requestTimeout, .backendRequestTimeout, .perTryTimeout, .callerDeadlineExceeded:
      let detail = told.limit > 0 ? "timeout \(told.limit) ms" : ""
      return told.route.isEmpty ? service(told, "TrafficPolicy", detail: detail) : route(told, detail: detail)
    case .circuitOpenConnections: return service(told, "TrafficPolicy", detail: limit(told, "connections"))
    case .circuitOpenPending: return service(told, "TrafficPolicy", detail: limit(told, "waiting requests"))
    case .circuitOpenRequests: return service(told, "TrafficPolicy", detail: limit(told, "requests under way"))
    case .circuitOpenRetries: return service(told, "TrafficPolicy", detail: limit(told, "retries under way"))
    case .retryBudgetExhausted, .retryLimit, .retryBodyTooLarge, .rateLimited, .faultInjected,
      .quotaExceeded:
      return service(told, "TrafficPolicy")
    case .overload, .connectionLimit, .descriptorLimit, .draining, .notReady, .internalError, .tlsNoOwnCertificate:
      return Object(kind: "Proxy", namespace: "", name: told.proxy)
    default: return peer(told, reason)
    }
  }

  private static func limit(_ record: DecisionRecord, _ what: String) -> String {
    record.limit > 0 ? "limit \(record.limit) \(what) for each worker" : ""
  }

  private static func service(_ record: DecisionRecord, _ kind: String, detail: String = "") -> Object {
    Object(kind: kind, namespace: record.destinationNamespace, name: record.service, detail: detail)
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

  /// The other side of a connection: an endpoint, its certificate, or the client.
  private static func peer(_ record: DecisionRecord, _ reason: Reason) -> Object {
    let isTLS = "\(reason.name)".hasPrefix("tls_")
    guard reason.flag != .downstreamProtocolError, reason.flag != .downstreamTermination, record.reporter == .source
    else {
      let name = record.sourceIdentity.isEmpty ? record.source : record.sourceIdentity
      return Object(kind: "Client", namespace: record.sourceNamespace, name: name)
    }
    if isTLS {
      return Object(
        kind: "Certificate", namespace: "", name: record.destinationIdentity, detail: "endpoint \(record.endpoint)")
    }
    return Object(
      kind: "Endpoint", namespace: record.destinationNamespace,
      name: record.workload.isEmpty ? record.service : record.workload, detail: record.endpoint)
  }
}
