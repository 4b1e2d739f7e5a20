// Unsafe by design: exchanges are plain structs.
internal import MeshModel
internal import MeshPolicy
internal import MeshTelemetry

extension Worker {
  /// Sends copies of a request that has ended to the services that its rule mirrors to. The client has its answer by then:
  /// a copy can neither delay nor fail the request. Bodies over 64 KiB, and requests that came to no endpoint, are not
  /// copied.
  func mirror(_ exchange: ExchangeRef) {
    guard exchange.pointee.rule >= 0, let routes = exchange.pointee.routes else { return }
    mirror(exchange, routes, routes.pointee.rules[Int(exchange.pointee.rule)].mirrors)
    guard exchange.pointee.backend >= 0 else { return }
    mirror(exchange, routes, routes.pointee.backends[Int(exchange.pointee.backend)].mirrors)
  }

  private func mirror(_ exchange: ExchangeRef, _ routes: UnsafePointer<RouteTableView>, _ slice: TableSlice) {
    var index = Int(slice.start)
    while index < Int(slice.start &+ slice.count) {
      let target = routes.pointee.mirrors[index]
      index &+= 1
      guard target.numerator >= target.denominator || random.below(target.denominator) < target.numerator,
        let cluster = exchange.pointee.generation.pointee.cluster(target.cluster)
      else { continue }
      sendCopy(of: exchange, to: cluster)
    }
  }

  /// One copy, without repetition.
  func sendCopy(of exchange: ExchangeRef, to cluster: ClusterRef) {
    guard !isDraining, exchange.pointee.attempts > 0, exchange.pointee.generation == generation else { return }
    let copy = makeErrand(.mirror)
    guard copyRequest(of: exchange, to: copy) else { return freeExchange(copy) }
    copy.pointee.cluster = cluster
    telemetry.metrics.count(.mirroredRequests)
    balance(copy)
  }
}
