import MeshControl
import Testing

@Suite struct PolicyValidationTests {
  @Test(arguments: [
    ("TrafficPolicy", #"{"targetRefs": []}"#, "spec.targetRefs FieldValueRequired"),
    (
      "TrafficPolicy", #"{"targetRefs": [{"group": "apps", "kind": "Deployment", "name": "a"}]}"#,
      "spec.targetRefs[0].kind FieldValueNotSupported"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "loadBalancer": {"algorithm": "RoundRobbin"}}"#,
      "spec.loadBalancer.algorithm FieldValueNotSupported"
    ),
    (
      "TrafficPolicy", #"{"targetRefs": [{"kind": "Service", "name": "a"}], "retryBudget": {"percent": 101}}"#,
      "spec.retryBudget.percent FieldValueInvalid"
    ),
    (
      "TrafficPolicy", #"{"targetRefs": [{"kind": "Service", "name": "a"}], "connectionPool": {"idleTimeout": "0s"}}"#,
      "spec.connectionPool.idleTimeout FieldValueInvalid"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "outlierDetection": {"baseEjectionTime": "10s", "maxEjectionTime": "5s"}}"#,
      "spec.outlierDetection.maxEjectionTime FieldValueInvalid"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}, {"kind": "Service", "name": "a"}]}"#,
      "spec.targetRefs[1] FieldValueDuplicate"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "a"}], "loadBalancer": {"algorithm": "Random"}}"#,
      "spec.loadBalancer FieldValueForbidden"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "a"}], "rateLimits": [{"name": "x", "requests": 1, "side": "Server"}]}"#,
      "spec.rateLimits[0].side FieldValueForbidden"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "rateLimits": [{"name": "x", "requests": 0}]}"#,
      "spec.rateLimits[0].requests FieldValueInvalid"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "rateLimits": [{"name": "x", "requests": 2000, "per": "1ms"}]}"#,
      "spec.rateLimits[0].requests FieldValueInvalid"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "rateLimits": [{"name": "x", "requests": 1, "key": {"type": "Header"}}]}"#,
      "spec.rateLimits[0].key.header FieldValueRequired"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "rateLimits": [{"name": "x", "requests": 1}, {"name": "x", "requests": 2}]}"#,
      "spec.rateLimits[1].name FieldValueDuplicate"
    ),
    (
      "TrafficPolicy", #"{"targetRefs": [{"kind": "Service", "name": "a"}], "faultInjection": [{}]}"#,
      "spec.faultInjection[0] FieldValueRequired"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "faultInjection": [{"abort": {"percentage": 100.5}}]}"#,
      "spec.faultInjection[0].abort.percentage FieldValueInvalid"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "adaptiveConcurrency": {"least": 9, "most": 8}}"#,
      "spec.adaptiveConcurrency.most FieldValueInvalid"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "retry": {"backoff": "1s", "maxBackoff": "500ms"}}"#,
      "spec.retry.maxBackoff FieldValueInvalid"
    ),
    (
      "TrafficPolicy", #"{"targetRefs": [{"kind": "Service", "name": "a"}], "retry": {"on": ["sometimes"]}}"#,
      "spec.retry.on[0] FieldValueNotSupported"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "loadBalancer": {"algorithm": "Maglev"}}"#,
      "spec.loadBalancer.affinity FieldValueRequired"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "loadBalancer": {"algorithm": "Random", "affinity": {"type": "SourceAddress"}}}"#,
      "spec.loadBalancer.affinity FieldValueForbidden"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "loadBalancer": {"affinity": {"type": "Cookie"}}}"#,
      "spec.loadBalancer.affinity.name FieldValueRequired"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "loadBalancer": {"affinity": {"type": "Header", "name": "x", "lifetime": "1m"}}}"#,
      "spec.loadBalancer.affinity.lifetime FieldValueForbidden"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "loadBalancer": {"algorithm": "Random", "decay": "1s"}}"#,
      "spec.loadBalancer.decay FieldValueForbidden"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "loadBalancer": {"priorities": [{"matchLabels": {}}]}}"#,
      "spec.loadBalancer.priorities[0].matchLabels FieldValueRequired"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "healthCheck": {"type": "HTTP", "interval": "100ms"}}"#,
      "spec.healthCheck.interval FieldValueInvalid"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "healthCheck": {"type": "TCP", "path": "/x"}}"#,
      "spec.healthCheck.path FieldValueForbidden"
    ),
    (
      "TrafficPolicy",
      #"{"targetRefs": [{"kind": "Service", "name": "a"}], "healthCheck": {"type": "HTTP", "path": "x y"}}"#,
      "spec.healthCheck.path FieldValueInvalid"
    ),
    (
      "TrafficPolicy", #"{"targetRefs": [{"kind": "Service", "name": "a"}], "hedging": {}}"#,
      "spec.hedging.delay FieldValueRequired"
    ),
    ("PeerAuthentication", #"{"mode": "strict"}"#, "spec.mode FieldValueNotSupported"),
    ("PeerAuthentication", #"{}"#, "spec.mode FieldValueRequired"),
    ("PeerAuthentication", #"{"portLevel": [{"port": 80, "mode": "DISABLE"}]}"#, "spec.portLevel FieldValueForbidden"),
    (
      "PeerAuthentication", #"{"selector": {"matchLabels": {}}, "mode": "STRICT"}"#,
      "spec.selector.matchLabels FieldValueRequired"
    ),
    ("Telemetry", #"{}"#, "spec FieldValueRequired"),
    (
      "Telemetry", #"{"selector": {"matchLabels": {"a": "b"}}, "targetRefs": [{"kind": "Service", "name": "a"}]}"#,
      "spec.targetRefs FieldValueForbidden"
    ),
    ("Telemetry", #"{"targetRefs": [{"kind": "Pod", "name": "a"}]}"#, "spec.targetRefs[0].kind FieldValueNotSupported"),
    ("Telemetry", #"{"exporter": {"endpoint": "ftp://a"}}"#, "spec.exporter.endpoint FieldValueInvalid"),
    (
      "Telemetry", #"{"exporter": {"endpoint": "http://a", "headers": {"a b": "c"}}}"#,
      "spec.exporter.headers[\"a b\"] FieldValueInvalid"
    ),
    (
      "Telemetry", #"{"exporter": {"endpoint": "http://a", "timeout": "2m"}}"#,
      "spec.exporter.timeout FieldValueInvalid"
    ),
    ("Telemetry", #"{"tracing": {"samplingPercentage": 101}}"#, "spec.tracing.samplingPercentage FieldValueInvalid"),
    (
      "Telemetry", #"{"tracing": {"rules": [{"samplingPercentage": 1}]}}"#,
      "spec.tracing.rules[0].matches FieldValueRequired"
    ),
    (
      "Telemetry", #"{"tracing": {"customTags": [{"name": "a b", "literal": "x"}]}}"#,
      "spec.tracing.customTags[0].name FieldValueInvalid"
    ),
    (
      "Telemetry", #"{"tracing": {"customTags": [{"name": "a", "literal": "x", "header": {"name": "y"}}]}}"#,
      "spec.tracing.customTags[0] FieldValueInvalid"
    ),
    ("Telemetry", #"{"tracing": {"forceHeader": "a b"}}"#, "spec.tracing.forceHeader FieldValueInvalid"),
    ("Telemetry", #"{"metrics": {"interval": "10ms"}}"#, "spec.metrics.interval FieldValueInvalid"),
    ("Telemetry", #"{"accessLogging": [{"text": "x"}]}"#, "spec.accessLogging[0].text FieldValueForbidden"),
    (
      "Telemetry", #"{"accessLogging": [{"format": "Text", "json": {"a": "b"}}]}"#,
      "spec.accessLogging[0].json FieldValueForbidden"
    ),
    (
      "Telemetry", #"{"accessLogging": [{"json": {"a": "%NOPE%"}}]}"#,
      "spec.accessLogging[0].json[\"a\"] FieldValueInvalid"
    ),
    (
      "Telemetry", #"{"accessLogging": [{"when": {"statuses": [404, "5xx", "99"]}}]}"#,
      "spec.accessLogging[0].when.statuses[2] FieldValueInvalid"
    ),
    (
      "Telemetry", #"{"accessLogging": [{"when": {"reasons": ["nope"]}}]}"#,
      "spec.accessLogging[0].when.reasons[0] FieldValueNotSupported"
    ),
    (
      "Telemetry", #"{"accessLogging": [{"disabled": true}, {"format": "JSON"}]}"#,
      "spec.accessLogging FieldValueForbidden"
    ),
    ("DirectResponse", #"{"status": 199}"#, "spec.status FieldValueInvalid"),
    ("DirectResponse", #"{"status": 204, "body": "x"}"#, "spec.body FieldValueForbidden"),
  ])
  func `each rule of our own kinds is checked`(kind: String, spec: String, expected: String) {
    let text = #"{"apiVersion": "apus.dev/v1", "kind": "\#(kind)", "metadata": {"name": "a"}, "spec": \#(spec)}"#
    #expect(lines(read(text).violations).contains(expected))
  }
}
