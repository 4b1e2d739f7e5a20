// Unsafe by design: exchanges and connections are plain structs.
internal import MeshModel
internal import MeshReactor
internal import MeshTelemetry

/// What is kept for `apus why` beside the requests themselves: attempts that failed on the way to an answer, and
/// connections that ended before there was a request.
extension Worker {
  /// An attempt of the exchange has failed, or its answer is tried again. To be called while the attempt is the
  /// exchange's; an attempt that has ended already is not told twice.
  ///
  /// - Parameters:
  ///   - reason: why it failed; nil: the endpoint's answer is tried again, or a second attempt beside it was quicker.
  ///   - status: the status of that answer; 0: there is none.
  func noteAttempt(_ exchange: ExchangeRef, _ reason: Reason?, status: UInt16 = 0) {
    guard exchange.pointee.endpoint != nil,
      exchange.pointee.errand.kind == .none || exchange.pointee.errand.kind == .hedge
    else { return }
    var attempt = FailedAttempt()
    attempt.reason = reason?.rawValue ?? 0
    attempt.status = status
    attempt.grpcStatus = exchange.pointee.grpcStatus ?? 255
    attempt.edge = exchange.pointee.edge
    attempt.family = UInt16(truncatingIfNeeded: exchange.pointee.lastAddress.family)
    attempt.address = exchange.pointee.lastAddress.bytes
    attempt.port = exchange.pointee.lastAddress.port
    // A second try beside the first is a part of the client's own request.
    let isHedge = exchange.pointee.errand.kind == .hedge
    let owner = isHedge ? exchange.pointee.errand.partner ?? exchange : exchange
    let begun = max(exchange.pointee.attemptStarted, owner.pointee.started)
    attempt.begun = Self.microseconds(from: owner.pointee.started, to: begun)
    attempt.microseconds = Self.microseconds(from: begun, to: now)
    owner.pointee.trail = telemetry.trails.note(attempt, in: owner.pointee.trail)
  }

  private static func microseconds(from begin: UInt64, to end: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: min((end &- min(end, begin)) / 1_000, UInt64(UInt32.max)))
  }

  /// A connection is refused, or has failed, before there is a request on it: counted, and kept for whoever asks.
  func refused(_ connection: ConnectionRef, _ reason: Reason) {
    telemetry.count(reason)
    telemetry.remember(refusal: reason, of: connection, now: now, wallNow: wallNow, listener: listener(of: connection))
  }

  /// The service behind the listener of a client's connection, and whether that listener is for peers.
  private func listener(of connection: ConnectionRef) -> (isInbound: Bool, cluster: ClusterRef?) {
    let index = Int(connection.pointee.listener)
    guard listeners.indices.contains(index) else { return (false, nil) }
    let listener = listeners[index]
    let cluster = generation.pointee.cluster(generation.pointee.clusterNumber(ofListener: listener.index))
    return (listener.kind == .inbound, cluster)
  }
}

extension WorkerTelemetry {
  /// Refused connections that are kept of each second: a flood of them must not wash requests away.
  private static let refusalsEachSecond = 20

  /// Keeps that a connection was refused.
  func remember(
    refusal reason: Reason, of connection: ConnectionRef, now: UInt64, wallNow: UInt64,
    listener: (isInbound: Bool, cluster: ClusterRef?)
  ) {
    let second = now / 1_000_000_000
    if refusalSecond != second { (refusalSecond, refusalCount) = (second, 0) }
    guard refusalCount < Self.refusalsEachSecond else { return }
    refusalCount += 1
    var decision = Decision()
    decision.wallMilliseconds = Int64(bitPattern: wallNow / 1_000_000)
    let since = connection.pointee.restingSince
    if since > 0 { decision.durationNanoseconds = Int64(bitPattern: now &- min(now, since)) }
    decision.reason = reason.rawValue
    decision.flags = listener.isInbound ? [.connection, .inbound, .failed] : [.connection, .failed]
    decision.edge = refusalEdge(listener)
    var texts = DecisionTexts()
    if let endpoint = connection.pointee.endpoint {
      decision.edge = edge(to: endpoint)
      (decision.endpointFamily, decision.endpointAddress, decision.endpointPort) =
        (endpoint.pointee.address.family, endpoint.pointee.address.bytes, endpoint.pointee.address.port)
      texts.service = endpoint.pointee.cluster.pointee.label
    } else {
      Self.note(connection.pointee.address, in: &decision)
      if let cluster = listener.cluster { texts.service = cluster.pointee.label }
    }
    decisions.note(decision, texts)
  }

  /// Who sent something.
  static func note(_ address: SocketAddress, in decision: inout Decision) {
    decision.peerFamily = UInt16(truncatingIfNeeded: address.family)
    decision.peerAddress = address.bytes
    decision.peerPort = address.port
  }
}
