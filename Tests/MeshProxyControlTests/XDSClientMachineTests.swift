import MeshProxy
import MeshWire
import Testing

private func node() -> XDSNode {
  var node = XDSNode()
  node.id = "u1"
  return node
}

private func resource(_ content: XDSClientMachine.Resource, version: String, name: String? = nil) -> DiscoveredResource
{
  var any = AnyMessage()
  any.typeURL = content.key.type.rawValue
  any.value =
    switch content {
    case .service(let message): message.protobuf()
    case .workload(let message): message.protobuf()
    case .proxy(let message): message.protobuf()
    case .trust(let message): message.protobuf()
    }
  var resource = DiscoveredResource()
  resource.name = name ?? content.key.name
  resource.version = version
  resource.resource = any
  return resource
}

private func service(_ name: String) -> XDSClientMachine.Resource {
  var service = ServiceConfig()
  service.namespace = "shop"
  service.name = name
  return .service(service)
}

private func workload(_ uid: String) -> XDSClientMachine.Resource {
  var workload = WorkloadConfig()
  workload.uid = uid
  return .workload(workload)
}

private func response(
  _ type: ResourceType, _ resources: [DiscoveredResource] = [], removed: [String] = [], nonce: String = "n",
  system: String = "1"
) -> DeltaDiscoveryResponse {
  var response = DeltaDiscoveryResponse()
  response.typeURL = type.rawValue
  response.resources = resources
  response.removed = removed
  response.nonce = nonce
  response.systemVersion = system
  return response
}

private func completed(
  validate: @escaping @Sendable (XDSClientMachine.Resource) -> String? = { _ in nil }
) -> XDSClientMachine {
  var machine = XDSClientMachine(node: node(), program: "apus-proxy 1", validate: validate)
  for type in ResourceType.allCases { _ = machine.received(response(type)) }
  return machine
}

extension XDSClientMachine {
  /// What it would put in force.
  fileprivate var snapshot: Snapshot {
    var packed = PackedSnapshot()
    fill(&packed)
    return packed.unpacked
  }
}

@Suite struct XDSClientMachineTests {
  @Test func itSubscribesToAllFourTypesByWildcardAndSaysWhoItIsOnce() {
    let machine = XDSClientMachine(node: node(), program: "p")
    let requests = machine.opened()
    #expect(requests.map(\.typeURL) == [ResourceType.trust, .proxy, .workload, .service].map(\.rawValue))
    #expect(requests.allSatisfy { $0.subscribe.isEmpty && $0.initialVersions.isEmpty })
    #expect(requests.map { $0.node?.id } == ["u1", nil, nil, nil])
  }

  @Test func nothingIsAppliedUntilEveryTypeIsThereWhole() {
    var machine = XDSClientMachine(node: node(), program: "p")
    #expect(machine.received(response(.trust))?.isToBeApplied == false)
    #expect(machine.received(response(.proxy))?.isToBeApplied == false)
    #expect(machine.received(response(.workload, [resource(workload("w"), version: "1")]))?.isToBeApplied == false)
    let part = machine.received(response(.service, [resource(service("a"), version: "1")], system: "1+"))
    #expect(part?.isToBeApplied == false, "more follows")
    #expect(!machine.isComplete)
    #expect(machine.received(response(.service, [resource(service("b"), version: "1")]))?.isToBeApplied == true)
    #expect(machine.isComplete)
    let snapshot = machine.snapshot
    #expect(snapshot.services.map(\.name) == ["a", "b"])
    #expect(snapshot.workloads.map(\.uid) == ["w"])
  }

  @Test func aResponseIsAcknowledgedByItsNonce() {
    var machine = completed()
    let outcome = machine.received(response(.workload, [resource(workload("w"), version: "1")], nonce: "abc"))
    #expect(outcome?.reply.responseNonce == "abc")
    #expect(outcome?.reply.errorDetail == nil)
    #expect(outcome?.reply.typeURL == ResourceType.workload.rawValue)
    #expect(outcome?.isToBeApplied == true)
    #expect(machine.received(response(.workload, removed: ["unknown"]))?.isToBeApplied == false)
  }

  @Test func oneBadResourceIsRefusedByNameAndTheGoodOnesApply() throws {
    var machine = completed { $0 == service("bad") ? "its routes form a circle" : nil }
    var damaged = resource(service("damaged"), version: "1")
    damaged.resource?.value = [0x0a, 0xff]
    let received = machine.received(
      response(
        .service,
        [
          resource(service("good"), version: "1"), resource(service("bad"), version: "1"), damaged,
          resource(service("other"), version: "1", name: "shop/else"),
        ]))
    let outcome = try #require(received)
    #expect(outcome.isToBeApplied)
    #expect(outcome.refused.map(\.name) == ["shop/bad", "shop/damaged", "shop/else"])
    let status = try #require(outcome.reply.errorDetail)
    #expect(status.message.contains("shop/bad: its routes form a circle"))
    let detail = try #require(status.details.first)
    #expect(detail.typeURL == RefusedResources.typeURL)
    #expect(try RefusedResources(protobuf: detail.value).resources == outcome.refused)
    let snapshot = machine.snapshot
    #expect(snapshot.services.map(\.name) == ["good"])
  }

  @Test func whatIsRefusedLeavesTheFormerInForce() {
    var machine = completed()
    _ = machine.received(response(.service, [resource(service("a"), version: "1")]))
    var damaged = resource(service("a"), version: "2")
    damaged.resource?.value = [0xff]
    #expect(machine.received(response(.service, [damaged]))?.isToBeApplied == false)
    #expect(machine.opened().last?.initialVersions == ["shop/a": "1"])
  }

  @Test func aReconnectBringsTheVersionsAlong() {
    var machine = completed()
    let both = [resource(workload("w1"), version: "1"), resource(workload("w2"), version: "2")]
    _ = machine.received(response(.workload, both))
    _ = machine.received(response(.workload, removed: ["w1"]))
    #expect(machine.opened().map(\.initialVersions) == [[:], [:], ["w2": "2"], [:]])
  }

  @Test func theCacheCarriesConfigurationAndVersionsOverARestart() throws {
    var machine = completed()
    _ = machine.received(response(.workload, [resource(workload("w"), version: "7")]))
    _ = machine.received(response(.service, [resource(service("a"), version: "8")]))
    var base = Snapshot()
    base.node = NodeIdentity()
    base.node?.uid = "u1"
    let cached = try CachedConfiguration(protobuf: machine.cache(PackedSnapshot(base)).protobuf())
    #expect(cached.snapshot.common.node?.uid == "u1")

    let same = XDSClientMachine(node: node(), program: "apus-proxy 1", cached: cached)
    #expect(same.isComplete)
    #expect(same.opened().map(\.initialVersions) == machine.opened().map(\.initialVersions))
    var snapshot = PackedSnapshot(base)
    same.fill(&snapshot)
    #expect(snapshot == cached.snapshot)
    #expect(snapshot.unpacked.workloads.map(\.uid) == ["w"])

    let newer = XDSClientMachine(node: node(), program: "apus-proxy 2", cached: cached)
    #expect(newer.isComplete)
    #expect(newer.opened().map(\.initialVersions) == [[:], [:], ["w": ""], ["shop/a": ""]])
  }

  @Test func aTypeThatWasNotAskedForIsLeftUnanswered() {
    var machine = completed()
    var foreign = DeltaDiscoveryResponse()
    foreign.typeURL = "type.googleapis.com/else"
    #expect(machine.received(foreign) == nil)
  }

  @Test func whatComesInPartsIsPutInForceAsAWhole() {
    var machine = completed()
    let first = machine.received(response(.service, [resource(service("a"), version: "1")], system: "2+"))
    #expect(first?.isToBeApplied == false && first?.reply.errorDetail == nil)
    #expect(machine.received(response(.workload))?.isToBeApplied == true)
    _ = machine.received(response(.service, [resource(service("b"), version: "1")], system: "3+"))
    #expect(
      machine.received(response(.service, [resource(service("c"), version: "1")], system: "3"))?.isToBeApplied == true)
    #expect(machine.received(response(.service))?.isToBeApplied == false)
  }
}
