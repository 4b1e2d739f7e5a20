/// Bounds on an adaptive limit.
package struct ConcurrencySettings: Equatable, Sendable, BitwiseCopyable {
  /// At least 1. Default 4.
  package var least: UInt32 = 4
  /// Default 10,000.
  package var most: UInt32 = 10_000
  /// Where to begin. Default 32.
  package var initial: UInt32 = 32
  /// How far the latency may rise above the calm one before the limit goes down, in hundredths. Default 150.
  package var tolerancePercent: UInt32 = 150
  /// How often the limit is set anew, but not before `leastSamples` have come. Default 100 ms.
  package var windowNanoseconds: Int64 = 100_000_000
  package var leastSamples: UInt32 = 20
  /// How often the calm latency is measured while requests are being refused. Default 30 s.
  package var calmNanoseconds: Int64 = 30_000_000_000

  package init() {}

  /// Everything that is out of bounds, each with its path.
  package func violations(at path: String) -> [SettingViolation] {
    var found: [SettingViolation] = []
    if least < 1 { found.append(.init(path: "\(path).least", message: "is 0; must be at least 1")) }
    if most < least { found.append(.init(path: "\(path).most", message: "is below the least; raise it")) }
    if tolerancePercent < 100 || tolerancePercent > 1_000 {
      found.append(.init(path: "\(path).tolerancePercent", message: "is \(tolerancePercent); must be 100…1000"))
    }
    return found
  }
}
