/// The two text formats that Prometheus reads.
package enum ExpositionFormat: Sendable {
  /// Prometheus text 0.0.4.
  case prometheus
  /// OpenMetrics 1.0: counters' families without `_total`, canonical numbers in `le`, `# EOF` at the end.
  case openMetrics

  /// For the field Content-Type.
  package var contentType: StaticString {
    switch self {
    case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
    case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
    }
  }

  /// The format that a scraper's Accept field asks for.
  package init(accept: String) {
    self = accept.contains("application/openmetrics-text") ? .openMetrics : .prometheus
  }
}

/// The kind of a family of samples.
package enum MetricKind: Sendable {
  case counter, gauge, histogram
}

/// Writes families of samples, one after the other. Samples of a family must follow its `family` line.
///
/// Whatever is in a label's value, the text stays well-formed: quotes, backslashes and line feeds are escaped, other
/// control characters become U+FFFD.
package struct ExpositionWriter {
  package let format: ExpositionFormat
  package private(set) var bytes: [UInt8] = []
  private var name = ""
  private var kind = MetricKind.gauge

  package init(_ format: ExpositionFormat) { self.format = format }

  /// Begins a family. `name` is without `_total` for counters.
  package mutating func family(_ name: String, _ kind: MetricKind, help: String) {
    self.name = name
    self.kind = kind
    let shown = kind == .counter && format == .prometheus ? name + "_total" : name
    append("# HELP \(shown) ")
    appendEscaped(help, quotes: format == .openMetrics)
    append("\n# TYPE \(shown) ")
    switch kind {
    case .counter: append("counter\n")
    case .gauge: append("gauge\n")
    case .histogram: append("histogram\n")
    }
  }

  /// One sample of a counter or gauge; `labels` as `labels(_:)` makes them.
  package mutating func sample(_ labels: [UInt8] = [], _ value: Double) {
    append(name)
    if kind == .counter { append("_total") }
    braces(labels)
    append(" \(Self.number(value))\n")
  }

  /// One sample of a counter, exact.
  package mutating func sample(_ labels: [UInt8] = [], count value: UInt64) {
    append(name)
    if kind == .counter { append("_total") }
    braces(labels)
    append(" \(value)\n")
  }

  /// The samples of a histogram; its sum is divided by `sumScale`. Exemplars are written in OpenMetrics only.
  package mutating func sample(
    _ labels: [UInt8], _ histogram: Histogram, sumScale: Double, exemplar: (Int) -> Exemplar? = { _ in nil }
  ) {
    var total: UInt64 = 0
    // What every line begins with: there are many of them.
    var stem = Array(name.utf8) + Array("_bucket{".utf8) + labels
    if !labels.isEmpty { stem.append(UInt8(ascii: ",")) }
    stem += "le=\"".utf8
    for bucket in 0..<Histogram.bucketCount {
      total &+= histogram.counts[bucket]
      bytes += stem
      append(bound(bucket))
      append("\"} ")
      append(String(total))
      if format == .openMetrics, let exemplar = exemplar(bucket) { append(" # \(exemplar.openMetrics)") }
      append("\n")
    }
    append(name)
    append("_sum")
    braces(labels)
    append(" \(Self.number(Double(histogram.sum) / sumScale))\n\(name)_count")
    braces(labels)
    append(" \(total)\n")
  }

  /// Makes room for so many bytes at once.
  package mutating func reserve(_ count: Int) { bytes.reserveCapacity(count) }

  /// What was written since the last call; the writer goes on with nothing.
  package mutating func take() -> [UInt8] {
    defer { bytes = [] }
    return bytes
  }

  /// Ends the text; nothing may be written after it.
  package mutating func finish() {
    if format == .openMetrics { append("# EOF\n") }
  }

  /// Labels in the form that samples take, without braces, after those in `first`.
  package static func labels(_ pairs: [(name: StaticString, value: String)], after first: [UInt8] = []) -> [UInt8] {
    var writer = ExpositionWriter(.openMetrics)
    writer.bytes = first
    for (name, value) in pairs {
      if !writer.bytes.isEmpty { writer.append(",") }
      writer.append(name.description)
      writer.append("=\"")
      writer.appendEscaped(value, quotes: true)
      writer.append("\"")
    }
    return writer.bytes
  }

  private mutating func braces(_ labels: [UInt8]) {
    if labels.isEmpty { return }
    append("{")
    bytes += labels
    append("}")
  }

  private func bound(_ bucket: Int) -> String {
    guard bucket < 19 else { return "+Inf" }
    let halves = Histogram.halfBounds[bucket]
    if halves % 2 == 1 { return "\(halves / 2).5" }
    return format == .openMetrics ? "\(halves / 2).0" : "\(halves / 2)"
  }

  /// A number as both formats take it.
  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
    return String(value)
  }

  private mutating func append(_ text: String) { bytes += text.utf8 }

  private mutating func appendEscaped(_ text: String, quotes: Bool) {
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\\"): append("\\\\")
      case UInt8(ascii: "\n"): append("\\n")
      case UInt8(ascii: "\"") where quotes: append("\\\"")
      case 0..<0x20, 0x7F: append("\u{FFFD}")
      default: bytes.append(byte)
      }
    }
  }
}
