import MeshWire

/// The addresses of a service of type ExternalName.
package struct ExternalAddresses: Sendable, Equatable {
  /// Those that traffic goes to.
  package var used: [String] = []
  /// Those that the name has, and that traffic may not go to.
  package var refused: [String] = []
  /// How many more the name has than are used.
  package var omittedCount = 0
}

extension ServiceSpec {
  /// Annotation with the value `true`: this service's name may have loopback addresses. Absent or anything else: those
  /// are refused, so that an answer from outside leads to nothing that listens for its own machine only.
  package static let loopbackAnnotation = "apus.dev/allow-loopback"

  /// Addresses of one name that become endpoints.
  package static let maxAddresses = 100
}

extension MeshIndex {
  /// What traffic to a service of type ExternalName may go to: of the last answer, or, where there has been none since
  /// the start, of the one that the object's status remembers.
  package func addresses(ofExternal service: Typed<ServiceSpec>) -> ExternalAddresses {
    guard let name = service.spec.resolvedName else { return ExternalAddresses() }
    let families = service.spec.ipFamilies
    let wantsIPv4 = families.isEmpty || families.contains("IPv4")
    var candidates: [String]
    var wantsIPv6 = families.contains("IPv6")
    if let known = names[name], known.isAnswered {
      let (first, second) = (known.ipv4 ?? [], known.ipv6 ?? [])
      // A machine without IPv6 would try those in vain; where there is nothing else it is what was meant.
      wantsIPv6 = wantsIPv6 || families.isEmpty && (hasIPv6 || first.isEmpty)
      candidates = first + second
    } else {
      candidates = service.rememberedAddresses
      wantsIPv6 = wantsIPv6 || families.isEmpty
    }
    candidates = candidates.filter { $0.utf8.contains(UInt8(ascii: ":")) ? wantsIPv6 : wantsIPv4 }
    let allowsLoopback = service.metadata.annotations[ServiceSpec.loopbackAnnotation] == "true"
    var result = ExternalAddresses()
    for address in candidates {
      switch IPAddress.reach(of: address) {
      case .ordinary: result.used.append(address)
      case .loopback where allowsLoopback: result.used.append(address)
      case .loopback, .unusable: result.refused.append(address)
      }
    }
    result.omittedCount = max(0, result.used.count - ServiceSpec.maxAddresses)
    result.used = Array(result.used.prefix(ServiceSpec.maxAddresses))
    return result
  }

  /// The endpoints of a service of type ExternalName, as workloads without a proxy; none for any other service.
  package func compile(external name: ServiceName) -> [ConfigResource] {
    guard let service = services[name], let host = service.spec.resolvedName else { return [] }
    var numbers: Set<Int> = []
    let ports = service.spec.ports.filter { $0.transport == .tcp }.compactMap { port -> WorkloadPort? in
      let number = targetPort(of: port, service: service)
      guard numbers.insert(number).inserted else { return nil }
      var entry = WorkloadPort()
      entry.appPort = UInt32(clamping: number)
      entry.name = port.name ?? ""
      entry.appProtocol = AppProtocol(declared: port.appProtocol, portName: port.name)
      return entry
    }
    return addresses(ofExternal: service).used.map { address in
      var config = WorkloadConfig()
      // By address: an endpoint that stays in the answer stays what it is.
      config.uid = "name/\(name)/\(address)"
      config.namespace = name.namespace
      config.name = host
      config.address = address
      config.app = name.name
      config.health = .healthy
      config.ports = ports
      config.services = [name.description]
      return ConfigResource(name: config.uid, bytes: config.protobuf())
    }
  }
}

extension Typed where Spec == ServiceSpec {
  /// The addresses that the status remembers for the present name.
  var rememberedAddresses: [String] {
    guard let resolved = status?["resolved"], resolved["name"]?.text == spec.resolvedName else { return [] }
    return (resolved["addresses"]?.elements ?? []).prefix(ServiceSpec.maxAddresses).compactMap(\.text)
      .filter(IPAddress.isValid)
  }
}
