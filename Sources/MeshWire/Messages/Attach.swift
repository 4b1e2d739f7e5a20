/// One message of a proxy on the stream `apus.v1.WorkloadService/Attach`. The first carries the registration.
package struct AttachRequest: WireMessage {
  package var registration: Registration?
  package var health: HealthReport?
  package var statistics: StatisticsReport?
  /// Answers to questions of the control plane.
  package var answers: [ProxyAnswer] = []
  /// What was let in by the limits that proxies share.
  package var quota: QuotaReport?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "registration", &registration)
    try c.field(2, "health", &health)
    try c.field(3, "statistics", &statistics)
    try c.field(100, "answers", &answers)
    try c.field(140, "quota", &quota)
  }
}

/// One message of the control plane on that stream.
package struct AttachResponse: WireMessage {
  /// How often the proxy should report, milliseconds; 0: unchanged (1000 at first).
  package var reportIntervalMilliseconds: UInt32 = 0
  /// What the control plane wants to know; each is answered once.
  package var questions: [ProxyQuestion] = []
  /// What may be let in by the limits that proxies share.
  package var quota: QuotaGrants?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "reportIntervalMilliseconds", &reportIntervalMilliseconds)
    try c.field(100, "questions", &questions)
    try c.field(140, "quota", &quota)
  }
}

/// What a workload is and where it is reached. Namespace and account must agree with the certificate of the stream.
package struct Registration: WireMessage {
  package var uid = ""
  package var namespace = ""
  package var name = ""
  package var service = ""
  package var serviceAccount = ""
  package var version = ""
  package var labels: [String: String] = [:]
  package var address = ""
  package var zone = ""
  package var ports: [WorkloadPort] = []
  package var proxyVersion = ""
  package var adminPort: UInt32 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "uid", &uid)
    try c.field(2, "namespace", &namespace)
    try c.field(3, "name", &name)
    try c.field(4, "service", &service)
    try c.field(5, "serviceAccount", &serviceAccount)
    try c.field(6, "version", &version)
    try c.field(7, "labels", &labels)
    try c.field(8, "address", &address)
    try c.field(9, "zone", &zone)
    try c.field(10, "ports", &ports)
    try c.field(11, "proxyVersion", &proxyVersion)
    try c.field(12, "adminPort", &adminPort)
  }
}

/// Whether the application takes connections, as its proxy sees it.
package struct HealthReport: WireMessage {
  package var health = Health.healthy
  /// For people.
  package var message = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "health", &health)
    try c.field(2, "message", &message)
  }
}

/// What passed through a proxy since its last report.
package struct StatisticsReport: WireMessage {
  package var sequence: UInt64 = 0
  package var intervalMilliseconds: UInt32 = 0
  package var edges: [EdgeStatistics] = []
  /// Open connections now, from applications and from peers.
  package var downstreamConnections: UInt32 = 0
  package var upstreamConnections: UInt32 = 0
  /// Seconds since 1970; 0: there is no certificate.
  package var certificateNotAfter: UInt64 = 0
  package var residentBytes: UInt64 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "sequence", &sequence)
    try c.field(2, "intervalMilliseconds", &intervalMilliseconds)
    try c.field(3, "edges", &edges)
    try c.field(4, "downstreamConnections", &downstreamConnections)
    try c.field(5, "upstreamConnections", &upstreamConnections)
    try c.field(6, "certificateNotAfter", &certificateNotAfter)
    try c.field(7, "residentBytes", &residentBytes)
  }
}

/// Which end of a connection reports.
package enum Reporter: UInt32, WireEnum {
  case source = 0
  case destination = 1
  package static var unset: Self { .source }
  package var wireName: String { self == .source ? "source" : "destination" }
}

/// Counts of one edge (who calls whom, by which route) since the last report.
package struct EdgeStatistics: WireMessage {
  package var reporter = Reporter.source
  package var sourceNamespace = ""
  package var sourceWorkload = ""
  package var destinationNamespace = ""
  package var destinationService = ""
  package var destinationWorkload = ""
  package var destinationVersion = ""
  package var route = ""
  package var requests: UInt64 = 0
  /// Answers 500–599 and requests without an answer.
  package var failures: UInt64 = 0
  package var retries: UInt64 = 0
  /// Latency sketch: pairs (bucket, count), ascending.
  package var latency: [UInt32] = []
  package var tcpOpened: UInt64 = 0
  package var tcpActive: UInt32 = 0
  package var sentBytes: UInt64 = 0
  package var receivedBytes: UInt64 = 0
  package var isMutualTLS = false
  package var reasons: [ReasonCount] = []
  /// The service that the caller runs as; empty where it is not known.
  package var sourceService = ""
  /// The service that was asked for, where a route led to another one's endpoints (`destinationService`); else empty.
  package var askedNamespace = ""
  package var askedService = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "reporter", &reporter)
    try c.field(2, "sourceNamespace", &sourceNamespace)
    try c.field(3, "sourceWorkload", &sourceWorkload)
    try c.field(4, "destinationNamespace", &destinationNamespace)
    try c.field(5, "destinationService", &destinationService)
    try c.field(6, "destinationWorkload", &destinationWorkload)
    try c.field(7, "destinationVersion", &destinationVersion)
    try c.field(8, "route", &route)
    try c.field(9, "requests", &requests)
    try c.field(10, "failures", &failures)
    try c.field(11, "retries", &retries)
    try c.field(12, "latency", &latency)
    try c.field(13, "tcpOpened", &tcpOpened)
    try c.field(14, "tcpActive", &tcpActive)
    try c.field(15, "sentBytes", &sentBytes)
    try c.field(16, "receivedBytes", &receivedBytes)
    try c.field(17, "isMutualTLS", &isMutualTLS)
    try c.field(18, "reasons", &reasons)
    try c.field(100, "sourceService", &sourceService)
    try c.field(296, "askedNamespace", &askedNamespace)
    try c.field(297, "askedService", &askedService)
  }
}

/// How often the mesh gave a reason on an edge.
package struct ReasonCount: WireMessage {
  package var reason = ""
  package var count: UInt64 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "reason", &reason)
    try c.field(2, "count", &count)
  }
}
