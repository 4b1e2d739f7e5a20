import MeshProxy
import MeshReactor
import MeshWire
import Testing

/// A worker tells of a large mesh in parts, none of which keeps it for long.
@Suite struct ReportPartTests {
  private static let services = 300
  private static let large = 5_000

  /// Services with two endpoints each, and one with thousands.
  private func snapshot() -> Snapshot {
    var snapshot = Snapshot()
    for number in 0..<Self.services {
      snapshot.services.append(service("s\(number)"))
      snapshot.workloads += (0..<2).map { workload("s\(number)", $0) }
    }
    snapshot.services.append(service("large"))
    snapshot.workloads += (0..<Self.large).map { workload("large", $0) }
    return snapshot
  }

  private func service(_ name: String) -> ServiceConfig {
    var port = ServicePort()
    port.number = 80
    port.appProtocol = .http
    port.targetPort = 8_080
    // So that its endpoints are laid out though nobody calls it.
    var probe = HealthCheckConfig()
    probe.intervalMilliseconds = 60_000
    var service = ServiceConfig()
    service.namespace = "shop"
    service.name = name
    service.ports = [port]
    service.policy = TrafficPolicyConfig()
    service.policy?.healthCheck = probe
    return service
  }

  private func workload(_ service: String, _ number: Int) -> WorkloadConfig {
    var port = WorkloadPort()
    port.appPort = 8_080
    var workload = WorkloadConfig()
    workload.uid = "\(service)-\(number)"
    workload.namespace = "shop"
    workload.name = service
    workload.address = "10.\(number >> 8 & 255).\(number & 255).1"
    workload.ports = [port]
    workload.services = ["shop/\(service)"]
    return workload
  }

  @Test func noPartLooksAtMoreThanItMay() throws {
    let configuration = CompiledConfiguration(snapshot(), listeners: [])
    let worker = try Worker.make(configuration, listeners: [], credentials: nil, seed: 1)
    #expect(worker.figures.endpoints == 2 * Self.services + Self.large)
    var report = WorkerReport(worker: 0, [.requests, .services, .edges, .turns])
    var parts = 0
    while let next = report.next, parts < 1_000 {
      let part = worker.reportPart(next)
      #expect(part.work <= ReportPart.mostWork)
      report.add(part)
      parts += 1
    }
    #expect(report.next == nil)
    // Four endpoints count as one series.
    #expect(parts >= (2 * Self.services + Self.large) / 4 / ReportPart.mostWork)
    // Of the services only the pieces of the large one: it is told of before it is known whether it is used.
    #expect(report.services.gauges.count > 1 && report.services.gauges.allSatisfy { $0.service == "shop/large" })
    #expect(report.services.gauges.reduce(0) { $0 + $1.healthy } == UInt64(Self.large))
  }

  /// A change that comes between two parts puts services in other places: they are told anew.
  @Test func aChangeMeanwhileIsNotCountedTwice() throws {
    let worker = try Worker.make(
      CompiledConfiguration(snapshot(), listeners: []), listeners: [], credentials: nil, seed: 1)
    var report = WorkerReport(worker: 0, [.services])
    for _ in 0..<5 {
      let next = try #require(report.next)
      report.add(worker.reportPart(next))
    }
    let before = worker.generationAddress
    worker.adopt(CompiledConfiguration(snapshot(), listeners: []))
    while worker.generationAddress == before { worker.turn(limitMilliseconds: 1) }
    while let next = report.next { report.add(worker.reportPart(next)) }
    #expect(report.services.gauges.reduce(0) { $0 + $1.healthy } == UInt64(Self.large))
  }
}
