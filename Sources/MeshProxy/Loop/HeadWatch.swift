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
  func heads(of entries: [DecisionEntry]) -> [UInt64: [UInt8]] {
    guard let heads else { return [:] }
    var found: [UInt64: [UInt8]] = [:]
    for entry in entries { found[entry.decision.sequence] = heads.head(of: entry.decision.sequence) }
    return found
  }

  /// Keeps the head of the exchange whose decision was noted last, as it was sent on.
  func keepHead(of exchange: ExchangeRef) {
    let count = min(exchange.pointee.headLength, exchange.pointee.request.count)
    guard count > 0, let base = exchange.pointee.request.bytes else { return }
    heads?.keep(decisions.count, UnsafeBufferPointer(start: base, count: count))
  }
}
