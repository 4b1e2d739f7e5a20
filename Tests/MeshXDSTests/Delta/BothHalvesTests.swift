import MeshControl
import MeshProxy
import MeshWire
import MeshXDS
import Testing

/// The server's half of discovery against the proxy's own, over streams that are lost and proxies that start again from
/// their disk cache.
@Suite struct BothHalvesTests {
  private struct World {
    var random: SeededGenerator
    var revision: UInt64 = 0
    /// Versions of services by name; odd ones cannot be put in force.
    var services: [String: UInt32] = [:]
    var session = DeltaSession(noncePrefix: "0")
    var proxy: XDSClientMachine
    var toProxy: [DeltaDiscoveryResponse] = []
    var toServer: [DeltaDiscoveryRequest] = []
    var connections = 0

    init(seed: UInt64) throws {
      random = SeededGenerator(seed: seed)
      proxy = Self.proxy(cached: nil)
      try reconnect()
    }

    private static func proxy(cached: CachedConfiguration?) -> XDSClientMachine {
      var node = XDSNode()
      node.id = "u1"
      return XDSClientMachine(node: node, program: "test", cached: cached) { resource in
        guard case .service(let service) = resource, service.ports.first.map({ $0.number % 2 == 1 }) ?? false else {
          return nil
        }
        return "an odd port"
      }
    }

    var view: ConfigView {
      var resources: [ConfigType: [String: ConfigResource]] = [:]
      var trust = TrustBundle()
      trust.trustDomain = "cluster.local"
      resources[.trustBundle] = ["cluster.local": ConfigResource(name: "cluster.local", bytes: trust.protobuf())]
      resources[.proxyConfig] = ["self": ConfigResource(name: "self", bytes: ProxyConfig().protobuf())]
      for (name, number) in services {
        var service = ServiceConfig()
        service.namespace = "shop"
        service.name = name
        var port = ServicePort()
        port.number = number
        service.ports = [port]
        resources[.serviceConfig, default: [:]]["shop/\(name)"] = ConfigResource(
          name: "shop/\(name)", bytes: service.protobuf())
      }
      return ConfigView(revision: revision, resources: resources)
    }

    mutating func reconnect() throws {
      connections += 1
      var limits = DeltaSession.Limits()
      limits.responseBytes = Int.random(in: 1...300, using: &random)
      session = DeltaSession(noncePrefix: "\(connections)", limits: limits)
      session.update(view)
      toProxy = []
      toServer = proxy.opened()
    }

    mutating func restartProxy() throws {
      if proxy.isComplete {
        proxy = Self.proxy(cached: try CachedConfiguration(protobuf: proxy.cache(PackedSnapshot()).protobuf()))
      } else {
        proxy = Self.proxy(cached: nil)
      }
      try reconnect()
    }

    mutating func change() {
      revision += 1
      let name = "s\(Int.random(in: 0..<6, using: &random))"
      services[name] = Bool.random(using: &random) ? UInt32.random(in: 1...6, using: &random) : nil
      session.update(view)
    }

    mutating func step() throws {
      switch Int.random(in: 0..<3, using: &random) {
      case 0: if !toServer.isEmpty { _ = try session.receive(toServer.removeFirst()) }
      case 1: if let response = session.nextResponse() { toProxy.append(response) }
      default: deliver()
      }
    }

    mutating func deliver() {
      guard !toProxy.isEmpty, let outcome = proxy.received(toProxy.removeFirst()) else { return }
      toServer.append(outcome.reply)
    }

    mutating func settle() throws {
      for _ in 0..<10_000 {
        while !toServer.isEmpty { _ = try session.receive(toServer.removeFirst()) }
        if let response = session.nextResponse() { toProxy.append(response) } else if toProxy.isEmpty { return }
        deliver()
      }
      Issue.record("it does not come to rest")
    }
  }

  @Test(arguments: 0..<200)
  func theProxyHasWhatCanBePutInForceAndTheServerKnowsTheRest(seed: Int) throws {
    var world = try World(seed: UInt64(seed))
    for _ in 0..<300 {
      switch Int.random(in: 0..<100, using: &world.random) {
      case 0..<10: world.change()
      case 10..<12: try world.reconnect()
      case 12: try world.restartProxy()
      default: try world.step()
      }
    }
    try world.settle()
    #expect(world.proxy.isComplete)
    var packed = PackedSnapshot()
    world.proxy.fill(&packed)
    let snapshot = packed.unpacked
    let inForce = Dictionary(uniqueKeysWithValues: snapshot.services.map { ($0.name, $0.ports.first?.number) })
    for (name, number) in world.services where number % 2 == 0 { #expect(inForce[name] == number) }
    for (name, number) in inForce {
      #expect(world.services[name] != nil, "what is gone is gone")
      #expect(number.map { $0 % 2 == 0 } == true, "what was refused was never in force")
    }
    #expect(snapshot.trust.count == 1 && snapshot.proxy != nil)
    let standing = try #require(world.session.standing(of: .serviceConfig))
    #expect((standing.refusal != nil) == world.services.values.contains { $0 % 2 == 1 })
    #expect(standing.isSettled)
  }
}
