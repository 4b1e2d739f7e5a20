/// What a proxy tells of the traffic beyond what is scraped of it: traces, access logs, metrics that it sends itself.
package struct TelemetryConfig: WireMessage {
  /// Absent: no spans are recorded; what callers say of their traces is passed on.
  package var tracing: TracingConfig?
  /// Whether `accessLogs` decides; else the proxy's own option does.
  package var decidesAccessLogs = false
  /// At most 4.
  package var accessLogs: [AccessLogConfig] = []
  /// Absent: none are sent.
  package var metrics: MetricsExportConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "tracing", &tracing)
    try c.field(2, "decidesAccessLogs", &decidesAccessLogs)
    try c.field(3, "accessLogs", &accessLogs)
    try c.field(4, "metrics", &metrics)
  }

  /// Without what collectors are shown to let us in; for pages that others than the proxy read.
  package var redacted: TelemetryConfig {
    var copy = self
    copy.tracing?.exporter = tracing?.exporter?.redacted
    copy.metrics?.exporter = metrics?.exporter?.redacted
    for (index, log) in accessLogs.enumerated() { copy.accessLogs[index].exporter = log.exporter?.redacted }
    return copy
  }
}

/// Which requests are traced, and where spans go.
package struct TracingConfig: WireMessage {
  /// `namespace/name` of the narrowest Telemetry that has a say.
  package var source = ""
  /// Share of the traces that begin here, millionths; default 10,000 (1 %).
  package var samplePerMillion: UInt32?
  /// Shares for some requests; the most specific match decides. At most 32.
  package var rules: [SamplingRuleConfig] = []
  /// Absent: spans go nowhere, and none are recorded.
  package var exporter: ExporterConfig?
  /// At most 16.
  package var tags: [SpanTagConfig] = []
  /// Written beside `traceparent`, even where the caller did not: `b3`, `b3multi`.
  package var propagation: [String] = []
  /// A header field that makes a trace sampled when its value is `1` or `true`; default `x-apus-trace`.
  package var forceHeader = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "source", &source)
    try c.field(2, "samplePerMillion", &samplePerMillion)
    try c.field(3, "rules", &rules)
    try c.field(4, "exporter", &exporter)
    try c.field(5, "tags", &tags)
    try c.field(6, "propagation", &propagation)
    try c.field(7, "forceHeader", &forceHeader)
  }
}

/// A share of the traces that begin with certain requests.
package struct SamplingRuleConfig: WireMessage {
  /// Any of them holds.
  package var matches: [RouteMatchConfig] = []
  /// Millionths.
  package var samplePerMillion: UInt32 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "matches", &matches)
    try c.field(2, "samplePerMillion", &samplePerMillion)
  }
}

/// A further attribute of spans: a constant, or a header field of the request.
package struct SpanTagConfig: WireMessage {
  package var name = ""
  package var literal = ""
  /// Empty where `literal` is meant.
  package var header = ""
  /// Where the header field is not there.
  package var defaultValue = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "name", &name)
    try c.field(2, "literal", &literal)
    try c.field(3, "header", &header)
    try c.field(4, "defaultValue", &defaultValue)
  }
}

/// How a collector is spoken to.
package enum ExporterProtocol: UInt32, WireEnum {
  /// OTLP/gRPC.
  case grpc = 0
  /// OTLP/HTTP with protobuf.
  case http = 1
  package static var unset: Self { .grpc }
  package var wireName: String {
    switch self {
    case .grpc: "grpc"
    case .http: "http"
    }
  }
}

/// Where telemetry is sent.
package struct ExporterConfig: WireMessage {
  /// `http://HOST:PORT[/PATH]` or `https://…`; HOST is an address, `localhost`, the name of a service of the mesh, which is
  /// reached as its policies say (by mTLS where it has a proxy), or any name that the system can look up.
  package var endpoint = ""
  package var exportProtocol = ExporterProtocol.grpc
  /// Sent along with every request.
  package var headers: [String: String] = [:]
  /// For one request; default 10,000.
  package var timeoutMilliseconds: UInt32?
  /// For `https`: a file of the proxy's machine with the certificates of the authorities that may sign the collector's, PEM;
  /// empty: those of the system.
  package var caFile = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "endpoint", &endpoint)
    try c.field(2, "protocol", &exportProtocol)
    try c.field(3, "headers", &headers)
    try c.field(4, "timeoutMilliseconds", &timeoutMilliseconds)
    try c.field(290, "caFile", &caFile)
  }

  /// With the headers' values, which are credentials, blotted out.
  package var redacted: ExporterConfig {
    var copy = self
    copy.headers = headers.mapValues { _ in "[redacted]" }
    return copy
  }
}

/// One access log.
package struct AccessLogConfig: WireMessage {
  /// `namespace/name` of the Telemetry.
  package var source = ""
  /// Sent to a collector; absent: written to standard output.
  package var exporter: ExporterConfig?
  /// A format of text; empty: JSON.
  package var text = ""
  /// The fields of JSON in their order; none: the default ones.
  package var fields: [LogFieldConfig] = []
  /// Which requests are told of; absent: all.
  package var condition: LogConditionConfig?
  /// The default format of text, where neither `text` nor `fields` says anything.
  package var isDefaultText = false

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "source", &source)
    try c.field(2, "exporter", &exporter)
    try c.field(3, "text", &text)
    try c.field(4, "fields", &fields)
    try c.field(5, "condition", &condition)
    try c.field(6, "isDefaultText", &isDefaultText)
  }
}

/// One field of a log in JSON.
package struct LogFieldConfig: WireMessage {
  package var name = ""
  /// With command operators.
  package var value = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "name", &name)
    try c.field(2, "value", &value)
  }
}

/// Requests that a log tells of: any of the first four holds, or the share of the others takes it.
package struct LogConditionConfig: WireMessage {
  /// Pairs: from, to, inclusive. At most eight.
  package var statuses: [UInt32] = []
  package var slowerThanMilliseconds: UInt32?
  /// Names of reasons.
  package var reasons: [String] = []
  package var anyReason = false
  /// Millionths of the requests that the others do not hold for; default 0 where one of them is set, else all.
  package var sharePerMillion: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "statuses", &statuses)
    try c.field(2, "slowerThanMilliseconds", &slowerThanMilliseconds)
    try c.field(3, "reasons", &reasons)
    try c.field(4, "anyReason", &anyReason)
    try c.field(5, "sharePerMillion", &sharePerMillion)
  }
}

/// Metrics that the proxy sends by itself.
package struct MetricsExportConfig: WireMessage {
  /// `namespace/name` of the Telemetry.
  package var source = ""
  package var exporter: ExporterConfig?
  /// Default 60,000.
  package var intervalMilliseconds: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "source", &source)
    try c.field(2, "exporter", &exporter)
    try c.field(3, "intervalMilliseconds", &intervalMilliseconds)
  }
}
