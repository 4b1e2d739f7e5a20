import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus why`: why something came of a request as it did.
struct Why: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Say why a request failed, was refused, retried or delayed, and what to do.",
    usage: "apus why <request-id> | apus why [--from <name>] [--to <name>] ...",
    discussion: """
      A request's id is the x-request-id that the application gets, that the access log has, and that every answer of \
      the mesh itself carries. Without one, the newest failure between the two is explained, else the newest request, \
      else why there was none. One of --from and --to will do: that also finds connections that were refused before \
      there was a request. The reasons are listed in docs/reasons.md.

      EXAMPLES
        apus why 7c9e6679-7425-40de-944b-e07fc1f90ae7
        apus why --from front --to payments
        apus why --to payments --reason tls_plaintext_refused
        apus why --from front --to payments --path /pay -o json
      """)

  @Argument(help: ArgumentHelp("The value of x-request-id.", valueName: "request-id"))
  var id: String?

  @OptionGroup var peers: PeerOptions

  @Option(help: ArgumentHelp("The beginning of the path.", valueName: "path"))
  var path: String?

  @Option(help: ArgumentHelp("Only what came to this reason.", valueName: "reason"))
  var reason: String?

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    if id != nil, peers.from != nil || peers.to != nil {
      throw ValidationError("a request id, and --from with --to, exclude each other")
    }
    if id == nil, peers.from == nil, peers.to == nil {
      throw ValidationError("say which request: its id, or --from NAME --to NAME, or one of the two")
    }
  }

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    let question =
      id.map { "id=\(PercentCoding.encode($0))" }
      ?? (peers.query.dropFirst() + (path.map { "&path=\(PercentCoding.encode($0))" } ?? "")
        + (reason.map { "&reason=\(PercentCoding.encode($0))" } ?? ""))
    let value = try client.call("GET", "/apis/apus.dev/v1/why?\(question)")
    context.write(value, as: format.output) { Self.text(value, width: context.tableWidth ?? 100) }
    return .success
  }

  static func text(_ value: Value, width: Int) -> String {
    var text = wrapped(Tap.harmless(value["sentence"]?.text ?? ""), width: width) + "\n"
    let steps = value["chain"]?.elements ?? []
    if !steps.isEmpty { text += "\n" }
    for (index, step) in steps.enumerated() {
      let line = "\(index + 1). \(step["place"]?.text ?? ""): \(step["text"]?.text ?? "")"
      text += wrapped(Tap.harmless(line), width: width, indent: 3) + "\n"
    }
    let ending = [
      ("decided by", value["object"]?["text"]?.text), ("reason", value["reason"]?.text), ("do", value["remedy"]?.text),
    ].filter { !($0.1 ?? "").isEmpty }
    if !ending.isEmpty { text += "\n" }
    for (name, content) in ending {
      text += wrapped(Tap.harmless("\(name): \(content ?? "")"), width: width, indent: 2) + "\n"
    }
    return text
  }

  /// Breaks a line at blanks; later lines are indented.
  static func wrapped(_ text: String, width: Int, indent: Int = 0) -> String {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      if !line.isEmpty, line.count + 1 + word.count > width, line.count > indent {
        lines.append(line)
        line = String(repeating: " ", count: indent) + word
      } else {
        line += line.isEmpty || line.allSatisfy({ $0 == " " }) ? String(word) : " \(word)"
      }
    }
    return (lines + [line]).joined(separator: "\n")
  }
}
