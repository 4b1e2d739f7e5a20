/// What the proxy counts of itself, once for each loop; goes up only.
package enum ProxyCounter: UInt8, Sendable, CaseIterable {
  case downstreamConnections, upstreamConnections, upstreamConnectFailures
  case tlsHandshakes, tlsHandshakeFailures, tlsResumptions, plaintextConnections
  case retries, retriesRefusedByBudget, retriesRefusedByBreaker, circuitRefusals
  case ejections, snapshotsTaken, malformedRequests, seriesDropped, accessLogLines, accessLogDropped
  case endpointRests, mirroredRequests, hedgedRequests, healthFailures, healthRecoveries
  case spansRecorded, spansDropped
  case detectionWaits, healthChecksPassed

  /// The name without `_total`, as OpenMetrics wants it for the family.
  package var name: StaticString {
    switch self {
    case .downstreamConnections: "apus_downstream_connections_opened"
    case .upstreamConnections: "apus_upstream_connections_opened"
    case .upstreamConnectFailures: "apus_upstream_connect_failures"
    case .tlsHandshakes: "apus_tls_handshakes"
    case .tlsHandshakeFailures: "apus_tls_handshake_failures"
    case .tlsResumptions: "apus_tls_resumptions"
    case .plaintextConnections: "apus_plaintext_connections"
    case .retries: "apus_retries"
    case .retriesRefusedByBudget: "apus_retries_refused_by_budget"
    case .retriesRefusedByBreaker: "apus_retries_refused_by_breaker"
    case .circuitRefusals: "apus_circuit_refusals"
    case .ejections: "apus_ejections"
    case .snapshotsTaken: "apus_snapshots_taken"
    case .malformedRequests: "apus_malformed_requests"
    case .seriesDropped: "apus_series_dropped"
    case .accessLogLines: "apus_access_log_lines"
    case .accessLogDropped: "apus_access_log_lines_dropped"
    case .endpointRests: "apus_endpoint_rests"
    case .mirroredRequests: "apus_mirrored_requests"
    case .hedgedRequests: "apus_hedged_requests"
    case .healthFailures: "apus_health_check_failures"
    case .healthRecoveries: "apus_health_check_recoveries"
    case .spansRecorded: "apus_spans_recorded"
    case .spansDropped: "apus_spans_dropped"
    case .detectionWaits: "apus_detection_waits"
    case .healthChecksPassed: "apus_health_checks_passed_on"
    }
  }

  /// One sentence for `# HELP`.
  package var help: StaticString {
    switch self {
    case .downstreamConnections: "Connections accepted."
    case .upstreamConnections: "Connections made to endpoints."
    case .upstreamConnectFailures: "Connections to endpoints that could not be made."
    case .tlsHandshakes: "TLS handshakes completed."
    case .tlsHandshakeFailures: "TLS handshakes that failed."
    case .tlsResumptions: "TLS handshakes that resumed a session."
    case .plaintextConnections: "Inbound connections taken without TLS."
    case .retries: "Attempts after the first."
    case .retriesRefusedByBudget: "Retries that the budget did not allow."
    case .retriesRefusedByBreaker: "Retries that the circuit breaker did not allow."
    case .circuitRefusals: "Requests and connections that a circuit breaker refused."
    case .ejections: "Endpoints put aside by outlier detection."
    case .snapshotsTaken: "Configurations taken up by a loop."
    case .malformedRequests: "Requests refused for their syntax."
    case .seriesDropped: "Requests and connections not counted because there are as many series as there may be."
    case .accessLogLines: "Lines of the access log handed over."
    case .accessLogDropped: "Lines of the access log dropped because nobody took them in time."
    case .endpointRests: "Endpoints left alone for a while because they asked for it (Retry-After)."
    case .mirroredRequests: "Copies of requests sent to other services."
    case .hedgedRequests: "Second attempts made beside a first one that took long."
    case .healthFailures: "Endpoints that health checks found to be ill."
    case .healthRecoveries: "Endpoints that health checks found to be well again."
    case .spansRecorded: "Spans handed over to be sent to a collector."
    case .spansDropped: "Spans dropped because nobody took them in time."
    case .detectionWaits: "Connections to undeclared ports held for a moment because their clients were silent."
    case .healthChecksPassed: "Health checks of other proxies given to the application; they are no requests."
    }
  }
}

/// What the proxy measures of itself, once for each loop; goes up and down.
package enum ProxyGauge: UInt8, Sendable, CaseIterable {
  case downstreamConnections, upstreamConnections, idleUpstreamConnections, activeRequests, pendingRequests
  case ejectedEndpoints, requestSeries

  package var name: StaticString {
    switch self {
    case .downstreamConnections: "apus_downstream_connections_active"
    case .upstreamConnections: "apus_upstream_connections_active"
    case .idleUpstreamConnections: "apus_upstream_connections_idle"
    case .activeRequests: "apus_requests_active"
    case .pendingRequests: "apus_requests_pending"
    case .ejectedEndpoints: "apus_endpoints_ejected"
    case .requestSeries: "apus_request_series"
    }
  }

  /// One sentence for `# HELP`.
  package var help: StaticString {
    switch self {
    case .downstreamConnections: "Connections from clients that are open."
    case .upstreamConnections: "Connections to endpoints that are open."
    case .idleUpstreamConnections: "Connections to endpoints that wait for a request."
    case .activeRequests: "Requests under way."
    case .pendingRequests: "Requests that wait for a connection."
    case .ejectedEndpoints: "Endpoints that outlier detection has put aside, summed over loops."
    case .requestSeries: "Series of requests that are kept."
    }
  }
}
