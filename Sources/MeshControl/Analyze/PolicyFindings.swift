// Times, policies, selectors and rollouts.
extension MeshAnalysis {
  // MARK: Retries and time limits

  /// The settings of retries and time that a service's TrafficPolicy gives, in milliseconds.
  private struct PolicyTimes {
    var key: ResourceKey
    var attempts: Int?
    var perTry: Int64?
    var request: Int64?
    var backoff: Int64?
    var leavesNoRetries = false
  }

  private func times(_ spec: Value, _ key: ResourceKey) -> PolicyTimes {
    func milliseconds(_ value: Value?) -> Int64? { value?.text.flatMap { GatewayDuration($0)?.milliseconds } }
    let retry = spec["retry"]
    let budget = spec["retryBudget"]
    return PolicyTimes(
      key: key, attempts: retry?["attempts"]?.whole,
      perTry: milliseconds(retry?["perTryTimeout"]) ?? milliseconds(spec["timeouts"]?["backendRequest"]),
      request: milliseconds(spec["timeouts"]?["request"]), backoff: milliseconds(retry?["backoff"]),
      leavesNoRetries: budget?["percent"]?.whole == 0 && budget?["minRetriesPerSecond"]?.whole == 0)
  }

  mutating func lookAtTimes() {
    var byService: [ServiceName: PolicyTimes] = [:]
    for policy in policies {
      guard let spec = policy.spec.written else { continue }
      let found = times(spec, policy.key)
      for target in spec["targetRefs"]?.elements ?? [] where target["kind"]?.text == "Service" {
        byService[ServiceName(namespace: policy.metadata.namespace, name: target["name"]?.text ?? "")] = found
      }
      if found.leavesNoRetries, (found.attempts ?? 2) > 0 {
        add(
          .budgetWithoutRetries, policy.key, "spec.retryBudget", "the budget is 0, so that nothing is ever retried",
          mend: "raise percent or minRetriesPerSecond, or set retry.attempts to 0 to say so")
      }
      fit(
        attempts: found.attempts, perTry: found.perTry, request: found.request, backoff: found.backoff, policy.key,
        "spec.retry")
    }
    for route in routes {
      for rule in route.rules {
        let policy = rule.backends.compactMap(\.service).first.flatMap { byService[$0] }
        // What the route does not set is the policy's to judge.
        guard rule.request != nil || rule.backendRequest != nil || rule.attempts != nil else { continue }
        fit(
          attempts: rule.attempts ?? policy?.attempts, perTry: rule.backendRequest ?? policy?.perTry,
          request: rule.request ?? policy?.request, backoff: rule.backoff ?? policy?.backoff, route.key,
          rule.attempts != nil ? "\(rule.path).retry" : "\(rule.path).timeouts")
      }
    }
  }

  /// Whether retries fit into the request's time: tries that use up their limit, and the pauses at their longest.
  private mutating func fit(
    attempts: Int?, perTry: Int64?, request: Int64?, backoff: Int64?, _ key: ResourceKey, _ path: String
  ) {
    let retries = attempts ?? 2
    guard retries > 0, let request, request > 0 else { return }
    guard let perTry, perTry > 0 else {
      guard attempts != nil else { return }
      return add(
        .retryWithoutTryLimit, key, path,
        "a try may take the whole \(request)ms of the request: one that hangs is never retried",
        mend: "set backendRequest to a part of request")
    }
    let base = backoff ?? 25
    var used = perTry
    var fitting = 0
    for number in 0..<min(retries, 10) {
      used += perTry + min(base << Int64(number), 10 * base)
      if used > request { break }
      fitting += 1
    }
    guard fitting < retries else { return }
    let sum =
      "\(retries + 1) tries are asked for, \(fitting + 2) of \(perTry)ms with the pauses between them take up to "
      + "\(used)ms; the request has \(request)ms"
    if fitting == 0 {
      add(
        .retryDoesNotFit, key, path, "\(sum): not one retry fits after a try that takes its whole time",
        mend: "shorten backendRequest to \(max(1, request / Int64(retries + 1)))ms or less, or lengthen request")
    } else if attempts != nil {
      add(
        .retriesDoNotAllFit, key, path, "\(sum): \(fitting) of \(retries) retries fit",
        mend: "shorten backendRequest, lower attempts to \(fitting), or lengthen request")
    }
  }

  private var policies: [Resource] { objects.map(\.resource).filter { $0.spec is TrafficPolicySpec } }

  // MARK: Policies

  mutating func lookAtPolicies() {
    var first: [String: ResourceKey] = [:]
    let ordered = policies.sorted { left, right in
      let times = [left, right].map { $0.metadata.creationTimestamp?.secondsSinceEpoch ?? .max }
      return (times[0], left.metadata.namespace, left.metadata.name)
        < (times[1], right.metadata.namespace, right.metadata.name)
    }
    for policy in ordered {
      for (index, target) in (policy.spec.written?["targetRefs"]?.elements ?? []).enumerated() {
        let path = "spec.targetRefs[\(index)]"
        let name = ServiceName(namespace: policy.metadata.namespace, name: target["name"]?.text ?? "")
        let kind = target["kind"]?.text ?? ""
        lookAtTarget(kind: kind, name: name.name, of: policy.key, at: path)
        let spot = "\(kind) \(name) \(target["sectionName"]?.text ?? "")"
        if let older = first[spot], older != policy.key {
          add(
            .policiesConflict, policy.key, path, "\(self.name(older)) is older and decides for \(kind) \(name)",
            mend: "put both policies into one")
        } else {
          first[spot] = policy.key
        }
      }
    }
  }

  /// Notes what a policy is attached to, in its own namespace, where that is not there.
  mutating func lookAtTarget(kind: String, name: String, of policy: ResourceKey, at path: String) {
    let isThere = objects.contains {
      $0.resource.key.groupKind.kind == kind && $0.resource.metadata.namespace == policy.namespace
        && $0.resource.metadata.name == name
    }
    guard !isThere else { return }
    add(
      .policyTargetMissing, policy, path, "there is no \(kind) \(policy.namespace)/\(name)",
      mend: "create it, or correct the name", isReference: true)
  }

  /// BackendTLSPolicies: what they are attached to, and the authorities that they trust.
  mutating func lookAtBackendTLS() {
    for object in objects {
      guard let spec = object.resource.spec as? BackendTLSPolicySpec else { continue }
      let key = object.resource.key
      for (index, target) in spec.targetRefs.enumerated() {
        lookAtTarget(kind: target.kind, name: target.name, of: key, at: "spec.targetRefs[\(index)]")
      }
      for (index, reference) in spec.validation.caCertificateRefs.enumerated() where reference.kind == "ConfigMap" {
        let name = ServiceName(namespace: key.namespace, name: reference.name)
        let map = objects.first {
          $0.resource.key
            == ResourceKey(groupKind: ConfigMapSpec.kind.groupKind, namespace: name.namespace, name: name.name)
        }
        guard (map?.resource.spec as? ConfigMapSpec)?.data["ca.crt"] == nil else { continue }
        add(
          .authorityMissing, key, "spec.validation.caCertificateRefs[\(index)]",
          (map == nil ? "there is no ConfigMap \(name)" : "ConfigMap \(name) has no key ca.crt")
            + ", so that every request to the target fails",
          mend: "create it with the certificates of the authorities under ca.crt", isReference: map == nil)
      }
    }
  }

  // MARK: Selectors

  mutating func lookAtSelectors() {
    var slices: Set<ServiceName> = []
    for object in objects {
      guard object.resource.spec is EndpointSliceSpec else { continue }
      slices.formUnion(lookAtSlice(object.resource).map { [$0] } ?? [])
    }
    for (name, service) in services.sorted(by: { $0.key < $1.key }) where service.resolvedName == nil {
      lookAtService(name, service, hasSlices: slices.contains(name))
    }
    for object in objects {
      lookAtName(object.resource)
      lookWhereNameLeads(object.resource)
    }
    lookAtPeerAuthentications()
  }

  private mutating func lookAtSlice(_ slice: Resource) -> ServiceName? {
    guard let label = slice.metadata.labels[EndpointSliceSpec.serviceLabel] else {
      add(
        .sliceServiceMissing, slice.key, "metadata.labels",
        "the slice has no label \(EndpointSliceSpec.serviceLabel) and belongs to no service", mend: "add the label")
      return nil
    }
    let name = ServiceName(namespace: slice.metadata.namespace, name: label)
    if let service = services[name] {
      if !service.selector.isEmpty {
        add(
          .sliceBesideSelector, slice.key, "metadata.labels",
          "Service \(name) has a selector, so that endpoints come from its workloads and from this slice",
          mend: "remove the selector or the slice, unless both are meant")
      } else if let host = service.resolvedName {
        add(
          .sliceBesideName, slice.key, "metadata.labels",
          "Service \(name) is of type ExternalName: its endpoints are the addresses of \(host), and not this slice's",
          mend: "remove the slice, or type and externalName of the Service")
      }
    } else {
      add(
        .sliceServiceMissing, slice.key, "metadata.labels", "there is no Service \(name)",
        mend: "create it, or correct the label", isReference: true)
    }
    return name
  }

  /// Whether the control plane could resolve a Service's name is in its status; of files alone nothing is known.
  private mutating func lookAtName(_ service: Resource) {
    guard let host = (service.spec as? ServiceSpec)?.resolvedName,
      let condition = service.status?["conditions"]?.elements?.first(where: { $0["type"]?.text == "Resolved" }),
      condition["status"]?.text == "False", condition["reason"]?.text != RouteReason.pending.rawValue
    else { return }
    let failure = condition["reason"]?.text.flatMap(NameFailure.init(rawValue:))
    add(
      .nameUnresolved, service.key, "spec.externalName", condition["message"]?.text ?? "\(host) is not resolved",
      mend: failure?.remedy ?? "correct externalName or ipFamilies, or the addresses that DNS gives the name")
  }

  /// A name that leads to a workload of the mesh leads past the proxy that takes in its connections.
  private mutating func lookWhereNameLeads(_ service: Resource) {
    guard let spec = service.spec as? ServiceSpec, let host = spec.resolvedName,
      service.status?["resolved"]?["name"]?.text == host
    else { return }
    let addresses = Set((service.status?["resolved"]?["addresses"]?.elements ?? []).compactMap(\.text))
    let ports = Set(
      spec.ports.map { port in
        if case .number(let number)? = port.targetPort { number } else { port.port }
      })
    for workload in world.workloads ?? [] where workload.hasProxy && addresses.contains(workload.address) {
      guard let port = workload.ports.first(where: { ports.contains(Int($0.appPort)) }) else { continue }
      return add(
        .nameWithinMesh, service.key, "spec.externalName",
        "\(host) leads to \(workload.address):\(port.appPort), the workload \(workload.namespace)/\(workload.name) of this "
          + "mesh: calls go past its proxy, in plain text and with no identity",
        mend: "remove type and externalName, and give the Service a selector that the workload's labels meet")
    }
  }

  private mutating func lookAtService(_ name: ServiceName, _ service: ServiceSpec, hasSlices: Bool) {
    guard let workloads = world.workloads else { return }
    let key = ResourceKey(groupKind: ServiceSpec.kind.groupKind, namespace: name.namespace, name: name.name)
    let chosen = workloads.filter { workload in
      workload.namespace == name.namespace && !service.selector.isEmpty
        && service.selector.allSatisfy { workload.labels[$0.key] == $0.value }
    }
    if chosen.isEmpty, !hasSlices {
      let words = service.selector.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
      let what = service.selector.isEmpty ? "has no selector and no EndpointSlice" : "no workload carries \(words)"
      return add(
        .selectorMatchesNothing, key, "spec.selector", what,
        mend: "start one with `apus run --service NAME`, or change the selector")
    }
    for (index, port) in service.ports.enumerated() {
      guard case .name(let wanted)? = port.targetPort, !chosen.isEmpty,
        !chosen.contains(where: { $0.ports.contains { $0.name == wanted } })
      else { continue }
      add(
        .namedPortUnknown, key, "spec.ports[\(index)].targetPort",
        "no workload of the service has a port named \(wanted)",
        mend: "use a number, or one of the workloads' port names")
    }
  }

  private mutating func lookAtPeerAuthentications() {
    var seen: [String: ResourceKey] = [:]
    for object in objects {
      guard let spec = object.resource.spec as? PeerAuthenticationSpec else { continue }
      let key = object.resource.key
      let words = (spec.selector?.matchLabels ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      let spot = "\(key.namespace) \(words.joined(separator: ","))"
      if let other = seen[spot] {
        add(
          .peerAuthenticationsConflict, key, words.isEmpty ? "spec" : "spec.selector",
          "\(name(other)) chooses the same workloads; only the older one decides", mend: "put both into one")
      } else {
        seen[spot] = key
      }
      guard let workloads = world.workloads, let selector = spec.selector,
        !workloads.contains(where: { $0.namespace == key.namespace && selector.matches($0.labels) })
      else { continue }
      add(
        .selectorMatchesNothing, key, "spec.selector", "no workload carries \(words.joined(separator: ","))",
        mend: "correct the labels, or remove the object")
    }
  }

  // MARK: Rollouts

  mutating func lookAtRollouts() {
    var writers: [String: ResourceKey] = [:]
    for object in objects {
      guard let spec = object.resource.spec as? RolloutSpec else { continue }
      let key = object.resource.key
      let service = ServiceName(namespace: key.namespace, name: spec.service)
      if services[service] == nil {
        add(
          .rolloutServiceMissing, key, "spec.service", "there is no Service \(service)",
          mend: "create it, or correct the name", isReference: true)
      }
      let target = spec.routeTarget
      let place = "\(target.kind.rawValue) \(key.namespace)/\(target.name)"
      if let other = writers[place] {
        add(
          .rolloutsShareRoute, key, "spec.route", "\(name(other)) writes \(place) too",
          mend: "give each rollout a route of its own")
      }
      writers[place] = key
      guard
        let route = routes.first(where: {
          $0.key.groupKind == target.groupKind && $0.key.namespace == key.namespace && $0.key.name == target.name
        })
      else { continue }
      look(atRoute: route, of: spec, key, service)
    }
  }

  private mutating func look(atRoute route: RouteView, of spec: RolloutSpec, _ key: ResourceKey, _ service: ServiceName)
  {
    if !route.parents.contains(where: { $0.service == service }) {
      add(
        .rolloutRouteElsewhere, key, "spec.route",
        "\(name(route.key)) is not attached to Service \(service), so that its weights move none of its requests",
        mend: "name the service in the route's parentRefs, or another route here")
    }
    let status = RolloutStatus(objects.first { $0.resource.key == key }?.resource.status)
    let versions = [spec.version, status?.stableVersion, status?.candidateVersion].compactMap { $0 }
    var names = Set(versions.filter { !$0.isEmpty }.map { spec.serviceName(of: $0) })
    names.insert(spec.service)
    // Before the first release the stable version is known by what the route says.
    names.formUnion(route.rules.flatMap(\.backends).compactMap(\.service?.name).filter { spec.isVersionService($0) })
    let port = spec.port ?? 80
    let shares = RouteShares(
      stable: .init(service: spec.serviceName(of: spec.version), weight: 100), candidate: nil, port: port)
    do {
      _ = try RouteEditor(services: names).spec(route.spec, with: shares)
    } catch {
      add(
        .rolloutRouteUnusable, key, "spec.route", "\(name(route.key)): \(error.message)",
        mend: "change the route so that each rule that is split sends to versions of \(spec.service) only")
    }
  }
}

extension RolloutSpec {
  /// Whether a Service's name has the form of a version's.
  func isVersionService(_ name: String) -> Bool {
    let parts = versionService.replacing("{service}", with: service)
      .split(separator: "{version}", maxSplits: 1, omittingEmptySubsequences: false)
    guard let prefix = parts.first, let suffix = parts.last, parts.count == 2 else { return false }
    return name != service && name.hasPrefix(prefix) && name.hasSuffix(suffix)
      && name.utf8.count > prefix.utf8.count + suffix.utf8.count
  }
}
