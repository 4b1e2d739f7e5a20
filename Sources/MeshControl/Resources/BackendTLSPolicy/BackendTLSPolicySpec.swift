/// TLS towards the endpoints of a service that are not of the mesh (`gateway.networking.k8s.io/v1 BackendTLSPolicy`).
///
/// Between workloads of the mesh there is mutual TLS in any case, which the policy does not change.
package struct BackendTLSPolicySpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "gateway.networking.k8s.io", version: "v1", kind: "BackendTLSPolicy", plural: "backendtlspolicies",
    shortNames: ["btlspolicy"], otherVersions: ["v1alpha3"])

  package var targetRefs: [Target] = []
  package var validation = Validation()
  package var options: [String: String] = [:]

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("targetRefs", &targetRefs, .required, .items(1...16))
    visitor.field("validation", &validation, .required)
    visitor.field("options", &options, .items(0...16))
  }

  package func check(path: String, into report: ViolationReport) {
    for (index, target) in targetRefs.enumerated() {
      let earlier = targetRefs[..<index].filter {
        $0.group == target.group && $0.kind == target.kind && $0.name == target.name
      }
      let here = "\(path).targetRefs[\(index)]"
      if earlier.contains(where: { ($0.sectionName == nil) != (target.sectionName == nil) }) {
        report.add(
          .required, at: "\(here).sectionName",
          "is missing: \(target.name) is named more than once; give each of them a sectionName")
      } else if earlier.contains(where: { $0.sectionName == target.sectionName }) {
        report.add(.duplicate, at: here, "is there already; remove one of them")
      }
    }
  }

  /// What the policy is attached to, in its own namespace.
  package struct Target: FieldObject, Equatable {
    package var group = ""
    package var kind = ""
    package var name = ""
    /// Name of a port of the service; absent: all ports.
    package var sectionName: String?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("group", &group, .required, .length(0...253), .format(.apiGroup))
      visitor.field("kind", &kind, .required, .format(.kindName))
      visitor.field("name", &name, .required, .length(1...253))
      visitor.field("sectionName", &sectionName, .format(.dnsSubdomain))
    }
  }

  /// How the endpoint's certificate is checked.
  package struct Validation: FieldObject, Equatable {
    package var caCertificateRefs: [LocalObjectReference] = []
    package var wellKnownCACertificates: String?
    /// The server name that is sent, and the name that the certificate must have unless `subjectAltNames` are given.
    package var hostname = ""
    package var subjectAltNames: [SubjectAltName] = []

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("caCertificateRefs", &caCertificateRefs, .items(0...8))
      visitor.field("wellKnownCACertificates", &wellKnownCACertificates, .length(0...253))
      visitor.field("hostname", &hostname, .required, .length(1...253), .format(.dnsSubdomain))
      visitor.field("subjectAltNames", &subjectAltNames, .items(0...5))
    }

    package func check(path: String, into report: ViolationReport) {
      let isWellKnown = wellKnownCACertificates?.isEmpty == false
      if caCertificateRefs.isEmpty, !isWellKnown {
        report.add(
          .required, at: "\(path).caCertificateRefs",
          "is missing; name a ConfigMap with a key ca.crt, or write wellKnownCACertificates: System")
      } else if !caCertificateRefs.isEmpty, isWellKnown {
        report.add(
          .forbidden, at: "\(path).wellKnownCACertificates", "does not go with caCertificateRefs; remove one of them")
      }
    }
  }

  /// A name that the certificate may have.
  package struct SubjectAltName: FieldObject, Equatable {
    package enum Kind: String, FieldEnum {
      case hostname = "Hostname"
      case uri = "URI"
    }

    package var type = Kind.hostname
    package var hostname: String?
    package var uri: String?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("type", &type, .required)
      visitor.field("hostname", &hostname, .length(1...253), .format(.hostname))
      visitor.field("uri", &uri, .length(1...253))
    }

    package func check(path: String, into report: ViolationReport) {
      let isHostname = type == .hostname
      if isHostname ? hostname == nil : uri == nil {
        report.add(
          .required, at: "\(path).\(isHostname ? "hostname" : "uri")", "is missing; type \(type.rawValue) needs it")
      }
      if isHostname ? uri != nil : hostname != nil {
        report.add(
          .forbidden, at: "\(path).\(isHostname ? "uri" : "hostname")",
          "does not belong to type \(type.rawValue); remove it")
      }
      if let uri, !isHostname,
        uri.firstIndex(of: ":").map({ $0 > uri.startIndex && uri.index(after: $0) < uri.endIndex }) != true
      {
        report.add(.invalid, at: "\(path).uri", "\(quoted(uri)) is no URI; write it with its scheme, like spiffe://…")
      }
    }
  }
}
