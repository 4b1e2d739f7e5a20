// Unsafe by design: exchanges are linked through fields of their own.

/// Exchanges that wait, the one that has waited longest first. An exchange is in one line at most.
struct ExchangeLine {
  private(set) var first: ExchangeRef?
  private var last: ExchangeRef?

  /// Puts an exchange at the end.
  mutating func append(_ exchange: ExchangeRef) {
    exchange.pointee.next = nil
    exchange.pointee.previous = last
    if let last { last.pointee.next = exchange } else { first = exchange }
    last = exchange
  }

  /// Takes an exchange out, which must be in this line.
  mutating func remove(_ exchange: ExchangeRef) {
    let (next, previous) = (exchange.pointee.next, exchange.pointee.previous)
    if let previous { previous.pointee.next = next } else { first = next }
    if let next { next.pointee.previous = previous } else { last = previous }
    exchange.pointee.next = nil
    exchange.pointee.previous = nil
  }
}
