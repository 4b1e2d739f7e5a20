// Unsafe by design: chooses among endpoints without counting references.
package import MeshModel

/// A table for consistent hashing, as the traffic path holds it.
package enum HashTableView: Sendable, BitwiseCopyable {
  case none
  case ring(HashRingView)
  case maglev(MaglevView)

  /// The endpoint of a key; -1 where there is none.
  func pick(_ key: UInt64, in set: EndpointSet, tried: TriedEndpoints) -> Int32 {
    switch self {
    case .none: -1
    case .ring(let ring): ring.pick(key, in: set, tried: tried)
    case .maglev(let table): table.pick(key, in: set, tried: tried)
    }
  }
}

/// A run of a service's endpoints that are preferred alike: same zone, same region, elsewhere; primary, failover.
package struct EndpointLevel: Sendable, BitwiseCopyable {
  /// Endpoints in it, which follow those of the level before.
  package var count: Int32
  package var table: HashTableView

  package init(count: Int32, table: HashTableView = .none) {
    self.count = count
    self.table = table
  }
}

/// What a request says about where it is to go.
package struct BalanceRequest: Sendable, BitwiseCopyable {
  /// The number of its affinity's key; nil where it has none.
  package var key: UInt64?
  /// The subset it asks for; 0: any.
  package var subset: UInt16 = 0
  /// The endpoints of earlier attempts.
  package var tried = TriedEndpoints()

  package init() {}
}

/// The endpoints of a service in levels of preference, as one loop sees them, and the choice among them.
///
/// With one level this is `EndpointSet` itself. With several a request goes to a level by the shares of `PriorityPlan`,
/// and to the next where an endpoint has more in flight than `busy` while one there has less than half of that; an attempt
/// after the first prefers an endpoint that was not tried, in whatever level. Where no level can take any, all endpoints
/// are one set, with its rule for a panic.
///
/// Holds no memory: what it points at is the loop's.
package struct EndpointLevels: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory of one loop, which alone uses it.
  /// All endpoints, level after level.
  package var all: EndpointSet
  /// Requests in flight at an endpoint, for each unit of weight, above which the next level helps out; 0: never.
  package var busy: UInt32
  private let sets: UnsafeMutablePointer<EndpointSet>
  private let tables: UnsafeMutablePointer<HashTableView>
  private let levelCount: Int
  private var plan: PriorityPlan
  /// `EndpointSet.changes` when the plan was made.
  private var planned: UInt32

  /// Bytes to be given as `memory`, aligned to 16.
  package static func byteCount(levels: Int) -> Int {
    max(1, levels) * (MemoryLayout<EndpointSet>.stride + MemoryLayout<HashTableView>.stride)
  }

  /// - Parameters:
  ///   - levels: at most `PriorityPlan.maxLevels`; the last takes what is left over of the endpoints.
  ///   - memory: `byteCount` bytes that live as long as this value is used.
  package init(
    _ all: EndpointSet, levels: [EndpointLevel], busy: UInt32, memory: UnsafeMutableRawPointer
  ) {
    self.all = all
    self.busy = busy
    let levels = levels.isEmpty ? [EndpointLevel(count: all.count)] : Array(levels.prefix(PriorityPlan.maxLevels))
    levelCount = levels.count
    sets = memory.bindMemory(to: EndpointSet.self, capacity: levels.count)
    tables = (memory + levels.count * MemoryLayout<EndpointSet>.stride).bindMemory(
      to: HashTableView.self, capacity: levels.count)
    var start: Int32 = 0
    for (index, level) in levels.enumerated() {
      let count = index == levels.count - 1 ? all.count - start : min(level.count, all.count - start)
      (sets + index).initialize(
        to: EndpointSet(
          base: all.base + Int(start), count: count, panicPercent: 0, sequence: all.sequence &+ UInt32(index)))
      (tables + index).initialize(to: level.table)
      start += count
    }
    plan = PriorityPlan(count: 0) { _ in (0, 0) }
    planned = all.changes &- 1
    replan()
  }

  /// Whether every level is there for its own.
  package var levels: Int { levelCount }

  /// The share of a level, 0…1.
  package func share(_ level: Int) -> Double { levelCount == 1 ? 1 : plan.share(level) }

  private mutating func replan() {
    planned = all.changes
    guard levelCount > 1 else { return }
    for index in 0..<levelCount { sets[index].recount() }
    let sets = sets
    plan = PriorityPlan(count: levelCount) { (sets[$0].healthyCount, sets[$0].candidateCount) }
  }

  /// The index among all endpoints of the one to use, -1 where there is none; `EndpointSet.emptyReason` says why.
  package mutating func pick(
    _ balancer: LoadBalancer, _ request: BalanceRequest, now: Int64, random: inout FastRandom
  ) -> Int32 {
    if levelCount == 1 {
      all.only = request.subset
      return Self.pick(&all, tables[0], balancer, request.key, request.tried, now, &random)
    }
    if planned != all.changes { replan() }
    // Keys stay at their level for as long as the shares do.
    var level: Int32
    if let key = request.key {
      var drawn = FastRandom(seed: key)
      level = plan.pick(&drawn)
    } else {
      level = plan.pick(&random)
    }
    guard level >= 0 else {
      all.only = request.subset
      return Self.pick(&all, .none, balancer, nil, request.tried, now, &random)
    }
    let first = pick(in: Int(level), balancer, request, now, &random)
    if first >= 0, !request.tried.contains(first) {
      return relieved(first, Int(level), balancer, request, now, &random)
    }
    var fallback = first
    level = 0
    while Int(level) < levelCount {
      let other = pick(in: Int(level), balancer, request, now, &random)
      if other >= 0, !request.tried.contains(other) { return other }
      if fallback < 0 { fallback = other }
      level &+= 1
    }
    return fallback
  }

  /// The endpoint that was picked, or one of the next level where it is busy and that one is not.
  private func relieved(
    _ picked: Int32, _ level: Int, _ balancer: LoadBalancer, _ request: BalanceRequest, _ now: Int64,
    _ random: inout FastRandom
  ) -> Int32 {
    guard busy > 0, level &+ 1 < levelCount, request.key == nil else { return picked }
    let state = all.base[Int(picked)]
    guard UInt64(state.inFlight) > UInt64(busy) else { return picked }
    let other = pick(in: level &+ 1, balancer, request, now, &random)
    guard other >= 0, all.base[Int(other)].inFlight < state.inFlight / 2 else { return picked }
    return other
  }

  /// An endpoint of a level, as an index among all.
  private func pick(
    in level: Int, _ balancer: LoadBalancer, _ request: BalanceRequest, _ now: Int64, _ random: inout FastRandom
  ) -> Int32 {
    let start = Int32(truncatingIfNeeded: sets[level].base - all.base)
    let tried = request.tried.count == 0 ? request.tried : request.tried.shifted(by: start)
    sets[level].only = request.subset
    let index = Self.pick(&sets[level], tables[level], balancer, request.key, tried, now, &random)
    return index < 0 ? -1 : index &+ start
  }

  private static func pick(
    _ set: inout EndpointSet, _ table: HashTableView, _ balancer: LoadBalancer, _ key: UInt64?,
    _ tried: TriedEndpoints, _ now: Int64, _ random: inout FastRandom
  ) -> Int32 {
    if let key, balancer.isConsistent {
      let index = table.pick(key, in: set, tried: tried)
      if index >= 0 { return index }
    }
    return set.pick(balancer, tried: tried, now: now, random: &random)
  }
}
