// The texts of the reasons that have to do with routes, upstreams, time and limits.

extension Reason {
  /// Routing: where to send the request.
  var routingDetail: ReasonDetail {
    switch self {
    case .noService:
      ReasonDetail(
        "no_service", 404, .noRoute, "No service of the mesh has this name.",
        "Check the host name (NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc.cluster.local) and `apus get services`.")
    case .noRoute:
      ReasonDetail(
        "no_route", 404, .noRoute, "The service has routes, and none of them matches this request.",
        "Compare the request with the routes that `apus describe NAME` lists, or add a rule that matches everything.")
    case .backendNotFound:
      ReasonDetail(
        "backend_not_found", 500, .noCluster, "The route names a backend that does not exist.",
        "Create the Service that backendRefs names, or correct it; the condition ResolvedRefs says which.")
    case .backendNotPermitted:
      ReasonDetail(
        "backend_not_permitted", 500, .noCluster,
        "The route names a backend in another namespace that does not permit it.",
        "Add a ReferenceGrant in the backend's namespace.")
    case .noBackendWeight:
      ReasonDetail(
        "no_backend_weight", 500, .noCluster, "The route has no backend, or the weights of its backends are all zero.",
        "Give at least one of backendRefs a weight above zero.")
    case .noEndpoint:
      ReasonDetail(
        "no_endpoint", 503, .noHealthyUpstream, "The service exists and has no endpoints.",
        "Start a workload that the service's selector selects; see `apus stat`.")
    case .noHealthyEndpoint:
      ReasonDetail(
        "no_healthy_endpoint", 503, .noHealthyUpstream, "The service has endpoints, and none of them can be used now.",
        "See `/clusters` of the proxy's admin port: they are ejected, draining, unhealthy or already tried.")
    case .connectTargetForbidden:
      ReasonDetail(
        "connect_target_forbidden", 403, .noRoute, "CONNECT asked for an address that this proxy does not serve.",
        "Ask for a service of the mesh by name and port.")
    case .directResponse:
      ReasonDetail(
        "direct_response", 0, .none, "A route answered the request itself, as configured.",
        "Nothing is wrong; the route has a DirectResponse.")
    case .corsPreflight:
      ReasonDetail(
        "cors_preflight", 0, .none, "A route answered a preflight request of another origin's script, as configured.",
        "Nothing is wrong; the route has a CORS filter.")
    case .maxForwardsReached:
      ReasonDetail(
        "max_forwards_reached", 0, .none, "Max-Forwards let the request come as far as this proxy and no further.",
        "Nothing is wrong; send a larger Max-Forwards, or none, to ask the application.")
    default:  // redirect
      ReasonDetail(
        "redirect", 0, .none, "A route answered the request with a redirect, as configured.",
        "Nothing is wrong; the route has a RequestRedirect filter.")
    }
  }

  /// The upstream: connecting to it and what it sends.
  var upstreamDetail: ReasonDetail {
    switch self {
    case .connectFailure:
      ReasonDetail(
        "connect_failure", 503, .upstreamFailure, "The connection to the endpoint failed.",
        "Check that the workload runs and its host can be reached from here.")
    case .connectRefused:
      ReasonDetail(
        "connect_refused", 503, .upstreamFailure, "The endpoint refused the connection.",
        "Check that the application listens on the port that the service names.")
    case .connectTimeout:
      ReasonDetail(
        "connect_timeout", 503, .upstreamFailure, "The endpoint did not take the connection in time.",
        "Check the endpoint's host and the network, or raise connectTimeout of the TrafficPolicy.")
    case .upstreamReset:
      ReasonDetail(
        "upstream_reset", 503, .upstreamTermination, "The endpoint closed the connection before it answered.",
        "Look at the application's log; a crash or an idle time shorter than the pool's does this.")
    case .upstreamRefusedStream:
      ReasonDetail(
        "upstream_refused_stream", 503, .upstreamRemoteReset, "The endpoint refused the request without processing it.",
        "The endpoint is overloaded or going away; a retry is safe.")
    case .upstreamTruncated:
      ReasonDetail(
        "upstream_truncated", 0, .upstreamTermination,
        "The endpoint closed the connection in the middle of its answer.",
        "Look at the application's log; the client saw a reset, since the head had been passed on.")
    case .upstreamProtocolError:
      ReasonDetail(
        "upstream_protocol_error", 502, .upstreamProtocolError,
        "The endpoint's answer is not valid HTTP, or would pass for a WebSocket that was not accepted.",
        "Check that the port speaks the protocol that the service's appProtocol names; gRPC needs HTTP/2.")
    default:  // upstreamHeadTooLarge
      ReasonDetail(
        "upstream_head_too_large", 502, .upstreamProtocolError,
        "The header block of the endpoint's answer is over the limit.",
        "Make the application send less in its headers.")
    }
  }

  /// Time limits.
  var timeDetail: ReasonDetail {
    switch self {
    case .requestTimeout:
      ReasonDetail(
        "request_timeout", 504, .upstreamTimeout, "The request, retries included, took longer than the route allows.",
        "Raise timeouts.request of the route, or find out what is slow with `apus stat`.")
    case .backendRequestTimeout:
      ReasonDetail(
        "backend_request_timeout", 504, .upstreamTimeout,
        "The endpoint took longer to answer than the route allows for one backend request.",
        "Raise timeouts.backendRequest of the route, or look at the endpoint's latency.")
    case .perTryTimeout:
      ReasonDetail(
        "per_try_timeout", 504, .upstreamTimeout, "The last attempt took longer than the time for one try.",
        "Raise perTryTimeout of the TrafficPolicy, or look at the endpoint's latency.")
    case .callerDeadlineExceeded:
      ReasonDetail(
        "caller_deadline_exceeded", 504, .upstreamTimeout,
        "The deadline that the caller sent with the request has passed.",
        "The caller's own timeout is shorter than the service's latency: raise it, or make the service faster.")
    case .headerTimeout:
      ReasonDetail(
        "header_timeout", 408, .streamIdle, "The client did not send a complete request head in time.",
        "A slow or hostile client; the limit is 15 seconds.")
    case .bodyTimeout:
      ReasonDetail(
        "body_timeout", 408, .streamIdle, "The client stopped sending the request's body.",
        "A slow or hostile client, or a broken network.")
    default:  // streamIdleTimeout
      ReasonDetail(
        "stream_idle_timeout", 504, .streamIdle, "Nothing moved in either direction for longer than the idle limit.",
        "Make the application send something now and then; the limit is `stream-idle-seconds` of the proxy.")
    }
  }

  /// Limits and load.
  var limitDetail: ReasonDetail {
    switch self {
    case .circuitOpenConnections:
      ReasonDetail(
        "circuit_open_connections", 503, .upstreamOverflow,
        "The service has as many connections as its circuit breaker allows, and none came free in 15 seconds.",
        "Raise circuitBreaker.maxConnections of the TrafficPolicy, or add endpoints.")
    case .circuitOpenPending:
      ReasonDetail(
        "circuit_open_pending", 503, .upstreamOverflow,
        "As many requests wait for a connection as the circuit breaker allows.",
        "Raise circuitBreaker.maxPendingRequests of the TrafficPolicy, or add endpoints.")
    case .circuitOpenRequests:
      ReasonDetail(
        "circuit_open_requests", 503, .upstreamOverflow,
        "As many requests are in flight to the service as its circuit breaker allows.",
        "Raise circuitBreaker.maxRequests of the TrafficPolicy, or add endpoints.")
    case .circuitOpenRetries:
      ReasonDetail(
        "circuit_open_retries", 503, .upstreamOverflow,
        "As many retries are in flight to the service as its circuit breaker allows.",
        "The service is failing: mend that first; the limit is circuitBreaker.maxRetries of the TrafficPolicy.")
    case .retryBudgetExhausted:
      ReasonDetail(
        "retry_budget_exhausted", 503, .retryLimitExceeded,
        "The attempt failed, and the retry budget had nothing left for another.",
        "The service is failing for many requests: mend that first; the budget is retryBudget of the TrafficPolicy.")
    case .retryLimit:
      ReasonDetail(
        "retry_limit", 503, .retryLimitExceeded, "Every attempt that the policy allows failed.",
        "Look at why the attempts failed; the limit is retry.attempts of the route or TrafficPolicy.")
    default:  // retryBodyTooLarge
      ReasonDetail(
        "retry_body_too_large", 503, .upstreamFailure,
        "The attempt failed, and the request's body was too large to keep for another.",
        "Bodies up to 64 KiB are kept for retries; make the client retry larger ones.")
    }
  }

  /// What is refused before anything is spent on it.
  var refusalDetail: ReasonDetail {
    switch self {
    case .overload:
      ReasonDetail(
        "overload", 503, .overload, "As many requests are under way as the application can work on at a time.",
        "Add instances of the workload, or send less; the limit is adaptiveConcurrency of the TrafficPolicy.")
    case .connectionLimit:
      ReasonDetail(
        "connection_limit", 0, .overload, "The listener has as many connections as it may, and closed this one.",
        "Raise the listener's connection limit, or find out who opens so many.")
    case .descriptorLimit:
      ReasonDetail(
        "descriptor_limit", 503, .overload, "The proxy has no file descriptor left.",
        "Raise the limit of open files (`ulimit -n`), or lower the number of connections.")
    case .rateLimited:
      ReasonDetail(
        "rate_limited", 429, .rateLimited, "More requests came than the rate limit allows.",
        "Send again after the time in Retry-After, or raise the limit.")
    case .quotaExceeded:
      ReasonDetail(
        "quota_exceeded", 429, .rateLimited, "More requests came than the limit that all proxies share allows.",
        "Send again after the time in Retry-After, or raise the limit.")
    default:  // faultInjected
      ReasonDetail(
        "fault_injected", 503, .faultInjected, "A fault was put in here on purpose, as configured.",
        "Take the fault injection out of the policy when the experiment is over.")
    }
  }
}
