package import MeshModel
package import MeshWire

/// Why a registration is not taken. The sentence says what is wrong and how to mend it.
package enum RegistrationRefusal: Error, Sendable, Equatable {
  /// The first message of the stream is not a registration.
  case registrationFirst
  /// Namespace or account is another than the certificate says.
  case identityMismatch(claimed: String, certificate: String)
  /// The certificate's identity is not one of a workload of this mesh.
  case foreignIdentity(String)
  /// A field is empty, too long, or has characters that it must not have.
  case invalidField(name: String, rule: String)
  /// The stream speaks for another workload already.
  case oneWorkloadPerStream(registered: String)
  /// The uid belongs to a workload with another identity.
  case uidTaken(uid: String)
  case tooManyWorkloads(limit: Int)

  package var sentence: String {
    switch self {
    case .registrationFirst:
      "The first message of the stream must carry `registration`."
    case .identityMismatch(let claimed, let certificate):
      "The registration says \(claimed), the certificate says \(certificate); register with the certificate's "
        + "namespace and account, or ask for a certificate of the other account."
    case .foreignIdentity(let identity):
      "\(identity) is not spiffe://<trust domain>/ns/<namespace>/sa/<account> of this mesh; "
        + "ask this mesh's authority for a certificate."
    case .invalidField(let name, let rule):
      "registration.\(name) \(rule)."
    case .oneWorkloadPerStream(let registered):
      "This stream has registered \(registered); open one stream per workload."
    case .uidTaken(let uid):
      "The uid \(uid) belongs to a workload of another account; choose another uid."
    case .tooManyWorkloads(let limit):
      "\(limit) workloads are registered, more are not taken; stop some, or start another mesh."
    }
  }
}

/// A registration that agrees with the certificate of the stream it came on.
package struct RegisteredWorkload: Sendable, Equatable {
  /// Labels, ports and bytes of text that one registration may have.
  package static let maximumLabels = 64, maximumPorts = 64, maximumTextBytes = 253

  /// The label that says where a workload runs, as Kubernetes has it.
  package static let zoneLabel = "topology.kubernetes.io/zone"

  package var workload: MeshWorkload
  package var registration: Registration
  /// The SPIFFE ID of the certificate.
  package var identity: String

  /// Checks a registration against its rules and against the certificate.
  ///
  /// The labels `app` and `version` take the registration's service and version where they are not given.
  /// - Parameters:
  ///   - identity: the SPIFFE ID that the stream's certificate proves.
  ///   - trustDomain: the mesh's own.
  package init(
    _ registration: Registration, health: Health, identity: SPIFFEID, trustDomain: TrustDomain
  ) throws(RegistrationRefusal) {
    guard identity.trustDomain == trustDomain, let namespace = identity.namespace, let account = identity.account
    else { throw .foreignIdentity(identity.uri) }
    guard registration.namespace == namespace, registration.serviceAccount == account else {
      throw .identityMismatch(
        claimed: "\(registration.namespace)/\(registration.serviceAccount)", certificate: "\(namespace)/\(account)")
    }
    try Self.check(registration)
    var labels = registration.labels
    if labels["app"] == nil, !registration.service.isEmpty { labels["app"] = registration.service }
    if labels["version"] == nil, !registration.version.isEmpty { labels["version"] = registration.version }
    self.identity = identity.uri
    self.registration = registration
    workload = MeshWorkload(
      uid: registration.uid, name: registration.name.isEmpty ? registration.service : registration.name,
      namespace: namespace, account: account, trustDomain: trustDomain.name, labels: labels,
      address: registration.address, ports: try Self.ports(registration.ports), health: .init(health),
      zone: registration.zone.isEmpty ? labels[Self.zoneLabel] ?? "" : registration.zone,
      hasProxy: registration.ports.contains { $0.inboundPort != nil })
  }

  private static func check(_ registration: Registration) throws(RegistrationRefusal) {
    let texts = [
      ("uid", registration.uid), ("name", registration.name), ("service", registration.service),
      ("version", registration.version), ("zone", registration.zone), ("proxyVersion", registration.proxyVersion),
    ]
    for (name, text) in texts {
      guard text.utf8.count <= maximumTextBytes else {
        throw .invalidField(name: name, rule: "is longer than \(maximumTextBytes) bytes")
      }
      guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
        throw .invalidField(name: name, rule: "has a character other than visible ASCII")
      }
    }
    guard !registration.uid.isEmpty else { throw .invalidField(name: "uid", rule: "is empty; give the workload a uid") }
    guard !registration.name.isEmpty || !registration.service.isEmpty else {
      throw .invalidField(name: "service", rule: "is empty; say which service the workload belongs to")
    }
    guard IPAddress.isValid(registration.address) else {
      throw .invalidField(name: "address", rule: "is not an IPv4 or IPv6 address")
    }
    guard registration.labels.count <= maximumLabels else {
      throw .invalidField(name: "labels", rule: "are more than \(maximumLabels)")
    }
    for (key, value) in registration.labels where key.utf8.count > maximumTextBytes || value.utf8.count > 63 {
      throw .invalidField(name: "labels", rule: "have a key over \(maximumTextBytes) or a value over 63 bytes")
    }
  }

  private static func ports(_ ports: [WorkloadPort]) throws(RegistrationRefusal) -> [MeshWorkload.Port] {
    guard ports.count <= maximumPorts else { throw .invalidField(name: "ports", rule: "are more than \(maximumPorts)") }
    var result: [MeshWorkload.Port] = []
    for port in ports {
      guard let application = UInt16(exactly: port.appPort), application > 0 else {
        throw .invalidField(name: "ports", rule: "have an appPort outside 1 to 65535")
      }
      var inbound: UInt16?
      if let number = port.inboundPort {
        guard let valid = UInt16(exactly: number), valid > 0 else {
          throw .invalidField(name: "ports", rule: "have an inboundPort outside 1 to 65535")
        }
        inbound = valid
      }
      guard port.name.utf8.count <= 63 else { throw .invalidField(name: "ports", rule: "have a name over 63 bytes") }
      let spoken = port.appProtocol == .unspecified ? "" : port.appProtocol.wireName
      result.append(.init(name: port.name, appPort: application, meshPort: inbound, appProtocol: spoken))
    }
    return result
  }
}

extension RegisteredWorkload {
  /// What the store keeps of a workload: an `AttachRequest` with registration and health.
  package var storedBytes: [UInt8] {
    var request = AttachRequest()
    request.registration = registration
    var report = HealthReport()
    report.health = MeshWire.Health(workload.health)
    request.health = report
    return request.protobuf()
  }

  /// Puts together again what a registration became; nil if the workload has no identity.
  init?(workload: MeshWorkload, registration: Registration) {
    guard let domain = try? TrustDomain(workload.trustDomain),
      let identity = try? SPIFFEID(trustDomain: domain, namespace: workload.namespace, account: workload.account)
    else { return nil }
    self.workload = workload
    self.registration = registration
    self.identity = identity.uri
  }

  /// Reads what `storedBytes` wrote; nil for anything else, or if the mesh's trust domain has changed since.
  package init?(storedBytes: [UInt8], trustDomain: TrustDomain) {
    guard let request = try? AttachRequest(protobuf: storedBytes), let registration = request.registration,
      let identity = try? SPIFFEID(
        trustDomain: trustDomain, namespace: registration.namespace, account: registration.serviceAccount),
      let known = try? RegisteredWorkload(
        registration, health: request.health?.health ?? .healthy, identity: identity, trustDomain: trustDomain)
    else { return nil }
    self = known
  }
}
