/// Some of the series of a loop.
package struct SeriesPart: Sendable {
  package var series: [RequestSeries]
  /// Differs from that of an earlier part where series have moved since: what was copied does not go together.
  package var epoch: UInt64
  /// Whether there are no more.
  package var isLast: Bool
}

/// What a loop, or all of them, had counted at a moment. A value: it may go to another thread.
package struct MetricsSnapshot: Sendable {
  package internal(set) var requests: [RequestSeries] = []
  package internal(set) var connections: [ConnectionSeries] = []
  package internal(set) var exemplars = ExemplarSet()
  var counters = [UInt64](repeating: 0, count: MetricsState.counterCapacity)
  var gauges = [Int64](repeating: 0, count: MetricsState.gaugeCapacity)

  package init() {}

  /// The same with these series of requests, gathered part by part.
  package func with(requests: [RequestSeries]) -> MetricsSnapshot {
    var copy = self
    copy.requests = requests
    return copy
  }

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
    var whole = MetricsSnapshot.merged([renamed], byMethod: true)
    (whole.counters, whole.gauges) = (counters, gauges)
    return whole
  }
}
