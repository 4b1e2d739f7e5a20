import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus delete`: takes objects away, by name or as files name them.
struct Delete: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Delete objects, by name or as files name them.",
    usage: "apus delete <kind> <name> ... | -f <path> ... [<options>]",
    discussion: """
      EXAMPLES
        apus delete httproute catalog
        apus delete -f canary.yaml --ignore-not-found --wait
      """)

  @Argument(help: ArgumentHelp("The kind, or KIND/NAME.", valueName: "kind"), completion: .list(Completions.kinds))
  var kind: String?

  @Argument(help: "The objects' names.")
  var names: [String] = []

  @Option(
    name: [.customShort("f"), .long], parsing: .singleValue,
    help: ArgumentHelp("A file, a folder or - whose objects are to go.", valueName: "path"))
  var filename: [String] = []

  @Flag(help: "An object that is not there is no failure.")
  var ignoreNotFound = false

  @OptionGroup var wait: WaitOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  /// One object to delete.
  struct Target: Equatable {
    var kind: KindInfo
    var namespace: String
    var name: String

    var path: String { "\(kind.path(namespace: namespace))/\(PercentCoding.encode(name))" }
    var displayName: String {
      "\(kind.qualifiedName)/\(namespace == "default" ? "" : "\(namespace)/")\(name)"
    }
  }

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    let targets = filename.isEmpty ? try namedTargets() : try targetsInFiles(&client, context)
    var deleted: [Value] = []
    var failures: [CLIFailure] = []
    var version: UInt64 = 0
    for target in targets {
      do throws(CLIFailure) {
        let last = try client.call("DELETE", target.path)
        version = max(version, last["metadata"]?["resourceVersion"]?.unsigned ?? 0)
        deleted.append(result(target))
        if format.output == .table { context.output.write("\(target.displayName) deleted\n") }
      } catch {
        if error.status == .unreachable { throw error }
        if error.status != .notFound || !ignoreNotFound { failures.append(error) }
      }
    }
    var document = [Value.Member("items", .list(deleted))]
    let report = wait.wait && version > 0 ? try wait.report(on: version, &client) : nil
    if let report { document.append(.init("proxies", report.value)) }
    context.write(.object(document), as: format.output) { report.map(WaitOptions.sentence) ?? "" }
    if let failure = report.flatMap({ wait.failure($0, context) }) { failures.append(failure) }
    guard let first = failures.first else { return .success }
    for failure in failures.dropLast() { context.errors.write(failure.text) }
    throw failures.count == 1 ? first : CLIFailure(first.status, failures[failures.count - 1].what)
  }

  private func result(_ target: Target) -> Value {
    .object([
      .init("apiVersion", .string(target.kind.apiVersion)), .init("kind", .string(target.kind.kind)),
      .init("namespace", .string(target.namespace)), .init("name", .string(target.name)),
      .init("result", .string("deleted")),
    ])
  }

  private func namedTargets() throws(CLIFailure) -> [Target] {
    guard let kind else {
      throw CLIFailure(.usage, "nothing to delete", hint: "name a kind and an object, or a file with -f")
    }
    let target = try ObjectName(kind: kind, name: kind.contains("/") ? nil : names.first)
    guard let first = target.name else {
      throw CLIFailure(
        .usage, "no object is named", hint: "write `apus delete \(kind) NAME`; there is no way to say all")
    }
    guard target.kind != .workload else {
      throw CLIFailure(
        .usage, "workloads cannot be deleted: discovery lists them while their proxies are connected",
        hint: "stop the program that `apus run` started")
    }
    let rest = kind.contains("/") ? names[...] : names.dropFirst()
    return ([first] + rest).map { Target(kind: target.kind, namespace: namespace.name, name: $0) }
  }

  /// What the files name. The control plane reads them, in a dry run, so that both agree about what is in them.
  private func targetsInFiles(_ client: inout APIClient, _ context: CLIContext) throws(CLIFailure) -> [Target] {
    guard kind == nil else {
      throw CLIFailure(.usage, "names and --filename exclude each other", hint: "leave one of them out")
    }
    let manifests = try Manifests(paths: filename, input: context.input)
    let path = "/apis/apus.dev/v1/apply?dryRun=All&namespace=\(PercentCoding.encode(namespace.name))"
    let answer = try client.call("POST", path, body: manifests.bytes, contentType: "application/yaml")
    return (answer["items"]?.elements ?? []).compactMap { item in
      let version = item["apiVersion"]?.text
      guard let name = item["name"]?.text,
        let kind = KindInfo.readable.first(where: { $0.apiVersion == version && $0.kind == item["kind"]?.text })
      else { return nil }
      return Target(kind: kind, namespace: item["namespace"]?.text ?? namespace.name, name: name)
    }
  }
}
