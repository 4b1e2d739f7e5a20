import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus edges`: who calls whom, as whom, and whether it is encrypted.
struct Edges: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Show who calls whom, whether it is encrypted, and how it goes.",
    usage: "apus edges [-n <namespace> | -A] [--from <name>] [--to <name>] ...",
    discussion: """
      SECURED says whether the traffic of the last minutes (--window) went over mutual TLS. -o wide tells workloads apart \
      and shows the identities of both sides. TCP is how many connections are open, and how many were opened meanwhile.

      EXAMPLES
        apus edges
        apus edges --to payments -o wide
        apus edges -A -o json
      """)

  @OptionGroup var namespaces: NamespacesOption
  @OptionGroup var peers: PeerOptions
  @OptionGroup var window: WindowOption

  @Option(name: [.customShort("o"), .long], help: "table, wide, json or yaml.")
  var output = ProxyStatusVerb.Format.table

  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    let dimensions =
      output == .table ? "sourceService,service,security" : "source,sourceService,service,workload,security"
    let value = try client.call("GET", "/apis/apus.dev/v1/traffic?by=\(dimensions)\(window.query)\(peers.query)")
    let rows = (value["items"]?.elements ?? []).filter {
      namespaces.listed == nil || $0["destinationNamespace"]?.text == namespaces.listed
        || $0["sourceNamespace"]?.text == namespaces.listed
    }
    guard output != .table else {
      if rows.isEmpty { context.errors.write("No traffic within the last \(window.seconds) seconds.\n") }
      context.output.write(rows.isEmpty ? "" : Self.table(rows).text(maxWidth: context.tableWidth))
      return .success
    }
    let identities = Self.identities(try client.call("GET", "/apis/apus.dev/v1/workloads"))
    let named = rows.map { Self.withIdentities($0, identities) }
    let list = Value.object([.init("items", .list(named))])
    switch output {
    case .json: context.output.write(PrettyJSON.text(list))
    case .yaml: context.output.write(YAMLWriter.text(list))
    case .table, .wide: context.output.write(named.isEmpty ? "" : Self.wide(named).text())
    }
    return .success
  }

  private static func table(_ rows: [Value]) -> Table {
    var table = Table([
      .init("FROM", minimumWidth: 12), .init("TO", minimumWidth: 12), .init("SECURED"), .init("SUCCESS", .right),
      .init("RPS", .right), .init("P50", .right), .init("P99", .right),
    ])
    table.rows = rows.map { row in
      [
        Figures.name(row["sourceNamespace"], row["sourceService"]),
        Figures.name(row["destinationNamespace"], row["service"]), secured(row),
      ] + Figures.golden(row, quantiles: ["p50Ms", "p99Ms"])
    }
    return Figures.withConnections(table, rows)
  }

  private static func wide(_ rows: [Value]) -> Table {
    var table = Table([
      .init("FROM"), .init("TO"), .init("SERVICE"), .init("SECURED"), .init("SUCCESS", .right), .init("RPS", .right),
      .init("P99", .right), .init("CALLER"), .init("CALLED"),
    ])
    table.rows = rows.map { row in
      [
        Figures.name(row["sourceNamespace"], row["source"]), Figures.name(nil, row["workload"]),
        Figures.name(row["destinationNamespace"], row["service"]), secured(row),
      ] + Figures.golden(row, quantiles: ["p99Ms"]) + [
        Figures.name(nil, row["sourceIdentity"]), Figures.name(nil, row["destinationIdentity"]),
      ]
    }
    return table
  }

  /// Whether a row's traffic was encrypted; none of it reached an endpoint: neither.
  static func secured(_ row: Value) -> String {
    guard let isSecured = row["mutualTLS"] else { return Figures.none }
    return isSecured == .boolean(true) ? "mTLS" : "no"
  }

  /// SPIFFE IDs by `namespace/workload`.
  static func identities(_ workloads: Value) -> [String: String] {
    let pairs = (workloads["items"]?.elements ?? []).map { workload in
      (
        "\(workload["metadata"]?["namespace"]?.text ?? "")/\(workload["spec"]?["workload"]?.text ?? "")",
        workload["status"]?["identity"]?.text ?? ""
      )
    }
    return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
  }

  private static func withIdentities(_ row: Value, _ identities: [String: String]) -> Value {
    func identity(_ namespace: String, _ name: String) -> Value {
      .string(identities["\(row[namespace]?.text ?? "")/\(row[name]?.text ?? "")"] ?? "")
    }
    return .object(
      (row.members ?? []) + [
        .init("sourceIdentity", identity("sourceNamespace", "source")),
        .init("destinationIdentity", identity("destinationNamespace", "workload")),
      ])
  }
}

/// Between whom.
struct PeerOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Only what this workload or service calls.", valueName: "name"))
  var from: String?

  @Option(help: ArgumentHelp("Only what is called of this service or workload.", valueName: "name"))
  var to: String?

  /// As parameters of the API, each with its `&`.
  var query: String { Self.query(from: from.map(ServiceName.withoutKind), to: to.map(ServiceName.withoutKind)) }

  /// The same of names that have no kind before them.
  static func query(from: String?, to: String?) -> String {
    [("from", from), ("to", to)].map { name, value in
      value.map { "&\(name)=\(PercentCoding.encode($0))" } ?? ""
    }.joined()
  }
}

/// How far a verb looks back.
struct WindowOption: ParsableArguments {
  @Option(
    name: .customLong("window"), help: ArgumentHelp("How far to look back, seconds (1-3600).", valueName: "seconds"))
  var seconds = WindowOption.standardSeconds

  /// How far all verbs look back where nobody says otherwise, so that figures side by side agree.
  static let standardSeconds = 30

  var query: String { "&window=\(seconds)" }

  func validate() throws {
    guard (1...3600).contains(seconds) else { throw ValidationError("--window must be from 1 to 3600 seconds") }
  }
}

extension Figures {
  /// `namespace/name`, the name alone in the namespace `default`, `-` for nothing known.
  static func name(_ namespace: Value?, _ name: Value?) -> String {
    let text = name?.text ?? ""
    if text.isEmpty || text == "unknown" { return none }
    let space = namespace?.text ?? ""
    return space.isEmpty || space == "default" || space == "unknown" ? text : "\(space)/\(text)"
  }

  /// The table with a column for TCP, where any of its rows has some: connections that are open, and that were opened
  /// within the window.
  static func withConnections(_ table: Table, _ rows: [Value]) -> Table {
    func count(_ row: Value, _ name: String) -> Int { row[name]?.int ?? 0 }
    guard rows.contains(where: { count($0, "tcpOpened") > 0 || count($0, "tcpConnections") > 0 }) else { return table }
    var wider = table
    wider.columns.append(.init("TCP", .right))
    for (index, row) in rows.enumerated() where index < wider.rows.count {
      let (open, opened) = (count(row, "tcpConnections"), count(row, "tcpOpened"))
      wider.rows[index].append(open + opened > 0 ? "\(open)/\(opened)" : none)
    }
    return wider
  }

  /// Success, requests a second and quantiles of a row of the API.
  static func golden(_ row: Value, quantiles: [String]) -> [String] {
    [percent(row["successRate"]?.double), oneDecimal(row["rps"]?.double)]
      + quantiles.map { milliseconds(row[$0]?.double) }
  }
}
