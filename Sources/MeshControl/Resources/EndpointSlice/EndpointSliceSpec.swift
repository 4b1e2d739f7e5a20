/// Endpoints outside the mesh (`discovery.k8s.io/v1 EndpointSlice`): plain addresses that a service may lead to.
///
/// The label `kubernetes.io/service-name` names the service, in the slice's own namespace.
package struct EndpointSliceSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "discovery.k8s.io", version: "v1", kind: "EndpointSlice", plural: "endpointslices", layout: .topLevel)

  /// The label that names the service.
  package static let serviceLabel = "kubernetes.io/service-name"

  package var addressType = AddressType.ipv4
  package var endpoints: [Endpoint] = []
  package var ports: [Port] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("addressType", &addressType, .required)
    visitor.field("endpoints", &endpoints, .items(0...1000))
    visitor.field("ports", &ports, .items(0...100), .uniqueBy("name"))
  }

  package func check(path: String, into report: ViolationReport) {
    let prefix = path.isEmpty ? "" : "\(path)."
    for (index, endpoint) in endpoints.enumerated() {
      for (place, address) in endpoint.addresses.enumerated()
      where address.utf8.contains(UInt8(ascii: ":")) != (addressType == .ipv6) {
        report.add(
          .invalid, at: "\(prefix)endpoints[\(index)].addresses[\(place)]",
          "\(quoted(address)) is not of addressType \(addressType.rawValue); move it to a slice of its own type")
      }
    }
  }

  package enum AddressType: String, FieldEnum {
    case ipv4 = "IPv4"
    case ipv6 = "IPv6"
  }

  /// One endpoint; the first of its addresses is used.
  package struct Endpoint: FieldObject, Equatable {
    package var addresses: [String] = []
    package var conditions: Conditions?
    package var hostname: String?
    package var nodeName: String?
    package var zone: String?
    package var targetRef: Value?
    package var hints: Value?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("addresses", &addresses, .required, .items(1...100), .unique, .each(.format(.ipAddress)))
      visitor.field("conditions", &conditions)
      visitor.field("hostname", &hostname, .format(.dnsLabel))
      visitor.field("nodeName", &nodeName)
      visitor.field("zone", &zone)
      visitor.field("targetRef", &targetRef)
      visitor.field("hints", &hints)
    }
  }

  package struct Conditions: FieldObject, Equatable {
    /// Absent means ready, as Kubernetes has it.
    package var ready: Bool?
    package var serving: Bool?
    package var terminating: Bool?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("ready", &ready)
      visitor.field("serving", &serving)
      visitor.field("terminating", &terminating)
    }
  }

  /// A port of every endpoint in the slice; the name pairs it with the service's port of that name.
  package struct Port: FieldObject, Equatable {
    package var name = ""
    package var transport = ServiceSpec.Transport.tcp
    package var port = 0
    package var appProtocol: String?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name)
      visitor.field("protocol", &transport)
      visitor.field("port", &port, .required, .range(1...65_535))
      visitor.field("appProtocol", &appProtocol, .format(.labelKey))
    }
  }
}
