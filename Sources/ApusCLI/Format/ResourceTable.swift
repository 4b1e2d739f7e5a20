package import MeshControl

/// The table of one kind of objects.
package struct ResourceTable: Sendable {
  private typealias Cell = @Sendable (Value) -> String?

  /// A column, and what it shows of an object; absent values become `-`.
  private struct Field: Sendable {
    var column: Table.Column
    var isWide = false
    var cell: Cell
  }

  private let fields: [Field]
  private let showsNamespace: Bool
  /// Discovery does not say since when it knows a workload.
  private let showsAge: Bool
  private let now: Timestamp

  /// - Parameter wide: with the columns that need more than 80 characters.
  package init(kind: KindInfo, wide: Bool, showsNamespace: Bool, now: Timestamp) {
    fields = Self.fields(of: kind).filter { wide || !$0.isWide }
    self.showsNamespace = showsNamespace
    showsAge = kind != .workload
    self.now = now
  }

  package func table(of objects: [Value]) -> Table {
    var columns = showsNamespace ? [Table.Column("NAMESPACE")] : []
    columns.append(Table.Column("NAME", minimumWidth: 16))
    columns += fields.map(\.column) + (showsAge ? [Table.Column("AGE")] : [])
    var table = Table(columns)
    table.rows = objects.map(row)
    return table
  }

  private func row(_ object: Value) -> [String] {
    let metadata = object["metadata"]
    var cells = showsNamespace ? [metadata?["namespace"]?.text ?? Figures.none] : []
    // Instances of one version share a name; what tells them apart is the id.
    cells.append((showsAge ? metadata?["name"] : metadata?["uid"])?.text ?? Figures.none)
    for field in fields {
      let text = field.cell(object) ?? ""
      cells.append(text.isEmpty ? Figures.none : text)
    }
    if showsAge { cells.append(Figures.age(since: metadata?["creationTimestamp"]?.text, now: now)) }
    return cells
  }

  private static func fields(of kind: KindInfo) -> [Field] {
    switch kind.kind {
    case "Service": serviceFields
    case "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute":
      [
        Field(column: .init("PARENTS", minimumWidth: 10)) { list($0["spec"]?["parentRefs"], reference) },
        Field(column: .init("BACKENDS", minimumWidth: 16)) { backends($0) },
        Field(column: .init("ACCEPTED")) { condition("Accepted", $0) },
        Field(column: .init("RESOLVED")) { condition("ResolvedRefs", $0) },
        Field(column: .init("HOSTNAMES"), isWide: true) { list($0["spec"]?["hostnames"], \.text) },
      ]
    case "EndpointSlice":
      [
        Field(column: .init("SERVICE")) { $0["metadata"]?["labels"]?["kubernetes.io/service-name"]?.text },
        Field(column: .init("PORTS")) { list($0["ports"]) { $0["port"]?.scalarText } },
        Field(column: .init("ENDPOINTS", minimumWidth: 16)) { slice in
          list(slice["endpoints"]) { list($0["addresses"], \.text) }
        },
      ]
    case "TrafficPolicy":
      [
        Field(column: .init("TARGETS", minimumWidth: 10)) { list($0["spec"]?["targetRefs"], reference) },
        Field(column: .init("SETTINGS", minimumWidth: 20)) { policy in
          policy["spec"]?.members?.map(\.name).filter { $0 != "targetRefs" }.joined(separator: ",")
        },
        Field(column: .init("ACCEPTED"), isWide: true) { condition("Accepted", $0) },
      ]
    case "PeerAuthentication":
      [
        Field(column: .init("MODE")) { $0["spec"]?["mtls"]?["mode"]?.text ?? $0["spec"]?["mode"]?.text },
        Field(column: .init("SELECTOR", minimumWidth: 12)) {
          ($0["spec"]?["selector"]?["matchLabels"] ?? $0["spec"]?["selector"])?.labelText
        },
      ]
    case "Telemetry": telemetryFields
    case "BackendTLSPolicy":
      [
        Field(column: .init("TARGETS", minimumWidth: 10)) { list($0["spec"]?["targetRefs"], reference) },
        Field(column: .init("HOSTNAME", minimumWidth: 12)) { $0["spec"]?["validation"]?["hostname"]?.text },
        Field(column: .init("ACCEPTED")) { condition("Accepted", $0) },
        Field(column: .init("RESOLVED")) { condition("ResolvedRefs", $0) },
      ]
    case "ReferenceGrant":
      [
        Field(column: .init("FROM", minimumWidth: 16)) { grant in
          list(grant["spec"]?["from"]) { from in
            from["namespace"]?.text.map { "\(from["kind"]?.text?.lowercased() ?? "")/\($0)" }
          }
        },
        Field(column: .init("TO", minimumWidth: 12)) { grant in
          list(grant["spec"]?["to"]) { to in
            (to["kind"]?.text?.lowercased()).map { kind in to["name"]?.text.map { "\(kind)/\($0)" } ?? kind }
          }
        },
      ]
    case "ConfigMap":
      [
        Field(column: .init("DATA", .right)) { "\($0["data"]?.members?.count ?? 0)" }
      ]
    case "DirectResponse":
      [Field(column: .init("STATUS", .right)) { $0["spec"]?["status"]?.scalarText }]
    case "Rollout": rolloutFields
    case "Workload": workloadFields
    default: []
    }
  }

  private static var serviceFields: [Field] {
    [
      Field(column: .init("PORTS", minimumWidth: 8)) { list($0["spec"]?["ports"], servicePort) },
      Field(column: .init("SELECTOR", minimumWidth: 12)) {
        $0["spec"]?["selector"]?.labelText ?? $0["spec"]?["externalName"]?.text.map { "-> \($0)" }
      },
      Field(column: .init("RESOLVED"), isWide: true) { condition("Resolved", $0) },
    ]
  }

  private static var telemetryFields: [Field] {
    [
      Field(column: .init("SETS", minimumWidth: 20)) { telemetry in
        telemetry["spec"]?.members?.map(\.name).filter { $0 != "selector" && $0 != "targetRefs" }.joined(
          separator: ",")
      },
      Field(column: .init("SELECTOR", minimumWidth: 12)) {
        $0["spec"]?["selector"]?["matchLabels"]?.labelText ?? list($0["spec"]?["targetRefs"], reference)
      },
    ]
  }

  private static var rolloutFields: [Field] {
    [
      Field(column: .init("SERVICE", minimumWidth: 10)) { $0["spec"]?["service"]?.text },
      Field(column: .init("VERSION")) { $0["spec"]?["version"]?.text },
      Field(column: .init("PHASE")) { $0["status"]?["phase"]?.text },
      Field(column: .init("STABLE")) { $0["status"]?["stableVersion"]?.text },
      Field(column: .init("WEIGHT", .right)) { $0["status"]?["weight"]?.scalarText.map { "\($0)%" } },
      Field(column: .init("REASON"), isWide: true) { $0["status"]?["reason"]?.text },
    ]
  }

  private static var workloadFields: [Field] {
    [
      Field(column: .init("APP")) { label("app", $0) },
      Field(column: .init("VERSION")) { label("version", $0) },
      Field(column: .init("ADDRESS", minimumWidth: 12)) { spec($0, "address")?.text },
      Field(column: .init("HEALTH")) { $0["status"]?["health"]?.text },
      Field(column: .init("MESHED")) { ($0["status"]?["identity"]?.text ?? "").isEmpty ? "no" : "yes" },
      Field(column: .init("PORTS"), isWide: true) { workload in
        list(spec(workload, "ports")) { $0["appPort"]?.scalarText }
      },
      Field(column: .init("ACCOUNT"), isWide: true) { spec($0, "serviceAccount")?.text },
      Field(column: .init("SERVICES"), isWide: true) { list($0["status"]?["services"], \.text) },
    ]
  }

  private static func spec(_ object: Value, _ name: String) -> Value? { object["spec"]?[name] }

  private static func label(_ name: String, _ object: Value) -> String? {
    object["metadata"]?["labels"]?[name]?.text
  }

  /// The texts of a list's elements, with commas.
  private static func list(_ value: Value?, _ text: (Value) -> String?) -> String? {
    value?.elements?.compactMap(text).joined(separator: ",")
  }

  /// `80→http`, `80` where both are the same.
  private static func servicePort(_ port: Value) -> String? {
    guard let number = port["port"]?.scalarText else { return nil }
    guard let target = port["targetPort"]?.scalarText, target != number else { return number }
    return "\(number)→\(target)"
  }

  /// `catalog`, with the kind before it where that is not a service.
  private static func reference(_ reference: Value) -> String? {
    guard let name = reference["name"]?.text else { return nil }
    let kind = reference["kind"]?.text ?? "Service"
    let place = reference["namespace"]?.text.map { "\($0)/" } ?? ""
    return kind == "Service" ? place + name : "\(kind.lowercased())/\(place)\(name)"
  }

  /// The backends of all rules, with their weights where there are several.
  private static func backends(_ route: Value) -> String? {
    let rules = route["spec"]?["rules"]?.elements ?? []
    return rules.compactMap { rule -> String? in
      guard let backends = rule["backendRefs"]?.elements, !backends.isEmpty else { return nil }
      return backends.compactMap { backend in
        reference(backend).map { name in
          backends.count == 1 ? name : "\(name):\(backend["weight"]?.scalarText ?? "1")"
        }
      }.joined(separator: ",")
    }.joined(separator: ";")
  }

  /// `True`, or the reason why not; of several parents the worst.
  private static func condition(_ type: String, _ object: Value) -> String? {
    let parents = object["status"]?["parents"]?.elements ?? object["status"]?["ancestors"]?.elements
    let conditions = (parents ?? object["status"].map { [$0] } ?? []).compactMap { parent in
      parent["conditions"]?.elements?.first { $0["type"]?.text == type }
    }
    let failed = conditions.first { $0["status"]?.text != "True" }
    return failed.map { $0["reason"]?.text ?? "False" } ?? conditions.first?["status"]?.text
  }
}
