// How a TrafficPolicy has endpoints asked, and second attempts made.

extension TrafficPolicySpec {
  /// Every proxy that calls the service asks its endpoints whether they are well.
  package struct HealthCheck: FieldObject, Equatable {
    package var type = HealthCheckType.http
    /// Of HTTP; default `/`.
    package var path: String?
    /// Of HTTP and GRPC; default: the service's name.
    package var host: String?
    /// Of GRPC; default: the server as a whole.
    package var service: String?
    /// Default 10s.
    package var interval: GatewayDuration?
    /// Default 1s.
    package var timeout: GatewayDuration?
    /// Failures in a row until an endpoint counts as ill; default 3.
    package var unhealthyThreshold: Int?
    /// Successes in a row until it counts as well again; default 2.
    package var healthyThreshold: Int?
    /// Of HTTP: the first and the last status that count as well; default 200 to 299.
    package var statuses: StatusRange?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("type", &type, .required)
      visitor.field("path", &path, .length(1...1024))
      visitor.field("host", &host, .format(.dnsSubdomain))
      visitor.field("service", &service, .length(1...120))
      visitor.field("interval", &interval)
      visitor.field("timeout", &timeout)
      visitor.field("unhealthyThreshold", &unhealthyThreshold, .range(1...100))
      visitor.field("healthyThreshold", &healthyThreshold, .range(1...100))
      visitor.field("statuses", &statuses)
    }

    package func check(path here: String, into report: ViolationReport) {
      if let interval, interval.milliseconds < 1_000 || interval.milliseconds > 86_400_000 {
        report.add(.invalid, at: "\(here).interval", "\(interval.text) is out of bounds; write a time from 1s to 24h")
      }
      timeout?.checkBounds(path: "\(here).timeout", longest: 60, into: report)
      for (name, isThere, kinds) in [
        ("path", path != nil, [HealthCheckType.http]), ("statuses", statuses != nil, [.http]),
        ("service", service != nil, [.grpc]), ("host", host != nil, [.http, .grpc]),
      ] where isThere && !kinds.contains(type) {
        report.add(.forbidden, at: "\(here).\(name)", "has no meaning for type \(type.rawValue); remove it")
      }
      if let path, !path.hasPrefix("/") || path.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F }) {
        report.add(
          .invalid, at: "\(here).path", "\(quoted(path)) is no path; begin it with \"/\" and use visible ASCII only")
      }
    }
  }

  package enum HealthCheckType: String, FieldEnum {
    case http = "HTTP"
    /// `grpc.health.v1.Health/Check`.
    case grpc = "GRPC"
    /// A connection, with its TLS handshake where there is one.
    case tcp = "TCP"
  }

  package struct StatusRange: FieldObject, Equatable {
    package var first = 200
    package var last = 299

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("first", &first, .range(100...599))
      visitor.field("last", &last, .range(100...599))
    }

    package func check(path: String, into report: ViolationReport) {
      guard last < first else { return }
      report.add(.invalid, at: "\(path).last", "is below first; make it at least as large")
    }
  }

  /// A second attempt beside a first one that takes long; the first answer is taken.
  package struct Hedging: FieldObject, Equatable {
    package var delay: GatewayDuration?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("delay", &delay, .required)
    }

    package func check(path: String, into report: ViolationReport) {
      delay?.checkBounds(path: "\(path).delay", longest: 60, into: report)
    }
  }
}
