/// Permits objects of other namespaces to refer to objects of this one (`gateway.networking.k8s.io ReferenceGrant`).
///
/// In a mesh routes need none for their backends (GEP-1294, "Namespace boundaries"), unless the control plane is told to
/// demand them.
package struct ReferenceGrantSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "gateway.networking.k8s.io", version: "v1beta1", kind: "ReferenceGrant", plural: "referencegrants",
    shortNames: ["refgrant"], otherVersions: ["v1"])

  package var from: [From] = []
  package var to: [To] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("from", &from, .required, .items(1...16))
    visitor.field("to", &to, .required, .items(1...16))
  }

  /// Whether objects of this kind and namespace may refer to the service `name` of the grant's namespace.
  func permits(_ groupKind: GroupKind, in namespace: String, service name: String) -> Bool {
    from.contains { $0.group == groupKind.group && $0.kind == groupKind.kind && $0.namespace == namespace }
      && to.contains { $0.group.isEmpty && $0.kind == "Service" && ($0.name == nil || $0.name == name) }
  }

  /// Who may refer.
  package struct From: FieldObject, Equatable {
    package var group = ""
    package var kind = ""
    package var namespace = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("group", &group, .required, .length(0...253), .format(.apiGroup))
      visitor.field("kind", &kind, .required, .format(.kindName))
      visitor.field("namespace", &namespace, .required, .format(.dnsLabel))
    }
  }

  /// What may be referred to.
  package struct To: FieldObject, Equatable {
    package var group = ""
    package var kind = ""
    /// Absent: all of the kind.
    package var name: String?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("group", &group, .required, .length(0...253), .format(.apiGroup))
      visitor.field("kind", &kind, .required, .format(.kindName))
      visitor.field("name", &name, .length(1...253))
    }
  }
}
