/// What kind an object is of: its API group and the kind's name. The version is not part of it, since the same object
/// may be read in several.
package struct GroupKind: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// API group; empty for the core group (`v1`).
  package var group: String
  package var kind: String

  package init(group: String, kind: String) {
    self.group = group
    self.kind = kind
  }

  package var description: String { group.isEmpty ? kind : "\(kind).\(group)" }

  package static func < (left: GroupKind, right: GroupKind) -> Bool {
    (left.group, left.kind) < (right.group, right.kind)
  }
}

/// What names one object among all: kind, namespace, name.
package struct ResourceKey: Sendable, Hashable, Comparable, CustomStringConvertible {
  package var groupKind: GroupKind
  package var namespace: String
  package var name: String

  package init(groupKind: GroupKind, namespace: String, name: String) {
    self.groupKind = groupKind
    self.namespace = namespace
    self.name = name
  }

  package var description: String { "\(groupKind.kind) \(namespace)/\(name)" }

  package static func < (left: ResourceKey, right: ResourceKey) -> Bool {
    (left.groupKind, left.namespace, left.name) < (right.groupKind, right.namespace, right.name)
  }
}
