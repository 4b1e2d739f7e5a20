import MeshControl
import MeshModel
import MeshWire
import Testing

func registration(_ uid: String, service: String = "catalog", port: UInt32 = 9000) -> Registration {
  var registration = Registration()
  registration.uid = uid
  registration.namespace = "shop"
  registration.service = service
  registration.serviceAccount = "catalog"
  registration.version = "v1"
  registration.address = "127.0.0.1"
  var one = WorkloadPort()
  one.appPort = 8080
  one.inboundPort = port
  one.appProtocol = .http
  registration.ports = [one]
  return registration
}

func registered(
  _ uid: String, account: String = "catalog", port: UInt32 = 9000, health: MeshWire.Health = .healthy
) throws -> RegisteredWorkload {
  var claim = registration(uid, port: port)
  claim.serviceAccount = account
  return try RegisteredWorkload(
    claim, health: health, identity: SPIFFEID("spiffe://cluster.local/ns/shop/sa/\(account)"), trustDomain: .standard)
}

private let badFields: [(String, @Sendable (inout Registration) -> Void)] = [
  ("uid", { $0.uid = "" }),
  ("uid", { $0.uid = String(repeating: "u", count: 254) }),
  ("name", { $0.name = "a b" }),
  ("service", { $0.service = "" }),
  ("address", { $0.address = "localhost" }),
  ("ports", { $0.ports[0].appPort = 70_000 }),
  ("ports", { $0.ports[0].inboundPort = 0 }),
  ("ports", { $0.ports = Array(repeating: $0.ports[0], count: 65) }),
  ("labels", { for n in 0..<65 { $0.labels["l\(n)"] = "" } }),
]

@Suite struct WorkloadTableTests {
  @Test func aRegistrationBecomesAWorkloadWithItsLabels() throws {
    let workload = try registered("u1").workload
    #expect(workload.labels == ["app": "catalog", "version": "v1"])
    #expect(workload.name == "catalog" && workload.account == "catalog" && workload.trustDomain == "cluster.local")
    #expect(workload.ports == [.init(appPort: 8080, meshPort: 9000, appProtocol: "http")])
    #expect(workload.hasProxy)
  }

  @Test func aLostStreamIsForgivenForAMomentAndNoLonger() throws {
    var table = WorkloadTable()
    #expect(try table.attach(registered("u1"), stream: 1).count == 1)
    #expect(table.detach(stream: 1, now: .seconds(10)) == [])
    #expect(table.sweep(now: .milliseconds(11_499)) == [])
    #expect(table.count == 1)
    #expect(table.sweep(now: .milliseconds(11_500)) == [.remove(uid: "u1")])
    #expect(table.count == 0)
    #expect(WorkloadTable.Limits().detachedGrace + WorkloadRegistry.sweepInterval < .seconds(2))
  }

  @Test func aProxyThatReconnectsInTimeChangesNothing() throws {
    var table = WorkloadTable()
    _ = try table.attach(registered("u1"), stream: 1)
    _ = table.detach(stream: 1, now: .seconds(10))
    #expect(!table.isAttached(uid: "u1"))
    #expect(try table.attach(registered("u1"), stream: 2) == [])
    #expect(table.sweep(now: .seconds(100)) == [])
    #expect(table.isAttached(uid: "u1"))
  }

  @Test func aNewerStreamTakesOverAndTheOldOnesEndMeansNothing() throws {
    var table = WorkloadTable()
    _ = try table.attach(registered("u1"), stream: 1)
    _ = try table.attach(registered("u1", port: 9001), stream: 2)
    #expect(table.detach(stream: 1, now: .seconds(1)) == [])
    #expect(table.sweep(now: .seconds(100)) == [])
    #expect(table.report(.unhealthy, stream: 1) == [])
    #expect(table.workload(uid: "u1")?.ports.first?.meshPort == 9001)
    #expect(table.workload(uid: "u1")?.health == .healthy)
  }

  @Test func afterARestartEndpointsAreKeptWhileProxiesReconnect() throws {
    var table = WorkloadTable()
    table.restore([try registered("u1"), try registered("u2")], now: .seconds(0))
    #expect(table.sweep(now: .seconds(14)) == [])
    #expect(try table.attach(registered("u1"), stream: 1) == [], "nothing flaps")
    #expect(table.sweep(now: .seconds(15)) == [.remove(uid: "u2")])
    #expect(table.workloads.map(\.uid) == ["u1"])
  }

  @Test func whatEndedWhileTheControlPlaneWasDownIsNoInstance() throws {
    var table = WorkloadTable()
    table.restore([try registered("u1"), try registered("u2")], now: .seconds(0))
    #expect(!table.isHeardOf(uid: "u1") && !table.isHeardOf(uid: "u2"))
    #expect(table.workloads.count == 2, "they are endpoints until it is clear that they are not")
    _ = try table.attach(registered("u1"), stream: 1)
    #expect(table.isHeardOf(uid: "u1") && !table.isHeardOf(uid: "u2"))
    _ = table.detach(stream: 1, now: .seconds(1))
    #expect(table.isHeardOf(uid: "u1"), "its stream has gone, and may come back")
    _ = table.sweep(now: .seconds(20))
    #expect(!table.isHeardOf(uid: "u1"))
  }

  @Test func drainingIsKeptWhileTheStreamLastsAndThenLeavesAtOnce() throws {
    var table = WorkloadTable()
    _ = try table.attach(registered("u1"), stream: 1)
    let changes = table.report(.draining, stream: 1)
    #expect(changes.count == 1)
    #expect(table.sweep(now: .seconds(1000)) == [])
    #expect(table.workload(uid: "u1")?.health == .draining)
    #expect(table.report(.draining, stream: 1) == [], "no change, nothing to do")
    #expect(table.detach(stream: 1, now: .seconds(1000)) == [.remove(uid: "u1")])
  }

  @Test func anotherIdentityCannotTakeAUid() throws {
    var table = WorkloadTable()
    _ = try table.attach(registered("u1"), stream: 1)
    #expect(throws: RegistrationRefusal.uidTaken(uid: "u1")) {
      try table.attach(registered("u1", account: "mallory"), stream: 2)
    }
    #expect(table.isAttached(uid: "u1"))
    #expect(throws: RegistrationRefusal.oneWorkloadPerStream(registered: "u1")) {
      try table.attach(registered("u2"), stream: 1)
    }
  }

  @Test func theNumberOfWorkloadsIsBounded() throws {
    var limits = WorkloadTable.Limits()
    limits.workloads = 2
    var table = WorkloadTable(limits: limits)
    _ = try table.attach(registered("u1"), stream: 1)
    _ = try table.attach(registered("u2"), stream: 2)
    #expect(throws: RegistrationRefusal.tooManyWorkloads(limit: 2)) { try table.attach(registered("u3"), stream: 3) }
    _ = try table.attach(registered("u2", port: 9009), stream: 4)
  }

  @Test func theCertificateDecidesWhoOneIs() throws {
    #expect(throws: RegistrationRefusal.identityMismatch(claimed: "shop/catalog", certificate: "shop/cart")) {
      try RegisteredWorkload(
        registration("u1"), health: .healthy, identity: SPIFFEID("spiffe://cluster.local/ns/shop/sa/cart"),
        trustDomain: .standard)
    }
    #expect(throws: RegistrationRefusal.foreignIdentity("spiffe://other/ns/shop/sa/catalog")) {
      try RegisteredWorkload(
        registration("u1"), health: .healthy, identity: SPIFFEID("spiffe://other/ns/shop/sa/catalog"),
        trustDomain: .standard)
    }
  }

  @Test(arguments: 0..<badFields.count)
  func aBadFieldIsNamed(index: Int) {
    let (field, spoil) = badFields[index]
    var claim = registration("u1")
    spoil(&claim)
    #expect {
      try RegisteredWorkload(
        claim, health: .healthy, identity: SPIFFEID("spiffe://cluster.local/ns/shop/sa/catalog"),
        trustDomain: .standard)
    } throws: { error in
      guard case .invalidField(let name, let rule)? = error as? RegistrationRefusal else { return false }
      return name == field && !rule.isEmpty
    }
  }

  @Test func whatTheStoreKeepsIsReadBack() throws {
    let workload = try registered("u1", health: .draining)
    #expect(RegisteredWorkload(storedBytes: workload.storedBytes, trustDomain: .standard) == workload)
    #expect(RegisteredWorkload(storedBytes: [0xff, 0x01], trustDomain: .standard) == nil)
  }
}
