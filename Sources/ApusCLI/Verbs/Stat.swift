import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus stat`: how services and workloads fare, from the proxies' own counts.
struct Stat: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Show success rate, requests per second and latency of services and workloads.",
    usage: "apus stat [<subject>] [-n <namespace> | -A] [--watch] [<options>]",
    discussion: """
      The figures come from the proxies and cover the last 30 seconds (or --window). MESHED counts the instances whose proxy \
      is connected. A request fails when it is answered with 500-599 or not at all. With --from or --to the rows are \
      those of the calls between them. -o wide tells the effective success (what callers saw) from the actual one (of \
      every attempt): where retries help, the first is higher.

      EXAMPLES
        apus stat
        apus stat service/catalog --watch
        apus stat --to payments -o wide
        apus stat workloads -A -o json
      """)

  @Argument(help: ArgumentHelp("services, workloads, or one of them as service/NAME.", valueName: "subject"))
  var subject: String?

  @Argument(help: ArgumentHelp("The name of one of them, where it is not in the subject.", valueName: "name"))
  var name: String?

  @OptionGroup var namespaces: NamespacesOption
  @OptionGroup var peers: PeerOptions

  @Option(help: ArgumentHelp("How far to look back, seconds (1-3600).", valueName: "seconds"))
  var window = WindowOption.standardSeconds

  @Flag(name: [.short, .long], help: "Show the figures again every second.")
  var watch = false

  @Option(name: [.customShort("o"), .long], help: "table, wide, json or yaml.")
  var output = ProxyStatusVerb.Format.table

  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard (1...3600).contains(window) else { throw ValidationError("--window must be from 1 to 3600 seconds") }
    if subject != nil, isOfCalls { throw ValidationError("a subject, and --from or --to, exclude each other") }
  }

  private var isOfCalls: Bool { peers.from != nil || peers.to != nil }

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    let filter = try StatFilter(subject, name, namespace: namespaces.listed)
    var client = try connection.client(in: context)
    guard watch else {
      let answer = try fetch(&client, filter)
      if let name = filter.name, answer.rows.isEmpty {
        throw CLIFailure(
          .notFound, "there are no figures of \(filter.kind?.rawValue ?? "") \"\(name)\"",
          hint: "`apus stat -A` lists what there is")
      }
      if answer.rows.isEmpty { context.errors.write(Self.nothing(namespaces.listed)) }
      switch output {
      case .json: context.output.write(PrettyJSON.text(answer.value))
      case .yaml: context.output.write(YAMLWriter.text(answer.value))
      case .table, .wide: context.output.write(answer.text(context, namespaces.allNamespaces, output == .wide))
      }
      return .success
    }
    var screen = Screen(context)
    while true {
      let answer = try fetch(&client, filter)
      switch output {
      case .json: context.output.write(answer.value.json() + "\n")
      case .yaml: context.output.write("---\n" + YAMLWriter.text(answer.value))
      case .table, .wide: screen.show(answer.text(context, namespaces.allNamespaces, output == .wide))
      }
      Pause.sleep(.seconds(1))
    }
  }

  private func fetch(_ client: inout APIClient, _ filter: StatFilter) throws(CLIFailure) -> Answer {
    if isOfCalls {
      let path = "/apis/apus.dev/v1/traffic?by=sourceService,service&window=\(window)\(peers.query)"
      let rows = try client.call("GET", path)["items"]?.elements ?? []
      return Answer(rows: rows, value: .object([.init("items", .list(rows))]), isOfCalls: true)
    }
    let value = try client.call("GET", "/apis/apus.dev/v1/stats?window=\(window)")
    let rows = (value["items"]?.elements ?? []).filter(filter.matches)
    return Answer(rows: rows, value: .object([.init("items", .list(rows))]))
  }

  private static func nothing(_ namespace: String?) -> String {
    "No services or workloads \(namespace.map { "in namespace \($0)" } ?? "in any namespace").\n"
  }

  private struct Answer {
    var rows: [Value]
    var value: Value
    var isOfCalls = false

    func text(_ context: CLIContext, _ showsNamespace: Bool, _ isWide: Bool) -> String {
      if isOfCalls { return StatTable.calls(rows, isWide: isWide).text(maxWidth: context.tableWidth) }
      if isWide { return StatTable.wide(rows, showsNamespace: showsNamespace).text(maxWidth: context.tableWidth) }
      return StatTable(rows: rows, showsNamespace: showsNamespace).table.text(maxWidth: context.tableWidth)
    }
  }
}

/// Which rows of the figures are asked for.
struct StatFilter: Equatable {
  enum Kind: String {
    case service, workload
  }

  var kind: Kind?
  var name: String?
  /// Absent: all namespaces.
  var namespace: String?

  init(_ subject: String?, _ name: String? = nil, namespace: String?) throws(CLIFailure) {
    self.namespace = namespace
    guard let subject else { return }
    let target = try ObjectName(kind: subject, name: name)
    guard let kind = Kind(rawValue: target.kind.singular) else {
      throw CLIFailure(
        .usage, "there are no figures of \(target.kind.plural)", hint: "write services, workloads, or service/NAME")
    }
    self.kind = kind
    self.name = target.name
  }

  func matches(_ row: Value) -> Bool {
    (namespace == nil || row["namespace"]?.text == namespace)
      && (kind == nil || row["kind"]?.text == kind?.rawValue)
      && (name == nil || row["name"]?.text == name)
  }
}

/// Rows of figures as a table that fits 80 columns.
struct StatTable {
  var table: Table

  init(rows: [Value], showsNamespace: Bool) {
    var columns = showsNamespace ? [Table.Column("NAMESPACE", minimumWidth: 8)] : []
    columns += [
      Table.Column("NAME", minimumWidth: 18), Table.Column("MESHED", .right), Table.Column("SUCCESS", .right),
      Table.Column("RPS", .right), Table.Column("P50", .right), Table.Column("P95", .right),
      Table.Column("P99", .right), Table.Column("CONNS", .right),
    ]
    table = Table(columns)
    table.rows = Self.ordered(rows).map { row in
      (showsNamespace ? [row["namespace"]?.text ?? Figures.none] : []) + [
        "\(row["kind"]?.text ?? "service")/\(row["name"]?.text ?? "")", Self.meshed(row),
        Figures.percent(row["successRate"]?.double), Figures.oneDecimal(row["rps"]?.double),
        Figures.milliseconds(row["p50Ms"]?.double), Figures.milliseconds(row["p95Ms"]?.double),
        Figures.milliseconds(row["p99Ms"]?.double), row["tcpConnections"]?.scalarText ?? Figures.none,
      ]
    }
  }

  /// Rows of calls, caller by caller.
  static func calls(_ rows: [Value], isWide: Bool = false) -> Table {
    if isWide { return wideCalls(rows) }
    var table = Table([
      .init("FROM", minimumWidth: 10), .init("TO", minimumWidth: 10), .init("SUCCESS", .right), .init("RPS", .right),
      .init("P50", .right), .init("P95", .right), .init("P99", .right), .init("RETRIES", .right),
    ])
    table.rows = rows.map { row in
      [
        Figures.name(row["sourceNamespace"], row["sourceService"]),
        Figures.name(row["destinationNamespace"], row["service"]),
      ] + Figures.golden(row, quantiles: ["p50Ms", "p95Ms", "p99Ms"]) + [row["retries"]?.scalarText ?? "0"]
    }
    return Figures.withConnections(table, rows)
  }

  /// The columns of both success rates, of requests and retries: what `-o wide` has more.
  private static let wideColumns = [
    Table.Column("EFFECTIVE", .right), Table.Column("ACTUAL", .right), Table.Column("REQUESTS", .right),
    Table.Column("RETRIES", .right), Table.Column("RPS", .right), Table.Column("P50", .right),
    Table.Column("P99", .right),
  ]

  private static func wideCells(_ row: Value) -> [String] {
    [
      Figures.percent(row["successRate"]?.double), Figures.percent(row["attemptSuccessRate"]?.double),
      row["requests"]?.scalarText ?? "0", row["retries"]?.scalarText ?? "0",
    ] + Figures.golden(row, quantiles: ["p50Ms", "p99Ms"]).dropFirst()
  }

  private static func wideCalls(_ rows: [Value]) -> Table {
    var table = Table([.init("FROM", minimumWidth: 6), .init("TO", minimumWidth: 6)] + wideColumns)
    table.rows = rows.map { row in
      [
        Figures.name(row["sourceNamespace"], row["sourceService"]),
        Figures.name(row["destinationNamespace"], row["service"]),
      ] + wideCells(row)
    }
    return Figures.withConnections(table, rows)
  }

  /// Services and workloads with both success rates.
  static func wide(_ rows: [Value], showsNamespace: Bool) -> Table {
    let space = showsNamespace ? [Table.Column("NAMESPACE", minimumWidth: 6)] : []
    var table = Table(space + [Table.Column("NAME", minimumWidth: 9)] + wideColumns)
    table.rows = ordered(rows).map { row in
      (showsNamespace ? [row["namespace"]?.text ?? Figures.none] : [])
        + ["\(row["kind"]?.text ?? "service")/\(row["name"]?.text ?? "")"] + wideCells(row)
    }
    return table
  }

  /// Instances with a proxy and all of them; nothing where there are none.
  static func meshed(_ row: Value) -> String {
    let text = row["meshed"]?.text ?? ""
    return text.isEmpty || text == "0/0" ? Figures.none : text
  }

  /// Services before workloads, each in order of namespace and name.
  static func ordered(_ rows: [Value]) -> [Value] {
    func key(_ row: Value) -> (String, String, String) {
      (row["kind"]?.text ?? "", row["namespace"]?.text ?? "", row["name"]?.text ?? "")
    }
    return rows.sorted { key($0) < key($1) }
  }
}
