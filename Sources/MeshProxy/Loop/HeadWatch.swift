// Unsafe by design: heads are copied out of the exchange's memory.
internal import MeshReactor
internal import MeshTelemetry

extension WorkerTelemetry {
  /// How long heads are kept after somebody asked for them: watchers ask once a second.
  private static let watchNanoseconds: UInt64 = 5_000_000_000

  /// Somebody watches: from now on, for a while, heads are kept.
  func watchHeads(now: UInt64) {
    if heads == nil { heads = HeadRing() }
    headsUntil = now &+ Self.watchNanoseconds
  }

  /// The heads of these decisions, as far as they are kept, by the decision's number.
  func heads(of entries: [DecisionEntry]) -> [UInt64: HeadRing.Heads] {
    guard let heads else { return [:] }
    var found: [UInt64: HeadRing.Heads] = [:]
    for entry in entries { found[entry.decision.sequence] = heads.heads(of: entry.decision.sequence) }
    return found
  }

  /// Keeps the heads of the exchange whose decision was noted last: the request's as it was sent on, the answer's as it
  /// came.
  func keepHead(of exchange: ExchangeRef) {
    let count = min(exchange.pointee.headLength, exchange.pointee.request.count)
    var request = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    if count > 0, let base = exchange.pointee.request.bytes { request = UnsafeBufferPointer(start: base, count: count) }
    var response = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    if let block = exchange.pointee.observation { response = block.pointee.text(block.pointee.responseHead) }
    heads?.keep(decisions.count, request: request, response: response)
  }
}
