import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus analyze`: looks through files, or the mesh, for what does not do what it seems to.
struct Analyze: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Look through files or the mesh for what does not do what it seems to.",
    usage: "apus analyze [-f <path> ...] [--live] [--strict] [<options>]",
    discussion: """
      Without files, what the control plane has is looked at. With files, only they are, and no control plane is needed: \
      what they refer to and do not hold is a warning. With --live the files are looked at as if they were applied \
      already. Each finding has a code that never changes its meaning: see docs/analyze.md.

      The exit status is 1 where there is an error (with --strict: or a warning), else 0.

      EXAMPLES
        apus analyze
        apus analyze -f mesh/ --strict
        apus analyze -f canary.yaml --live -o json
      """)

  @Option(
    name: [.customShort("f"), .long], parsing: .singleValue,
    help: ArgumentHelp("A file, a folder (its .yaml, .yml and .json), or - for standard input.", valueName: "path"))
  var filename: [String] = []

  @Flag(help: "Look at the files together with what the control plane has.")
  var live = false

  @Flag(help: "Warnings count as errors.")
  var strict = false

  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    let items = try filename.isEmpty ? stored(context) : fromFiles(context)
    let report = AnalysisReport(items: items)
    context.write(.object([.init("items", .list(items))]), as: format.output) {
      report.text(colour: context.allowsColour)
    }
    return report.count("error") > 0 || (strict && report.count("warning") > 0) ? .failed : .success
  }

  private func stored(_ context: CLIContext) throws(CLIFailure) -> [Value] {
    var client = try connection.client(in: context, timeout: .seconds(30))
    let items = try client.call("GET", "/apis/apus.dev/v1/analyze")["items"]?.elements ?? []
    guard let only = namespace.namespace else { return items }
    return items.filter { $0["namespace"]?.text == only }
  }

  private func fromFiles(_ context: CLIContext) throws(CLIFailure) -> [Value] {
    let manifests = try Manifests(paths: filename, input: context.input)
    let items: [Value]
    if live {
      var client = try connection.client(in: context, timeout: .seconds(30))
      let path = "/apis/apus.dev/v1/analyze?namespace=\(PercentCoding.encode(namespace.name))"
      items =
        try client.call("POST", path, body: manifests.bytes, contentType: "application/yaml")["items"]?.elements ?? []
    } else {
      let read = context.readDocuments(manifests.bytes, namespace.name)
      let world = MeshAnalysis.World(workloads: nil, isComplete: false)
      items = (read.findings + MeshAnalysis.findings(read.objects, world: world)).map(\.value)
    }
    return items.map { item in
      guard let line = item["line"]?.int, let place = manifests.place(ofLine: line) else { return item }
      let members = (item.members ?? []).filter { $0.name != "line" }
      return .object(members + [.init("file", .string(place.file)), .init("line", .integer(place.line))])
    }
  }
}

/// Findings for people.
struct AnalysisReport {
  let items: [Value]

  func count(_ severity: String) -> Int { items.count { $0["severity"]?.text == severity } }

  func text(colour: Bool) -> String {
    guard !items.isEmpty else { return "Nothing found.\n" }
    var text = ""
    for item in items {
      text += "\(Self.mark(item["severity"]?.text ?? "", colour)) \(item["code"]?.text ?? "") \(Self.place(item))\n"
      text += "     \(item["message"]?.text ?? "")\n"
      text += "     mend: \(item["mend"]?.text ?? "")\n"
    }
    return text + "\n\(count("error")) errors, \(count("warning")) warnings, \(count("info")) notes\n"
  }

  /// `routes.yaml:12: HTTPRoute default/shop spec.rules[0]`.
  private static func place(_ item: Value) -> String {
    var words: [String] = []
    if let file = item["file"]?.text { words.append("\(file):\(item["line"]?.scalarText ?? ""):") }
    if let name = item["object"]?.text {
      words.append("\(item["kind"]?.text ?? "") \(item["namespace"]?.text ?? "")/\(name)")
    }
    if let path = item["path"]?.text, !path.isEmpty { words.append(path) }
    return words.joined(separator: " ")
  }

  private static func mark(_ severity: String, _ colour: Bool) -> String {
    let (word, code) =
      switch severity {
      case "error": ("ERR ", "31")
      case "warning": ("warn", "33")
      default: ("note", "36")
      }
    return colour ? "\u{1B}[\(code)m\(word)\u{1B}[0m" : word
  }
}
