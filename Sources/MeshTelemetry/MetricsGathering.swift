/// How far a loop has told what it counted.
package struct MetricsCursor: Sendable, Equatable {
  enum Stage: UInt8 {
    case sweepingRequests, sweepingConnections, requests, connections, exemplars, totals
  }

  var stage = Stage.sweepingRequests
  var place = 0
  /// That of the parts so far: series that have moved since do not go together with them.
  var epoch: UInt64 = 0
  /// How often it has begun anew because of that.
  var restarts: UInt8 = 0
  /// Series without a request since then are forgotten, monotonic nanoseconds; nil: none.
  let idleSince: Int64?
  let hasRequests: Bool

  /// The beginning.
  /// - Parameters:
  ///   - now: monotonic nanoseconds, for series that have been idle for too long; nil: none is forgotten.
  ///   - hasRequests: whether the series of requests are wanted, of which there may be many.
  package init(now: Int64?, hasRequests: Bool = true) {
    idleSince = now.map { $0 &- LoopMetrics.idleNanoseconds }
    self.hasRequests = hasRequests
    if now == nil { stage = .requests }
  }

  /// After so many times series that have moved are taken as they are.
  static let mostRestarts: UInt8 = 3

  func at(_ stage: Stage, _ place: Int = 0) -> MetricsCursor {
    var next = self
    (next.stage, next.place) = (stage, place)
    return next
  }
}

/// What a loop tells in one turn.
package struct MetricsPart: Sendable {
  var requests: [RequestSeries] = []
  var connections: [ConnectionSeries] = []
  var exemplars: [ExemplarPlace] = []
  var counters: [UInt64]?
  var gauges: [Int64]?
  /// Whether the series of earlier parts are void.
  var beginsAnew = false
  /// Where the next part begins; nil: this was the last.
  package var next: MetricsCursor?
  /// What it cost, in series looked at or copied.
  package var work = 0

  /// How many series, and how many exemplars, it holds.
  package var seriesCount: Int { requests.count + connections.count }
  package var exemplarCount: Int { exemplars.count }
}

/// The parts that a loop tells in turns of its own, put together elsewhere.
package struct MetricsGathering: Sendable {
  /// What is still to be asked for; nil: all is there.
  package private(set) var next: MetricsCursor?
  package private(set) var snapshot = MetricsSnapshot()

  package init(_ cursor: MetricsCursor) { next = cursor }

  package mutating func add(_ part: MetricsPart) {
    if part.beginsAnew {
      snapshot.requests = []
      snapshot.connections = []
    }
    snapshot.requests += part.requests
    snapshot.connections += part.connections
    for place in part.exemplars { snapshot.exemplars.add(place) }
    if let counters = part.counters { snapshot.counters = counters }
    if let gauges = part.gauges { snapshot.gauges = gauges }
    next = part.next
  }
}

extension MetricsState {
  /// What one series costs, in places of exemplars.
  private static var placesOfASeries: Int { 8 }

  mutating func part(from cursor: MetricsCursor, most: Int) -> MetricsPart {
    var part = MetricsPart(next: cursor)
    while part.work < most, let next = part.next {
      part.work &+= max(1, step(next, most &- part.work, &part))
    }
    return part
  }

  /// Does something of a stage; returns what it cost, `room` at most.
  private mutating func step(_ cursor: MetricsCursor, _ room: Int, _ part: inout MetricsPart) -> Int {
    switch cursor.stage {
    case .sweepingRequests:
      let swept = sweepRequests(from: cursor.place, most: room, before: cursor.idleSince ?? .min)
      part.next = swept.next.map { cursor.at(.sweepingRequests, $0) } ?? cursor.at(.sweepingConnections)
      return swept.looked
    case .sweepingConnections:
      let swept = sweepConnections(from: cursor.place, most: room, before: cursor.idleSince ?? .min)
      part.next = swept.next.map { cursor.at(.sweepingConnections, $0) } ?? cursor.at(.requests)
      return swept.looked
    case .requests, .connections: return copySeries(cursor, room, &part)
    case .exemplars:
      let end = min(exemplars.count, cursor.place &+ room &* Self.placesOfASeries)
      part.exemplars += exemplars.copy(min(cursor.place, end)..<end)
      part.next = end < exemplars.count ? cursor.at(.exemplars, end) : cursor.at(.totals)
      return (end &- min(cursor.place, end)) / Self.placesOfASeries
    case .totals:
      part.counters = ProxyCounter.allCases.reduce(into: MetricsSnapshot.noCounters) { all, counter in
        all[Int(counter.rawValue)] = counters[Int(counter.rawValue)]
      }
      part.gauges = ProxyGauge.allCases.reduce(into: MetricsSnapshot.noGauges) { all, gauge in
        all[Int(gauge.rawValue)] = gauges[Int(gauge.rawValue)]
      }
      part.next = nil
      return 1
    }
  }

  private func copySeries(_ cursor: MetricsCursor, _ room: Int, _ part: inout MetricsPart) -> Int {
    var cursor = cursor
    let isFirst = cursor.stage == .requests && cursor.place == 0
    if !isFirst, cursor.epoch != epoch, cursor.restarts < MetricsCursor.mostRestarts {
      part.beginsAnew = true
      part.requests = []
      part.connections = []
      cursor.restarts &+= 1
      part.next = cursor.at(.requests)
      return 1
    }
    cursor.epoch = epoch
    if cursor.stage == .requests {
      let end = cursor.hasRequests ? min(requests.count, cursor.place &+ room) : 0
      part.requests += requests.copy(min(cursor.place, end)..<end)
      let isLast = !cursor.hasRequests || end >= requests.count
      part.next = isLast ? cursor.at(.connections) : cursor.at(.requests, end)
      return end &- min(cursor.place, end)
    }
    let end = min(connections.count, cursor.place &+ room)
    part.connections += connections.copy(min(cursor.place, end)..<end)
    part.next = end >= connections.count ? cursor.at(.exemplars) : cursor.at(.connections, end)
    return end &- min(cursor.place, end)
  }

  private mutating func sweepRequests(from place: Int, most: Int, before time: Int64) -> (looked: Int, next: Int?) {
    let swept = requests.sweep(from: place, most: most) { $0.usedAt >= time }
    if swept.hasDropped { epoch &+= 1 }
    gauges[Int(ProxyGauge.requestSeries.rawValue)] = Int64(requests.count)
    return (swept.looked, swept.next)
  }

  private mutating func sweepConnections(from place: Int, most: Int, before time: Int64) -> (looked: Int, next: Int?) {
    // A connection that is open may be silent for long.
    let swept = connections.sweep(from: place, most: most) { $0.usedAt >= time || $0.opened != $0.closed }
    if swept.hasDropped { epoch &+= 1 }
    return (swept.looked, swept.next)
  }
}
