/// Reasons that conditions of routes carry: those of the Gateway API, and one more.
package enum RouteReason: String, Sendable, CaseIterable {
  case accepted = "Accepted"
  case notAllowedByListeners = "NotAllowedByListeners"
  case noMatchingParent = "NoMatchingParent"
  case unsupportedValue = "UnsupportedValue"
  case resolvedRefs = "ResolvedRefs"
  case backendNotFound = "BackendNotFound"
  case refNotPermitted = "RefNotPermitted"
  case invalidKind = "InvalidKind"
  /// A filter of type ExtensionRef refers to an object that is not there.
  case filterNotFound = "FilterNotFound"
  /// Of a policy: another one decides. Of a route: one of a more specific kind has its port.
  case conflicted = "Conflicted"
  /// Of a policy: what it is attached to is not there.
  case targetNotFound = "TargetNotFound"
  /// Of a policy: what it says cannot be done.
  case invalid = "Invalid"
  /// Of a BackendTLSPolicy: a reference to certificates leads nowhere, or there are none.
  case invalidCACertificateRef = "InvalidCACertificateRef"
  /// Of a BackendTLSPolicy: none of its references leads to certificates.
  case noValidCACertificate = "NoValidCACertificate"
  /// Of a Service's name: it has addresses.
  case answered = "Answered"
  /// Of a Service's name: nobody has been asked yet.
  case pending = "Pending"
  /// Of a Service's name: all addresses are such that traffic may not go there.
  case addressesRefused = "AddressesRefused"
  /// Of a Service's name: the last question brought no new answer (`NameFailure`).
  case nameNotFound = "NameNotFound"
  case noAddresses = "NoAddresses"
  case noAnswer = "NoAnswer"
}

/// One condition of an object's status, as the Kubernetes API shapes it.
package struct Condition: Sendable, Equatable {
  package var type: String
  package var isTrue: Bool
  package var reason: RouteReason
  package var message: String

  package init(type: String, isTrue: Bool, reason: RouteReason, message: String) {
    self.type = type
    self.isTrue = isTrue
    self.reason = reason
    self.message = message
  }

  /// The condition as it is written. The time of the last transition stays as long as the truth does.
  /// - Parameter previous: the conditions that stand in the object now.
  func written(generation: Int, previous: [Value], now: Timestamp) -> Value {
    let status = isTrue ? "True" : "False"
    let before = previous.first { $0["type"]?.text == type && $0["status"]?.text == status }
    let time = before?["lastTransitionTime"]?.text ?? now.rfc3339
    return .object([
      Value.Member("type", .string(type)), Value.Member("status", .string(status)),
      Value.Member("reason", .string(reason.rawValue)), Value.Member("message", .string(message)),
      Value.Member("observedGeneration", .integer(generation)), Value.Member("lastTransitionTime", .string(time)),
    ])
  }
}

/// The name under which this control plane writes conditions.
package let controllerName = "apus.dev/mesh-controller"
