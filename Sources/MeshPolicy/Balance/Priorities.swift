/// Divides the traffic of a service between levels of preference: same zone, same region, elsewhere; or primary and
/// failover. Envoy's rule: a level takes what its healthy part can carry, and the rest spills over to the next.
///
/// A level with at least 100 / `overprovision` of its endpoints healthy still takes everything: endpoints have room for
/// more than their share, so that one that is ill does not at once move traffic between zones.
package struct PriorityPlan: Sendable, BitwiseCopyable {
  /// The most levels; those after are left out.
  package static let maxLevels = 8

  /// The share of each level in ten-thousandths; they add up to 10,000, or to 0 where no level can take any.
  private var shares = InlineArray<8, UInt32>(repeating: 0)
  /// Levels with endpoints at all.
  package private(set) var levels: Int32

  /// - Parameters:
  ///   - count: the number of levels.
  ///   - overprovision: in hundredths, 100…1,000. Default 140.
  ///   - level: endpoints of a level that may be picked, and all of it, most preferred first.
  package init(count: Int, overprovision: UInt32 = 140, _ level: (Int) -> (healthy: Int32, all: Int32)) {
    levels = Int32(min(max(0, count), Self.maxLevels))
    let factor = UInt64(min(max(overprovision, 100), 1_000))
    var left: UInt64 = 10_000
    var total: UInt64 = 0
    var index = 0
    while index < Int(levels) {
      let (healthy, all) = level(index)
      if all > 0, healthy > 0 {
        let able = min(10_000, UInt64(healthy) * factor * 100 / UInt64(all))
        let share = min(left, able)
        shares[index] = UInt32(share)
        left -= share
        total += share
      }
      index &+= 1
    }
    guard total > 0, left > 0 else { return }
    // Together they cannot carry all: each in proportion to what it can.
    var given: UInt32 = 0
    var first = -1
    index = 0
    while index < Int(levels) {
      shares[index] = UInt32(UInt64(shares[index]) * 10_000 / total)
      if shares[index] > 0, first < 0 { first = index }
      given += shares[index]
      index &+= 1
    }
    if first >= 0 { shares[first] += 10_000 - given }
  }

  /// The share of a level, 0…1.
  package func share(_ level: Int) -> Double {
    level >= 0 && level < Self.maxLevels ? Double(shares[level]) / 10_000 : 0
  }

  /// A level, each with the probability of its share; -1 where none can take any.
  package func pick(_ random: inout FastRandom) -> Int32 {
    if shares[0] == 10_000 { return 0 }
    var left = Int64(random.below(UInt32(10_000)))
    var index = 0
    while index < Int(levels) {
      left &-= Int64(shares[index])
      if left < 0 { return Int32(truncatingIfNeeded: index) }
      index &+= 1
    }
    return -1
  }
}

/// Where an endpoint is.
package struct Locality: Hashable, Sendable {
  package var region: String
  package var zone: String

  package init(region: String = "", zone: String = "") {
    self.region = region
    self.zone = zone
  }

  /// How near `other` is: 0 the same zone, 1 the same region, 2 elsewhere. What is not known is elsewhere.
  package func distance(to other: Locality) -> Int {
    guard region == other.region else { return 2 }
    if !zone.isEmpty, zone == other.zone { return 0 }
    return region.isEmpty ? 2 : 1
  }

  /// The locality that a zone's name says: what stands before a slash is the region (`eu-west/a`); a name of the clouds'
  /// form, which ends with a digit and a letter, has its region in all but the letter (`eu-west-1a`).
  package init(named name: String) {
    let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
    let bytes = Array(name.utf8)
    if parts.count == 2 {
      self.init(region: parts[0], zone: name)
    } else if let last = bytes.last, bytes.count > 2, (0x61...0x7A).contains(last),
      (0x30...0x39).contains(bytes[bytes.count - 2])
    {
      self.init(region: String(name.dropLast()), zone: name)
    } else {
      self.init(region: "", zone: name)
    }
  }
}

/// Gives an endpoint that is new a growing part of its share, so that it can warm up.
package struct SlowStart: Hashable, Sendable, BitwiseCopyable {
  /// The time after which an endpoint has its whole share.
  package var windowNanoseconds: Int64
  /// The least part of its share, in hundredths, 1…100. Default 10.
  package var leastPercent: UInt32

  /// Weights come out in hundredths: all endpoints of a set must go through `weight`, or none.
  package static let scale: UInt32 = 100

  package init(windowNanoseconds: Int64, leastPercent: UInt32 = 10) {
    self.windowNanoseconds = windowNanoseconds
    self.leastPercent = min(max(leastPercent, 1), 100)
  }

  /// The weight, in hundredths, of an endpoint that has been there for `age`: it grows in a straight line. At least 1
  /// where `weight` is above 0.
  package func weight(_ weight: UInt32, age: Int64) -> UInt32 {
    let whole = UInt64(min(weight, 10_000)) * UInt64(Self.scale)
    guard weight > 0, age < windowNanoseconds else { return UInt32(whole) }
    let percent = max(UInt64(leastPercent), UInt64(Double(max(0, age)) / Double(windowNanoseconds) * 100))
    return UInt32(max(1, whole * percent / 100))
  }

  /// Whether an endpoint of this age has its whole share.
  package func isWarm(age: Int64) -> Bool { age >= windowNanoseconds }
}
