// Unsafe by design: exchanges are plain structs, and log fields point into their memory.
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry
internal import MeshWire

/// What one worker counts and logs. Label numbers are found once for each endpoint and connection; a request that ends
/// costs a few additions.
package final class WorkerTelemetry {
  let metrics = LoopMetrics()
  let edges = MeshTelemetry.EdgeStatistics()
  /// Lines for standard output, and lines for a collector.
  let ring = LogRing(capacity: 1 << 19)
  let exported = LogRing(capacity: 1 << 20)
  /// Spans for a collector.
  let spans = SpanRing()
  let observations: UnsafeMutablePointer<ObservationPool>
  /// The last decisions, for whoever asks why.
  let decisions = DecisionRing()
  /// Failed attempts of requests under way.
  let trails = AttemptTrails()
  /// Heads of requests, kept only while somebody watches (`HeadWatch.swift`).
  var heads: HeadRing?
  var headsUntil: UInt64 = 0
  /// Refused connections kept in a second (`WorkerAttempts.swift`).
  var refusalSecond: UInt64 = 0
  var refusalCount = 0
  /// The longest that telling what was counted has taken of one turn since the last scrape, nanoseconds.
  var longestPart: UInt64 = 0
  private let labels: LabelDictionary
  let node: NodeIdentity
  /// Who calls, as the baggage of tunnels says it.
  let baggage: [UInt8]
  /// The event descriptor that calls the side thread when a ring of lines is half full; -1: it comes by itself.
  var carrierBell: Int32 = -1
  /// The second that the last line was written in.
  let clock: UnsafeMutablePointer<LineClock>
  let scratch: UnsafeMutableBufferPointer<UInt8>
  let addresses: UnsafeMutableBufferPointer<UInt8>
  /// Kept header fields, for the line being written.
  let noteTexts: UnsafeMutablePointer<UnsafeBufferPointer<UInt8>>
  /// Who is called on which edge, for the access log.
  let principals: UnsafeMutablePointer<EdgePrincipals>
  /// What is to be recorded and logged.
  private(set) var plan: UnsafePointer<TelemetryView>
  private var configuration: CompiledConfiguration
  /// How often each reason ended a connection before there was a request.
  let refusals: UnsafeMutablePointer<UInt64>

  init(
    labels: LabelDictionary, node: NodeIdentity, configuration: CompiledConfiguration
  ) {
    self.labels = labels
    self.node = node
    plan = configuration.telemetry.view
    baggage = Array(
      ("baggage: k8s.cluster.name=apus,k8s.namespace.name=\(node.namespace),k8s.deployment.name=\(node.workload)"
        + ",service.name=\(node.service),service.version=\(node.version)").utf8)
    self.configuration = configuration
    // Memory that is never written is never taken from the system.
    scratch = .allocate(capacity: AccessRecord.maxLineBytes)
    clock = .allocate(capacity: 1)
    clock.initialize(to: LineClock())
    noteTexts = .allocate(capacity: 48)
    noteTexts.initialize(repeating: UnsafeBufferPointer(start: nil, count: 0), count: 48)
    addresses = .allocate(capacity: 256)
    principals = .allocate(capacity: 1)
    principals.initialize(to: EdgePrincipals())
    observations = .allocate(capacity: 1)
    observations.initialize(to: ObservationPool())
    refusals = .allocate(capacity: 256)
    refusals.initialize(repeating: 0, count: 256)
  }

  deinit {
    scratch.deallocate()
    clock.deallocate()
    addresses.deallocate()
    principals.pointee.deallocate()
    principals.deallocate()
    refusals.deallocate()
    noteTexts.deallocate()
    observations.pointee.deallocate()
    observations.deallocate()
  }

  /// Counts something that happened to a connection outside any request.
  func count(_ reason: Reason) {
    refusals[Int(reason.rawValue)] &+= 1
    if reason.rawValue >= Reason.tlsPlaintextRefused.rawValue { metrics.count(.tlsHandshakeFailures) }
  }

  func adopt(_ configuration: CompiledConfiguration) {
    self.configuration = configuration
    plan = configuration.telemetry.view
    metrics.count(.snapshotsTaken)
  }

  func tunnelOpened(_ exchange: ExchangeRef, now: UInt64, _ peers: PeerTable) {
    metrics.connectionOpened(
      ConnectionKey(edge: edge(of: exchange, peers), route: exchange.pointee.routeNumber), now: Int64(bitPattern: now))
  }

  /// Counts what has passed on a connection since the last time, while it goes on.
  func tellBytes(_ exchange: ExchangeRef, now: UInt64, _ peers: PeerTable) {
    let (sent, received) = (exchange.pointee.responseBytes, exchange.pointee.requestBytes)
    guard exchange.pointee.owesBytes, !exchange.pointee.flags.contains(.speculative) else { return }
    metrics.connectionBytes(
      ConnectionKey(edge: edge(of: exchange, peers), route: exchange.pointee.routeNumber),
      sent: sent &- exchange.pointee.toldResponseBytes, received: received &- exchange.pointee.toldRequestBytes,
      now: Int64(bitPattern: now))
    (exchange.pointee.toldResponseBytes, exchange.pointee.toldRequestBytes) = (sent, received)
  }

  /// Counts and logs an exchange that has ended.
  ///
  /// - Parameters:
  ///   - object: the object of configuration that decided, where the mesh gave a reason.
  ///   - chance: a random number, for logs that tell of a share.
  func record(
    _ exchange: ExchangeRef, now: UInt64, wallNow: UInt64, peers: PeerTable, object: UnsafeBufferPointer<UInt8>,
    chance: UInt64
  ) {
    let edge = edge(of: exchange, peers)
    let duration = Int64(bitPattern: now &- exchange.pointee.started)
    let flag = exchange.pointee.reason?.flag ?? .none
    let isTunnel = exchange.pointee.flags.contains(.tunnel)
    if isTunnel {
      let opened = ConnectionKey(edge: edge, route: exchange.pointee.routeNumber)
      let key = ConnectionKey(
        edge: edge, route: exchange.pointee.routeNumber, flag: flag, reason: exchange.pointee.reason)
      if exchange.pointee.flags.contains(.responseStarted) {
        metrics.connectionClosed(opened, now: Int64(bitPattern: now))
      } else {
        metrics.connectionOpened(key, now: Int64(bitPattern: now))
        metrics.connectionClosed(key, now: Int64(bitPattern: now))
      }
      metrics.connectionBytes(
        key, sent: exchange.pointee.responseBytes &- exchange.pointee.toldResponseBytes,
        received: exchange.pointee.requestBytes &- exchange.pointee.toldRequestBytes, now: Int64(bitPattern: now))
    } else {
      let key = RequestKey(
        edge: edge, route: exchange.pointee.routeNumber, responseCode: exchange.pointee.status,
        grpcStatus: Self.grpcStatus(exchange), flag: flag, reason: exchange.pointee.reason,
        requestProtocol: exchange.pointee.flags.contains(.grpc) ? .grpc : .http, method: exchange.pointee.method)
      metrics.recordRequest(
        key, durationNanoseconds: duration, requestBytes: exchange.pointee.requestBytes,
        responseBytes: exchange.pointee.responseBytes, now: Int64(bitPattern: now))
      noteExemplar(exchange, key, duration: duration, wallNow: wallNow)
      if key.requestProtocol == .grpc {
        metrics.recordMessages(
          key, request: exchange.pointee.requestMessages.messages, response: exchange.pointee.responseMessages.messages)
      }
      edges.record(
        edge: edge, route: exchange.pointee.routeNumber, durationNanoseconds: duration,
        failed: Self.isFailure(exchange), retries: exchange.pointee.retryCount, reason: exchange.pointee.reason)
      if exchange.pointee.retryCount > 0 { metrics.count(.retries, by: UInt64(exchange.pointee.retryCount)) }
    }
    remember(exchange, edge: edge, duration: duration, now: now, wallNow: wallNow)
    emitSpan(exchange, edge: edge, duration: duration, wallNow: wallNow, peers: peers, object: object)
    if plan.pointee.logs.count > 0 {
      log(exchange, edge, duration: duration, wallNow: wallNow, flag: flag, peers, object: object, chance: chance)
    }
  }

  /// The status of a call of gRPC; one that ended without is UNKNOWN, or CANCELLED where its client gave up.
  static func grpcStatus(_ exchange: ExchangeRef) -> UInt8? {
    guard exchange.pointee.flags.contains(.grpc) else { return nil }
    return exchange.pointee.grpcStatus ?? (exchange.pointee.reason == .clientReset ? 1 : 2)
  }

  /// Whether an exchange failed, as success rates count it.
  static func isFailure(_ exchange: ExchangeRef) -> Bool {
    ServiceFailure.counts(
      status: exchange.pointee.status, grpcStatus: grpcStatus(exchange), reason: exchange.pointee.reason)
  }

  // MARK: Edges

  /// The number of the edge an exchange is on; found once for each endpoint (outbound) or connection (inbound).
  private func edge(of exchange: ExchangeRef, _ peers: PeerTable) -> UInt32 {
    if exchange.pointee.isInbound {
      let connection = exchange.pointee.downstream
      if connection.pointee.edge == 0 { connection.pointee.edge = inboundEdge(exchange, peers) }
      return connection.pointee.edge
    }
    if exchange.pointee.edge != 0 { return exchange.pointee.edge }
    guard let cluster = exchange.pointee.cluster else { return LabelDictionary.unknownEdge }
    if cluster.pointee.edge == 0 { cluster.pointee.edge = outboundEdge(cluster, PeerLabels()) }
    return cluster.pointee.edge
  }

  /// The number of the edge to an endpoint.
  func edge(to endpoint: EndpointRef) -> UInt32 {
    if endpoint.pointee.edge == 0 {
      var labels = Self.labels(endpoint.pointee.labels.names)
      // Whoever is called without TLS has shown no identity.
      if endpoint.pointee.expectation == nil { labels.principal = "" }
      endpoint.pointee.edge = outboundEdge(endpoint.pointee.cluster, labels)
    }
    return endpoint.pointee.edge
  }

  private var own: PeerLabels {
    var labels = PeerLabels()
    labels.workload = node.workload
    labels.namespace = node.namespace
    labels.principal = "spiffe://\(node.trustDomain)/ns/\(node.namespace)/sa/\(node.serviceAccount)"
    labels.app = node.service
    labels.version = node.version
    labels.canonicalService = node.service
    labels.canonicalRevision = node.version
    labels.cluster = "apus"
    return labels
  }

  private func outboundEdge(_ cluster: ClusterRef, _ destination: PeerLabels) -> UInt32 {
    var labels = EdgeLabels(reporter: .source)
    labels.source = own
    labels.destination = destination
    name(&labels, cluster)
    return number(labels)
  }

  /// The number of an edge, whose called end the access log can name from now on.
  private func number(_ labels: EdgeLabels) -> UInt32 {
    let number = self.labels.edge(labels)
    if number != LabelDictionary.unknownEdge { principals.pointee.note(number, labels.destination.principal) }
    return number
  }

  private func inboundEdge(_ exchange: ExchangeRef, _ peers: PeerTable) -> UInt32 {
    var labels = EdgeLabels(reporter: .destination)
    labels.destination = own
    labels.security = exchange.pointee.flags.contains(.mutualTLS) ? .mutualTLS : .none
    if labels.security == .none { labels.destination.principal = "" }
    let identity = String(
      decoding: peers.entry(exchange.pointee.downstream.pointee.peer).pointee.identity, as: UTF8.self)
    if !identity.isEmpty {
      labels.source = Self.labels(configuration.workloads[identity] ?? .none)
      labels.source.principal = identity
    }
    if let cluster = exchange.pointee.cluster { name(&labels, cluster) }
    return number(labels)
  }

  /// The edge of a connection that was refused: of its caller nothing is known yet.
  func refusalEdge(_ listener: (isInbound: Bool, cluster: ClusterRef?)) -> UInt32 {
    guard listener.isInbound else { return LabelDictionary.unknownEdge }
    var labels = EdgeLabels(reporter: .destination)
    labels.destination = own
    if let cluster = listener.cluster { name(&labels, cluster) }
    return self.labels.edge(labels)
  }

  private static func labels(_ workload: WorkloadNames) -> PeerLabels {
    var labels = PeerLabels()
    labels.workload = workload.workload
    labels.namespace = workload.namespace
    labels.principal = workload.principal
    labels.app = workload.app
    labels.version = workload.version
    labels.canonicalService = workload.app
    labels.canonicalRevision = workload.version
    labels.cluster = workload.workload.isEmpty ? "" : "apus"
    return labels
  }

  private func name(_ labels: inout EdgeLabels, _ cluster: ClusterRef) {
    let parts = String(decoding: cluster.pointee.label, as: UTF8.self).split(separator: "/", maxSplits: 1).map(
      String.init)
    guard parts.count == 2 else { return }
    labels.serviceNamespace = parts[0]
    labels.serviceName = parts[1]
    labels.service = "\(parts[1]).\(parts[0]).svc.cluster.local"
  }
}
