import MeshModel
import MeshWire

import struct MeshTelemetry.LatencySketch

/// What was counted of one edge, from one end, over some time.
struct EdgeCell: Sendable, Equatable {
  var requests: UInt64 = 0
  var failures: UInt64 = 0
  var retries: UInt64 = 0
  var tcpOpened: UInt64 = 0
  var sentBytes: UInt64 = 0
  var receivedBytes: UInt64 = 0
  /// Pairs of bucket and count, as `LatencySketch` writes them; several sketches may follow each other.
  var latency: [UInt32] = []
  /// How often which reason was given, in order of the reasons.
  var reasons: [ReasonTally] = []

  struct ReasonTally: Sendable, Equatable {
    var reason: Reason
    var count: UInt64
  }

  /// Whether nothing was counted.
  var isEmpty: Bool { requests == 0 && failures == 0 && tcpOpened == 0 && sentBytes == 0 && receivedBytes == 0 }

  mutating func add(_ edge: EdgeStatistics) {
    requests = requests.saturatingAdd(edge.requests)
    failures = failures.saturatingAdd(min(edge.failures, edge.requests))
    retries = retries.saturatingAdd(edge.retries)
    tcpOpened = tcpOpened.saturatingAdd(edge.tcpOpened)
    sentBytes = sentBytes.saturatingAdd(edge.sentBytes)
    receivedBytes = receivedBytes.saturatingAdd(edge.receivedBytes)
    append(edge.latency.prefix(2 * LatencySketch.bucketCount))
    for entry in edge.reasons.prefix(Self.reasonLimit) {
      // A reason of a newer proxy has no words here.
      if let reason = Self.reasonsByName[entry.reason] { add(entry.count, of: reason) }
    }
  }

  mutating func add(_ cell: EdgeCell) {
    requests = requests.saturatingAdd(cell.requests)
    failures = failures.saturatingAdd(cell.failures)
    retries = retries.saturatingAdd(cell.retries)
    tcpOpened = tcpOpened.saturatingAdd(cell.tcpOpened)
    sentBytes = sentBytes.saturatingAdd(cell.sentBytes)
    receivedBytes = receivedBytes.saturatingAdd(cell.receivedBytes)
    append(cell.latency[...])
    for tally in cell.reasons { add(tally.count, of: tally.reason) }
  }

  private mutating func add(_ count: UInt64, of reason: Reason) {
    if let index = reasons.firstIndex(where: { $0.reason == reason }) {
      reasons[index].count = reasons[index].count.saturatingAdd(count)
    } else {
      let place = reasons.firstIndex { $0.reason.rawValue > reason.rawValue } ?? reasons.count
      reasons.insert(ReasonTally(reason: reason, count: count), at: place)
    }
  }

  /// Sketches are kept one after the other until that is longer than one whole sketch.
  private mutating func append(_ pairs: ArraySlice<UInt32>) {
    latency += pairs.count % 2 == 0 ? pairs : pairs.dropLast()
    if latency.count > 2 * LatencySketch.bucketCount { latency = LatencySketch(sparse: latency).sparse }
  }

  private static let reasonLimit = 256
  private static let reasonsByName: [String: Reason] = Dictionary(
    uniqueKeysWithValues: Reason.allCases.map { ("\($0.name)", $0) })
}

/// Who called whom, by which route, and which end says so.
struct EdgeKey: Hashable, Sendable {
  var reporter: Reporter
  var sourceNamespace: String
  /// The calling workload.
  var source: String
  /// The service that it runs as; empty where that is not known.
  var sourceService: String
  /// The service that was asked for.
  var destinationNamespace: String
  var destinationService: String
  /// The service whose endpoints a route chose for it; the same where none did.
  var backendNamespace: String
  var backendService: String
  var destinationWorkload: String
  var destinationVersion: String
  /// `namespace/name/rule`; empty where no route took the requests.
  var route: String
  var isMutualTLS: Bool
}

extension EdgeKey {
  /// Longest name that is kept, bytes; names come from peers.
  private static let nameBytes = 253

  init(_ edge: EdgeStatistics) {
    func bounded(_ name: String) -> String {
      name.utf8.count <= Self.nameBytes ? name : String(decoding: name.utf8.prefix(Self.nameBytes), as: UTF8.self)
    }
    let backend = (bounded(edge.destinationNamespace), bounded(edge.destinationService))
    let asked = edge.askedService.isEmpty ? backend : (bounded(edge.askedNamespace), bounded(edge.askedService))
    self.init(
      reporter: edge.reporter, sourceNamespace: bounded(edge.sourceNamespace), source: bounded(edge.sourceWorkload),
      sourceService: bounded(edge.sourceService), destinationNamespace: asked.0, destinationService: asked.1,
      backendNamespace: backend.0, backendService: backend.1, destinationWorkload: bounded(edge.destinationWorkload),
      destinationVersion: bounded(edge.destinationVersion), route: bounded(edge.route), isMutualTLS: edge.isMutualTLS)
  }

  /// Whether a route led the requests to another service's endpoints.
  var isRedirected: Bool { backendService != destinationService || backendNamespace != destinationNamespace }

  /// What is added up when there is no room to tell edges apart.
  static func other(_ reporter: Reporter) -> EdgeKey {
    EdgeKey(
      reporter: reporter, sourceNamespace: "", source: "other", sourceService: "other", destinationNamespace: "",
      destinationService: "other", backendNamespace: "", backendService: "other", destinationWorkload: "other",
      destinationVersion: "", route: "", isMutualTLS: false)
  }
}

extension UInt64 {
  func saturatingAdd(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
