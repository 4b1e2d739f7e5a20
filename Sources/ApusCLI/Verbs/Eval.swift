import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus eval`: what a change would do, before it is made.
struct Eval: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Say what a change would do to routing. Nothing is changed.",
    usage: "apus eval -f <path> ... [--from <name>] [--to <name>] [<options>]",
    discussion: """
      The proxies' own matcher decides, on the requests that the proxies keep, weighed by the counts of the last hour, and \
      on the request that --to asks about. Header fields and queries are not kept: what a rule asks for of them is known \
      of the requests that it took, and told as a condition where a change asks for something new.

      EXAMPLES
        apus eval -f canary.yaml
        apus eval -f routes.yaml --from front --to catalog --path /v2/items --header x-canary=yes
        cat change.yaml | apus eval -f - -o json
      """)

  @Option(
    name: [.customShort("f"), .long], parsing: .singleValue,
    help: ArgumentHelp("A file, a folder (its .yaml, .yml and .json), or - for standard input.", valueName: "path"))
  var filename: [String] = []

  @OptionGroup var peers: PeerOptions

  @Option(help: ArgumentHelp("The path of the request that is asked about (default: /).", valueName: "path"))
  var path: String?

  @Option(help: ArgumentHelp("Its method.", valueName: "method"))
  var method = "GET"

  @Option(parsing: .singleValue, help: ArgumentHelp("A header field of it.", valueName: "name=value"))
  var header: [String] = []

  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    if peers.to == nil, path != nil || !header.isEmpty || peers.from != nil {
      throw ValidationError("a request is asked about with --to NAME")
    }
    if let bad = header.first(where: { !$0.contains("=") }) {
      throw ValidationError("--header \(bad) is no field; write it like x-canary=yes")
    }
  }

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    let manifests = try Manifests(paths: filename, input: context.input)
    var query = "namespace=\(PercentCoding.encode(namespace.name))" + peers.query
    query += "&method=\(PercentCoding.encode(method))"
    if let path { query += "&path=\(PercentCoding.encode(path))" }
    if !header.isEmpty { query += "&headers=\(PercentCoding.encode(header.joined(separator: "\n")))" }
    var client = try connection.client(in: context, timeout: .seconds(30))
    let answer = try client.answer(
      "POST", "/apis/apus.dev/v1/eval?\(query)", body: manifests.bytes, contentType: "application/yaml")
    guard (200..<300).contains(answer.status) else {
      let tokenFile = connection.dataFolder(in: context).apiTokenFile
      var failure = APIStatus(answer).failure(doing: "eval", tokenFile: tokenFile)
      if manifests.sources.count > 1 { failure.details = failure.details.map(manifests.locate) }
      throw failure
    }
    let value = (try? JSONReader.read(answer.body)) ?? .null
    context.write(value, as: format.output) { Self.text(value, width: context.tableWidth ?? 100) }
    return .success
  }

  static func text(_ value: Value, width: Int) -> String {
    var lines: [String] = []
    for answer in value["answers"]?.elements ?? [] {
      let request = "\(answer["method"]?.text ?? "") \(answer["to"]?.text ?? "")\(answer["path"]?.text ?? "")"
      if answer["changed"] == .boolean(true) {
        lines += [
          "\(request) would go another way.", "  now: \(answer["before"]?.text ?? "")",
          "  then: \(answer["after"]?.text ?? "")", "",
        ]
      } else {
        lines += ["\(request) would go the same way.", "  \(answer["after"]?.text ?? "")", ""]
      }
    }
    let effects = value["effects"]?.elements ?? []
    if effects.isEmpty { lines.append("No request of those that could be followed would go another way.") }
    let sentences = (value["sentences"]?.elements ?? []).compactMap(\.text)
    lines += sentences
    if !sentences.isEmpty { lines.append("") }
    for effect in effects {
      lines += [
        "\(count(effect["requestsPerHour"])) requests/h from \(effect["from"]?.text ?? "") to \(effect["to"]?.text ?? "")",
        "  now: \(effect["before"]?.text ?? "")", "  then: \(effect["after"]?.text ?? "")",
      ]
    }
    for condition in value["conditions"]?.elements ?? [] { lines += ["", condition["sentence"]?.text ?? ""] }
    lines += [
      "",
      "\(count(value["unchangedPerHour"])) requests/h would go the same way, "
        + "\(count(value["unknownPerHour"])) cannot be told.",
    ]
    for problem in value["problems"]?.elements ?? [] { lines.append("Proxies would refuse: \(problem.text ?? "")") }
    return lines.map { line in
      let indent = line.prefix { $0 == " " }
      return indent + Why.wrapped(String(line.dropFirst(indent.count)), width: width - indent.count, indent: 6)
    }.joined(separator: "\n") + "\n"
  }

  private static func count(_ value: Value?) -> String { "\(Int(value?.double ?? 0))" }
}
