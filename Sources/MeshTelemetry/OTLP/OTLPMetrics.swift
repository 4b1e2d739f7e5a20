import MeshModel
import MeshWire

/// What the loops counted, under OpenTelemetry's own names: durations in seconds, sizes in bytes, attributes by its
/// semantic conventions. Istio's names are for scrapes (`IstioExposition`).
///
/// Temporality is cumulative. Methods that HTTP does not know are all `_OTHER`: they are a client's to choose.
package struct OTLPMetrics {
  /// Data points of one request; what is more goes into the next.
  package static let pointsPerRequest = 500

  private let snapshot: MetricsSnapshot
  private let labels: LabelTexts
  private let startNanoseconds: UInt64
  private let nowNanoseconds: UInt64

  /// - Parameters:
  ///   - startNanoseconds: when counting began, nanoseconds since 1970.
  ///   - nowNanoseconds: when the snapshot was taken.
  package init(
    _ snapshot: MetricsSnapshot, _ labels: LabelTexts, startNanoseconds: UInt64, nowNanoseconds: UInt64
  ) {
    self.snapshot = snapshot
    self.labels = labels
    self.startNanoseconds = startNanoseconds
    self.nowNanoseconds = nowNanoseconds
  }

  /// What a histogram is of.
  private enum Measure {
    case duration, requestSize, responseSize

    func name(_ series: RequestSeries, isServer: Bool) -> String {
      let side = isServer ? "server" : "client"
      switch self {
      case .duration:
        return series.key.requestProtocol == .grpc ? "rpc.\(side).call.duration" : "http.\(side).request.duration"
      case .requestSize: return "http.\(side).request.body.size"
      case .responseSize: return "http.\(side).response.body.size"
      }
    }

    func histogram(_ series: RequestSeries) -> Histogram {
      switch self {
      case .duration: series.duration
      case .requestSize: series.requestBytes
      case .responseSize: series.responseBytes
      }
    }
  }

  /// All `Metric` messages, in batches that make one request each.
  package func batches() -> [[[UInt8]]] {
    var batches: [[[UInt8]]] = [ownMetrics()]
    batches += connectionMetrics()
    for measure in [Measure.duration, .requestSize, .responseSize] {
      let named = Dictionary(grouping: snapshot.requests) { series in
        measure.name(series, isServer: labels.edge(series.key.edge).reporter == .destination)
      }
      for (name, series) in named.sorted(by: { $0.key < $1.key }) {
        var start = 0
        while start < series.count {
          let end = min(start + Self.pointsPerRequest, series.count)
          batches.append([metric(name, measure, Array(series[start..<end]))])
          start = end
        }
      }
    }
    return batches
  }

  private func metric(_ name: String, _ measure: Measure, _ series: [RequestSeries]) -> [UInt8] {
    var isDuration = false
    if case .duration = measure { isDuration = true }
    var metric = ProtobufWriter()
    metric.string(1, name)
    metric.string(3, isDuration ? "s" : "By")
    metric.message(9) { histogram in
      for one in series { point(&histogram, one, measure.histogram(one), isDuration: isDuration) }
      histogram.integer(2, 2)
    }
    return metric.bytes
  }

  private func point(_ writer: inout ProtobufWriter, _ series: RequestSeries, _ histogram: Histogram, isDuration: Bool)
  {
    let scale = isDuration ? 1_000.0 : 1
    writer.message(1) { point in
      point.fixed64(2, startNanoseconds)
      point.fixed64(3, nowNanoseconds)
      point.fixed64(4, histogram.count)
      point.choice(5, double: Double(histogram.sum) / (isDuration ? 1_000_000_000 : 1))
      point.fixed64(6, packed: (0..<Histogram.bucketCount).map { histogram.counts[$0] })
      point.double(7, packed: (0..<(Histogram.bucketCount - 1)).map { Double(Histogram.halfBounds[$0]) / 2 / scale })
      if isDuration {
        for bucket in 0..<Histogram.bucketCount {
          guard let exemplar = snapshot.exemplars.find(series.key, bucket: bucket) else { continue }
          point.message(8) { exemplar.write(into: &$0) }
        }
      }
      attributes(&point, series.key)
    }
  }

  private func attributes(_ point: inout ProtobufWriter, _ key: RequestKey) {
    let edge = labels.edge(key.edge)
    if key.responseCode > 0 { point.attribute(9, "http.response.status_code", Int64(key.responseCode)) }
    if key.requestProtocol == .http {
      point.attribute(9, "http.request.method", key.method == .other ? "_OTHER" : "\(key.method)".uppercased())
    }
    if let status = key.grpcStatus {
      point.attribute(9, "rpc.system", "grpc")
      point.attribute(9, "rpc.grpc.status_code", Int64(status > 16 ? 2 : status))
    }
    let failed = key.responseCode == 0 || key.responseCode >= 500
    point.attribute(
      9, "error.type", key.reason?.name.description ?? (failed ? "\(key.responseCode)" : ""))
    ends(&point, 9, edge, key.route)
  }

  /// TCP connections: OpenTelemetry has no names for what a proxy counts of them.
  private func connectionMetrics() -> [[[UInt8]]] {
    let counts: [(String, String, (ConnectionSeries) -> UInt64)] = [
      ("apus.tcp.connections.opened", "{connection}", { $0.opened }),
      ("apus.tcp.connections.closed", "{connection}", { $0.closed }),
      ("apus.tcp.sent", "By", { $0.sentBytes }), ("apus.tcp.received", "By", { $0.receivedBytes }),
    ]
    return stride(from: 0, to: snapshot.connections.count, by: Self.pointsPerRequest).flatMap { start in
      let some = snapshot.connections[start..<min(start + Self.pointsPerRequest, snapshot.connections.count)]
      return counts.map { name, unit, count in
        var metric = ProtobufWriter()
        metric.string(1, name)
        metric.string(3, unit)
        metric.message(7) { sum in
          for series in some {
            sum.message(1) { point in
              point.fixed64(2, startNanoseconds)
              point.fixed64(3, nowNanoseconds)
              point.choice(6, fixed: Int64(clamping: count(series)))
              let edge = labels.edge(series.key.edge)
              point.attribute(7, "apus.reporter", edge.reporter == .source ? "source" : "destination")
              point.attribute(7, "error.type", series.key.reason?.name.description ?? "")
              ends(&point, 7, edge, series.key.route)
            }
          }
          sum.integer(2, 2)
          sum.integer(3, 1)
        }
        return [metric.bytes]
      }
    }
  }

  /// The two ends, and the route.
  private func ends(_ point: inout ProtobufWriter, _ field: UInt32, _ edge: EdgeLabels, _ route: UInt32) {
    point.attribute(field, "server.address", edge.service)
    point.attribute(field, "apus.route", labels.route(route))
    point.attribute(field, "apus.source.workload", edge.source.workload)
    point.attribute(field, "apus.source.namespace", edge.source.namespace)
    point.attribute(field, "apus.destination.workload", edge.destination.workload)
    point.attribute(field, "apus.destination.namespace", edge.destination.namespace)
    point.attribute(field, "apus.destination.version", edge.destination.version)
  }

  /// Counters and gauges of the proxy itself, under their own names with dots.
  private func ownMetrics() -> [[UInt8]] {
    var metrics: [[UInt8]] = []
    for counter in ProxyCounter.allCases {
      metrics.append(number(counter.name, counter.help, 7, Int64(clamping: snapshot[counter])))
    }
    for gauge in ProxyGauge.allCases { metrics.append(number(gauge.name, gauge.help, 5, snapshot[gauge])) }
    return metrics
  }

  /// - Parameter kind: 5 for a gauge, 7 for a sum.
  private func number(_ name: StaticString, _ help: StaticString, _ kind: UInt32, _ value: Int64) -> [UInt8] {
    var metric = ProtobufWriter()
    let words = name.description.split(separator: "_", maxSplits: 1)
    metric.string(1, words.joined(separator: "."))
    metric.string(2, help.description)
    metric.string(3, "1")
    metric.message(kind) { data in
      data.message(1) { point in
        if kind == 7 { point.fixed64(2, startNanoseconds) }
        point.fixed64(3, nowNanoseconds)
        point.choice(6, fixed: value)
      }
      if kind == 7 {
        data.integer(2, 2)
        data.integer(3, 1)
      }
    }
    return metric.bytes
  }
}
