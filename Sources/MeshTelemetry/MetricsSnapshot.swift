/// What a loop, or all of them, had counted at a moment. A value: it may go to another thread.
package struct MetricsSnapshot: Sendable {
  package internal(set) var requests: [RequestSeries] = []
  package internal(set) var connections: [ConnectionSeries] = []
  package internal(set) var exemplars = ExemplarSet()
  static let noCounters = [UInt64](repeating: 0, count: MetricsState.counterCapacity)
  static let noGauges = [Int64](repeating: 0, count: MetricsState.gaugeCapacity)
  var counters = noCounters
  var gauges = noGauges

  package init() {}

  /// Sets what was measured elsewhere.
  package mutating func set(_ gauge: ProxyGauge, to value: Int64) { gauges[Int(gauge.rawValue)] = value }

  package subscript(counter: ProxyCounter) -> UInt64 { counters[Int(counter.rawValue)] }
  package subscript(gauge: ProxyGauge) -> Int64 { gauges[Int(gauge.rawValue)] }

  /// Those of several loops added up.
  /// - Parameter byMethod: whether series that differ in the request's method stay apart.
  package static func merged(_ parts: [MetricsSnapshot], byMethod: Bool = false) -> MetricsSnapshot {
    var result = MetricsSnapshot()
    var requestSlots: [RequestKey: Int] = [:]
    var connectionSlots: [ConnectionKey: Int] = [:]
    for part in parts {
      for var series in part.requests {
        if !byMethod { series.key = series.key.ofAllMethods }
        if let slot = requestSlots[series.key] {
          result.requests[slot].merge(series)
        } else {
          requestSlots[series.key] = result.requests.count
          result.requests.append(series)
        }
      }
      for series in part.connections {
        if let slot = connectionSlots[series.key] {
          result.connections[slot].merge(series)
        } else {
          connectionSlots[series.key] = result.connections.count
          result.connections.append(series)
        }
      }
      result.exemplars.merge(part.exemplars)
      for index in result.counters.indices { result.counters[index] &+= part.counters[index] }
      for index in result.gauges.indices { result.gauges[index] &+= part.gauges[index] }
    }
    return result
  }

  /// The same for metrics, whose labels name a route and not the service that was asked for: series of one route that is
  /// attached to several services become one.
  package func byRouteName(_ texts: LabelTexts) -> MetricsSnapshot {
    let first = texts.firstOfName()
    guard first.indices.contains(where: { first[$0] != UInt32(truncatingIfNeeded: $0) }) else { return self }
    var renamed = self
    for index in renamed.requests.indices {
      let route = Int(renamed.requests[index].key.route)
      if route < first.count { renamed.requests[index].key.route = first[route] }
    }
    for index in renamed.connections.indices {
      let route = Int(renamed.connections[index].key.route)
      if route < first.count { renamed.connections[index].key.route = first[route] }
    }
    var whole = MetricsSnapshot.merged([renamed], byMethod: true)
    (whole.counters, whole.gauges) = (counters, gauges)
    return whole
  }
}
