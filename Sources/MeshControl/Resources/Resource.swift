/// One object: what it is called, what it asks for, how it fares.
package struct Resource: Sendable {
  package var metadata: Metadata
  package var spec: any ResourceSpec
  /// Written by the control plane only. Absent: nothing is known yet, or the kind has none.
  package var status: Value?

  package init(metadata: Metadata, spec: any ResourceSpec, status: Value? = nil) {
    self.metadata = metadata
    self.spec = spec
    self.status = status
  }

  package var kind: KindInfo { type(of: spec).kind }

  package var key: ResourceKey {
    ResourceKey(groupKind: kind.groupKind, namespace: metadata.namespace, name: metadata.name)
  }

  /// The whole object as a document, defaults filled in.
  package var value: Value {
    var members: [Value.Member] = [
      Value.Member("apiVersion", .string(kind.apiVersion)), Value.Member("kind", .string(kind.kind)),
    ]
    if let written = metadata.written { members.append(Value.Member("metadata", written)) }
    switch kind.layout {
    case .spec: if let written = spec.written { members.append(Value.Member("spec", written)) }
    case .topLevel: members += spec.written?.members ?? []
    }
    if let status { members.append(Value.Member("status", status)) }
    return .object(members)
  }

  /// Whether both ask for the same and carry the same labels and annotations: storing one over the other would change
  /// nothing.
  package func asksTheSame(as other: Resource) -> Bool {
    key == other.key && hasSameSpec(as: other) && metadata.labels == other.metadata.labels
      && metadata.annotations == other.metadata.annotations
  }

  /// Whether both ask for the same.
  package func hasSameSpec(as other: Resource) -> Bool {
    kind == other.kind && spec.written == other.spec.written
  }
}

/// What every object carries beside what it asks for.
package struct Metadata: FieldObject, Equatable {
  package var name = ""
  /// Empty only while a document is read; then the namespace asked for, or `default`.
  package var namespace = ""
  package var labels: [String: String] = [:]
  package var annotations: [String: String] = [:]
  /// Given by the store; tells an object from a later one of the same name.
  package var uid: String?
  /// Given by the store; grows with every change of any object. In a document: the version that the change is based on.
  package var resourceVersion: String?
  /// Given by the store: 1 at first, one more with every change of what the object asks for.
  package var generation: Int?
  /// Given by the store.
  package var creationTimestamp: Timestamp?

  package init() {}

  package init(name: String, namespace: String, labels: [String: String] = [:]) {
    self.name = name
    self.namespace = namespace
    self.labels = labels
  }

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("name", &name, .required)
    visitor.field("namespace", &namespace, .format(.dnsLabel))
    visitor.field("uid", &uid)
    visitor.field("resourceVersion", &resourceVersion)
    visitor.field("generation", &generation)
    visitor.field("creationTimestamp", &creationTimestamp)
    visitor.field("labels", &labels, .items(0...256))
    visitor.field("annotations", &annotations, .items(0...256))
  }

  package func check(path: String, into report: ViolationReport) {
    for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
      checkKey(key, "\(path).labels", report)
      if let fault = TextFormat.labelValue.fault(in: value) {
        report.add(
          .invalid, at: "\(path).labels[\(quoted(key))]", "\(quoted(value)) \(fault); change it to that form")
      }
    }
    for key in annotations.keys.sorted() { checkKey(key, "\(path).annotations", report) }
    if let resourceVersion, UInt64(resourceVersion) == nil {
      report.add(
        .invalid, at: "\(path).resourceVersion",
        "\(quoted(resourceVersion)) is no version of this control plane; take it from the object as it was read, "
          + "or leave it out")
    }
  }

  private func checkKey(_ key: String, _ path: String, _ report: ViolationReport) {
    guard let fault = TextFormat.labelKey.fault(in: key) else { return }
    report.add(.invalid, at: path, "the key \(quoted(key)) \(fault); change it to that form")
  }
}

extension Timestamp: FieldValue {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Timestamp? {
    guard let text = String.read(value, path: path, into: report) else { return nil }
    if let time = Timestamp(rfc3339: text) { return time }
    report.add(
      .invalid, at: path, "\(quoted(text)) is no time; write it like 2026-01-31T23:59:59Z, or leave it out",
      position: value.position)
    return nil
  }

  package var written: Value? { .string(rfc3339) }
}
