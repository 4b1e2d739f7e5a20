import ApusHTTP
import ArgumentParser
import MeshControl

/// A verb of the program. It is given what it may touch of the outside, and says how it went.
protocol Verb: ParsableCommand {
  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus
}

/// Where the control plane and its data are.
struct ConnectionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Where the control plane's API is (default: APUS_API, else what the data folder says, else 127.0.0.1:15050).",
      valueName: "host:port"))
  var api: String?

  @Option(
    help: ArgumentHelp(
      "The data folder (default: APUS_DATA, else apus in XDG_STATE_HOME or ~/.local/state).", valueName: "folder"))
  var data: String?

  /// Port of the API where none is said.
  static let defaultPort: UInt16 = 15050

  func dataFolder(in context: CLIContext) -> DataFolder {
    DataFolder(option: data, environment: context.environment)
  }

  func address(in context: CLIContext) throws(CLIFailure) -> HTTPAddress {
    let named = api ?? context.environment["APUS_API"].flatMap { $0.isEmpty ? nil : $0 }
    if let named {
      guard let address = HTTPAddress(named, defaultPort: Self.defaultPort) else {
        throw CLIFailure(
          .usage, "\"\(named)\" is no address of an API", hint: "write --api or APUS_API like 127.0.0.1:15050")
      }
      return address
    }
    return dataFolder(in: context).controlPlane?.api ?? HTTPAddress(host: "127.0.0.1", port: Self.defaultPort)
  }

  func client(in context: CLIContext, timeout: Duration = .seconds(10)) throws(CLIFailure) -> APIClient {
    let folder = dataFolder(in: context)
    return APIClient(
      address: try address(in: context), token: folder.apiToken, tokenFile: folder.apiTokenFile, timeout: timeout)
  }
}

/// Which namespace a verb looks at.
struct NamespaceOption: ParsableArguments {
  @Option(name: [.short, .long], help: ArgumentHelp("The namespace (default: default).", valueName: "namespace"))
  var namespace: String?

  /// The namespace, `default` where none is said.
  var name: String { namespace ?? "default" }
}

/// Which namespaces a verb lists.
struct NamespacesOption: ParsableArguments {
  @OptionGroup var single: NamespaceOption

  @Flag(name: [.customShort("A"), .long], help: "All namespaces.")
  var allNamespaces = false

  /// The namespace to list; nil for all.
  var listed: String? { allNamespaces ? nil : single.name }

  func validate() throws {
    if allNamespaces, single.namespace != nil {
      throw ValidationError("--all-namespaces and --namespace exclude each other")
    }
  }
}

/// How a verb writes its result.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case table, json, yaml
}

struct OutputOption: ParsableArguments {
  @Option(name: [.customShort("o"), .long], help: "table, json or yaml.")
  var output = OutputFormat.table
}

extension CLIContext {
  /// Writes a document; the table is the caller's.
  func write(_ value: Value, as format: OutputFormat, table: () -> String) {
    switch format {
    case .table: output.write(table())
    case .json: output.write(PrettyJSON.text(value))
    case .yaml: output.write(YAMLWriter.text(value))
    }
  }

  /// Columns that a line of a table may take; as many as there are where the output is no terminal.
  var tableWidth: Int? { terminalSize()?.columns }
}
