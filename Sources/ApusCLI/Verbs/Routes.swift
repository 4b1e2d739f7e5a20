import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus routes`: how each rule of the routes fares.
struct Routes: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Show how the requests of each route's rules fare.",
    usage: "apus routes [<service>] [-n <namespace> | -A] [--from <name>] [<options>]",
    discussion: """
      The figures cover the last 30 seconds (or --window). SUCCESS is what callers saw, ATTEMPTS the share of attempts that did not fail: where retries help, the first is \
      higher than the second.

      EXAMPLES
        apus routes
        apus routes catalog --from front --window 3600
        apus routes -A -o json
      """)

  @Argument(
    help: ArgumentHelp(
      "The service whose routes are shown, as NAME, service/NAME or service NAME.", valueName: "service"))
  var service: String?

  @Argument(help: ArgumentHelp("The service's name, where the kind comes before it.", valueName: "name"))
  var name: String?

  @OptionGroup var namespaces: NamespacesOption

  @Option(help: ArgumentHelp("Only what this workload or service calls.", valueName: "name"))
  var from: String?

  @OptionGroup var window: WindowOption
  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    let named = try Self.named(service, name)
    let name = named?.name ?? ""
    let peers = PeerOptions.query(
      from: from.map(ServiceName.withoutKind),
      to: (named?.namespace ?? namespaces.listed).map { "\($0)/\(name)" } ?? named?.name)
    var client = try connection.client(in: context)
    let value = try client.call("GET", "/apis/apus.dev/v1/traffic?by=service,route\(window.query)\(peers)")
    let rows = value["items"]?.elements ?? []
    if rows.isEmpty {
      context.errors.write(
        "No traffic \(name.isEmpty ? "" : "to \(name) ")within the last \(window.seconds) seconds.\n")
    }
    context.write(.object([.init("items", .list(rows))]), as: format.output) {
      rows.isEmpty ? "" : Self.table(rows).text(maxWidth: context.tableWidth)
    }
    return .success
  }

  private static func named(_ service: String?, _ name: String?) throws(CLIFailure) -> ServiceName? {
    guard let service else { return nil }
    return try ServiceName(service, name)
  }

  static func table(_ rows: [Value]) -> Table {
    var table = Table([
      .init("SERVICE", minimumWidth: 8), .init("ROUTE", minimumWidth: 12), .init("SUCCESS", .right),
      .init("ATTEMPTS", .right), .init("RPS", .right), .init("P50", .right), .init("P95", .right),
      .init("P99", .right),
    ])
    table.rows = rows.map { row in
      let route = row["route"]?.text ?? ""
      return [
        Figures.name(row["destinationNamespace"], row["service"]), route.isEmpty ? "(none)" : route,
        Figures.percent(row["successRate"]?.double), Figures.percent(row["attemptSuccessRate"]?.double),
      ] + Figures.golden(row, quantiles: ["p50Ms", "p95Ms", "p99Ms"]).dropFirst()
    }
    return Figures.withConnections(table, rows)
  }
}
