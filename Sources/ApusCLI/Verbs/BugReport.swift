import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus bug-report`: what helps to understand a problem, without secrets.
struct BugReport: Verb {
  static let configuration = CommandConfiguration(
    commandName: "bug-report",
    abstract: "Write what helps to understand a problem into one file, without secrets.",
    usage: "apus bug-report [--file <path>] [<options>]",
    discussion: """
      One JSON document: versions, proxies with their listeners, endpoints and certificates, objects, workloads, the \
      figures of the last minutes, the last failures. There are no keys, tokens, bodies, header fields or queries of \
      requests in it; of objects the values of fields like authorization and cookie are taken out, and what --redact \
      names is blotted out everywhere. Look at it before you give it away: it names your services and paths.

      EXAMPLES
        apus bug-report
        apus bug-report --file report.json --redact payments --redact internal.example
      """)

  @Option(help: ArgumentHelp("Where to write (default: apus-bug-report.json).", valueName: "path"))
  var file = "apus-bug-report.json"

  @Option(
    parsing: .singleValue, help: ArgumentHelp("A text that is blotted out wherever it stands.", valueName: "text"))
  var redact: [String] = []

  @OptionGroup var connection: ConnectionOptions

  /// Proxies whose pages are gathered.
  private static let mostProxies = 50

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    var members: [Value.Member] = [.init("time", .string(context.now().rfc3339))]
    func gather(_ name: String, _ path: String, _ client: inout APIClient) -> Value {
      // What cannot be had is told in its place: a report of a broken mesh is what this is for.
      do throws(CLIFailure) { return try client.call("GET", path) } catch {
        return .string("not to be had: \(error.what)")
      }
    }
    _ = try client.call("GET", "/version")
    members.append(.init("client", .string(ApusVersion.text)))
    for (name, path) in Self.pages {
      members.append(.init(name, gather(name, path, &client)))
    }
    for kind in KindRegistry.kinds {
      members.append(.init(kind.plural, gather(kind.plural, kind.path(namespace: nil), &client)))
    }
    var proxies: [Value.Member] = []
    let known = members.first { $0.name == "proxies" }?.value["items"]?.elements ?? []
    for id in known.prefix(Self.mostProxies).compactMap({ $0["id"]?.text }) {
      let path = "/apis/apus.dev/v1/proxies/\(PercentCoding.encode(id))"
      let parts = ["listeners", "endpoints", "secrets", "connections"].map { page in
        Value.Member(page, gather(page, "\(path)/\(page)", &client))
      }
      proxies.append(.init(id, .object(parts)))
    }
    members.append(.init("pages", .object(proxies)))
    let text = PrettyJSON.text(Redaction(redact).clean(.object(members)))
    try Files.writePrivate(file, Array(text.utf8))
    context.output.write("\(file): \(text.utf8.count / 1024) KiB. Look at it before you give it away.\n")
    return .success
  }

  private static let pages = [
    ("controlPlane", "/version"), ("proxies", "/apis/apus.dev/v1/proxies"),
    ("workloads", "/apis/apus.dev/v1/workloads"),
    ("stats", "/apis/apus.dev/v1/stats?window=300"),
    ("traffic", "/apis/apus.dev/v1/traffic?by=sourceService,service,route,security&window=3600"),
    ("failures", "/apis/apus.dev/v1/decisions?notable=1&limit=200"),
  ]
}
