import MeshWire
import Testing

@Suite struct PackedTests {
  private func workload(_ uid: String, services: [String]) -> WorkloadConfig {
    var workload = WorkloadConfig()
    workload.uid = uid
    workload.identity = "spiffe://cluster.local/ns/shop/sa/\(uid)"
    workload.services = services
    workload.weight = 300
    return workload
  }

  private var snapshot: Snapshot {
    var snapshot = Snapshot()
    snapshot.node = NodeIdentity()
    snapshot.node?.uid = "u1"
    snapshot.workloads = [workload("a", services: ["shop/cart", "shop/pay"]), workload("b", services: [])]
    var service = ServiceConfig()
    service.namespace = "shop"
    service.name = "cart"
    snapshot.services = [service]
    snapshot.proxy = ProxyConfig()
    snapshot.proxy?.zone = "eu-west-1a"
    return snapshot
  }

  @Test func aPackedSnapshotIsTheSameOnDiskAndUnpacked() throws {
    let packed = PackedSnapshot(snapshot)
    #expect(packed.unpacked == snapshot)
    #expect(packed.common.services.isEmpty && packed.common.workloads.isEmpty)
    #expect(try Snapshot(protobuf: packed.protobuf()) == snapshot)
    #expect(try PackedSnapshot(protobuf: packed.protobuf()) == packed)
    #expect(try PackedSnapshot(protobuf: snapshot.protobuf()).unpacked == snapshot)
  }

  @Test func singleFieldsAreFoundWithoutReadingTheOthers() {
    let packed = Packed(workload("a", services: ["shop/cart", "shop/pay"]))
    var services: [String] = []
    packed.each(WorkloadConfig.servicesField) { services.append(String(decoding: $0, as: UTF8.self)) }
    #expect(services == ["shop/cart", "shop/pay"])
    var identity = ""
    packed.each(WorkloadConfig.identityField) { identity = String(decoding: $0, as: UTF8.self) }
    #expect(identity == "spiffe://cluster.local/ns/shop/sa/a")
    packed.each(10) { _ in Issue.record("the weight is a number") }
  }

  @Test func whatIsCutOffOrDamagedEndsTheWalk() throws {
    let whole = Packed(workload("a", services: ["shop/cart", "shop/pay"])).bytes
    for length in 0..<whole.count {
      let cut = Packed<WorkloadConfig>(bytes: Array(whole[..<length]))
      var found = 0
      cut.each(WorkloadConfig.servicesField) { _ in found += 1 }
      #expect(found <= 2)
    }
    var state: UInt64 = 1
    for _ in 0..<2_000 {
      let bytes = (0..<24).map { _ -> UInt8 in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56)
      }
      Packed<WorkloadConfig>(bytes: bytes).each(12) { #expect($0.count <= 24) }
      _ = try? PackedSnapshot(protobuf: bytes)
    }
    #expect(throws: WireError.self) { try PackedSnapshot(protobuf: [0x0a, 0xff]) }
  }
}
