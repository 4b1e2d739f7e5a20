// Unsafe by design: exchanges are plain structs.
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

extension Worker {
  /// The exchange has ended: limits are given back, and it is counted and logged. Called once for each exchange, before
  /// it is freed.
  func record(_ exchange: ExchangeRef) {
    leaveLine(exchange)
    if exchange.pointee.flags.contains([.speculative, .joined]) {
      // Nobody has said anything from its beginning to its end.
      telemetry.tunnelOpened(exchange, now: now, peers)
    }
    if !endErrand(exchange) {
      if exchange.pointee.isHealthCheck {
        telemetry.metrics.count(.healthChecksPassed)
      } else {
        recordTelemetry(exchange)
      }
    }
    release(exchange)
  }

  /// Gives back what an exchange held of limits.
  func release(_ exchange: ExchangeRef) {
    endAttempt(exchange)
    finishRetry(exchange)
    releaseLoad(exchange)
    if exchange.pointee.flags.contains(.counted), let cluster = exchange.pointee.cluster {
      exchange.pointee.flags.remove(.counted)
      cluster.pointee.breaker.release(.requests)
    }
  }
}
