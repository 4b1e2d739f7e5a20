import ArgumentParser
import MeshControl

/// Words that the shell offers.
enum Completions {
  static let kinds = KindInfo.readable.map(\.plural)
}

/// `apus completion`: the script that teaches a shell the verbs and options.
struct Completion: Verb {
  enum Shell: String, ExpressibleByArgument, CaseIterable {
    case bash, zsh, fish

    var parserShell: CompletionShell {
      switch self {
      case .bash: .bash
      case .zsh: .zsh
      case .fish: .fish
      }
    }
  }

  static let configuration = CommandConfiguration(
    abstract: "Print the completion script of a shell.",
    discussion: """
      EXAMPLES
        source <(apus completion bash)
        apus completion fish > ~/.config/fish/completions/apus.fish
      """)

  @Argument(help: "bash, zsh or fish.")
  var shell: Shell

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    context.output.write(ApusCommand.completionScript(for: shell.parserShell) + "\n")
    return .success
  }
}

/// `apus version`: this program's version, and that of the control plane it reaches.
struct Version: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Show the version of this program and of the control plane.",
    usage: "apus version [--client] [-o <format>] [<options>]",
    discussion: """
      EXAMPLE
        apus version -o json
      """)

  @Flag(help: "This program's version only.")
  var client = false

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var members: [Value.Member] = [.init("client", .string(ApusVersion.text))]
    if !client {
      var api = try connection.client(in: context, timeout: .seconds(2))
      // A control plane that is away is no reason to keep one's own version to oneself.
      let server = (try? api.call("GET", "/version")).flatMap { $0["version"] }
      members.append(.init("controlPlane", server ?? .null))
    }
    let value = Value.object(members)
    context.write(value, as: format.output) {
      var text = "apus \(ApusVersion.text)\n"
      if !client { text += "control plane \(value["controlPlane"]?.text ?? "not reached")\n" }
      return text
    }
    return .success
  }
}
