import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus rollout`: how releases fare, and what people can do about them.
struct RolloutVerbs: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollout",
    abstract: "Show and steer the release of a service's new version.",
    discussion: """
      A Rollout says which version of a service is to serve; the control plane moves the traffic there in steps and takes \
      it back when the new version does worse. See docs/rollouts.md.

      EXAMPLES
        apus rollout status catalog
        apus rollout watch catalog
        apus rollout promote catalog
      """,
    subcommands: [
      RolloutStatusVerb.self, RolloutWatch.self, RolloutPromote.self, RolloutPause.self, RolloutResume.self,
      RolloutAbort.self, RolloutRetry.self,
    ])
}

/// `apus rollout status`: one rollout, or all of them.
struct RolloutStatusVerb: Verb {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show how a rollout fares; all of them where none is named.",
    usage: "apus rollout status [<name>] [-n <namespace> | -A] [--wait] [-o <format>] [<options>]",
    discussion: """
      The exit status of one rollout is 0 when the wanted version serves, 7 while its release is under way or paused, and \
      1 when it was taken back or the rollout has stopped.

      EXAMPLES
        apus rollout status
        apus rollout status catalog --wait --timeout 600
        apus rollout status catalog -o json
      """)

  @Argument(help: "The rollout's name.")
  var name: String?

  @OptionGroup var namespaces: NamespacesOption

  @Flag(help: "Wait until the release has ended, or stands still.")
  var wait = false

  @Option(help: ArgumentHelp("How long to wait, seconds.", valueName: "seconds"))
  var timeout = 3600

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout must be from 1 to 86400 seconds") }
    if name == nil, wait { throw ValidationError("--wait needs the name of a rollout") }
    if name != nil, namespaces.allNamespaces {
      throw ValidationError("a name and --all-namespaces exclude each other")
    }
  }

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    guard let name else { return try list(&client, context) }
    let place = RolloutPlace(namespace: namespaces.single.name, name: name)
    var view = try place.fetch(&client)
    if wait {
      let end = context.now().secondsSinceEpoch + Int64(timeout)
      while view.outcome == .underWay, context.now().secondsSinceEpoch < end {
        Pause.sleep(.seconds(1))
        view = try place.fetch(&client)
      }
    }
    context.write(view.document, as: format.output) {
      RolloutPicture(view, now: context.now(), width: context.tableWidth ?? 80).text
    }
    return view.outcome.exitStatus
  }

  private func list(_ client: inout APIClient, _ context: CLIContext) throws(CLIFailure) -> ExitStatus {
    let path = RolloutSpec.kind.path(namespace: namespaces.listed)
    let views = (try client.call("GET", path)["items"]?.elements ?? []).map(RolloutView.init)
    if views.isEmpty { context.errors.write("No rollouts.\n") }
    context.write(.object([.init("items", .list(views.map(\.document)))]), as: format.output) {
      guard !views.isEmpty else { return "" }
      var table = Table([
        Table.Column("NAME", minimumWidth: 12), Table.Column("SERVICE", minimumWidth: 10), Table.Column("PHASE"),
        Table.Column("STABLE"), Table.Column("CANDIDATE"), Table.Column("WEIGHT", .right), Table.Column("STEP"),
        Table.Column("MESSAGE", minimumWidth: 12),
      ])
      table.rows = views.map { $0.cells(showsNamespace: namespaces.allNamespaces) }
      return table.text(maxWidth: context.tableWidth)
    }
    return .success
  }
}

/// `apus rollout watch`: the picture, again and again.
struct RolloutWatch: Verb {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Show a release as it goes, until it has ended.",
    usage: "apus rollout watch <name> [-n <namespace>] [-o <format>] [<options>]",
    discussion: """
      The exit status is that of `apus rollout status`. With -o json each line is one state.

      EXAMPLES
        apus rollout watch catalog
        apus rollout watch catalog -o json | jq .weight
      """)

  @Argument(help: "The rollout's name.")
  var name: String

  @OptionGroup var namespace: NamespaceOption

  @Flag(help: "Go on when the release has ended.")
  var forever = false

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    let place = RolloutPlace(namespace: namespace.name, name: name)
    var screen = Screen(context)
    while true {
      let view = try place.fetch(&client)
      switch format.output {
      case .json: context.output.write(view.document.json() + "\n")
      case .yaml: context.output.write("---\n" + YAMLWriter.text(view.document))
      case .table:
        screen.show(RolloutPicture(view, now: context.now(), width: context.tableWidth ?? 80).text)
      }
      // What stands still may go on at any moment; what has ended does not.
      if !forever, view.outcome != .underWay, view.outcome != .waitsForPerson { return view.outcome.exitStatus }
      Pause.sleep(.seconds(1))
    }
  }
}

/// Which rollout a verb changes, and how it tells of it.
struct RolloutTarget: ParsableArguments {
  @Argument(help: "The rollout's name.") var name: String
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions
}

/// What the verbs that change something have in common.
protocol RolloutChange: Verb {
  var target: RolloutTarget { get }
  /// The verb of the API, with its parameters.
  var call: String { get }
}

extension RolloutChange {
  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try target.connection.client(in: context)
    let place = RolloutPlace(namespace: target.namespace.name, name: target.name)
    let answer = try client.call("POST", "\(place.path)/\(call)")
    context.write(answer, as: target.format.output) {
      let status = answer["status"]
      return "rollout.apus.dev/\(target.name): \(status?["phase"]?.text ?? "") (\(status?["reason"]?.text ?? "")): "
        + "\(status?["message"]?.text ?? "")\n"
    }
    return .success
  }
}

/// `apus rollout promote`.
struct RolloutPromote: RolloutChange {
  static let configuration = CommandConfiguration(
    commandName: "promote",
    abstract: "End this step of a release now; with --full all of them.",
    usage: "apus rollout promote <name> [--full] [-n <namespace>] [<options>]",
    discussion: """
      What the step would still wait for (its time, requests, evidence, gates) is left out.

      EXAMPLE
        apus rollout promote catalog
      """)

  @OptionGroup var target: RolloutTarget
  @Flag(help: "Give the new version all traffic at once.") var full = false

  var call: String { full ? "promote?full=true" : "promote" }
}

/// `apus rollout pause`.
struct RolloutPause: RolloutChange {
  static let configuration = CommandConfiguration(
    commandName: "pause",
    abstract: "Keep a release at its step. It is still taken back if it does worse.",
    usage: "apus rollout pause <name> [-n <namespace>] [<options>]",
    discussion: """
      EXAMPLE
        apus rollout pause catalog
      """)

  @OptionGroup var target: RolloutTarget

  var call: String { "pause" }
}

/// `apus rollout resume`.
struct RolloutResume: RolloutChange {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "Let a paused release go on; let a rollout that has stopped write its route again.",
    usage: "apus rollout resume <name> [-n <namespace>] [<options>]",
    discussion: """
      EXAMPLE
        apus rollout resume catalog
      """)

  @OptionGroup var target: RolloutTarget

  var call: String { "resume" }
}

/// `apus rollout abort`.
struct RolloutAbort: RolloutChange {
  static let configuration = CommandConfiguration(
    commandName: "abort",
    abstract: "Take the new version back: all traffic returns to the stable one.",
    usage: "apus rollout abort <name> [-n <namespace>] [<options>]",
    discussion: """
      EXAMPLE
        apus rollout abort catalog
      """)

  @OptionGroup var target: RolloutTarget

  var call: String { "abort" }
}

/// `apus rollout retry`.
struct RolloutRetry: RolloutChange {
  static let configuration = CommandConfiguration(
    commandName: "retry",
    abstract: "Begin the release again of a version that was taken back.",
    usage: "apus rollout retry <name> [-n <namespace>] [<options>]",
    discussion: """
      EXAMPLE
        apus rollout retry catalog
      """)

  @OptionGroup var target: RolloutTarget

  var call: String { "retry" }
}
