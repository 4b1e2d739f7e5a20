// Unsafe by design: clusters and endpoints are plain structs of the worker.
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// How far a worker has told of its services.
struct ServiceCursor: Sendable {
  /// The cluster's place in the configuration in force, and the endpoint's in the cluster.
  var cluster = 0
  var endpoint = 0
  /// The configuration that the places are of; 0: the first look.
  var generation: UInt = 0
  var restarts: UInt8 = 0
  /// After so many times what has changed meanwhile is taken as it is.
  static let mostRestarts: UInt8 = 3
}

/// Where an adaptive limit stands, at a worker, or at all of them together: each has a limit of its own.
package struct AdaptiveGauges: Sendable {
  package var limit: UInt64 = 0
  package var underWay: UInt64 = 0
  package var refused: UInt64 = 0
  /// The latency that is taken as calm, of several workers the highest; 0: not measured yet.
  package var calmNanoseconds: UInt64 = 0

  package init() {}

  init(_ limiter: ConcurrencyLimiter) {
    limit = UInt64(max(0, limiter.limit))
    underWay = UInt64(limiter.inFlight)
    refused = limiter.refused
    calmNanoseconds = UInt64(max(0, limiter.calmNanoseconds))
  }

  mutating func add(_ other: AdaptiveGauges) {
    limit &+= other.limit
    underWay &+= other.underWay
    refused &+= other.refused
    calmNanoseconds = max(calmNanoseconds, other.calmNanoseconds)
  }
}

/// What a service's limits and endpoints are at, at a worker, or at all of them together.
package struct ServiceGauges: Sendable {
  /// `namespace/name`.
  package var service = ""
  package var port: UInt16 = 0
  /// By `BreakerKind`.
  package var current = InlineArray<4, UInt64>(repeating: 0)
  package var limits = InlineArray<4, UInt64?>(repeating: nil)
  package var refused = InlineArray<4, UInt64>(repeating: 0)
  package var retryBudget: UInt64 = 0
  /// Of the adaptive limit: where it stands, what is in flight under it, what it has refused; nil where there is none.
  package var adaptive: AdaptiveGauges?
  /// Endpoints by state, in the order of `EndpointFlags.words`.
  package var states = InlineArray<6, UInt64>(repeating: 0)
  package var idleConnections: UInt64 = 0
  package var connections: UInt64 = 0

  /// Endpoints of which nothing speaks against a request.
  package var healthy: UInt64 { states[EndpointFlags().place] }

  /// What decides which services are shown where there are too many.
  var load: UInt64 { BreakerKind.allCases.reduce(0) { $0 &+ current[Int($1.rawValue)] &+ refused[Int($1.rawValue)] } }
  /// Whether anything is under way, was refused, or is connected.
  var isUsed: Bool { load > 0 || connections > 0 }

  mutating func add(_ other: ServiceGauges) {
    for index in 0..<4 {
      current[index] &+= other.current[index]
      refused[index] &+= other.refused[index]
      // Each worker has its part of the limit.
      if let more = other.limits[index] { limits[index] = (limits[index] ?? 0) &+ more }
    }
    if var sum = adaptive, let more = other.adaptive {
      sum.add(more)
      adaptive = sum
    } else {
      adaptive = adaptive ?? other.adaptive
    }
    for index in 0..<6 { states[index] &+= other.states[index] }
    retryBudget &+= other.retryBudget
    idleConnections &+= other.idleConnections
    connections &+= other.connections
  }
}

/// What a worker tells of its services in one turn, or of all of them.
package struct ServicePart: Sendable {
  /// Services that are used; a large one may stand here in several pieces, to be added up.
  package var gauges: [ServiceGauges] = []
  /// Over all services.
  var pending: Int64 = 0
  var ejected: Int64 = 0
  var idle: Int64 = 0
  /// Whether what was told before is void.
  var beginsAnew = false

  mutating func add(_ other: ServicePart) {
    if other.beginsAnew {
      self = ServicePart()
      beginsAnew = true
    }
    gauges += other.gauges
    pending &+= other.pending
    ejected &+= other.ejected
    idle &+= other.idle
  }
}

extension Worker {
  /// Tells the configuration in force from those before and after it.
  package var generationAddress: UInt { UInt(bitPattern: generation) }

  /// Endpoints and services of which looking at one costs as much as copying one series.
  private static let looksOfASeries = 4

  /// Tells of some services, from a place on.
  /// - Parameter most: the most that it may cost, in series copied.
  func serviceParts(from first: ServiceCursor, most: Int) -> (part: ServicePart, next: ServiceCursor?, work: Int) {
    var part = ServicePart()
    var place = first
    let generation = generationAddress
    if place.generation != generation, place.generation != 0, place.restarts < ServiceCursor.mostRestarts {
      part.beginsAnew = true
      place = ServiceCursor(restarts: place.restarts &+ 1)
    }
    place.generation = generation
    var looks = most &* Self.looksOfASeries
    while looks > 0, place.cluster < self.generation.pointee.clusterCount {
      let cluster = self.generation.pointee.clusters[place.cluster]
      let end = min(Int(cluster.pointee.set.count), place.endpoint &+ looks)
      let gauges = look(cluster, place.endpoint, end, &part)
      looks &-= 1 &+ max(0, end &- place.endpoint)
      let isWhole = place.endpoint == 0 && end >= Int(cluster.pointee.set.count)
      // Of a piece it is not known whether the others are used.
      if !isWhole || gauges.isUsed {
        var named = gauges
        named.service = String(decoding: cluster.pointee.label, as: UTF8.self)
        part.gauges.append(named)
        looks &-= Self.looksOfASeries
      }
      if end < Int(cluster.pointee.set.count) {
        place.endpoint = end
      } else {
        place.cluster &+= 1
        place.endpoint = 0
      }
    }
    let isLast = place.cluster >= self.generation.pointee.clusterCount
    return (part, isLast ? nil : place, min(most, most &- max(0, looks) / Self.looksOfASeries))
  }

  /// Adds up a cluster's endpoints from one place to another; its limits are told with the first.
  private func look(_ cluster: ClusterRef, _ first: Int, _ end: Int, _ part: inout ServicePart) -> ServiceGauges {
    var gauges = ServiceGauges()
    gauges.port = cluster.pointee.port
    if first == 0 {
      for kind in BreakerKind.allCases {
        gauges.current[Int(kind.rawValue)] = UInt64(cluster.pointee.breaker.count(kind))
        gauges.limits[Int(kind.rawValue)] = cluster.pointee.breaker.limit(kind).map { UInt64($0) }
        gauges.refused[Int(kind.rawValue)] = cluster.pointee.breaker.refused(kind)
      }
      gauges.retryBudget = UInt64(clamping: cluster.pointee.budget.available)
      if cluster.pointee.policy.concurrency != nil { gauges.adaptive = AdaptiveGauges(cluster.pointee.concurrency) }
      part.pending &+= Int64(cluster.pointee.breaker.count(.pending))
    }
    var index = first
    while index < end {
      let endpoint = cluster.pointee.endpoints[index]
      gauges.states[cluster.pointee.set.base[index].flags.place] &+= 1
      gauges.idleConnections &+= UInt64(endpoint.pointee.idleCount)
      gauges.connections &+= UInt64(endpoint.pointee.connectionCount)
      index &+= 1
    }
    part.ejected &+= Int64(clamping: gauges.states[EndpointFlags.ejected.place])
    part.idle &+= Int64(clamping: gauges.idleConnections)
    return gauges
  }
}
