/// Type URLs of the resources that delta xDS carries here.
package enum ResourceType: String, CaseIterable, Sendable {
  case service = "type.googleapis.com/apus.v1.ServiceConfig"
  case workload = "type.googleapis.com/apus.v1.Workload"
  case proxy = "type.googleapis.com/apus.v1.ProxyConfig"
  case trust = "type.googleapis.com/apus.v1.TrustBundle"
}

/// `google.protobuf.Any`.
package struct AnyMessage: WireMessage {
  package var typeURL = ""
  package var value: [UInt8] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "typeUrl", &typeURL)
    try c.field(2, "value", &value)
  }
}

/// `envoy.config.core.v3.Node`, the parts used.
package struct XDSNode: WireMessage {
  package var id = ""
  package var cluster = ""
  package var userAgentName = ""
  package var userAgentVersion = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "id", &id)
    try c.field(2, "cluster", &cluster)
    try c.field(6, "userAgentName", &userAgentName)
    try c.field(7, "userAgentVersion", &userAgentVersion)
  }
}

/// `google.rpc.Status`, the parts used.
package struct RPCStatus: WireMessage {
  package var code: UInt32 = 0
  package var message = ""
  /// In a NACK of a proxy of this mesh: one `RefusedResources`, so that the others count as accepted.
  package var details: [AnyMessage] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "code", &code)
    try c.field(2, "message", &message)
    try c.field(3, "details", &details)
  }
}

/// Which resources of a response a proxy refused; everything else of that response is in force.
package struct RefusedResources: WireMessage {
  /// The type URL under which it stands in `RPCStatus.details`.
  package static let typeURL = "type.googleapis.com/apus.v1.RefusedResources"

  package var resources: [RefusedResource] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "resources", &resources)
  }
}

/// One resource that a proxy refused.
package struct RefusedResource: WireMessage {
  package var name = ""
  /// What is wrong with it, for people.
  package var message = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "name", &name)
    try c.field(2, "message", &message)
  }
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`.
package struct DeltaDiscoveryRequest: WireMessage {
  package var node: XDSNode?
  package var typeURL = ""
  package var subscribe: [String] = []
  package var unsubscribe: [String] = []
  /// What the client still has from an earlier stream: name → version.
  package var initialVersions: [String: String] = [:]
  /// Nonce of the response this acknowledges.
  package var responseNonce = ""
  /// Present: the response was refused (NACK), and why.
  package var errorDetail: RPCStatus?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "node", &node)
    try c.field(2, "typeUrl", &typeURL)
    try c.field(3, "resourceNamesSubscribe", &subscribe)
    try c.field(4, "resourceNamesUnsubscribe", &unsubscribe)
    try c.field(5, "initialResourceVersions", &initialVersions)
    try c.field(6, "responseNonce", &responseNonce)
    try c.field(7, "errorDetail", &errorDetail)
  }
}

/// `envoy.service.discovery.v3.Resource`.
package struct DiscoveredResource: WireMessage {
  package var version = ""
  package var resource: AnyMessage?
  package var name = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "version", &version)
    try c.field(2, "resource", &resource)
    try c.field(3, "name", &name)
  }
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
package struct DeltaDiscoveryResponse: WireMessage {
  package var systemVersion = ""
  package var resources: [DiscoveredResource] = []
  package var typeURL = ""
  package var nonce = ""
  package var removed: [String] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "systemVersionInfo", &systemVersion)
    try c.field(2, "resources", &resources)
    try c.field(4, "typeUrl", &typeURL)
    try c.field(5, "nonce", &nonce)
    try c.field(6, "removedResources", &removed)
  }
}

/// `istio.v1.auth.IstioCertificateRequest`, the parts used.
package struct CertificateRequestMessage: WireMessage {
  /// PEM of the PKCS#10 request.
  package var csr = ""
  /// Wished lifetime in seconds; 0: the authority's default.
  package var validitySeconds: UInt64 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "csr", &csr)
    try c.field(3, "validityDuration", &validitySeconds)
  }
}

/// `istio.v1.auth.IstioCertificateResponse`: leaf first, root last, PEM.
package struct CertificateResponseMessage: WireMessage {
  package var chain: [String] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "certChain", &chain)
  }
}
