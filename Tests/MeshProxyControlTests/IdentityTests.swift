import MeshProxy
import MeshWire
import Testing

@Suite struct IdentityTests {
  private func listener(_ name: String, _ identity: String) -> ListenerConfig {
    var listener = ListenerConfig()
    listener.name = name
    listener.kind = .outbound
    listener.address = "127.0.0.1:0"
    listener.service = "shop/catalog"
    listener.port = 80
    listener.identity = identity
    return listener
  }

  private func snapshot(_ identities: [String]) -> Snapshot {
    var snapshot = Snapshot()
    snapshot.identities = identities.map { name in
      var identity = NamedIdentity()
      identity.name = name
      return identity
    }
    var service = ServiceConfig()
    service.namespace = "shop"
    service.name = "catalog"
    var port = ServicePort()
    port.number = 80
    service.ports = [port]
    snapshot.services = [service]
    return snapshot
  }

  @Test func eachIdentityThatAListenerActsForHasClustersOfItsOwn() throws {
    let listeners = [listener("own", ""), listener("a", "cart"), listener("b", "front"), listener("c", "cart")]
    let compiled = CompiledConfiguration(snapshot(["unused", "cart", "front"]), listeners: listeners)
    let clusters = compiled.listenerClusters.map { $0 < 0 ? nil : compiled.clusters[Int($0)] }
    #expect(clusters.map { $0?.identity } == [0, 2, 3, 2])
    #expect(clusters.map { $0?.key } == ["", "@cart", "@front", "@cart"].map { "shop/catalog:80\($0)" })
    #expect(compiled.clusters.count == 3, "an identity that nobody acts for has none")
  }

  @Test func anIdentityThatIsNotThereLeadsNowhere() {
    let compiled = CompiledConfiguration(snapshot([]), listeners: [listener("a", "stranger")])
    // The proxy's own identity is never used in another's name.
    #expect(compiled.listenerClusters == [-1])
  }
}
