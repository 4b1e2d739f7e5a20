import Glibc
import MeshSimulation

// Plays seeds: `apus-simulate COUNT`, or one of them with everything that happens in it: `apus-simulate SCENARIO SEED`.
// Tables are gone through in the same order every time, so that a seed takes the same course again.
if getenv("SWIFT_DETERMINISTIC_HASHING") == nil {
  setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
  var words = CommandLine.arguments.map { strdup($0) } + [nil]
  execv("/proc/self/exe", &words)
}

let arguments = Array(CommandLine.arguments.dropFirst())

/// A line at once, so that a run that is stopped has said what it found.
func say(_ text: String) {
  var line = text + "\n"
  line.withUTF8 { _ = write(1, $0.baseAddress, $0.count) }
}

func play() throws -> Int32 {
  let simulation = try Simulation()
  if let first = arguments.first, let scenario = Scenario(rawValue: first) {
    let seed = arguments.dropFirst().first.flatMap { UInt64($0) } ?? 1
    let isTraced = arguments.contains("--trace")
    let result = try simulation.run(scenario, seed: seed, trace: isTraced ? { say($0) } : nil)
    say("\(result)")
    return result.violations.isEmpty ? 0 : 1
  }
  let count = arguments.first.flatMap { UInt64($0) } ?? 100
  let from = arguments.dropFirst().first.flatMap { UInt64($0) } ?? 1
  var failed = 0
  var totals = (steps: 0, answered: 0, refused: 0, broken: 0, attempts: 0, held: 0)
  for scenario in Scenario.allCases {
    for seed in from..<from + count {
      let result = try simulation.run(scenario, seed: seed)
      totals.steps += result.steps
      totals.answered += result.answered
      totals.refused += result.refused
      totals.broken += result.broken
      totals.attempts += result.attempts
      totals.held = max(totals.held, result.mostHeldBytes)
      guard !result.violations.isEmpty else { continue }
      failed += 1
      say("\(scenario.rawValue) \(seed): \(result.violations.joined(separator: "; "))")
    }
  }
  say("\(count) seeds of each scenario, \(failed) failed: \(totals)")
  return failed == 0 ? 0 : 1
}

exit(try play())
