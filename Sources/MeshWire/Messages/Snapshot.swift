/// Everything a proxy works from: its static configuration, its disk cache, its `/config_dump`.
package struct Snapshot: WireMessage {
  package var node: NodeIdentity?
  package var listeners: [ListenerConfig] = []
  package var services: [ServiceConfig] = []
  package var workloads: [WorkloadConfig] = []
  package var proxy: ProxyConfig?
  package var trust: [TrustBundle] = []
  /// Certificate and key files; absent where the control plane issues certificates.
  package var certificate: CertificateFiles?
  /// Further identities that listeners may act for: a proxy of a node speaks for many workloads.
  package var identities: [NamedIdentity] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "node", &node)
    try c.field(2, "listeners", &listeners)
    try c.field(3, "services", &services)
    try c.field(4, "workloads", &workloads)
    try c.field(5, "proxy", &proxy)
    try c.field(6, "trust", &trust)
    try c.field(7, "certificate", &certificate)
    try c.field(80, "identities", &identities)
  }
}

/// A further identity of a proxy, from PEM files. Roots are those of the proxy's own certificate.
package struct NamedIdentity: WireMessage {
  /// What listeners name it by.
  package var name = ""
  package var certificateChain = ""
  package var privateKey = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "name", &name)
    try c.field(2, "certificateChain", &certificateChain)
    try c.field(3, "privateKey", &privateKey)
  }
}

/// Who the proxy is.
package struct NodeIdentity: WireMessage {
  package var uid = ""
  package var namespace = ""
  package var workload = ""
  package var service = ""
  package var serviceAccount = ""
  package var version = ""
  package var trustDomain = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "uid", &uid)
    try c.field(2, "namespace", &namespace)
    try c.field(3, "workload", &workload)
    try c.field(4, "service", &service)
    try c.field(5, "serviceAccount", &serviceAccount)
    try c.field(6, "version", &version)
    try c.field(7, "trustDomain", &trustDomain)
  }
}

/// PEM files of a static configuration.
package struct CertificateFiles: WireMessage {
  package var certificateChain = ""
  package var privateKey = ""
  package var roots = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "certificateChain", &certificateChain)
    try c.field(2, "privateKey", &privateKey)
    try c.field(3, "roots", &roots)
  }
}

/// What a listener is for.
package enum ListenerKind: UInt32, WireEnum {
  /// The application calls one service through this port.
  case outbound = 0
  /// An HTTP forward proxy: the service is named by the request.
  case forward = 1
  /// Other workloads call the application through this port.
  case inbound = 2
  package static var unset: Self { .outbound }
  package var wireName: String {
    switch self {
    case .outbound: "outbound"
    case .forward: "forward"
    case .inbound: "inbound"
    }
  }
}

/// A socket the proxy listens on.
package struct ListenerConfig: WireMessage {
  package var name = ""
  package var kind = ListenerKind.outbound
  /// `address:port`; port 0 takes a free one.
  package var address = ""
  /// Outbound: `namespace/name` of the service.
  package var service = ""
  /// Outbound: the service's port. Inbound: the application's port; 0: tunnels (HBONE) to any of them.
  package var port: UInt32 = 0
  /// Inbound: where the application listens; default 127.0.0.1.
  package var applicationAddress = ""
  package var appProtocol = AppProtocol.unspecified
  /// Inbound: what is demanded of clients.
  package var mutualTLS = MutualTLSMode.strict
  /// Inbound, outbound: the name of the identity it acts for; empty: the proxy's own.
  package var identity = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "name", &name)
    try c.field(2, "kind", &kind)
    try c.field(3, "address", &address)
    try c.field(4, "service", &service)
    try c.field(5, "port", &port)
    try c.field(6, "applicationAddress", &applicationAddress)
    try c.field(7, "appProtocol", &appProtocol)
    try c.field(8, "mutualTLS", &mutualTLS)
    try c.field(80, "identity", &identity)
  }
}
