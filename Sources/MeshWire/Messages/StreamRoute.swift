/// One rule of a TCPRoute or TLSRoute: where connections go.
package struct StreamRouteConfig: WireMessage {
  /// `namespace/name` of the route.
  package var route = ""
  package var ruleIndex: UInt32 = 0
  package var ruleName = ""
  /// Creation time of the route, seconds since 1970.
  package var routeCreatedSeconds: UInt64 = 0
  /// Port of the parent that the route is attached to; absent: all ports.
  package var parentPort: UInt32?
  /// Namespace of the clients for which the rule holds (a consumer route); empty: everyone.
  package var consumerNamespace = ""
  /// Server names of TLS connections, some with `*.` at their beginning; empty: every connection (TCPRoute).
  package var serverNames: [String] = []
  package var backends: [BackendConfig] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "route", &route)
    try c.field(2, "ruleIndex", &ruleIndex)
    try c.field(3, "ruleName", &ruleName)
    try c.field(4, "routeCreatedSeconds", &routeCreatedSeconds)
    try c.field(5, "parentPort", &parentPort)
    try c.field(6, "consumerNamespace", &consumerNamespace)
    try c.field(7, "serverNames", &serverNames)
    try c.field(8, "backends", &backends)
  }
}

/// TLS towards endpoints that are not of the mesh (BackendTLSPolicy).
package struct BackendTLSConfig: WireMessage {
  /// `namespace/name` of the policy.
  package var source = ""
  /// Port of the service; absent: all that no other entry names.
  package var port: UInt32?
  /// The server name that is sent; unless `subjectAltNames` says otherwise, the certificate must have it.
  package var hostname = ""
  /// Certificates of the authorities that are believed, PEM.
  package var authorities = ""
  /// The authorities are the system's.
  package var usesSystemAuthorities = false
  /// The certificate must have one of them.
  package var subjectAltNames: [SubjectAltNameConfig] = []
  /// Why nothing can be verified (a condition reason such as `InvalidCACertificateRef`): connections fail.
  package var invalidReason = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "source", &source)
    try c.field(2, "port", &port)
    try c.field(3, "hostname", &hostname)
    try c.field(4, "authorities", &authorities)
    try c.field(5, "usesSystemAuthorities", &usesSystemAuthorities)
    try c.field(6, "subjectAltNames", &subjectAltNames)
    try c.field(7, "invalidReason", &invalidReason)
  }
}

/// A name that a certificate may have; one of the two is empty.
package struct SubjectAltNameConfig: WireMessage {
  /// A DNS name, which may begin with `*.`.
  package var hostname = ""
  package var uri = ""

  package init() {}
  package init(hostname: String = "", uri: String = "") {
    self.hostname = hostname
    self.uri = uri
  }
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "hostname", &hostname)
    try c.field(2, "uri", &uri)
  }
}

/// How requests of one session find the same endpoint again (GEP-1619).
package struct SessionPersistenceConfig: WireMessage {
  /// One of the two is empty.
  package var cookie = ""
  package var header = ""
  /// Of the cookie; default `/`.
  package var cookiePath = ""
  /// The cookie outlives the client's session, until `absoluteTimeoutMilliseconds`.
  package var isPermanent = false
  /// Absent: no limit.
  package var absoluteTimeoutMilliseconds: UInt32?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "cookie", &cookie)
    try c.field(2, "header", &header)
    try c.field(3, "cookiePath", &cookiePath)
    try c.field(4, "isPermanent", &isPermanent)
    try c.field(5, "absoluteTimeoutMilliseconds", &absoluteTimeoutMilliseconds)
  }
}

/// What decides among matches of GRPCRoutes: the longer service first, then the longer method.
package struct GRPCRankConfig: WireMessage {
  package var serviceLength: UInt32 = 0
  package var methodLength: UInt32 = 0

  package init() {}
  package init(serviceLength: UInt32, methodLength: UInt32) {
    self.serviceLength = serviceLength
    self.methodLength = methodLength
  }
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "serviceLength", &serviceLength)
    try c.field(2, "methodLength", &methodLength)
  }
}
