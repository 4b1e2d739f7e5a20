/// The page `/endpoints` of a proxy: services, their limits, their endpoints, as all workers together know them.
package struct ClusterPage: WireMessage {
  package var clusters: [ClusterReport] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "clusters", &clusters)
  }
}

/// One port of one service as a proxy knows it.
package struct ClusterReport: WireMessage {
  /// `namespace/name`.
  package var service = ""
  package var port: UInt32 = 0
  package var isTCP = false
  /// Name of the balancer.
  package var balancer = ""
  package var limits: [LimitReport] = []
  /// Retries that the budget allows now, summed over the workers.
  package var retryBudget: UInt32 = 0
  /// Milliseconds; 0: none is set.
  package var requestTimeoutMilliseconds: UInt32 = 0
  package var rules: UInt32 = 0
  package var endpoints: [EndpointReport] = []
  /// What the proxy goes by where nobody declares the port's protocol: `firstBytes` of each connection, or `serverFirst`,
  /// once the server has been seen to speak first; empty: the protocol is declared.
  package var detection = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "service", &service)
    try c.field(2, "port", &port)
    try c.field(3, "isTCP", &isTCP)
    try c.field(4, "balancer", &balancer)
    try c.field(5, "limits", &limits)
    try c.field(6, "retryBudget", &retryBudget)
    try c.field(7, "requestTimeoutMilliseconds", &requestTimeoutMilliseconds)
    try c.field(8, "rules", &rules)
    try c.field(9, "endpoints", &endpoints)
    try c.field(180, "detection", &detection)
  }
}

/// A limit of a circuit breaker, or the adaptive one: what is under way, where it opens, how often it has refused.
package struct LimitReport: WireMessage {
  /// The kind of the limit that `adaptiveConcurrency` finds by itself.
  package static let adaptive = "adaptive"

  /// `connections`, `pending`, `requests`, `retries`; `adaptive` where `adaptiveConcurrency` is on.
  package var kind = ""
  package var current: UInt32 = 0
  /// Absent: there is no limit.
  package var limit: UInt32?
  package var refused: UInt64 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "kind", &kind)
    try c.field(2, "current", &current)
    try c.field(3, "limit", &limit)
    try c.field(4, "refused", &refused)
  }
}

/// An endpoint as a proxy's balancer knows it.
package struct EndpointReport: WireMessage {
  /// The uid of the workload.
  package var uid = ""
  package var address = ""
  package var version = ""
  /// `healthy`, or what keeps it from requests: `unhealthy`, `ejected`, `draining`. Of several workers, the worst.
  package var state = ""
  package var weight: UInt32 = 0
  package var inFlight: UInt32 = 0
  /// As peak EWMA weighs it; 0 where that is not used.
  package var latencyMicroseconds: UInt64 = 0
  package var connections: UInt32 = 0
  package var idleConnections: UInt32 = 0
  /// Whom the connection must lead to; empty: plaintext.
  package var identity = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "uid", &uid)
    try c.field(2, "address", &address)
    try c.field(3, "version", &version)
    try c.field(4, "state", &state)
    try c.field(5, "weight", &weight)
    try c.field(6, "inFlight", &inFlight)
    try c.field(7, "latencyMicroseconds", &latencyMicroseconds)
    try c.field(8, "connections", &connections)
    try c.field(9, "idleConnections", &idleConnections)
    try c.field(10, "identity", &identity)
  }
}

/// The page `/secrets` of a proxy: certificates in force. Keys are never shown.
package struct SecretPage: WireMessage {
  package var certificates: [CertificateReport] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "certificates", &certificates)
  }
}

/// A certificate in force.
package struct CertificateReport: WireMessage {
  /// `own` or `root`.
  package var kind = ""
  /// Its SPIFFE ID; for a root, the trust domain.
  package var identity = ""
  /// Hexadecimal.
  package var serial = ""
  /// Seconds since 1970.
  package var notBeforeSeconds: UInt64 = 0
  package var notAfterSeconds: UInt64 = 0
  /// SHA-256 of the certificate, hexadecimal.
  package var fingerprint = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "kind", &kind)
    try c.field(2, "identity", &identity)
    try c.field(3, "serial", &serial)
    try c.field(4, "notBeforeSeconds", &notBeforeSeconds)
    try c.field(5, "notAfterSeconds", &notAfterSeconds)
    try c.field(6, "fingerprint", &fingerprint)
  }
}
