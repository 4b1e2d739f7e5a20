/// What is known of a kind of resource before any object of it is looked at.
package struct KindInfo: Sendable, Hashable {
  /// Where an object keeps what it asks for.
  package enum Layout: Sendable, Hashable {
    /// Under `spec`, as nearly all kinds do.
    case spec
    /// Beside `metadata`, as EndpointSlice does.
    case topLevel
  }

  /// How objects of the kind may be named.
  package enum NameRule: Sendable, Hashable {
    case dnsSubdomain, serviceName

    var format: TextFormat {
      switch self {
      case .dnsSubdomain: .dnsSubdomain
      case .serviceName: .serviceName
      }
    }
  }

  /// API group; empty for the core group.
  package let group: String
  package let version: String
  package let kind: String
  /// The name in URLs, lower case.
  package let plural: String
  package let shortNames: [String]
  package let layout: Layout
  package let nameRule: NameRule
  /// Older and newer versions of the same form: objects written for them are taken, and kept as `version`.
  package let otherVersions: [String]

  package init(
    group: String, version: String, kind: String, plural: String, shortNames: [String] = [], layout: Layout = .spec,
    nameRule: NameRule = .dnsSubdomain, otherVersions: [String] = []
  ) {
    self.group = group
    self.version = version
    self.kind = kind
    self.plural = plural
    self.shortNames = shortNames
    self.layout = layout
    self.nameRule = nameRule
    self.otherVersions = otherVersions
  }

  /// `v1`, or `group/version`.
  package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

  /// Whether objects of this version are taken.
  package func serves(_ version: String) -> Bool { version == self.version || otherVersions.contains(version) }

  package var singular: String { kind.lowercased() }
  package var groupKind: GroupKind { GroupKind(group: group, kind: kind) }
}

/// What an object of one kind asks for.
package protocol ResourceSpec: FieldObject, Equatable {
  static var kind: KindInfo { get }
}

/// Every kind that the control plane takes. Adding a kind is adding its type here.
package enum KindRegistry {
  package static let types: [any ResourceSpec.Type] = [
    ServiceSpec.self, HTTPRouteSpec.self, EndpointSliceSpec.self, TrafficPolicySpec.self,
    PeerAuthenticationSpec.self, DirectResponseSpec.self,
    GRPCRouteSpec.self, TCPRouteSpec.self, TLSRouteSpec.self, ReferenceGrantSpec.self, BackendTLSPolicySpec.self,
    ConfigMapSpec.self, RolloutSpec.self, TelemetrySpec.self,
  ]

  package static var kinds: [KindInfo] { types.map { $0.kind } }

  /// The type of this group and kind; nil where there is none.
  package static func type(of groupKind: GroupKind) -> (any ResourceSpec.Type)? {
    types.first { $0.kind.groupKind == groupKind }
  }

  /// The kind that this name means in a command: kind, plural, singular or short name, letters' case left out, with or
  /// without the group after a dot (`httproutes.gateway.networking.k8s.io`).
  package static func kind(named name: String) -> KindInfo? {
    let name = name.lowercased()
    return kinds.first { kind in
      ([kind.singular, kind.plural] + kind.shortNames).contains { word in
        name == word || name == "\(word).\(kind.group)" || name == "\(word).\(kind.version).\(kind.group)"
      }
    }
  }

  /// The kind that lies under this path of the API.
  package static func kind(group: String, version: String, plural: String) -> KindInfo? {
    kinds.first { $0.group == group && $0.serves(version) && $0.plural == plural }
  }
}
