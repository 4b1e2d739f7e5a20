/// Whether an endpoint takes traffic.
package enum Health: UInt32, WireEnum {
  case healthy = 0
  case unhealthy = 1
  /// Finishes what it has, takes nothing new.
  case draining = 2
  /// Only proxies say this, of their own workload: nothing has ever listened on its ports. It is a client, or a server
  /// that is still starting. It takes no traffic.
  case notListening = 3
  package static var unset: Self { .healthy }
  package var wireName: String {
    switch self {
    case .healthy: "healthy"
    case .unhealthy: "unhealthy"
    case .draining: "draining"
    case .notListening: "notListening"
    }
  }
}

/// One running instance of an application: an endpoint. Resource name: `uid`.
package struct WorkloadConfig: WireMessage {
  package var uid = ""
  package var namespace = ""
  /// Name of the workload (what a Deployment is on Kubernetes): the label `destination_workload`.
  package var name = ""
  /// The SPIFFE ID that its proxy must show; empty for an endpoint outside the mesh.
  package var identity = ""
  /// IPv4 or IPv6 address, without port.
  package var address = ""
  /// The canonical application and version (labels `app` and `version`).
  package var app = ""
  package var version = ""
  package var zone = ""
  package var health = Health.healthy
  /// Share of the traffic relative to the other endpoints; default 1.
  package var weight: UInt32?
  package var ports: [WorkloadPort] = []
  /// `namespace/name` of the services it belongs to.
  package var services: [String] = []
  /// Those of its labels that a policy of its services asks for.
  package var labels: [String: String] = [:]

  /// Numbers of the fields that are looked at without reading the others.
  package static let identityField: UInt32 = 4
  package static let servicesField: UInt32 = 12

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "uid", &uid)
    try c.field(2, "namespace", &namespace)
    try c.field(3, "name", &name)
    try c.field(Self.identityField, "identity", &identity)
    try c.field(5, "address", &address)
    try c.field(6, "app", &app)
    try c.field(7, "version", &version)
    try c.field(8, "zone", &zone)
    try c.field(9, "health", &health)
    try c.field(10, "weight", &weight)
    try c.field(11, "ports", &ports)
    try c.field(Self.servicesField, "services", &services)
    try c.field(40, "labels", &labels)
  }
}

/// A port of an application, and the port of its proxy that stands before it.
package struct WorkloadPort: WireMessage {
  package var appPort: UInt32 = 0
  /// Where the workload's proxy takes mTLS for this port; absent: there is no proxy, traffic goes to `appPort` in plaintext.
  package var inboundPort: UInt32?
  package var appProtocol = AppProtocol.unspecified
  package var name = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "appPort", &appPort)
    try c.field(2, "inboundPort", &inboundPort)
    try c.field(3, "appProtocol", &appProtocol)
    try c.field(4, "name", &name)
  }
}

/// What the proxy demands of connections to its application.
package enum MutualTLSMode: UInt32, WireEnum {
  /// Only mTLS of the mesh. The default: nothing is open unless someone says so.
  case strict = 0
  /// mTLS or plaintext.
  case permissive = 1
  /// Plaintext only.
  case disable = 2
  package static var unset: Self { .strict }
  package var wireName: String {
    switch self {
    case .strict: "strict"
    case .permissive: "permissive"
    case .disable: "disable"
    }
  }
}

/// What one proxy needs to know about itself. Resource name: `self`.
package struct ProxyConfig: WireMessage {
  package var namespace = ""
  package var workload = ""
  package var trustDomain = ""
  package var trustDomainAliases: [String] = []
  /// Mode for ports that `inbound` does not name.
  package var mutualTLS = MutualTLSMode.strict
  package var inbound: [InboundPortConfig] = []
  /// Where it runs; empty: not known.
  package var zone = ""
  /// Absent: nothing but what is scraped, and the access log that the proxy was started with.
  package var telemetry: TelemetryConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "namespace", &namespace)
    try c.field(2, "workload", &workload)
    try c.field(3, "trustDomain", &trustDomain)
    try c.field(4, "trustDomainAliases", &trustDomainAliases)
    try c.field(5, "mutualTLS", &mutualTLS)
    try c.field(6, "inbound", &inbound)
    try c.field(40, "zone", &zone)
    try c.field(160, "telemetry", &telemetry)
  }
}

/// How one port of the application is reached.
package struct InboundPortConfig: WireMessage {
  package var appPort: UInt32 = 0
  package var mutualTLS = MutualTLSMode.strict
  package var appProtocol = AppProtocol.unspecified
  /// `namespace/name` of the PeerAuthentication that decided the mode; empty: the mesh's default.
  package var source = ""
  /// `namespace/name` of the service whose port this is, for labels.
  package var service = ""
  /// Limits that this proxy holds callers to.
  package var rateLimits: [RateLimitConfig] = []
  /// Absent: off.
  package var concurrency: ConcurrencyConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "appPort", &appPort)
    try c.field(2, "mutualTLS", &mutualTLS)
    try c.field(3, "appProtocol", &appProtocol)
    try c.field(4, "source", &source)
    try c.field(5, "service", &service)
    try c.field(40, "rateLimits", &rateLimits)
    try c.field(41, "concurrency", &concurrency)
  }
}

/// The roots of a trust domain. Resource name: the trust domain.
package struct TrustBundle: WireMessage {
  package var trustDomain = ""
  /// PEM, one certificate each.
  package var roots: [String] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "trustDomain", &trustDomain)
    try c.field(2, "roots", &roots)
  }
}
