// Limits that nobody keeps.
extension MeshAnalysis {
  /// What is kept by the proxies of a service's workloads is kept by nobody where the endpoints are outside the mesh.
  mutating func lookAtLimits() {
    var outside = Set(services.filter { $0.value.resolvedName != nil }.keys)
    for object in objects {
      guard object.resource.spec is EndpointSliceSpec,
        let service = object.resource.metadata.labels[EndpointSliceSpec.serviceLabel]
      else { continue }
      outside.insert(ServiceName(namespace: object.resource.metadata.namespace, name: service))
    }
    guard !outside.isEmpty else { return }
    for object in objects where object.resource.spec is TrafficPolicySpec {
      let policy = object.resource
      let names = (policy.spec.written?["targetRefs"]?.elements ?? []).filter { $0["kind"]?.text == "Service" }
        .map { ServiceName(namespace: policy.metadata.namespace, name: $0["name"]?.text ?? "") }
      guard let service = names.first(where: outside.contains) else { continue }
      lookAtServerSide(policy, service)
    }
  }

  private mutating func lookAtServerSide(_ policy: Resource, _ service: ServiceName) {
    let place = "the endpoints of Service \(service) are outside the mesh"
    for (index, limit) in (policy.spec.written?["rateLimits"]?.elements ?? []).enumerated()
    where limit["side"]?.text ?? "Server" == "Server" {
      add(
        .limitWithoutProxy, policy.key, "spec.rateLimits[\(index)]",
        "\(place): no proxy stands before them that could count, so that the limit does not hold there",
        mend: "set `side: Client`: each calling proxy counts; with `scope: Global` all of them together")
    }
    if policy.spec.written?["adaptiveConcurrency"] != nil {
      add(
        .limitWithoutProxy, policy.key, "spec.adaptiveConcurrency",
        "\(place): no proxy stands before them that could refuse requests",
        mend: "set circuitBreaker.maxRequests, which each calling proxy keeps")
    }
  }
}
