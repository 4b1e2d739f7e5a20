internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS
internal import MeshWire

/// What a configuration's workloads are to its services, without reading all of what they say.
struct WorkloadDirectory {
  /// Those behind each service.
  private(set) var workloads: [String: [Packed<WorkloadConfig>]] = [:]
  /// Of workloads with an identity, by it.
  private(set) var names: [String: WorkloadNames] = [:]

  /// - Parameter former: the names in the configuration before.
  init(_ snapshot: PackedSnapshot, former: [String: WorkloadNames]) {
    for workload in snapshot.workloads {
      workload.each(WorkloadConfig.servicesField) {
        workloads[String(decoding: $0, as: UTF8.self), default: []].append(workload)
      }
      var identity = ""
      workload.each(WorkloadConfig.identityField) { identity = String(decoding: $0, as: UTF8.self) }
      guard !identity.isEmpty, names[identity] == nil, let config = workload.message else { continue }
      let found = WorkloadNames(config)
      names[identity] = former[identity] == found ? former[identity] : found
    }
  }
}

/// Turns the workloads of a cluster into endpoints; what several of them say is held once.
struct EndpointCompiler {
  private var names: [String: WorkloadNames] = [:]
  private var expectations: [String: TLSExpectation] = [:]

  private mutating func names(of workload: WorkloadConfig) -> WorkloadNames {
    if let known = names[workload.name], known.isOf(workload) { return known }
    let made = WorkloadNames(workload)
    names[workload.name] = made
    return made
  }

  private mutating func expectation(_ identity: String) -> TLSExpectation? {
    if let known = expectations[identity] { return known }
    guard let name = try? SPIFFEID(identity) else { return nil }
    let made = TLSExpectation(identities: [name])
    expectations[identity] = made
    return made
  }

  /// The endpoints behind a service's port.
  mutating func candidates(
    _ workloads: [Packed<WorkloadConfig>], _ port: ServicePort, _ tls: BackendTLS?
  ) -> [EndpointCandidate] {
    var found: [EndpointCandidate] = []
    for packed in workloads {
      guard let workload = packed.message else { continue }
      let target = port.targetPort == 0 ? port.number : port.targetPort
      let entry = Self.port(port, target, of: workload)
      // A workload of the mesh is reached only through its proxy.
      guard entry != nil || workload.identity.isEmpty else { continue }
      guard let number = UInt16(exactly: entry?.inboundPort ?? entry?.appPort ?? target),
        let address = SocketAddress(address: workload.address, port: number)
      else { continue }
      var expected: TLSExpectation?
      if entry?.inboundPort != nil {
        guard let made = expectation(workload.identity) else { continue }
        expected = made
      }
      let spec = EndpointSpec(
        address: address, expectation: expected, backendTLS: expected == nil ? tls : nil,
        workload: WorkloadLabels(uid: workload.uid, names(of: workload)), weight: workload.weight ?? 1,
        applicationPort: entry.flatMap { UInt16(exactly: $0.appPort) },
        wire: entry?.inboundPort == nil && tls == nil ? EndpointWire(port.appProtocol) : .negotiated,
        isUsable: workload.health == .healthy)
      found.append(
        EndpointCandidate(spec: spec, locality: Locality(named: workload.zone), labels: workload.labels))
    }
    return found
  }

  /// The workload's port that a service's port means: by name, else by number. A workload of the mesh with one port only
  /// is reached by that one: on one machine every instance has a number of its own.
  private static func port(_ port: ServicePort, _ target: UInt32, of workload: WorkloadConfig) -> WorkloadPort? {
    if !port.targetPortName.isEmpty, let named = workload.ports.first(where: { $0.name == port.targetPortName }) {
      return named
    }
    if let numbered = workload.ports.first(where: { $0.appPort == target }) { return numbered }
    return workload.ports.count == 1 && !workload.identity.isEmpty ? workload.ports.first : nil
  }
}
