internal import MeshPolicy
internal import MeshProxy
internal import MeshWire

/// What one seed showed.
package struct SimulationResult: Sendable {
  package var seed: UInt64
  package var scenario: Scenario
  package var violations: [String]
  package var steps: Int
  package var virtualSeconds: Double
  package var answered: Int
  package var refused: Int
  package var broken: Int
  package var attempts: Int
  package var mostHeldBytes: Int
  /// Differs between two runs of a seed that did not take the same course.
  package var fingerprint: UInt64
}

/// What is played out.
package enum Scenario: String, CaseIterable, Sendable {
  /// Requests of HTTP/1.1 and sessions of TCP, with nothing wrong but the network's timing: all of them succeed.
  case calm
  /// Clients that leave, applications that die, connections that are refused, reset and never answered.
  case storm
  /// As `calm`, while the client's proxy is given one configuration after the other: no request fails by that.
  case swaps
  /// As `calm`, until the client's proxy drains: what it has taken, it finishes.
  case drain
  /// Half of the endpoints answer 503, and the others can do so much and no more: attempts stay within the budget, and
  /// 95 % of what the healthy half can carry succeeds (`RetryStorm`).
  case retries
  /// Ports whose protocol nobody has declared, with servers that speak first and clients that do: nobody waits for more
  /// than a moment, once.
  case silence

  var isFaultless: Bool { self != .storm && self != .retries }
}

/// Runs scenarios of the data path in virtual time. Everything that a run decides comes from its seed.
package final class Simulation {
  private let credentials: SimulationCredentials

  /// - Throws: where the TLS library makes no certificates.
  package init() throws { credentials = try SimulationCredentials() }

  /// Plays one seed. `trace` gets a line for everything that happens.
  package func run(_ scenario: Scenario, seed: UInt64, trace: ((String) -> Void)? = nil) throws -> SimulationResult {
    var random = FastRandom(seed: seed ^ 0x5175_6963_6b6c_7921)
    var profile = NetworkProfile()
    // Slow networks run into timeouts, which is a fault.
    profile.latency = [2_000, 50_000, 200_000, scenario.isFaultless ? 100_000 : 5_000_000][random.pick(4)]
    profile.isCalm = scenario.isFaultless
    profile.stretch = [3, 30, 200][random.pick(3)]
    profile.isNarrow = random.pick(4) == 0
    if scenario == .silence {
      profile.isEven = true
      profile.latency = min(profile.latency, 200_000)
    }
    if scenario == .storm {
      if random.pick(3) == 0 { profile.resets = 1 + random.pick(40) }
      if random.pick(3) == 0 { profile.refusals = random.pick(300) }
      if random.pick(4) == 0 { profile.blackHoles = random.pick(100) }
    }
    let kernel = SimulatedKernel(seed: seed, profile: profile)
    kernel.trace = trace
    let calls = KernelCalls(kernel)
    defer { calls.remove() }
    return try withExtendedLifetime(kernel) { try play(scenario, seed, kernel, &random) }
  }

  private func play(
    _ scenario: Scenario, _ seed: UInt64, _ kernel: SimulatedKernel, _ random: inout FastRandom
  ) throws -> SimulationResult {
    let link = Link.allCases[random.pick(Link.allCases.count)]
    let isHTTP2 = scenario != .retries && random.pick(3) == 0
    // Other scenarios draw nothing for it.
    var further = random
    let storm = RetryStorm(&further)
    let world = try World(
      kernel, link: link, credentials: link == .mutualTLS ? credentials : nil,
      applications: scenario == .retries ? storm.applications : 1 + random.pick(3), speaks: isHTTP2 ? .http2 : .http,
      policy: nil)
    world.ledger.isFaultless = scenario.isFaultless
    for (index, port) in world.mesh.applicationPorts.enumerated() {
      if isHTTP2 {
        world.add(HTTP2Application(kernel, world.ledger, port: port))
      } else {
        let application = HTTP1Application(kernel, world.ledger, port: port)
        if scenario == .retries, index % 2 == 0 { application.forcedStatus = 503 }
        if scenario == .retries, index % 2 == 1 { application.capacity = storm.capacity }
        world.add(application)
      }
    }
    world.add(EchoApplication(kernel, port: Mesh.echoApplicationPort))
    var writer = PlanWriter(random: random, isCalm: scenario != .storm, isNarrow: kernel.profile.isNarrow)
    switch scenario {
    case .calm, .storm: world.addClients(&writer)
    case .swaps:
      world.addClients(&writer)
      world.swapConfigurations(every: 1_000_000 + UInt64(writer.random.pick(100_000_000)))
    case .drain:
      world.addClients(&writer)
      world.drainSoon(within: 1 + UInt64(writer.random.pick(500_000_000)))
    case .retries: world.addSteadyClients(&writer, storm)
    case .silence: world.addSilence(&writer)
    }
    defer { kernel.dismantle() }
    world.run()
    if scenario == .retries { world.check(storm) }
    if scenario == .silence { world.checkDelays() }
    return SimulationResult(
      seed: seed, scenario: scenario, violations: world.ledger.violations.map { "\(link): \($0)" }, steps: world.steps,
      virtualSeconds: Double(kernel.elapsed) / 1e9, answered: world.ledger.share { $0 == .answered },
      refused: world.ledger.share { if case .refused = $0 { true } else { false } },
      broken: world.ledger.share { $0 == .broken }, attempts: world.ledger.totalAttempts,
      mostHeldBytes: world.mostHeld, fingerprint: kernel.random.next() ^ kernel.now)
  }
}
