/// One thing in a configuration that does not do what it seems to, or cannot: where, what, how to mend it.
package struct Finding: Sendable, Equatable {
  package enum Severity: String, Sendable, Equatable, CaseIterable {
    /// Requests fail, or an object has no effect.
    case error
    /// Probably not what was meant.
    case warning
    /// Worth knowing.
    case info
  }

  package var code: FindingCode
  package var severity: Severity
  /// Kind, namespace and name; nil where a document is no object.
  package var object: ResourceKey?
  /// Where in the object, such as `spec.rules[0].backendRefs[1]`.
  package var path: String
  package var message: String
  package var mend: String
  /// The line in the text that the object came from, from 1; nil for stored objects.
  package var line: Int?

  package init(
    _ code: FindingCode, severity: Severity? = nil, object: ResourceKey?, path: String, _ message: String,
    mend: String, line: Int? = nil
  ) {
    self.code = code
    self.severity = severity ?? code.severity
    self.object = object
    self.path = path
    self.message = message
    self.mend = mend
    self.line = line
  }

  /// As `apus analyze -o json` and the API give it.
  package var value: Value {
    .object([
      .init("code", .string(code.rawValue)), .init("name", .string(code.name)),
      .init("severity", .string(severity.rawValue)), .init("kind", object.map { .string($0.groupKind.kind) } ?? .null),
      .init("namespace", object.map { .string($0.namespace) } ?? .null),
      .init("object", object.map { .string($0.name) } ?? .null), .init("path", .string(path)),
      .init("message", .string(message)), .init("mend", .string(mend)), .init("line", line.map(Value.integer) ?? .null),
    ])
  }
}

/// The codes of findings. A code never changes its meaning; those that are no longer given are not used again.
package enum FindingCode: String, Sendable, Equatable, CaseIterable {
  // What cannot be read, or leads nowhere.
  case invalid = "AP001"
  case parentMissing = "AP101"
  case backendMissing = "AP102"
  case policyTargetMissing = "AP103"
  case filterMissing = "AP104"
  case sliceServiceMissing = "AP105"
  case portMissing = "AP106"
  case noParent = "AP107"
  case authorityMissing = "AP108"
  // What never gets a request.
  case shadowedRule = "AP201"
  case routesConflict = "AP202"
  case weightUnreachable = "AP203"
  case duplicateBackend = "AP204"
  case routeKindsConflict = "AP205"
  // Time.
  case retryDoesNotFit = "AP301"
  case retriesDoNotAllFit = "AP302"
  case retryWithoutTryLimit = "AP303"
  case budgetWithoutRetries = "AP304"
  // Copies.
  case mirrorToItself = "AP401"
  // Selectors.
  case selectorMatchesNothing = "AP501"
  case namedPortUnknown = "AP502"
  case sliceBesideSelector = "AP503"
  case sliceBesideName = "AP504"
  case nameUnresolved = "AP505"
  case nameWithinMesh = "AP506"
  // Policies that contradict each other.
  case policiesConflict = "AP601"
  case peerAuthenticationsConflict = "AP602"
  case limitWithoutProxy = "AP603"
  case policyPassedBy = "AP604"
  // Rollouts.
  case rolloutsShareRoute = "AP701"
  case rolloutServiceMissing = "AP702"
  case rolloutRouteUnusable = "AP703"
  case rolloutRouteElsewhere = "AP704"
  // What proxies tell.
  case nowhereToSend = "AP801"

  /// A few words, with hyphens, that say it.
  package var name: String {
    switch self {
    case .invalid: "invalid-document"
    case .parentMissing: "parent-missing"
    case .backendMissing: "backend-missing"
    case .policyTargetMissing: "policy-target-missing"
    case .filterMissing: "filter-missing"
    case .sliceServiceMissing: "slice-service-missing"
    case .portMissing: "port-missing"
    case .noParent: "no-parent"
    case .authorityMissing: "authority-missing"
    case .shadowedRule: "shadowed-rule"
    case .routesConflict: "routes-conflict"
    case .weightUnreachable: "weight-unreachable"
    case .duplicateBackend: "duplicate-backend"
    case .routeKindsConflict: "route-kinds-conflict"
    case .retryDoesNotFit: "retry-does-not-fit"
    case .retriesDoNotAllFit: "retries-do-not-all-fit"
    case .retryWithoutTryLimit: "retry-without-try-limit"
    case .budgetWithoutRetries: "budget-without-retries"
    case .mirrorToItself: "mirror-to-itself"
    case .selectorMatchesNothing: "selector-matches-nothing"
    case .namedPortUnknown: "named-port-unknown"
    case .sliceBesideSelector: "slice-beside-selector"
    case .sliceBesideName: "slice-beside-name"
    case .nameUnresolved: "name-unresolved"
    case .nameWithinMesh: "name-within-mesh"
    case .policiesConflict: "policies-conflict"
    case .peerAuthenticationsConflict: "peer-authentications-conflict"
    case .limitWithoutProxy: "limit-without-proxy"
    case .policyPassedBy: "policy-passed-by"
    case .rolloutsShareRoute: "rollouts-share-route"
    case .rolloutServiceMissing: "rollout-service-missing"
    case .rolloutRouteUnusable: "rollout-route-unusable"
    case .rolloutRouteElsewhere: "rollout-route-elsewhere"
    case .nowhereToSend: "nowhere-to-send"
    }
  }

  package var severity: Finding.Severity {
    switch self {
    case .invalid, .parentMissing, .backendMissing, .policyTargetMissing, .filterMissing, .portMissing, .shadowedRule,
      .mirrorToItself, .rolloutsShareRoute, .rolloutServiceMissing, .rolloutRouteUnusable, .retryDoesNotFit,
      .authorityMissing, .routeKindsConflict:
      .error
    case .sliceServiceMissing, .noParent, .routesConflict, .retriesDoNotAllFit, .budgetWithoutRetries,
      .selectorMatchesNothing, .namedPortUnknown, .policiesConflict, .peerAuthenticationsConflict,
      .rolloutRouteElsewhere, .duplicateBackend, .sliceBesideSelector, .nowhereToSend, .limitWithoutProxy,
      .sliceBesideName, .nameUnresolved, .nameWithinMesh, .policyPassedBy:
      .warning
    case .weightUnreachable, .retryWithoutTryLimit: .info
    }
  }
}
