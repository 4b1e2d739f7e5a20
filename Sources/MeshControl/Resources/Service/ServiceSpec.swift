/// A name under which workloads are reached (`v1 Service`), in the form Kubernetes gives it.
///
/// Fields that only a cluster's own network knows (`clusterIP`, `ipFamilies` …) are kept and have no effect here.
package struct ServiceSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "", version: "v1", kind: "Service", plural: "services", shortNames: ["svc"], nameRule: .serviceName)

  /// Annotation with the service accounts that may serve the service, separated by commas. Absent: those named like the
  /// service, or like the application that its selector asks for.
  package static let accountsAnnotation = "apus.dev/accounts"

  /// Labels that a workload of the same namespace must carry to belong to the service. Empty: none is chosen, endpoints
  /// come from EndpointSlices.
  package var selector: [String: String] = [:]
  package var ports: [Port] = []
  package var type = ServiceType.clusterIP
  /// With `type: ExternalName` the DNS name whose addresses are the service's endpoints.
  package var externalName: String?
  package var clusterIP: String?
  package var clusterIPs: [String] = []
  package var sessionAffinity = SessionAffinity.none
  package var publishNotReadyAddresses: Bool?
  package var internalTrafficPolicy: String?
  package var externalTrafficPolicy: String?
  package var trafficDistribution: String?
  package var ipFamilies: [String] = []
  package var ipFamilyPolicy: String?
  package var externalIPs: [String] = []
  package var allocateLoadBalancerNodePorts: Bool?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("selector", &selector, .items(0...64))
    visitor.field("ports", &ports, .required, .items(1...64))
    visitor.field("type", &type)
    visitor.field("externalName", &externalName)
    visitor.field("clusterIP", &clusterIP)
    visitor.field("clusterIPs", &clusterIPs, .items(0...2))
    visitor.field("sessionAffinity", &sessionAffinity)
    visitor.field("publishNotReadyAddresses", &publishNotReadyAddresses)
    visitor.field("internalTrafficPolicy", &internalTrafficPolicy)
    visitor.field("externalTrafficPolicy", &externalTrafficPolicy)
    visitor.field("trafficDistribution", &trafficDistribution)
    visitor.field("ipFamilies", &ipFamilies, .items(0...2))
    visitor.field("ipFamilyPolicy", &ipFamilyPolicy)
    visitor.field("externalIPs", &externalIPs, .items(0...64))
    visitor.field("allocateLoadBalancerNodePorts", &allocateLoadBalancerNodePorts)
  }

  package func check(path: String, into report: ViolationReport) {
    checkExternalName(path, report)
    var numbers: Set<String> = []
    var names: Set<String> = []
    for (index, port) in ports.enumerated() {
      let here = "\(path).ports[\(index)]"
      if !numbers.insert("\(port.port)/\(port.transport.rawValue)").inserted {
        report.add(
          .duplicate, at: "\(here).port",
          "\(port.port)/\(port.transport.rawValue) is there already; remove one of the two ports")
      }
      if let name = port.name {
        if !names.insert(name).inserted {
          report.add(.duplicate, at: "\(here).name", "\(quoted(name)) is there already; rename one of the two ports")
        }
      } else if ports.count > 1 {
        report.add(.required, at: "\(here).name", "is missing; with more than one port each needs a name")
      }
    }
  }

  /// The name to look up, without the dot that a full name may end with; nil where the type is another.
  package var resolvedName: String? {
    guard type == .externalName, let externalName else { return nil }
    return externalName.hasSuffix(".") ? String(externalName.dropLast()) : externalName
  }

  /// Whether this selector asks for everything that the other one asks for, and for more.
  func isVersion(of whole: ServiceSpec) -> Bool {
    !whole.selector.isEmpty && selector.count > whole.selector.count
      && whole.selector.allSatisfy { selector[$0.key] == $0.value }
  }

  private func checkExternalName(_ path: String, _ report: ViolationReport) {
    guard type == .externalName else {
      if externalName != nil {
        report.add(
          .invalid, at: "\(path).externalName",
          "has no effect with type \(type.rawValue); write `type: ExternalName`, or take it out")
      }
      return
    }
    if let name = resolvedName {
      checkForm(of: name, "\(path).externalName", report)
    } else {
      report.add(.required, at: "\(path).externalName", "is missing; write the DNS name, as api.example.com")
    }
    if !selector.isEmpty {
      report.add(
        .invalid, at: "\(path).selector",
        "a service of type ExternalName has no workloads; take out the selector, or change the type")
    }
    for (index, port) in ports.enumerated() {
      guard case .name(let name)? = port.targetPort else { continue }
      report.add(
        .invalid, at: "\(path).ports[\(index)].targetPort",
        "nothing tells which number \(quoted(name)) has at an external name; write the number, or leave it out")
    }
  }

  private func checkForm(of name: String, _ path: String, _ report: ViolationReport) {
    if IPAddress.isValid(name) {
      return report.add(
        .invalid, at: path,
        "\(quoted(name)) is an address; leave out type and externalName, and make an EndpointSlice with the address")
    }
    let isTooLong = name.split(separator: ".").contains { $0.utf8.count > 63 }
    guard isTooLong || TextFormat.dnsSubdomain.fault(in: name) != nil else { return }
    report.add(
      .invalid, at: path,
      "\(quoted(name)) must be \(TextFormat.dnsSubdomain.demand), each part at most 63; change it to that form")
  }

  /// One port of the service.
  package struct Port: FieldObject, Equatable {
    package var name: String?
    package var transport = Transport.tcp
    /// The number that clients use.
    package var port = 0
    /// The port of the workloads, by number or by name. Absent: the same number.
    package var targetPort: PortReference?
    /// What is spoken on the port: `http`, `grpc`, `tcp`, `kubernetes.io/h2c` … Absent: told from the port's name.
    package var appProtocol: String?
    package var nodePort: Int?

    package init() {}

    package init(name: String? = nil, port: Int, targetPort: PortReference? = nil, appProtocol: String? = nil) {
      self.name = name
      self.port = port
      self.targetPort = targetPort
      self.appProtocol = appProtocol
    }

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name, .format(.dnsLabel))
      visitor.field("protocol", &transport)
      visitor.field("port", &port, .required, .range(1...65_535))
      visitor.field("targetPort", &targetPort)
      visitor.field("appProtocol", &appProtocol, .format(.labelKey))
      visitor.field("nodePort", &nodePort, .range(1...65_535))
    }
  }

  package enum Transport: String, FieldEnum {
    case tcp = "TCP"
    case udp = "UDP"
    case sctp = "SCTP"
  }

  package enum ServiceType: String, FieldEnum {
    case clusterIP = "ClusterIP"
    case nodePort = "NodePort"
    case loadBalancer = "LoadBalancer"
    case externalName = "ExternalName"
  }

  package enum SessionAffinity: String, FieldEnum {
    case none = "None"
  }
}

/// A port by number, or by the name that a workload gives it.
package enum PortReference: FieldValue, Sendable, Equatable {
  case number(Int)
  case name(String)

  package static func read(_ value: Value, path: String, into report: ViolationReport) -> PortReference? {
    switch value.content {
    case .integer(let number) where (1...65_535).contains(number): return .number(Int(number))
    case .integer(let number):
      report.add(
        .invalid, at: path, "\(number) is out of bounds; use a number from 1 to 65535", position: value.position)
    case .string(let text):
      guard let fault = TextFormat.portName.fault(in: text) else { return .name(text) }
      let mend = Int(text) == nil ? "change it to that form, or give a number" : "write \(text) without quotes"
      report.add(.invalid, at: path, "as a port's name \(quoted(text)) \(fault); \(mend)", position: value.position)
    default:
      report.add(
        .typeInvalid, at: path, "is \(value.typeName) where a port is due; write its number or its name",
        position: value.position)
    }
    return nil
  }

  package var written: Value? {
    switch self {
    case .number(let number): .integer(number)
    case .name(let name): .string(name)
    }
  }
}
