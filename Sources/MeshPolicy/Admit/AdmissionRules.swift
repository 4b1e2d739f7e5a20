package import MeshModel

/// Whose requests a rate limit counts together.
package enum RateLimitKey: Hashable, Sendable {
  /// All that the rule is about.
  case everyone
  /// Those of one SPIFFE ID; callers without one count together.
  case identity
  /// Those of one source address, without its port.
  case sourceAddress
  /// Those with one value of this header, whose name is in lower case; requests without it count together.
  case header(String)
}

/// A rate limit with what it is about.
package struct RateLimitRule: Hashable, Sendable {
  /// `namespace/name` of the policy it comes from: the deciding object.
  package var policy: String
  /// Unique in its policy; the name in the answer's `RateLimit` field.
  package var name: String
  package var settings: RateLimitSettings
  package var key: RateLimitKey
  /// Any of them must hold; none at all: every request.
  package var matches: [RouteMatch]
  /// Names the limit in the mesh, where all proxies share it; empty: this proxy counts for itself.
  package var quota: String

  package init(
    policy: String, name: String, settings: RateLimitSettings, key: RateLimitKey = .everyone,
    matches: [RouteMatch] = [], quota: String = ""
  ) {
    self.policy = policy
    self.name = name
    self.settings = settings
    self.key = key
    self.matches = matches
    self.quota = quota
  }
}

/// Faults with what they are about.
package struct FaultRule: Hashable, Sendable {
  /// `namespace/name` of the policy it comes from.
  package var policy: String
  package var settings: FaultSettings
  /// Any of them must hold; none at all: every request.
  package var matches: [RouteMatch]

  package init(policy: String, settings: FaultSettings, matches: [RouteMatch] = []) {
    self.policy = policy
    self.settings = settings
    self.matches = matches
  }
}

/// What is asked before a request is let in: limits first, then faults.
package struct AdmissionRules: Hashable, Sendable {
  /// Every limit that a request matches must allow it.
  package var limits: [RateLimitRule]
  /// The first that a request matches decides.
  package var faults: [FaultRule]

  package init(limits: [RateLimitRule] = [], faults: [FaultRule] = []) {
    self.limits = limits
    self.faults = faults
  }

  package var isEmpty: Bool { limits.isEmpty && faults.isEmpty }
}
