"""What a mesh has on, for each proxy in its own words: the rows `policies` and `all seen`.

`policies`: fifty rules, of which all but two have conditions on a header, and limits, faults, affinity, ejection,
retries and hedging on the way of every request; none of them interferes. `all seen`: 1 % of the requests traced by
OTLP/HTTP, and a line of JSON in the access log for each. Where a proxy lacks a part it is left out, to its advantage;
docs/benchmarks.md says which.
"""

OTHERS = range(48)
HTTP = "type.googleapis.com/envoy.extensions.filters.http."


def header_of(index):
    """The header that other rule `index` looks at."""
    return f"x-test-{index % 8}"


def add_to_apus(service, rule):
    """Adds rules and policies to one of the services of a proxy's configuration."""
    others = [{**rule(index + 2, f"/other/{index}/", "other"),
               "matches": [{"path": {"kind": "prefix", "value": f"/other/{index}/"},
                            "headers": [{"name": header_of(index), "value": str(index)}]},
                           {"headers": [{"name": header_of(index), "value": f"v{index}"}]}]}
              for index in OTHERS]
    service["routes"] = service["routes"] + others
    limits = [{"name": "all", "requests": 1000000, "source": "default/bench"},
              {"name": "source", "requests": 1000000, "key": "sourceAddress", "source": "default/bench"},
              {"name": "header", "requests": 1000000, "key": "header", "header": "x-user", "source": "default/bench",
               "matches": [{"headers": [{"name": "host", "kind": "regularExpression", "value": ".+"}]}]}]
    service["routes"][1]["policy"] = {"source": "default/bench", "rateLimits": limits[:1]}
    service["policy"] = {
        "source": "default/bench", "rateLimits": limits,
        "faults": [{"abortPerMillion": 1, "abortStatus": 503, "source": "default/bench",
                    "matches": [{"headers": [{"name": "x-fault", "value": "yes"}]}]}],
        "circuitBreaker": {"maxConnections": 1000, "maxRequests": 1000, "maxPendingRequests": 1000, "maxRetries": 10},
        "outlier": {"consecutive5xx": 5, "successRate": {}, "failurePercentage": {}},
        "retry": {"attempts": 2, "perTryMilliseconds": 5000, "hedgeDelayMilliseconds": 5000},
        "timeouts": {"requestMilliseconds": 10000},
        "balance": {"affinity": "header", "affinityName": "x-user", "slowStartMilliseconds": 1000,
                    "isZoneAware": True, "subset": {"label": "env", "header": "x-env"}}}


def apus_telemetry(collector):
    """What a proxy of Apus tells, to a collector at this port."""
    return {"tracing": {"samplePerMillion": 10_000,
                        "exporter": {"endpoint": f"http://127.0.0.1:{collector}", "protocol": "http"}},
            "decidesAccessLogs": True, "accessLogs": [{"source": "default/bench"}]}


def envoy_routes():
    """The other rules; Envoy takes the first that matches, so that they come before those of every request."""
    found = []
    for index in OTHERS:
        def header(value, index=index):
            return [{"name": header_of(index), "string_match": {"exact": value}}]
        found += [
            {"match": {"prefix": f"/other/{index}/", "headers": header(str(index))}, "route": {"cluster": "other"}},
            {"match": {"prefix": "/", "headers": header(f"v{index}")}, "route": {"cluster": "other"}}]
    return found


def envoy_route_action():
    """What the rule of the measured requests has on beside its cluster: retries, hedging, times, affinity."""
    return {"timeout": "10s", "hash_policy": [{"header": {"header_name": "x-user"}}],
            "retry_policy": {"retry_on": "5xx", "num_retries": 2, "per_try_timeout": "5s"},
            "hedge_policy": {"hedge_on_per_try_timeout": True}}


def envoy_filters():
    """Faults and a local rate limit, before the router."""
    bucket = {"max_tokens": 1000000, "tokens_per_fill": 1000000, "fill_interval": "1s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return [
        {"name": "fault", "typed_config": {
            "@type": HTTP + "fault.v3.HTTPFault",
            "headers": [{"name": "x-fault", "string_match": {"exact": "yes"}}],
            "abort": {"http_status": 503, "percentage": {"numerator": 1, "denominator": "MILLION"}}}},
        {"name": "limit", "typed_config": {
            "@type": HTTP + "local_ratelimit.v3.LocalRateLimit", "stat_prefix": "limit", "token_bucket": bucket,
            "filter_enabled": always, "filter_enforced": always}}]


def envoy_cluster():
    """What a cluster has on: affinity, ejection."""
    return {"lb_policy": "RING_HASH", "outlier_detection": {"consecutive_5xx": 5}}


def envoy_telemetry(log):
    """What the connection manager tells: spans to the cluster `collector`, and lines to a file."""
    line = {name: f"%{operator}%" for name, operator in {
        "start_time": "START_TIME", "method": "REQ(:METHOD)", "path": "REQ(:PATH)", "protocol": "PROTOCOL",
        "response_code": "RESPONSE_CODE", "response_flags": "RESPONSE_FLAGS", "route_name": "ROUTE_NAME",
        "response_code_details": "RESPONSE_CODE_DETAILS", "bytes_received": "BYTES_RECEIVED",
        "bytes_sent": "BYTES_SENT", "duration": "DURATION", "request_id": "REQ(X-REQUEST-ID)",
        "upstream_service_time": "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)", "authority": "REQ(:AUTHORITY)",
        "user_agent": "REQ(USER-AGENT)", "upstream_host": "UPSTREAM_HOST", "upstream_cluster": "UPSTREAM_CLUSTER",
        "downstream_local_address": "DOWNSTREAM_LOCAL_ADDRESS",
        "downstream_remote_address": "DOWNSTREAM_REMOTE_ADDRESS"}.items()}
    collector = {"http_uri": {"uri": "http://127.0.0.1/v1/traces", "cluster": "collector", "timeout": "1s"}}
    return {
        "tracing": {"random_sampling": {"value": 1}, "provider": {"name": "otlp", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
            "http_service": collector, "service_name": "bench"}}},
        "access_log": [{"name": "file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": log, "log_format": {"json_format": line}}}]}


def haproxy_rules():
    """Rules by path and header, and a limit by the address of the client; the lines of a frontend."""
    lines = ["stick-table type ip size 100k expire 10s store http_req_rate(1s)",
             "http-request track-sc0 src", "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }",
             "http-request return status 503 if { hdr(x-fault) yes } { rand(1000000) lt 1 }"]
    for index in OTHERS:
        lines += [f"use_backend other if {{ path_beg /other/{index}/ }} {{ hdr({header_of(index)}) {index} }}",
                  f"use_backend other if {{ hdr({header_of(index)}) v{index} }}"]
    return "".join(f"  {line}\n" for line in lines)


def haproxy_backend():
    """Affinity and retries; the lines of a backend."""
    return "  balance hdr(x-user)\n  hash-type consistent\n  retries 2\n  retry-on 503 conn-failure empty-response\n"


def haproxy_server():
    """Ejection after five errors in a row; the end of the line of a server."""
    return " check inter 60s observe layer7 error-limit 5 on-error mark-down"
