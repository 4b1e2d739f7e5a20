extension MeshIndex {
  /// The conditions of a policy towards one of its targets.
  package func conditions(
    of policy: Typed<BackendTLSPolicySpec>, target: BackendTLSPolicySpec.Target
  ) -> [Condition] {
    let faults = referenceFaults(of: policy)
    let accepted: Condition
    if let fault = fault(of: target, policy: policy) {
      accepted = Condition(type: "Accepted", isTrue: false, reason: fault.reason, message: fault.message)
    } else if !faults.isEmpty, faults.count == policy.spec.validation.caCertificateRefs.count {
      accepted = Condition(
        type: "Accepted", isTrue: false, reason: .noValidCACertificate,
        message: "no certificate can be verified, so that connections fail; see ResolvedRefs")
    } else {
      accepted = Condition(type: "Accepted", isTrue: true, reason: .accepted, message: "the policy is in force")
    }
    let resolved =
      if let first = faults.first {
        Condition(
          type: "ResolvedRefs", isTrue: false, reason: first.reason,
          message: faults.map { "\($0.path): \($0.message)" }.joined(separator: "; "))
      } else {
        Condition(
          type: "ResolvedRefs", isTrue: true, reason: .resolvedRefs, message: "everything referred to is there")
      }
    return [accepted, resolved]
  }

  /// The status of a BackendTLSPolicy: an ancestor for each target (GEP-713).
  package func status(of policy: Typed<BackendTLSPolicySpec>, now: Timestamp) -> Value {
    status(
      "ancestors", "ancestorRef", before: policy.status, generation: policy.metadata.generation, now: now,
      own: policy.spec.targetRefs.map { ($0.written ?? .null, conditions(of: policy, target: $0)) })
  }

  /// What of a policy does not work as things stand, in words.
  func warnings(about policy: Typed<BackendTLSPolicySpec>) -> [String] {
    policy.spec.targetRefs.flatMap { conditions(of: policy, target: $0) }.filter { !$0.isTrue }
      .map { "\($0.type) is False (\($0.reason.rawValue)): \($0.message)" }
  }
}
