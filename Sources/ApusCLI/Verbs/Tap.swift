import ApusHTTP
import ArgumentParser
import MeshControl

/// Which requests a live verb looks at.
struct TapOptions: ParsableArguments {
  @OptionGroup var peers: PeerOptions

  @Option(help: ArgumentHelp("Only paths that begin so.", valueName: "path"))
  var path: String?

  @Option(help: ArgumentHelp("Only requests with this method.", valueName: "method"))
  var method: String?

  @Option(help: ArgumentHelp("Only answers with this status: 503, or 5xx.", valueName: "status"))
  var status: String?

  @Option(help: ArgumentHelp("Only requests with this reason; docs/reasons.md lists them.", valueName: "reason"))
  var reason: String?

  @Flag(help: "Only failures, refusals and retries.")
  var notable = false

  @Option(help: ArgumentHelp("Most requests a second (1-1000).", valueName: "count"))
  var rate = 100

  func validate() throws {
    guard (1...1000).contains(rate) else { throw ValidationError("--rate must be from 1 to 1000 requests a second") }
  }

  var target: String {
    var query = "rate=\(rate)" + peers.query
    if let path { query += "&path=\(PercentCoding.encode(path))" }
    if let method { query += "&method=\(PercentCoding.encode(method))" }
    if let status { query += "&status=\(PercentCoding.encode(status))" }
    if let reason { query += "&reason=\(PercentCoding.encode(reason))" }
    if notable { query += "&notable=1" }
    return "/apis/apus.dev/v1/tap?\(query)"
  }
}

/// `apus tap`: requests as they end.
struct Tap: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Show requests as they end, from both sides of each call.",
    usage: "apus tap [--from <name>] [--to <name>] [--path <path>] [<options>]",
    discussion: """
      `out` is what the caller's proxy says, `in` what the proxy of the called says. Bodies and queries are never shown; \
      header fields only with --heads, without the values of authorization, cookies and what `apus up --redact-header` \
      names. What is above --rate is counted and left out.

      EXAMPLES
        apus tap --to payments
        apus tap --notable --count 10
        apus tap --to payments --method POST --status 5xx
        apus tap --from front -o json
      """)

  @OptionGroup var options: TapOptions

  @Flag(help: "Show the fields of both heads (> asked, < answered), without the values of authorization and the like.")
  var heads = false

  @Option(help: ArgumentHelp("End after so many requests.", valueName: "count"))
  var count: Int?

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context, timeout: .seconds(30))
    var left = count ?? .max
    try client.watch(options.target + (heads ? "&heads=1" : "")) { event in
      switch event["type"]?.text {
      case "REQUEST":
        guard let object = event["object"] else { return true }
        switch format.output {
        case .json: context.output.write(object.json() + "\n")
        case .yaml: context.output.write("---\n" + YAMLWriter.text(object))
        case .table:
          context.output.write(Self.line(object, width: context.tableWidth) + "\n")
          for (member, mark) in [("requestHead", "  > "), ("responseHead", "  < ")] {
            for field in object[member]?.elements ?? [] {
              context.output.write(
                mark + Self.harmless("\(field["name"]?.text ?? ""): \(field["value"]?.text ?? "")") + "\n")
            }
          }
        }
        left -= 1
      case "OMITTED":
        context.errors.write("(\(event["count"]?.scalarText ?? "some") more requests are not shown; see --rate)\n")
      default: break
      }
      return left > 0
    }
    return .success
  }

  static func line(_ request: Value, width: Int?) -> String {
    let isInbound = request["reporter"]?.text == "destination"
    let from = Figures.name(request["sourceNamespace"], request["sourceService"])
    let to = Figures.name(request["destinationNamespace"], request["service"])
    let time = (request["time"]?.text ?? "").split(separator: "T").last.map { $0.dropLast() } ?? ""
    let reason = request["reason"]?.text ?? ""
    let parts = [
      String(time), isInbound ? "in " : "out", request["status"]?.scalarText ?? Figures.none,
      Figures.milliseconds(request["durationMs"]?.double), "\(from) -> \(to)", request["method"]?.text ?? "",
      request["path"]?.text ?? "", reason, request["requestID"]?.text ?? "",
    ]
    let line = parts.filter { !$0.isEmpty }.map(Self.harmless).joined(separator: " ")
    guard let width, line.count > width else { return line }
    return String(line.prefix(max(1, width - 1))) + "…"
  }

  /// Without control characters: what peers send must not steer a terminal.
  static func harmless(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? "?" : $0 }))
  }
}

/// `apus top`: the busiest paths, live.
struct Top: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Show the busiest paths live.",
    usage: "apus top [--from <name>] [--to <name>] [--path <path>] [<options>]",
    discussion: """
      The figures are of the requests seen since it began, a sample where there are more than --rate a second. It ends with \
      Ctrl-C or after --seconds; then -o json writes what was seen.

      EXAMPLES
        apus top
        apus top --to catalog --seconds 10
        apus top --seconds 5 -o json
      """)

  @OptionGroup var options: TapOptions

  @Option(help: ArgumentHelp("End after so many seconds.", valueName: "seconds"))
  var seconds: Int?

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context, timeout: .seconds(30))
    var screen = Screen(context)
    var figures = PathFigures()
    let end = seconds.map { context.now().secondsSinceEpoch + Int64(max(1, $0)) } ?? .max
    var shownAt: Int64 = 0
    try client.watch(options.target) { event in
      if event["type"]?.text == "REQUEST", let object = event["object"] { figures.add(object) }
      if event["type"]?.text == "OMITTED" { figures.omitted += event["count"]?.int ?? 0 }
      let now = context.now().secondsSinceEpoch
      if format.output == .table, now != shownAt, context.terminalSize() != nil {
        shownAt = now
        screen.show(figures.text(context))
      }
      return now < end
    }
    context.write(figures.value, as: format.output) { figures.text(context) }
    return .success
  }
}

/// What was seen of each path.
struct PathFigures {
  /// Most paths that are told apart; the others are added up.
  static let most = 1_000

  private struct Key: Hashable {
    var from: String
    var to: String
    var method: String
    var path: String
  }

  private struct Row {
    var count = 0
    var failures = 0
    var best = Double.infinity
    var worst = 0.0
    var last = 0.0
  }

  private var rows: [Key: Row] = [:]
  var omitted = 0

  /// Notes a request once: by its caller's proxy, or by the called one's where the caller has none.
  mutating func add(_ request: Value) {
    let from = Figures.name(request["sourceNamespace"], request["sourceService"])
    if request["reporter"]?.text == "destination", from != Figures.none { return }
    var key = Key(
      from: from, to: Figures.name(request["destinationNamespace"], request["service"]),
      method: request["method"]?.text ?? "", path: Tap.harmless(request["path"]?.text ?? ""))
    if rows[key] == nil, rows.count >= Self.most { key = Key(from: "others", to: "", method: "", path: "") }
    var row = rows[key] ?? Row()
    let duration = request["durationMs"]?.double ?? 0
    row.count += 1
    if request["failure"]?.scalarText == "true" { row.failures += 1 }
    row.best = min(row.best, duration)
    row.worst = max(row.worst, duration)
    row.last = duration
    rows[key] = row
  }

  private var ordered: [(key: Key, value: Row)] {
    rows.sorted { ($1.value.count, $0.key.path) < ($0.value.count, $1.key.path) }
  }

  var value: Value {
    let items = ordered.map { key, row in
      Value.object([
        .init("from", .string(key.from)), .init("to", .string(key.to)), .init("method", .string(key.method)),
        .init("path", .string(key.path)), .init("requests", .integer(row.count)),
        .init("failures", .integer(row.failures)), .init("bestMs", Value(.number(row.best))),
        .init("worstMs", Value(.number(row.worst))), .init("lastMs", Value(.number(row.last))),
      ])
    }
    return .object([.init("items", .list(items)), .init("omitted", .integer(omitted))])
  }

  func text(_ context: CLIContext) -> String {
    var table = Table([
      .init("FROM", minimumWidth: 6), .init("TO", minimumWidth: 6), .init("METHOD"), .init("PATH", minimumWidth: 8),
      .init("COUNT", .right), .init("BEST", .right), .init("WORST", .right), .init("LAST", .right),
      .init("SUCCESS", .right),
    ])
    table.rows = ordered.map { key, row in
      [
        key.from, key.to, key.method, key.path, "\(row.count)", Figures.milliseconds(row.best),
        Figures.milliseconds(row.worst), Figures.milliseconds(row.last),
        Figures.percent(Double(row.count - row.failures) / Double(max(1, row.count))),
      ]
    }
    return table.text(maxWidth: context.tableWidth)
      + (omitted > 0 ? "(\(omitted) more requests were not looked at)\n" : "")
  }
}
