/// The three services of a collector, over gRPC and over HTTP (OTLP 1.0).
package enum OTLPService: Sendable, CaseIterable {
  case traces, metrics, logs

  /// The method of gRPC.
  package var method: String {
    switch self {
    case .traces: "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    case .metrics: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    case .logs: "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    }
  }

  /// The path of HTTP, behind what the endpoint's URL has.
  package var path: String {
    switch self {
    case .traces: "/v1/traces"
    case .metrics: "/v1/metrics"
    case .logs: "/v1/logs"
    }
  }

  /// For metrics of ourselves.
  package var label: String {
    switch self {
    case .traces: "spans"
    case .metrics: "metrics"
    case .logs: "log_lines"
    }
  }
}
