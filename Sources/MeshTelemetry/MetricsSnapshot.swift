/// What a loop, or all of them, had counted at a moment. A value: it may go to another thread.
package struct MetricsSnapshot: Sendable {
  package internal(set) var requests: [RequestSeries] = []
  package internal(set) var connections: [ConnectionSeries] = []
  package internal(set) var exemplars = ExemplarSet()
  var counters = [UInt64](repeating: 0, count: MetricsState.counterCapacity)
  var gauges = [Int64](repeating: 0, count: MetricsState.gaugeCapacity)

  package init() {}

  package subscript(counter: ProxyCounter) -> UInt64 { counters[Int(counter.rawValue)] }
  package subscript(gauge: ProxyGauge) -> Int64 { gauges[Int(gauge.rawValue)] }

  /// Those of several loops added up.
  package static func merged(_ parts: [MetricsSnapshot]) -> MetricsSnapshot {
    var result = MetricsSnapshot()
    var requestSlots: [RequestKey: Int] = [:]
    var connectionSlots: [ConnectionKey: Int] = [:]
    for part in parts {
      for series in part.requests {
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
}
