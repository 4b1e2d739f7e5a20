package import MeshModel

/// The endpoints of one service as one loop sees them, and the choice among them.
///
/// Holds no memory: `base` points at `count` states that the loop owns. After the states' weights or flags were changed
/// from outside call `recount`. Every choice skips endpoints with a flag or no weight, and prefers those not in `tried`;
/// where all that are left have been tried, one of them is tried again.
///
/// Panic: while under `panicPercent` of the endpoints (those draining or without weight left out) are free of flags,
/// `unhealthy` and `ejected` are ignored. So few cannot carry the load of all, and a detector that condemns most is
/// likelier wrong than right.
package struct EndpointSet: BitwiseCopyable {
  package var base: UnsafeMutablePointer<EndpointState>
  package var count: Int32
  /// 0…100; 0 never panics.
  package var panicPercent: UInt32
  /// Endpoints that may be picked, or could be in a panic.
  package private(set) var candidateCount: Int32 = 0
  /// Those of them with no flag.
  package private(set) var healthyCount: Int32 = 0
  /// Those of them that are ejected.
  package private(set) var ejectedCount: Int32 = 0
  /// Round robin's place.
  var sequence: UInt32
  var maxWeight: UInt32 = 1
  private(set) var isUniform = true
  private(set) var skipped: EndpointFlags = [.unhealthy, .ejected, .draining, .resting, .failing]
  /// Only endpoints of this subset may be picked; 0: all.
  package var only: UInt16 = 0
  /// How often it was counted anew: whoever works from the counts sees that they are others.
  package private(set) var changes: UInt32 = 0

  /// - Parameter sequence: where round robin begins; a random number, so that loops and proxies do not go in step.
  package init(base: UnsafeMutablePointer<EndpointState>, count: Int32, panicPercent: UInt32 = 50, sequence: UInt32) {
    self.base = base
    self.count = max(0, count)
    self.panicPercent = min(100, panicPercent)
    self.sequence = sequence
    recount()
  }

  /// Whether health is being ignored.
  package var isPanicking: Bool { skipped == [.draining] }

  /// Why there is nothing to pick, where there is not.
  package var emptyReason: Reason { count == 0 ? .noEndpoint : .noHealthyEndpoint }

  /// Counts anew after states were changed. Takes time in proportion to their number.
  package mutating func recount() {
    candidateCount = 0
    healthyCount = 0
    ejectedCount = 0
    maxWeight = 1
    isUniform = true
    var first: UInt32 = 0
    var index = 0
    while index < Int(count) {
      if base[index].weight > 1_000_000 { base[index].weight = 1_000_000 }
      let state = base[index]
      index &+= 1
      if first == 0 { first = state.weight }
      if state.weight != first || state.weight == 0 { isUniform = false }
      if state.weight > maxWeight { maxWeight = state.weight }
      if state.weight == 0 || state.flags.contains(.draining) { continue }
      candidateCount &+= 1
      if state.flags.contains(.ejected) { ejectedCount &+= 1 }
      if state.flags.isEmpty { healthyCount &+= 1 }
    }
    let panics = UInt64(healthyCount) * 100 < UInt64(panicPercent) * UInt64(candidateCount)
    skipped = panics ? [.draining] : [.unhealthy, .ejected, .draining, .resting, .failing]
    changes &+= 1
  }

  /// Sets or clears a flag of one endpoint and counts anew.
  package mutating func set(_ flag: EndpointFlags, _ isSet: Bool, at index: Int32) {
    guard index >= 0, index < count else { return }
    if isSet { base[Int(index)].flags.insert(flag) } else { base[Int(index)].flags.remove(flag) }
    recount()
  }

  /// Whether the endpoint may be picked, of whatever subset it is.
  package func mayPick(_ index: Int32) -> Bool {
    index >= 0 && index < count && base[Int(index)].weight > 0 && base[Int(index)].flags.isDisjoint(with: skipped)
  }

  /// Whether the endpoint may be picked.
  @inline(__always)
  func isEligible(_ index: Int) -> Bool {
    base[index].flags.isDisjoint(with: skipped) && base[index].weight > 0
      && (only == 0 || base[index].subset == only)
  }

  /// The index of the endpoint to use, -1 where there is none; `emptyReason` says why.
  ///
  /// - Parameters:
  ///   - balancer: how to choose.
  ///   - tried: the endpoints of earlier attempts of the same request.
  ///   - now: monotonic nanoseconds.
  package mutating func pick(
    _ balancer: LoadBalancer, tried: TriedEndpoints, now: Int64, random: inout FastRandom
  ) -> Int32 {
    guard count > 0 else { return -1 }
    if count == 1 { return isEligible(0) ? 0 : -1 }
    var index = choose(balancer, tried, now, &random)
    if index >= 0, isFailing(index), balancer.comparesEndpoints || tried.count > 0 {
      index = another(than: index, balancer, tried, now, &random)
    }
    if index >= 0 || tried.count == 0 { return Int32(truncatingIfNeeded: index) }
    return Int32(truncatingIfNeeded: weightedScan(TriedEndpoints(), &random))
  }

  private mutating func choose(
    _ balancer: LoadBalancer, _ tried: TriedEndpoints, _ now: Int64, _ random: inout FastRandom
  ) -> Int {
    switch balancer {
    case .roundRobin: roundRobin(tried, &random)
    case .random, .ringHash, .maglev: draw(tried, &random)
    case .leastRequest: leastRequest(tried, &random)
    case .peakEWMA(let decay): peakEWMA(tried, now, decay, &random)
    }
  }

  // MARK: Endpoints that fail

  /// Failures in a row that make an endpoint the second choice, ejected or not.
  package static let failuresInARow: UInt16 = 3
  /// One in so many requests that an endpoint would get while it fails is given to it, so that it shows when it is well.
  package static let shareWhileFailing: UInt32 = 16

  @inline(__always)
  private func isFailing(_ index: Int) -> Bool { base[index].outlier.serverErrors >= Self.failuresInARow }

  /// Two more draws for an endpoint that does not fail: no more endpoints may be ejected than the policy says, and those
  /// that fail beyond that would be drawn, fail at once, look idle, and eat the retry budget. Choices that promise each
  /// endpoint its share (round robin, random, by key) keep to it for first attempts.
  @inline(never)
  private mutating func another(
    than index: Int, _ balancer: LoadBalancer, _ tried: TriedEndpoints, _ now: Int64, _ random: inout FastRandom
  ) -> Int {
    if random.below(Self.shareWhileFailing) == 0 { return index }
    for _ in 0..<2 {
      let other = choose(balancer, tried, now, &random)
      if other >= 0, !isFailing(other) { return other }
    }
    return index
  }

  // MARK: Drawing by weight

  /// One of the eligible endpoints, each with the probability of its weight; -1 for none.
  ///
  /// Eight draws by rejection find one at once in ordinary sets; what they leave is settled by a pass over all, which
  /// draws from the same distribution.
  func draw(_ tried: TriedEndpoints, _ random: inout FastRandom) -> Int {
    let bound = UInt32(truncatingIfNeeded: count)
    var attempts = 0
    while attempts < 8 {
      let index = Int(random.below(bound))
      attempts &+= 1
      guard isEligible(index), isUniform || random.below(maxWeight) < base[index].weight else { continue }
      if tried.count > 0, tried.contains(Int32(truncatingIfNeeded: index)) { continue }
      return index
    }
    return weightedScan(tried, &random)
  }

  func weightedScan(_ tried: TriedEndpoints, _ random: inout FastRandom) -> Int {
    var total: Int64 = 0
    var index = 0
    while index < Int(count) {
      if isEligible(index), !tried.contains(Int32(truncatingIfNeeded: index)) { total &+= Int64(base[index].weight) }
      index &+= 1
    }
    guard total > 0 else { return -1 }
    var left = random.below(total)
    index = 0
    while index < Int(count) {
      if isEligible(index), !tried.contains(Int32(truncatingIfNeeded: index)) {
        left &-= Int64(base[index].weight)
        if left < 0 { return index }
      }
      index &+= 1
    }
    return -1
  }

  /// A second endpoint to compare `first` with; `first` itself where another is not soon found.
  private func drawOther(than first: Int, _ tried: TriedEndpoints, _ random: inout FastRandom) -> Int {
    if isUniform {
      let offset = Int(random.below(UInt32(truncatingIfNeeded: count &- 1))) &+ 1
      let index = (first &+ offset) % Int(count)
      if isEligible(index), !tried.contains(Int32(truncatingIfNeeded: index)) { return index }
    }
    var attempts = 0
    while attempts < 3 {
      let index = draw(tried, &random)
      if index != first { return index }
      attempts &+= 1
    }
    return first
  }

  // MARK: The ways to choose

  /// Static stride scheduling, as gRPC has it: each endpoint comes up in each round, and is passed over in proportion to
  /// what its weight is below the largest. Smooth, and without state but one number.
  private mutating func roundRobin(_ tried: TriedEndpoints, _ random: inout FastRandom) -> Int {
    let top: UInt64 = 65_535
    let rounds = UInt32(truncatingIfNeeded: count) &* 2
    var step: UInt32 = 0
    while step < rounds {
      let place = sequence
      sequence &+= 1
      step &+= 1
      let index = Int(place % UInt32(truncatingIfNeeded: count))
      guard isEligible(index), !tried.contains(Int32(truncatingIfNeeded: index)) else { continue }
      if isUniform { return index }
      let generation = UInt64(place / UInt32(truncatingIfNeeded: count))
      let weight = max(1, UInt64(base[index].weight) &* top / UInt64(maxWeight))
      let phase = (weight &* generation &+ UInt64(index) &* (top / 2)) % top
      if phase >= top &- weight { return index }
    }
    return weightedScan(tried, &random)
  }

  private func leastRequest(_ tried: TriedEndpoints, _ random: inout FastRandom) -> Int {
    let first = draw(tried, &random)
    guard first >= 0 else { return -1 }
    let second = drawOther(than: first, tried, &random)
    // inFlight / weight, compared without dividing.
    let left = UInt64(base[first].inFlight) &* UInt64(base[second].weight)
    let right = UInt64(base[second].inFlight) &* UInt64(base[first].weight)
    return right < left ? second : first
  }

  private func peakEWMA(
    _ tried: TriedEndpoints, _ now: Int64, _ decay: Int64, _ random: inout FastRandom
  ) -> Int {
    let first = draw(tried, &random)
    guard first >= 0 else { return -1 }
    let second = drawOther(than: first, tried, &random)
    if first == second { return first }
    let left = PeakEWMA.cost(base[first], now: now, decayNanoseconds: decay)
    let right = PeakEWMA.cost(base[second], now: now, decayNanoseconds: decay)
    return right < left ? second : first
  }
}
