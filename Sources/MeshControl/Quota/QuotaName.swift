import MeshModel
package import MeshPolicy

/// What names a shared limit among proxies and control plane: the policy, its limit, and what it is attached to.
package struct QuotaName: Sendable, Equatable {
  package var policy: ResourceKey
  package var limit: String
  package var target: ResourceKey

  package init(policy: ResourceKey, limit: String, target: ResourceKey) {
    self.policy = policy
    self.limit = limit
    self.target = target
  }

  /// `namespace/policy/limit@Kind/target`; a policy and its targets are of one namespace.
  package var text: String {
    "\(policy.namespace)/\(policy.name)/\(limit)@\(target.groupKind.kind)/\(target.name)"
  }

  /// Reads a name that a proxy sends; nil: it is none.
  package init?(_ text: String) {
    let halves = text.split(separator: "@", omittingEmptySubsequences: false)
    guard halves.count == 2 else { return nil }
    let first = halves[0].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let second = halves[1].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard first.count == 3, second.count == 2 else { return nil }
    let group = second[0] == ServiceSpec.kind.kind ? ServiceSpec.kind.group : HTTPRouteSpec.kind.group
    policy = ResourceKey(groupKind: TrafficPolicySpec.kind.groupKind, namespace: first[0], name: first[1])
    limit = first[2]
    target = ResourceKey(
      groupKind: GroupKind(group: group, kind: second[0]), namespace: first[0], name: second[1])
  }
}

extension MeshIndex {
  /// The shared limits of these names that are in force. Proxies make no limits: what no policy says is not there.
  func quotas(_ names: Set<String>) -> [String: RateLimitSettings] {
    var found: [String: RateLimitSettings] = [:]
    for text in names {
      guard let name = QuotaName(text), let policy = policies[name.policy],
        let limit = policy.spec.rateLimits.first(where: { $0.name == name.limit && $0.scope == .global }),
        policy.spec.targetRefs.contains(where: {
          $0.group == name.target.groupKind.group && $0.kind == name.target.groupKind.kind
            && $0.name == name.target.name
        })
      else { continue }
      let milliseconds = max(1, limit.per?.milliseconds ?? 1_000)
      found[text] = RateLimitSettings(
        limit: UInt32(clamping: limit.requests), periodNanoseconds: Int64(milliseconds) * 1_000_000,
        burst: limit.burst.map { UInt32(clamping: $0) })
    }
    return found
  }
}

extension ConfigEngine: QuotaLimits {
  package func quotas(_ names: Set<String>) -> [String: RateLimitSettings] { picture.index.quotas(names) }
}
