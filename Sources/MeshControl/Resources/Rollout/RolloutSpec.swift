/// How a service gets from one version to the next (`apus.dev/v1 Rollout`).
///
/// `version` says which version is to serve. When it differs from the one that does, a release begins: the control plane
/// moves the weights of the service's route from one version's Service to the other's, looks at what the clients' proxies
/// count, and promotes the new version or takes it back. Exactly one strategy is given; without any it is `canary` with
/// its default steps.
package struct RolloutSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "apus.dev", version: "v1", kind: "Rollout", plural: "rollouts", shortNames: ["ro"])

  /// The service that clients call, in the rollout's namespace.
  package var service = ""
  /// The version that is to serve: the value of the workloads' label `version`.
  package var version = ""
  /// Port of the service and of the versions' services. Absent: the service's first TCP port.
  package var port: Int?
  /// Name of a version's Service; `{service}` and `{version}` are replaced. A Service that is not there is made.
  package var versionService = "{service}-{version}"
  /// The route whose weights are written. Absent: the HTTPRoute with the service's name; it is made where there is none.
  package var route: RouteTarget?
  package var canary: CanaryStrategy?
  package var blueGreen: BlueGreenStrategy?
  package var abTest: ABTestStrategy?
  package var shadow: ShadowStrategy?
  package var rolling: RollingStrategy?
  /// Absent: the default checks, for strategies that compare two versions under traffic.
  package var analysis: RolloutAnalysis?
  package var gates: [RolloutGate] = []
  /// How long a step may wait for what it needs beyond its own pause: requests, a verdict, gates, workloads. Default 10m.
  package var progressDeadline: GatewayDuration?
  package var onInconclusive = Inconclusive.pause

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("service", &service, .required, .format(.serviceName))
    visitor.field("version", &version, .required, .length(1...40), .format(.dnsLabel))
    visitor.field("port", &port, .range(1...65_535))
    visitor.field("versionService", &versionService, .length(1...128))
    visitor.field("route", &route)
    visitor.field("canary", &canary)
    visitor.field("blueGreen", &blueGreen)
    visitor.field("abTest", &abTest)
    visitor.field("shadow", &shadow)
    visitor.field("rolling", &rolling)
    visitor.field("analysis", &analysis)
    visitor.field("gates", &gates, .items(0...16), .uniqueBy("name"))
    visitor.field("progressDeadline", &progressDeadline)
    visitor.field("onInconclusive", &onInconclusive)
  }

  package func check(path: String, into report: ViolationReport) {
    let given = [
      ("canary", canary != nil), ("blueGreen", blueGreen != nil), ("abTest", abTest != nil), ("shadow", shadow != nil),
      ("rolling", rolling != nil),
    ].filter(\.1).map(\.0)
    if given.count > 1 {
      report.add(
        .forbidden, at: "\(path).\(given[1])",
        "\(given.joined(separator: " and ")) exclude each other; keep one strategy")
    }
    if shadow != nil, !HTTPRouteFilter.Kind.requestMirror.isSupported {
      report.add(
        .notSupported, at: "\(path).shadow", "the data plane does not copy requests yet; use another strategy")
    }
    progressDeadline?.checkBounds(path: "\(path).progressDeadline", into: report)
    checkVersionService(path: "\(path).versionService", into: report)
  }

  private func checkVersionService(path: String, into report: ViolationReport) {
    guard versionService.contains("{version}") else {
      report.add(
        .invalid, at: path, "has no {version}, so that all versions would be one Service; write {service}-{version}")
      return
    }
    let name = serviceName(of: version)
    if let fault = TextFormat.serviceName.fault(in: name) {
      report.add(.invalid, at: path, "gives \(quoted(name)), which as a Service's name \(fault); change it")
    } else if name == service {
      report.add(.invalid, at: path, "gives the service's own name; versions need Services of their own")
    }
  }

  /// The name of a version's Service.
  package func serviceName(of version: String) -> String {
    versionService.replacing("{service}", with: service).replacing("{version}", with: version)
  }

  /// The route whose weights are written.
  package var routeTarget: RouteTarget {
    if let route { return route }
    var target = RouteTarget()
    target.name = service
    return target
  }

  /// What is done when a step's deadline passes and nothing speaks against the candidate, nor enough for it.
  package enum Inconclusive: String, FieldEnum {
    /// Stop where it stands until a person promotes or aborts.
    case pause = "Pause"
    case rollBack = "RollBack"
    case promote = "Promote"
  }

  /// The route by which the service's traffic is split, in the rollout's namespace.
  package struct RouteTarget: FieldObject, Equatable {
    package enum Kind: String, FieldEnum {
      case http = "HTTPRoute"
      case grpc = "GRPCRoute"
    }

    package var kind = Kind.http
    package var name = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("kind", &kind)
      visitor.field("name", &name, .required, .length(1...253), .format(.dnsSubdomain))
    }

    package func check(path: String, into report: ViolationReport) {
      guard KindRegistry.type(of: groupKind) == nil else { return }
      report.add(
        .notSupported, at: "\(path).kind", "\(kind.rawValue) is not served by this control plane; use HTTPRoute")
    }

    package var groupKind: GroupKind { GroupKind(group: "gateway.networking.k8s.io", kind: kind.rawValue) }
  }
}

/// Somebody outside who is asked before a release goes on, or told how it ended: `POST` of a JSON object to `url`.
///
/// An answer 2xx opens the gate. Every other answer, and none, keeps it closed; it is asked again with each interval.
package struct RolloutGate: FieldObject, Equatable {
  package enum Moment: String, FieldEnum {
    /// Before the candidate gets its first traffic.
    case start = "Start"
    /// Before each step after the first.
    case step = "Step"
    /// Before the candidate gets all traffic.
    case promotion = "Promotion"
    /// After a promotion; the answer is not waited for.
    case promoted = "Promoted"
    /// After a rollback; the answer is not waited for.
    case rolledBack = "RolledBack"
  }

  package enum Refusal: String, FieldEnum {
    /// Stay at the step and ask again.
    case wait = "Wait"
    /// Take the release back when the answer is 4xx (but 408, 425 and 429).
    case rollBack = "RollBack"
  }

  package var name = ""
  /// `http://` or `https://`.
  package var url = ""
  package var at = Moment.promotion
  package var onRefusal = Refusal.wait
  /// Of one question; default 5s, at most 1m.
  package var timeout: GatewayDuration?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("name", &name, .required, .length(1...63), .format(.dnsLabel))
    visitor.field("url", &url, .required, .length(1...1024))
    visitor.field("at", &at)
    visitor.field("onRefusal", &onRefusal)
    visitor.field("timeout", &timeout)
  }

  package func check(path: String, into report: ViolationReport) {
    checkURL(url, path: "\(path).url", into: report)
    timeout?.checkBounds(path: "\(path).timeout", longest: 60, into: report)
  }

  /// Default 5 s.
  package var timeoutMilliseconds: Int64 { timeout?.milliseconds ?? 5000 }
}

/// Tells where a text is no URL that can be called: a scheme, a host, nothing that would need escaping.
func checkURL(_ text: String, path: String, into report: ViolationReport) {
  let rest =
    if text.hasPrefix("http://") { text.dropFirst(7) } else if text.hasPrefix("https://") { text.dropFirst(8) } else {
      Substring()
    }
  let host = rest.prefix { $0 != "/" && $0 != "?" }
  let isPrintable = text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
  guard !host.isEmpty, isPrintable, !host.contains("@"), !text.contains("#") else {
    report.add(
      .invalid, at: path,
      "\(quoted(text)) is no URL that can be called; write it like http://127.0.0.1:8080/gate, without user and #")
    return
  }
}
