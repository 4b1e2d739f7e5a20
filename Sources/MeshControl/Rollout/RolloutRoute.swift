// What a rollout writes into its route, and how it finds that somebody else did.
extension RolloutMachine {
  /// Backends of these names are the rollout's, from now on.
  private var ownServices: Set<String> {
    var names: Set<String> = [spec.service, spec.serviceName(of: status.stableVersion)]
    if let version = status.candidateVersion { names.insert(spec.serviceName(of: version)) }
    return names.union(status.route.services)
  }

  var editor: RouteEditor { RouteEditor(services: ownServices) }

  /// The route's own part as it stands, seen as it was when it was last written.
  private func fingerprint(of route: Value) -> String {
    RouteEditor(services: Set(status.route.services)).fingerprint(of: route)
  }

  /// What somebody else has done to the route.
  func foreignEdit() -> (reason: RolloutReason, message: String)? {
    let isWritten = !status.route.written.isEmpty || !status.route.intended.isEmpty
    let place = "\(spec.routeTarget.kind.rawValue) \(spec.routeTarget.name)"
    guard let route = input.world.route else {
      // An intention that was not carried out is no sign that there was a route.
      guard !status.route.written.isEmpty else { return nil }
      return (
        .routeDeleted,
        "\(place) was deleted by somebody else; `apus rollout resume \(input.name)` makes it again"
      )
    }
    if let owner = route.owner, owner != input.name {
      return (.routeOwned, "\(place) belongs to Rollout \(owner) now; name another route")
    }
    guard isWritten else { return nil }
    let found = fingerprint(of: route.spec)
    guard found != status.route.written, found != status.route.intended else { return nil }
    return (
      .routeEdited,
      "somebody else has changed the weights of \(place) from \(status.route.written) to \(found.isEmpty ? "-" : found); "
        + "nothing is touched until `apus rollout resume \(input.name)` (write them again) or `abort` (all to "
        + "\(status.stableVersion))"
    )
  }

  /// Takes the route as it stands as our own, so that it may be written again.
  mutating func takeOver() {
    status.route.intended = ""
    status.route.written = input.world.route.map { fingerprint(of: $0.spec) } ?? ""
    status.phase = status.release == nil ? .idle : .progressing
    if let version = status.settledVersion, version == status.candidateVersion { status.phase = .rolledBack }
    let time = Int(now)
    status.release?.deadlineFrom = time
  }

  /// The shares that are due now; nil where Services that they name are missing.
  private func shares(port: Int) -> RouteShares? {
    let stableName = spec.serviceName(of: status.stableVersion)
    guard input.world.services.contains(stableName) else { return nil }
    var shares = RouteShares(stable: .init(service: stableName, weight: 100), candidate: nil, port: port)
    // A release that has not begun changes nothing.
    guard let version = status.candidateVersion, status.release.map({ $0.startedAt > 0 }) ?? true else { return shares }
    let name = spec.serviceName(of: version)
    guard input.world.services.contains(name) else { return shares }
    let weight = min(100, max(0, status.weight))
    shares.candidate = .init(service: name, weight: weight)
    shares.stable.weight = 100 - weight
    if let release = status.release, plan.steps.indices.contains(release.step) {
      shares.audience = plan.steps[release.step].audience
      shares.mirrorPercent = plan.steps[release.step].mirrorPercent
    }
    return shares
  }

  /// Puts what is due into the output, if the route says anything else.
  mutating func writeRoute() {
    guard let port = spec.port ?? input.world.port else {
      return wait(.serviceMissing, "there is no Service \(spec.service) with a TCP port; create it")
    }
    guard let shares = shares(port: port) else {
      output.missingVersions.append(status.stableVersion)
      return wait(.serviceMissing, "the Service of \(status.stableVersion) is being made")
    }
    let wanted: Value
    do {
      wanted =
        if let route = input.world.route {
          try editor.spec(route.spec, with: shares)
        } else {
          RouteEditor.newSpec(service: spec.service, shares: shares)
        }
    } catch {
      let place = "\(spec.routeTarget.kind.rawValue) \(spec.routeTarget.name)"
      status.say(.stopped, .routeUnusable, "\(place): \(error.message)", at: now)
      return
    }
    if status.phase == .waiting, status.release == nil {
      status.say(.idle, .adopted, "\(status.stableVersion) serves", at: now)
    }
    let services = ownServices
    let isNew = status.release.map { $0.startedAt == 0 } ?? status.route.written.isEmpty
    if isNew, let route = input.world.route,
      editor.servicesWithTraffic(in: route.spec) == [shares.stable.service]
    {
      // The route does already what is due; it is written when there is something to change.
      status.route.written = RouteEditor(services: services).fingerprint(of: route.spec)
      status.route.intended = ""
      status.route.services = services.sorted()
      return
    }
    let due = RouteEditor(services: services).fingerprint(of: wanted)
    if let route = input.world.route, route.spec == wanted, route.owner == input.name || status.release == nil {
      status.route.written = due
      status.route.intended = ""
    } else {
      output.routeSpec = wanted
      status.route.intended = due
      // What was written before is seen with the same eyes from now on.
      if let route = input.world.route {
        status.route.written = RouteEditor(services: services).fingerprint(of: route.spec)
      }
    }
    status.route.services = services.sorted()
  }

  /// Says that something is missing, where nothing worse is known.
  private mutating func wait(_ reason: RolloutReason, _ message: String) {
    guard status.phase == .idle || status.phase == .waiting else { return }
    status.say(.waiting, reason, message, at: now)
  }
}
