/// Golden figures of the mesh over a sliding window, added up from what the proxies report.
package protocol StatsSource: Sendable {
  /// - Parameter window: how far to look back; implementations bound it to what they keep.
  func statistics(window: Duration) async -> MeshStatistics
  /// Traffic told apart by what the query names.
  func traffic(_ query: TrafficQuery) async -> [TrafficRow]
  /// The same traffic, added up, step by step, oldest first. Steps without traffic are there too.
  func history(_ query: TrafficQuery, step: Duration) async -> [TrafficPoint]
}

/// What `StatsSource` answers: one row per service and workload, one per edge between them.
package struct MeshStatistics: Sendable, Equatable {
  package enum Subject: String, Sendable, Equatable {
    case service, workload
  }

  package struct Row: Sendable, Equatable {
    package var namespace: String
    package var name: String
    package var subject: Subject
    /// Instances with a connected proxy, and all instances.
    package var meshedCount: Int
    package var instanceCount: Int
    package var figures: Figures

    package init(
      namespace: String, name: String, subject: Subject, meshedCount: Int, instanceCount: Int, figures: Figures
    ) {
      self.namespace = namespace
      self.name = name
      self.subject = subject
      self.meshedCount = meshedCount
      self.instanceCount = instanceCount
      self.figures = figures
    }
  }

  package struct Edge: Sendable, Equatable {
    package var sourceNamespace: String
    package var source: String
    package var destinationNamespace: String
    package var destination: String
    package var figures: Figures

    package init(
      sourceNamespace: String, source: String, destinationNamespace: String, destination: String, figures: Figures
    ) {
      self.sourceNamespace = sourceNamespace
      self.source = source
      self.destinationNamespace = destinationNamespace
      self.destination = destination
      self.figures = figures
    }
  }

  package struct Figures: Sendable, Equatable {
    package var requests: UInt64
    /// Answers 500–599, and requests without an answer.
    package var failures: UInt64
    /// Attempts after the first.
    package var retries: UInt64
    /// Share of requests answered without a failure, 0...1. Absent when there were no requests.
    package var successRate: Double?
    package var requestsPerSecond: Double
    /// Latency quantiles in milliseconds. Absent when there were no requests.
    package var p50Ms: Double?
    package var p95Ms: Double?
    package var p99Ms: Double?
    /// TCP connections open now.
    package var tcpConnections: UInt64
    /// TCP connections opened, bytes to the client and from it.
    package var tcpOpened: UInt64
    package var sentBytes: UInt64
    package var receivedBytes: UInt64
    /// How often the mesh gave which reason, the most frequent first.
    package var reasons: [ReasonCount]

    package init(
      requests: UInt64, successRate: Double?, requestsPerSecond: Double, p50Ms: Double?, p95Ms: Double?,
      p99Ms: Double?, tcpConnections: UInt64, failures: UInt64 = 0, retries: UInt64 = 0, tcpOpened: UInt64 = 0,
      sentBytes: UInt64 = 0, receivedBytes: UInt64 = 0, reasons: [ReasonCount] = []
    ) {
      self.requests = requests
      self.failures = failures
      self.retries = retries
      self.successRate = successRate
      self.requestsPerSecond = requestsPerSecond
      self.p50Ms = p50Ms
      self.p95Ms = p95Ms
      self.p99Ms = p99Ms
      self.tcpConnections = tcpConnections
      self.tcpOpened = tcpOpened
      self.sentBytes = sentBytes
      self.receivedBytes = receivedBytes
      self.reasons = reasons
    }

    /// Share of *attempts* that did not fail: each retry stands for an attempt that did. Absent when there were none.
    package var attemptSuccessRate: Double? {
      guard requests > 0 else { return nil }
      return Double(requests - min(failures, requests)) / (Double(requests) + Double(retries))
    }
  }

  /// How often the mesh gave a reason.
  package struct ReasonCount: Sendable, Equatable {
    /// The reason's stable name.
    package var reason: String
    package var count: UInt64

    package init(reason: String, count: UInt64) {
      self.reason = reason
      self.count = count
    }
  }

  package var rows: [Row]
  package var edges: [Edge]

  package init(rows: [Row], edges: [Edge]) {
    self.rows = rows
    self.edges = edges
  }
}

/// By what traffic is told apart.
package struct TrafficDimensions: OptionSet, Sendable, Hashable {
  package let rawValue: Int

  package init(rawValue: Int) { self.rawValue = rawValue }

  /// The calling workload.
  package static let source = TrafficDimensions(rawValue: 1)
  /// The service that the caller runs as.
  package static let sourceService = TrafficDimensions(rawValue: 2)
  /// The service that is called.
  package static let service = TrafficDimensions(rawValue: 4)
  /// The workload that answers.
  package static let workload = TrafficDimensions(rawValue: 8)
  package static let version = TrafficDimensions(rawValue: 16)
  package static let route = TrafficDimensions(rawValue: 32)
  /// Whether the traffic is encrypted.
  package static let security = TrafficDimensions(rawValue: 64)

  /// The dimensions by the names that the API has for them.
  package static let named: [(name: String, dimension: TrafficDimensions)] = [
    ("source", .source), ("sourceService", .sourceService), ("service", .service), ("workload", .workload),
    ("version", .version), ("route", .route), ("security", .security),
  ]
}

/// A workload or service by name.
package struct TrafficPeer: Sendable, Equatable {
  /// Absent: any namespace.
  package var namespace: String?
  /// Absent: any name.
  package var name: String?

  package init(namespace: String? = nil, name: String? = nil) {
    self.namespace = namespace
    self.name = name
  }

  func matches(_ namespace: String, _ names: String...) -> Bool {
    (self.namespace == nil || self.namespace == namespace) && (name.map { names.contains($0) } ?? true)
  }
}

/// Which traffic is asked for.
package struct TrafficQuery: Sendable, Equatable {
  package var window: Duration
  package var dimensions: TrafficDimensions
  /// The caller: its workload or its service.
  package var from: TrafficPeer
  /// What is called: the service, or the workload that answers.
  package var to: TrafficPeer
  /// The route's name; absent: all.
  package var route: String?

  package init(
    window: Duration, dimensions: TrafficDimensions, from: TrafficPeer = TrafficPeer(), to: TrafficPeer = TrafficPeer(),
    route: String? = nil
  ) {
    self.window = window
    self.dimensions = dimensions
    self.from = from
    self.to = to
    self.route = route
  }
}

/// Traffic of one kind; what the query did not tell apart is empty.
package struct TrafficRow: Sendable, Equatable {
  package var sourceNamespace = ""
  package var source = ""
  package var sourceService = ""
  package var destinationNamespace = ""
  package var service = ""
  package var workload = ""
  package var version = ""
  package var route = ""
  /// Absent where security was not asked for, and where requests reached no endpoint.
  package var isMutualTLS: Bool?
  package var figures: MeshStatistics.Figures

  package init(figures: MeshStatistics.Figures) { self.figures = figures }
}

/// Traffic of one step.
package struct TrafficPoint: Sendable, Equatable {
  /// From the end of the step until now; negative for the step under way.
  package var secondsAgo: Int64
  package var figures: MeshStatistics.Figures

  package init(secondsAgo: Int64, figures: MeshStatistics.Figures) {
    self.secondsAgo = secondsAgo
    self.figures = figures
  }
}
