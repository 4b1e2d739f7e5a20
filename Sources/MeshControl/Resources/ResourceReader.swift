extension Resource {
  /// Members of `metadata` that other systems write and that mean nothing here; they are dropped.
  private static let foreignMetadata = [
    "managedFields", "ownerReferences", "finalizers", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds",
    "generateName",
  ]

  /// Reads one object from a document, telling everything that is wrong with it.
  /// - Parameters:
  ///   - namespace: for objects that name none.
  /// - Returns: nil when there was anything to tell.
  package static func read(_ value: Value, namespace: String, into report: ViolationReport) -> Resource? {
    let countBefore = report.violations.count + report.omittedCount
    guard let members = value.members else {
      report.add(
        .typeInvalid, at: "",
        "the document is \(value.typeName), not an object; "
          + "begin with apiVersion, kind, metadata and spec", position: value.position)
      return nil
    }
    let apiVersion = text("apiVersion", of: value, into: report)
    let kindName = text("kind", of: value, into: report)
    // Without a kind nothing else can be judged, save the name.
    guard let apiVersion, let kindName,
      let type = type(apiVersion: apiVersion, kind: kindName, of: value, into: report)
    else {
      _ = readMetadata(value, format: .dnsSubdomain, namespace: namespace, into: report)
      return nil
    }
    let metadata = readMetadata(value, format: type.kind.nameRule.format, namespace: namespace, into: report)
    let spec = readSpec(type, members: members, value: value, into: report)
    guard report.violations.count + report.omittedCount == countBefore, let metadata, let spec else { return nil }
    return Resource(metadata: metadata, spec: spec, status: value["status"].flatMap { $0.isNull ? nil : $0 })
  }

  private static func text(_ name: String, of value: Value, into report: ViolationReport) -> String? {
    guard let found = value[name], !found.isNull else {
      report.add(.required, at: name, "is missing; add it", position: value.position)
      return nil
    }
    return String.read(found, path: name, into: report)
  }

  private static func type(
    apiVersion: String, kind: String, of value: Value, into report: ViolationReport
  ) -> (any ResourceSpec.Type)? {
    let types = KindRegistry.types
    let served = types.first { type in
      type.kind.kind == kind
        && (type.kind.apiVersion == apiVersion
          || type.kind.otherVersions.contains { "\(type.kind.group)/\($0)" == apiVersion })
    }
    if let served { return served }
    if let sameName = types.first(where: { $0.kind.kind == kind }) {
      report.add(
        .notSupported, at: "apiVersion",
        "\(quoted(apiVersion)) has no kind \(kind); use apiVersion \(sameName.kind.apiVersion)",
        position: value["apiVersion"]?.position)
      return nil
    }
    let known = types.map { "\($0.kind.kind) (\($0.kind.apiVersion))" }.joined(separator: ", ")
    let nearest = Suggestion.nearest(to: kind, among: types.map { $0.kind.kind })
    report.add(
      .notSupported, at: "kind",
      "\(quoted(kind)) of \(quoted(apiVersion)) is not a kind that this control plane takes; "
        + (nearest.map { "did you mean \"\($0)\"? " } ?? "take the object out of what is applied. ")
        + "Known kinds: \(known)",
      position: value["kind"]?.position)
    return nil
  }

  private static func readMetadata(
    _ value: Value, format: TextFormat, namespace: String, into report: ViolationReport
  ) -> Metadata? {
    guard let found = value["metadata"], !found.isNull else {
      report.add(.required, at: "metadata", "is missing; add it, with a name", position: value.position)
      return nil
    }
    guard let members = found.members else { return Metadata.read(found, path: "metadata", into: report) }
    let metadata = Metadata.read(
      members: members, position: found.position, path: "metadata", also: foreignMetadata, into: report)
    if let name = found["name"], let text = name.text, let fault = format.fault(in: text) {
      report.add(
        .invalid, at: "metadata.name", "\(quoted(text)) \(fault); change the name", position: name.position)
    }
    guard var metadata else { return nil }
    if metadata.namespace.isEmpty { metadata.namespace = namespace }
    return metadata
  }

  private static func readSpec(
    _ type: any ResourceSpec.Type, members: [Value.Member], value: Value, into report: ViolationReport
  ) -> (any ResourceSpec)? {
    let common = ["apiVersion", "kind", "metadata", "status"]
    switch type.kind.layout {
    case .topLevel:
      return type.read(members: members, position: value.position, path: "", also: common, into: report)
    case .spec:
      for member in members where !common.contains(member.name) && member.name != "spec" {
        report.add(
          .unknownField, at: String(member.name.prefix(64)),
          "no such field; \(Suggestion.hint(for: member.name, among: common + ["spec"]))",
          position: member.value.position)
      }
      guard let found = value["spec"], !found.isNull else {
        report.add(.required, at: "spec", "is missing; add it", position: value.position)
        return nil
      }
      return type.read(found, path: "spec", into: report)
    }
  }
}
