import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus apply`: makes the mesh agree with files, all of them or none.
struct Apply: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Create or change the objects in files. All are taken, or none.",
    usage: "apus apply -f <path> ... [--dry-run | --wait] [<options>]",
    discussion: """
      EXAMPLES
        apus apply -f canary.yaml
        apus apply -f canary.yaml --wait
        apus apply -f routes/ -f policies/ --dry-run
        cat canary.yaml | apus apply -f -
      """)

  @Option(
    name: [.customShort("f"), .long], parsing: .singleValue,
    help: ArgumentHelp("A file, a folder (its .yaml, .yml and .json), or - for standard input.", valueName: "path"))
  var filename: [String] = []

  @Flag(help: "Check everything and say what would happen; change nothing.")
  var dryRun = false

  @OptionGroup var wait: WaitOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    if dryRun, wait.wait { throw ValidationError("--dry-run changes nothing that --wait could wait for") }
  }

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    let manifests = try Manifests(paths: filename, input: context.input)
    var client = try connection.client(in: context, timeout: .seconds(30))
    var path = "/apis/apus.dev/v1/apply?namespace=\(PercentCoding.encode(namespace.name))"
    if dryRun { path += "&dryRun=All" }
    let answer = try client.answer("POST", path, body: manifests.bytes, contentType: "application/yaml")
    guard (200..<300).contains(answer.status) else {
      if format.output == .json { context.output.write(answer.text + "\n") }
      let tokenFile = connection.dataFolder(in: context).apiTokenFile
      var failure = APIStatus(answer).failure(doing: "apply", tokenFile: tokenFile)
      if manifests.sources.count > 1 { failure.details = failure.details.map(manifests.locate) }
      throw failure
    }
    let value = (try? JSONReader.read(answer.body)) ?? .null
    for item in value["items"]?.elements ?? [] {
      for warning in item["warnings"]?.elements ?? [] {
        context.errors.write("warning: \(Self.objectName(item)): \(warning.text ?? "")\n")
      }
    }
    let items = value["items"]?.elements ?? []
    if format.output == .table { context.output.write(items.map(line).joined()) }
    guard wait.wait else {
      if format.output != .table { context.write(value, as: format.output) { "" } }
      return .success
    }
    return try waited(items, value, &client, context)
  }

  /// Waits until what was applied is in force, and says so.
  private func waited(
    _ items: [Value], _ answer: Value, _ client: inout APIClient, _ context: CLIContext
  ) throws(CLIFailure) -> ExitStatus {
    let version = items.compactMap { $0["resourceVersion"]?.unsigned }.max() ?? 0
    let report = try wait.report(on: version, &client)
    let value = Value.object((answer.members ?? []) + [.init("proxies", report.value)])
    if format.output != .table { context.write(value, as: format.output) { "" } }
    if let failure = wait.failure(report, context) { throw failure }
    if format.output == .table { context.output.write(WaitOptions.sentence(report)) }
    return .success
  }

  private func line(_ item: Value) -> String {
    let result = item["result"]?.text ?? "applied"
    return "\(Self.objectName(item)) \(result)\(dryRun ? " (dry run)" : "")\n"
  }

  /// `httproute.gateway.networking.k8s.io/catalog`, with the namespace before the name where it is not the default.
  static func objectName(_ item: Value) -> String {
    let kind = item["kind"]?.text ?? "object"
    let version = item["apiVersion"]?.text ?? ""
    let group = version.contains("/") ? ".\(version.prefix { $0 != "/" })" : ""
    let namespace = item["namespace"]?.text ?? "default"
    let name = item["name"]?.text ?? ""
    return "\(kind.lowercased())\(group)/\(namespace == "default" ? "" : "\(namespace)/")\(name)"
  }
}
