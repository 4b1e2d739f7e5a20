import MeshControl
import Testing

/// Whose workloads serve a service: labels alone are not enough where the workload gave them to itself.
@Suite struct MembershipTests {
  private func claimed(_ uid: String, account: String, labels: [String: String]) -> MeshWorkload {
    MeshWorkload(
      uid: uid, name: uid, namespace: "default", account: account, trustDomain: "cluster.local", labels: labels,
      address: "127.0.0.1", ports: [MeshWorkload.Port(appPort: 8080, meshPort: 15006)])
  }

  private func members(_ service: String, _ workloads: [MeshWorkload]) throws -> [String] {
    let index = MeshIndex(resources: [try #require(read(service).resource)], workloads: workloads)
    let chosen = try #require(index.services.values.first)
    let members = index.members(of: chosen).map(\.uid)
    // Both directions of the question have one answer.
    for workload in workloads {
      #expect(index.services(choosing: workload).isEmpty != members.contains(workload.uid), "\(workload.uid)")
    }
    return members
  }

  @Test func `an account serves the service of its name and no other that its labels claim`() throws {
    let workloads = [
      claimed("own", account: "payments", labels: ["app": "payments"]),
      claimed("thief", account: "front", labels: ["app": "payments"]),
    ]
    #expect(try members(service("payments"), workloads) == ["own"])
  }

  @Test func `a version's service takes the accounts of the application that it asks for`() throws {
    let v1 = service("catalog-v1", selector: #"{"app": "catalog", "version": "v1"}"#)
    let workloads = [
      claimed("own", account: "catalog", labels: ["app": "catalog", "version": "v1"]),
      claimed("named", account: "catalog-v1", labels: ["app": "catalog", "version": "v1"]),
      claimed("other", account: "catalog", labels: ["app": "catalog", "version": "v2"]),
      claimed("thief", account: "front", labels: ["app": "catalog", "version": "v1"]),
    ]
    #expect(try members(v1, workloads) == ["named", "own"])
  }

  @Test func `an annotation names the accounts, and then only those`() throws {
    let annotated = service("db").replacing(
      #""namespace": "default""#,
      with: #""namespace": "default", "annotations": {"apus.dev/accounts": "primary, replica"}"#)
    let workloads = ["db", "primary", "replica", "prim"].map { claimed($0, account: $0, labels: ["app": "db"]) }
    #expect(try members(annotated, workloads) == ["primary", "replica"])
  }

  @Test func `a selector without an application takes the account of the service's name`() throws {
    let tier = service("backend", selector: #"{"tier": "backend"}"#)
    let workloads = ["backend", "front"].map { claimed($0, account: $0, labels: ["tier": "backend"]) }
    #expect(try members(tier, workloads) == ["backend"])
  }

  @Test func `where somebody entitled gave the labels, they decide`() throws {
    var pod = claimed("pod", account: "default", labels: ["app": "payments"])
    pod.hasAttestedLabels = true
    #expect(try members(service("payments"), [pod]) == ["pod"])
  }
}
