/// What workloads demand of those who connect to them (`apus.dev/v1 PeerAuthentication`).
///
/// In the namespace `apus-system` and without a selector it holds for the whole mesh; in another, without a selector,
/// for the namespace; with a selector for the chosen workloads. The narrowest one decides, `portLevel` before `mode`.
/// Without any the mode is STRICT.
package struct PeerAuthenticationSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "apus.dev", version: "v1", kind: "PeerAuthentication", plural: "peerauthentications", shortNames: ["pa"])

  /// Namespace in which objects without a selector hold for the whole mesh.
  package static let meshNamespace = "apus-system"

  package var selector: LabelSelector?
  /// Absent: what the next wider object says.
  package var mode: Mode?
  package var portLevel: [PortMode] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("selector", &selector)
    visitor.field("mode", &mode)
    visitor.field("portLevel", &portLevel, .items(0...64))
  }

  package func check(path: String, into report: ViolationReport) {
    if mode == nil, portLevel.isEmpty {
      report.add(.required, at: "\(path).mode", "is missing; add it (\(Mode.words)), or portLevel")
    }
    if selector == nil, !portLevel.isEmpty {
      report.add(
        .forbidden, at: "\(path).portLevel",
        "ports are set for chosen workloads only; add a selector, or leave portLevel out")
    }
    var ports: Set<Int> = []
    for (index, entry) in portLevel.enumerated() where !ports.insert(entry.port).inserted {
      report.add(
        .duplicate, at: "\(path).portLevel[\(index)].port", "\(entry.port) is there already; remove one of the two")
    }
  }

  package enum Mode: String, FieldEnum {
    /// mTLS of the mesh only.
    case strict = "STRICT"
    /// mTLS or plaintext.
    case permissive = "PERMISSIVE"
    /// Plaintext only.
    case disable = "DISABLE"

    static var words: String { allCases.map(\.rawValue).joined(separator: ", ") }
  }

  /// The mode of one port of the application.
  package struct PortMode: FieldObject, Equatable {
    package var port = 0
    package var mode = Mode.strict

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("port", &port, .required, .range(1...65_535))
      visitor.field("mode", &mode, .required)
    }
  }
}

/// Chooses workloads of its own namespace by their labels.
package struct LabelSelector: FieldObject, Equatable {
  /// All must be carried; at least one is given.
  package var matchLabels: [String: String] = [:]

  package init() {}

  package init(matchLabels: [String: String]) {
    self.matchLabels = matchLabels
  }

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("matchLabels", &matchLabels, .required, .items(1...64))
  }

  /// Whether `labels` carries everything asked for.
  package func matches(_ labels: [String: String]) -> Bool {
    matchLabels.allSatisfy { labels[$0.key] == $0.value }
  }
}
