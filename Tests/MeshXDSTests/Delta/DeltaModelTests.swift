import MeshControl
import MeshWire
import MeshXDS
import Testing

/// SplitMix64: the same seed gives the same run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}

/// One server, one client, a network that loses streams: after any history, a quiet moment leaves the client with the
/// server's state, except for what it refuses.
@Suite struct DeltaModelTests {
  private struct World {
    var random: SeededGenerator
    var contents: [ConfigType: [String: String]] = [:]
    var revision: UInt64 = 0
    var session = DeltaSession(noncePrefix: "0")
    var clients: [ConfigType: ModelClient] = [:]
    var toClient: [DeltaDiscoveryResponse] = []
    var toServer: [DeltaDiscoveryRequest] = []
    var connections = 0
    let namesRefused: Bool

    init(seed: UInt64) throws {
      random = SeededGenerator(seed: seed)
      namesRefused = seed % 2 == 0
      for type in ConfigType.allCases { clients[type] = ModelClient(type: type) }
      try reconnect()
    }

    mutating func reconnect() throws {
      connections += 1
      var limits = DeltaSession.Limits()
      limits.responseBytes = Int.random(in: 1...400, using: &random)
      session = DeltaSession(noncePrefix: "\(connections)", limits: limits)
      session.update(view(revision, contents))
      toClient = []
      toServer = ConfigType.allCases.shuffled(using: &random).compactMap { clients[$0]?.hello() }
    }

    mutating func change() {
      revision += 1
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        guard let type = ConfigType.allCases.randomElement(using: &random) else { continue }
        let name = "r\(Int.random(in: 0..<8, using: &random))"
        if Int.random(in: 0..<3, using: &random) == 0 {
          contents[type]?[name] = nil
        } else {
          contents[type, default: [:]][name] = "\(Int.random(in: 0..<5, using: &random))"
        }
      }
      session.update(view(revision, contents))
    }

    mutating func deliverToServer() throws {
      guard !toServer.isEmpty else { return }
      _ = try session.receive(toServer.removeFirst())
    }

    mutating func deliverToClient() throws {
      guard !toClient.isEmpty else { return }
      let response = toClient.removeFirst()
      let type = try #require(ConfigType(typeURL: response.typeURL))
      if let answer = clients[type]?.apply(response, namesRefused: namesRefused) { toServer.append(answer) }
    }

    mutating func pump() { if let response = session.nextResponse() { toClient.append(response) } }

    mutating func settle() throws {
      for _ in 0..<10_000 {
        try deliverToServer()
        pump()
        try deliverToClient()
        if toServer.isEmpty, toClient.isEmpty {
          guard let more = session.nextResponse() else { return }
          toClient.append(more)
        }
      }
      Issue.record("it does not come to rest")
    }
  }

  @Test(arguments: 0..<300)
  func theClientEndsWithTheServersState(seed: Int) throws {
    var world = try World(seed: UInt64(seed))
    for _ in 0..<200 {
      switch Int.random(in: 0..<100, using: &world.random) {
      case 0..<20: world.change()
      case 20..<50: try world.deliverToServer()
      case 50..<70: world.pump()
      case 70..<94: try world.deliverToClient()
      case 94..<96: try world.reconnect()
      default:
        if let type = ConfigType.allCases.randomElement(using: &world.random) {
          world.clients[type]?.dislikes = [version("\(Int.random(in: 0..<5, using: &world.random))")]
        }
      }
      #expect(world.toClient.count <= ConfigType.allCases.count, "one response per type is on the way")
    }
    // What was refused while it was disliked counts as refused until it changes.
    for type in ConfigType.allCases { world.clients[type]?.dislikes = [] }
    world.revision += 1
    for type in ConfigType.allCases { world.contents[type] = world.contents[type]?.mapValues { $0 + "'" } }
    world.session.update(view(world.revision, world.contents))
    try world.settle()
    for type in ConfigType.allCases {
      #expect(world.clients[type]?.resources == (world.contents[type] ?? [:]).mapValues(version))
      let standing = try #require(world.session.standing(of: type))
      #expect(standing.isSettled)
      #expect(standing.sentVersion == standing.ackedVersion)
    }
  }

  @Test(arguments: 0..<100)
  func withRefusalsEverythingElseIsStillInForce(seed: Int) throws {
    var world = try World(seed: UInt64(seed) * 2)
    let disliked = version("3")
    for type in ConfigType.allCases { world.clients[type]?.dislikes = [disliked] }
    for _ in 0..<150 {
      switch Int.random(in: 0..<10, using: &world.random) {
      case 0..<3: world.change()
      case 3..<6: try world.deliverToServer()
      case 6: world.pump()
      default: try world.deliverToClient()
      }
    }
    try world.settle()
    for type in ConfigType.allCases {
      let client = try #require(world.clients[type])
      for (name, text) in world.contents[type] ?? [:] where version(text) != disliked {
        #expect(client.resources[name] == version(text))
      }
      #expect(Set(client.resources.keys).isSubset(of: Set((world.contents[type] ?? [:]).keys)))
      let isRefusing = (world.contents[type] ?? [:]).values.contains { version($0) == disliked }
      #expect((world.session.standing(of: type)?.refusal != nil) == isRefusing)
    }
  }
}
