// Policies of services whose routes lead elsewhere.
extension MeshAnalysis {
  /// What a policy says of endpoints holds where the requests arrive. Where all routes of a service lead to others that are
  /// not versions of it, nothing of that is ever asked.
  mutating func lookAtSplits() {
    for object in objects where object.resource.spec is TrafficPolicySpec {
      let policy = object.resource
      let spec = policy.spec.written
      let settings = Self.settingsOfEndpoints.filter { spec?[$0] != nil }
      guard let first = settings.first else { continue }
      for target in spec?["targetRefs"]?.elements ?? [] where target["kind"]?.text == "Service" {
        let name = ServiceName(namespace: policy.metadata.namespace, name: target["name"]?.text ?? "")
        guard let elsewhere = destination(of: name) else { continue }
        add(
          .policyPassedBy, policy.key, "spec.\(first)",
          "the routes of Service \(name) lead to \(elsewhere), which is no version of it, so that "
            + "\(settings.joined(separator: ", ")) of this policy \(settings.count == 1 ? "has" : "have") no effect",
          mend: "attach a policy with them to Service \(elsewhere)")
      }
    }
  }

  private static let settingsOfEndpoints = [
    "loadBalancer", "connectionPool", "circuitBreaker", "outlierDetection", "healthCheck", "retryBudget",
  ]

  /// Where the routes of a service's own namespace lead; nil if any of its requests may reach its own endpoints, those of
  /// a version of it, or a service that is not known.
  private func destination(of name: ServiceName) -> ServiceName? {
    guard let whole = services[name] else { return nil }
    let own = routes.filter { route in
      route.key.namespace == name.namespace && route.parents.contains { $0.service == name }
    }
    let parents = own.flatMap(\.parents).filter { $0.service == name }
    guard parents.allSatisfy({ $0.port == nil && $0.sectionName == nil }) else { return nil }
    let backends = own.flatMap(\.rules).flatMap(\.backends).compactMap(\.service)
    let others = backends.filter { backend in
      guard backend != name, let part = services[backend] else { return false }
      return !part.isVersion(of: whole)
    }
    return others.count == backends.count ? others.first : nil
  }
}
