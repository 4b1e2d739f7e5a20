import MeshTelemetry

/// What proxies tell of the traffic (`apus.dev/v1 Telemetry`): traces, access logs, and metrics that they send by
/// themselves.
///
/// In the namespace `apus-system` and without `selector` and `targetRefs` it holds for the whole mesh; in another, for the
/// namespace; with one of the two for the chosen workloads. Each field is decided by the narrowest object that sets it; of
/// two as narrow as each other by the older. Lists are taken whole.
package struct TelemetrySpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "apus.dev", version: "v1", kind: "Telemetry", plural: "telemetries", shortNames: ["tel"])

  package var selector: LabelSelector?
  /// Services whose workloads are meant; instead of `selector`.
  package var targetRefs: [ServiceReference] = []
  /// The collector of everything that is sent.
  package var exporter: Exporter?
  package var tracing: Tracing?
  /// None: what the next wider object says; without any, what the proxies were started with.
  package var accessLogging: [AccessLog] = []
  package var metrics: MetricsPush?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("selector", &selector)
    visitor.field("targetRefs", &targetRefs, .items(0...16), .uniqueBy("name"))
    visitor.field("exporter", &exporter)
    visitor.field("tracing", &tracing)
    visitor.field("accessLogging", &accessLogging, .items(0...4))
    visitor.field("metrics", &metrics)
  }

  package func check(path: String, into report: ViolationReport) {
    if selector != nil, !targetRefs.isEmpty {
      report.add(.forbidden, at: "\(path).targetRefs", "stands beside selector; keep one of the two")
    }
    if exporter == nil, tracing == nil, accessLogging.isEmpty, metrics == nil {
      report.add(
        .required, at: path, "sets nothing; add tracing, accessLogging, metrics or exporter, or delete the object")
    }
    if accessLogging.count > 1, accessLogging.contains(where: { $0.disabled == true }) {
      report.add(
        .forbidden, at: "\(path).accessLogging", "has an entry with disabled among others; let it stand alone")
    }
  }

  /// A service of the object's namespace.
  package struct ServiceReference: FieldObject, Equatable {
    package var group = ""
    package var kind = ""
    package var name = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("group", &group)
      visitor.field("kind", &kind, .required)
      visitor.field("name", &name, .required, .format(.serviceName))
    }

    package func check(path: String, into report: ViolationReport) {
      guard group != "" || kind != "Service" else { return }
      report.add(
        .notSupported, at: "\(path).kind",
        "a Telemetry is attached to Services only; write group: \"\" and kind: Service, or use selector")
    }
  }

  /// How a collector is reached.
  package struct Exporter: FieldObject, Equatable {
    /// `http://HOST[:PORT][/PATH]` or `https://…`; HOST is an address, `localhost` (of the proxy), the name of a service of
    /// the mesh, or a name that the proxy's system can look up.
    package var endpoint = ""
    /// Default GRPC.
    package var exportProtocol: ExportProtocol?
    /// Header fields of every request.
    package var headers: [String: String] = [:]
    /// Of one request; default 10s.
    package var timeout: GatewayDuration?
    /// For `https`: a file on the proxies' machines with the certificates of the authorities that may sign the collector's,
    /// PEM. Default: those that the system believes.
    package var caFile: String?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("endpoint", &endpoint, .required, .length(1...512))
      visitor.field("caFile", &caFile, .length(1...4096))
      visitor.field("protocol", &exportProtocol)
      visitor.field("headers", &headers, .items(0...16))
      visitor.field("timeout", &timeout)
    }

    package func check(path: String, into report: ViolationReport) {
      do throws(OTLPEndpoint.Fault) {
        if try !OTLPEndpoint(endpoint).isSecure, caFile != nil {
          report.add(.forbidden, at: "\(path).caFile", "is for https; write https in endpoint, or remove it")
        }
      } catch {
        report.add(.invalid, at: "\(path).endpoint", "\(quoted(endpoint)) \(error.message)")
      }
      for (name, value) in headers.sorted(by: { $0.key < $1.key }) {
        let place = "\(path).headers[\(quoted(name))]"
        if let fault = TextFormat.token.fault(in: name) { report.add(.invalid, at: place, "\(fault); change the name") }
        if let fault = TextFormat.headerValue.fault(in: value) {
          report.add(.invalid, at: place, "\(fault); change it")
        }
      }
      if let caFile, !caFile.hasPrefix("/") || caFile.utf8.contains(0) {
        report.add(.invalid, at: "\(path).caFile", "is no absolute path; begin it with /")
      }
      timeout?.checkBounds(path: "\(path).timeout", longest: 60, into: report)
    }
  }

  package enum ExportProtocol: String, FieldEnum {
    /// OTLP/gRPC.
    case grpc = "GRPC"
    /// OTLP/HTTP with protobuf.
    case http = "HTTP"
  }

  /// Metrics that proxies send, under OpenTelemetry's own names.
  package struct MetricsPush: FieldObject, Equatable {
    package var disabled: Bool?
    /// Default 1m.
    package var interval: GatewayDuration?
    /// Instead of the object's.
    package var exporter: Exporter?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("disabled", &disabled)
      visitor.field("interval", &interval)
      visitor.field("exporter", &exporter)
    }

    package func check(path: String, into report: ViolationReport) {
      guard let interval, interval.milliseconds < 1_000 || interval.milliseconds > 3_600_000 else { return }
      report.add(
        .invalid, at: "\(path).interval",
        "\(interval.text) is out of bounds; write a time from 1s to 1h, or leave it out for 1m")
    }
  }
}
