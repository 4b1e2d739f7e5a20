import MeshWire

extension MeshIndex {
  /// How a service's endpoints outside the mesh are reached by TLS: for each port at most one entry, and one for the rest.
  func backendTLS(of service: Typed<ServiceSpec>) -> [BackendTLSConfig] {
    let policies = (backendPoliciesByTarget[service.name] ?? []).compactMap { backendPolicies[$0] }
      .sorted(by: Typed<BackendTLSPolicySpec>.hasPrecedence)
    var found: [BackendTLSConfig] = []
    for policy in policies {
      for target in policy.spec.targetRefs where target.name == service.metadata.name && policy.isService(target) {
        guard fault(of: target, policy: policy) == nil else { continue }
        let port = service.spec.ports.first { $0.name == target.sectionName }.map { UInt32(clamping: $0.port) }
        found.append(config(policy, port: target.sectionName == nil ? nil : port))
      }
    }
    return found
  }

  private func config(_ policy: Typed<BackendTLSPolicySpec>, port: UInt32?) -> BackendTLSConfig {
    var config = BackendTLSConfig()
    config.source = policy.qualifiedName
    config.port = port
    config.hostname = policy.spec.validation.hostname
    config.usesSystemAuthorities = policy.usesSystemAuthorities
    config.authorities = policy.spec.validation.caCertificateRefs.compactMap { certificates($0, of: policy) }
      .joined(separator: "\n")
    config.subjectAltNames = policy.spec.validation.subjectAltNames.map {
      SubjectAltNameConfig(hostname: $0.hostname ?? "", uri: $0.uri ?? "")
    }
    // One that cannot be found makes the connections fail (Gateway API, `caCertificateRefs`).
    config.invalidReason = referenceFaults(of: policy).first?.reason.rawValue ?? ""
    return config
  }

  /// The certificates that a reference leads to, PEM; nil where it does not.
  private func certificates(_ reference: LocalObjectReference, of policy: Typed<BackendTLSPolicySpec>) -> String? {
    guard fault(of: reference, policy: policy) == nil else { return nil }
    return configMaps[configMap(reference, of: policy)]?.spec.data[Self.certificateKey]
  }

  private static let certificateKey = "ca.crt"

  private func configMap(_ reference: LocalObjectReference, of policy: Typed<BackendTLSPolicySpec>) -> ResourceKey {
    ResourceKey(groupKind: ConfigMapSpec.kind.groupKind, namespace: policy.metadata.namespace, name: reference.name)
  }

  private func fault(
    of reference: LocalObjectReference, policy: Typed<BackendTLSPolicySpec>
  ) -> (reason: RouteReason, message: String)? {
    guard reference.group.isEmpty, reference.kind == ConfigMapSpec.kind.kind else {
      return (.invalidKind, "certificates in a \(reference.kind) are not served here; put them into a ConfigMap")
    }
    let name = "\(policy.metadata.namespace)/\(reference.name)"
    guard let map = configMaps[configMap(reference, of: policy)] else {
      return (.invalidCACertificateRef, "there is no ConfigMap \(name); create it, or correct caCertificateRefs")
    }
    guard let text = map.spec.data[Self.certificateKey] else {
      return (
        .invalidCACertificateRef, "ConfigMap \(name) has no key \(Self.certificateKey); put the certificates there"
      )
    }
    guard text.contains("-----BEGIN CERTIFICATE-----"), text.contains("-----END CERTIFICATE-----") else {
      return (.invalidCACertificateRef, "\(Self.certificateKey) of ConfigMap \(name) holds no certificate in PEM")
    }
    return nil
  }

  func referenceFaults(
    of policy: Typed<BackendTLSPolicySpec>
  ) -> [(path: String, reason: RouteReason, message: String)] {
    policy.spec.validation.caCertificateRefs.enumerated().compactMap { index, reference in
      fault(of: reference, policy: policy).map {
        ("spec.validation.caCertificateRefs[\(index)]", $0.reason, $0.message)
      }
    }
  }

  /// Why a policy is not in force at one of its targets; nil where it is.
  func fault(
    of target: BackendTLSPolicySpec.Target, policy: Typed<BackendTLSPolicySpec>
  ) -> (reason: RouteReason, message: String)? {
    let name = ServiceName(namespace: policy.metadata.namespace, name: target.name)
    guard policy.isService(target), let service = services[name] else {
      return (
        .targetNotFound,
        policy.isService(target)
          ? "there is no Service \(name); create it, or correct targetRefs"
          : "targets of kind \(target.kind) are not served here; name a Service (group: \"\")"
      )
    }
    if let section = target.sectionName, !service.spec.ports.contains(where: { $0.name == section }) {
      return (.targetNotFound, "Service \(name) has no port named \(section); correct sectionName")
    }
    let known = policy.spec.validation.wellKnownCACertificates ?? ""
    if !known.isEmpty, known != "System" {
      return (.invalid, "\(quoted(known)) are no certificates that are known here; write System")
    }
    let rivals = (backendPoliciesByTarget[name] ?? []).compactMap { backendPolicies[$0] }
      .sorted(by: Typed<BackendTLSPolicySpec>.hasPrecedence)
    for rival in rivals {
      if rival.key == policy.key { break }
      if rival.spec.targetRefs.contains(where: { $0.name == target.name && $0.sectionName == target.sectionName }) {
        return (
          .conflicted, "the older BackendTLSPolicy \(rival.qualifiedName) decides for \(name); put both into one"
        )
      }
    }
    return nil
  }
}

extension Typed where Spec == BackendTLSPolicySpec {
  func isService(_ target: BackendTLSPolicySpec.Target) -> Bool { target.group.isEmpty && target.kind == "Service" }

  var usesSystemAuthorities: Bool { spec.validation.wellKnownCACertificates == "System" }
}

extension BackendTLSPolicySpec {
  func refersTo(configMap name: String) -> Bool {
    validation.caCertificateRefs.contains { $0.group.isEmpty && $0.kind == "ConfigMap" && $0.name == name }
  }
}
