import MeshSimulation
import Testing

/// The data path in virtual time, from seeds. `make simulate ARGS=10000` plays more of them.
struct SimulationTests {
  @Test(
    arguments: [(.calm, 250), (.storm, 350), (.swaps, 150), (.drain, 150), (.retries, 10), (.silence, 60)]
      as [(Scenario, UInt64)])
  func seedsAreClean(_ scenario: Scenario, _ count: UInt64) throws {
    let simulation = try Simulation()
    for seed in 1...count {
      let result = try simulation.run(scenario, seed: seed)
      #expect(
        result.violations.isEmpty,
        "to see what happens: .build/release/apus-simulate \(scenario.rawValue) \(seed) --trace")
    }
  }

  @Test func aSeedTakesTheSameCourseAgain() throws {
    let simulation = try Simulation()
    for seed: UInt64 in 1...20 {
      let first = try simulation.run(.storm, seed: seed)
      let second = try simulation.run(.storm, seed: seed)
      #expect(first.fingerprint == second.fingerprint, "seed \(seed)")
      #expect(first.steps == second.steps, "seed \(seed)")
    }
  }

  /// Nonces, key shares and tickets are others in each of them; their lengths are not.
  @Test func aSeedTakesTheSameCourseWhateverIsRandom() throws {
    let first = try Simulation()
    let second = try Simulation()
    for seed: UInt64 in 1...60 {
      let one = try first.run(.storm, seed: seed)
      let other = try second.run(.storm, seed: seed)
      #expect(one.fingerprint == other.fingerprint, "seed \(seed)")
      #expect(one.steps == other.steps, "seed \(seed)")
    }
  }

  @Test func stormsBreakSomethingAndCalmDoesNot() throws {
    let simulation = try Simulation()
    var stormy = 0
    for seed: UInt64 in 1...30 {
      let storm = try simulation.run(.storm, seed: seed)
      stormy += storm.broken + storm.refused
      let calm = try simulation.run(.calm, seed: seed)
      #expect(calm.broken + calm.refused == 0, "seed \(seed)")
      #expect(calm.answered > 0, "seed \(seed)")
    }
    #expect(stormy > 0)
  }
}
