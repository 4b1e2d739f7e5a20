// Unsafe by design: texts are copied out of the exchange's memory.
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

extension WorkerTelemetry {
  /// Hands the span of an exchange that has ended to the side thread, if one is recorded.
  ///
  /// - Parameter object: the object of configuration that decided, where the mesh gave a reason.
  func emitSpan(
    _ exchange: ExchangeRef, edge: UInt32, duration: Int64, wallNow: UInt64, peers: PeerTable,
    object: UnsafeBufferPointer<UInt8>
  ) {
    guard let block = exchange.pointee.observation, block.pointee.isSampled else { return }
    var record = SpanRecord()
    record.mark = exchange.pointee.mark
    record.durationNanoseconds = UInt64(max(0, duration))
    record.startNanoseconds = wallNow &- record.durationNanoseconds
    record.requestBytes = exchange.pointee.requestBytes
    record.responseBytes = exchange.pointee.responseBytes
    record.edge = edge
    record.route = exchange.pointee.routeNumber
    record.plan = block.pointee.plan
    record.status = exchange.pointee.status
    record.grpcStatus = Self.grpcStatus(exchange) ?? 255
    record.reason = exchange.pointee.reason?.rawValue ?? 0
    record.retries = exchange.pointee.retryCount
    record.method = exchange.pointee.method
    record.version = exchange.pointee.wasStream ? 20 : exchange.pointee.flags.contains(.http10) ? 10 : 11
    record.flags = Self.flags(exchange)
    let client = exchange.pointee.downstream.pointee.address
    (record.clientFamily, record.clientAddress, record.clientPort) = (client.family, client.bytes, client.port)
    if exchange.pointee.attempts > 0 {
      let endpoint = exchange.pointee.lastAddress
      (record.endpointFamily, record.endpointAddress) = (endpoint.family, endpoint.bytes)
      record.endpointPort = endpoint.port
    }
    record.attempts = exchange.pointee.attempts
    record.trail = trails[exchange.pointee.trail] ?? AttemptTrail()
    let attemptStarted = max(exchange.pointee.attemptStarted, exchange.pointee.started)
    record.lastAttemptNanoseconds = attemptStarted &- exchange.pointee.started
    let principal = peers.entry(exchange.pointee.downstream.pointee.peer).pointee.identity
    let isKept = spans.append(record) { writer in
      let texts = Self.texts(exchange)
      SpanTexts.put(.path, texts.path, into: &writer)
      SpanTexts.put(.authority, texts.authority, into: &writer)
      SpanTexts.put(.requestID, texts.requestID, into: &writer)
      SpanTexts.put(.service, texts.service, into: &writer)
      SpanTexts.put(.object, object, into: &writer)
      SpanTexts.put(.principal, principal, into: &writer)
      if record.method == .other { SpanTexts.put(.method, Self.method(exchange), into: &writer) }
      putNotes(block, into: &writer)
    }
    metrics.count(isKept ? .spansRecorded : .spansDropped)
  }

  /// The user agent, and configured tags.
  private func putNotes(_ block: ObservationRef, into writer: inout FixedWriter) {
    guard block.pointee.plan == plan.pointee.serial else { return }
    SpanTexts.put(
      .userAgent, block.pointee.text(block.pointee.notes[TelemetryPlan.userAgentPlace]), into: &writer)
    var index = 0
    while index < plan.pointee.tags.count {
      let tag = plan.pointee.tags[index]
      var text = tag.text
      if tag.note >= 0, tag.note < 48 {
        let kept = block.pointee.text(block.pointee.notes[Int(tag.note)])
        if !kept.isEmpty { text = kept }
      }
      SpanTexts.put(SpanText.firstTag &+ UInt8(truncatingIfNeeded: index), text, into: &writer)
      index &+= 1
    }
  }

  private static func method(_ exchange: ExchangeRef) -> UnsafeBufferPointer<UInt8> {
    guard let base = exchange.pointee.request.bytes else { return .init(start: nil, count: 0) }
    return token(base, exchange.pointee.request.count)
  }

  /// Keeps a sampled request as the exemplar of its series, for scrapes that ask for exemplars.
  func noteExemplar(_ exchange: ExchangeRef, _ key: RequestKey, duration: Int64, wallNow: UInt64) {
    guard let block = exchange.pointee.observation, block.pointee.isSampled else { return }
    metrics.noteExemplar(key, durationNanoseconds: duration, exchange.pointee.mark, wallNanoseconds: wallNow)
  }

  /// Takes back what was kept of an exchange that is given back.
  func forget(_ exchange: ExchangeRef) {
    guard let block = exchange.pointee.observation else { return }
    exchange.pointee.observation = nil
    observations.pointee.giveBack(block)
  }
}
