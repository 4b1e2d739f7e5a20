import ArgumentParser

/// The program's verbs.
struct ApusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus",
    abstract: "Apus, a service mesh: the control plane, the laptop mesh and the command line.",
    discussion: """
      FIRST STEPS
        apus up                                        a mesh, until Ctrl-C
        apus run --service hello -- python3 server.py  a program in it
        apus stat                                      how it fares

      ENVIRONMENT
        APUS_API    where the control plane's API is
        APUS_DATA   the data folder that all verbs share on a machine
        NO_COLOR    no colour

      \(ExitStatus.help)
      """,
    subcommands: [
      Up.self, ControlPlaneCommand.self, Run.self, Apply.self, Get.self, Delete.self, Stat.self, ProxyStatusVerb.self,
      Edges.self, Routes.self, Top.self, Tap.self, Why.self, Describe.self, ProxyConfigVerb.self, Eval.self,
      BugReport.self, Dashboard.self, RolloutVerbs.self, Check.self, Analyze.self, Completion.self, Version.self,
    ])
}

/// What is left to do after the command line was read and, where it could be, carried out.
package enum Invocation: Sendable, Equatable {
  /// Everything is done: leave with this status.
  case exit(Int32)
  /// Run a control plane with these settings.
  case controlPlane(ControlPlaneSettings)
}

/// The way from the process's arguments to a verb.
package enum CommandLineEntry {
  /// Reads the arguments (without the program's name) and runs the verb. Failures are written for the person.
  ///
  /// To be called on the main thread before any other starts: `run` and `up --demo` start processes and wait for signals.
  package static func start(arguments: [String], context: CLIContext) -> Invocation {
    let command: any ParsableCommand
    do {
      // Not an option of the parser's, since it would stand in the way of `run --version`.
      command = try ApusCommand.parseAsRoot(arguments == ["--version"] ? ["version", "--client"] : arguments)
    } catch {
      return .exit(report(parsing: error, context))
    }
    do throws(CLIFailure) {
      return try perform(command, context)
    } catch {
      context.errors.write(error.text)
      return .exit(error.status.rawValue)
    }
  }

  private static func perform(_ command: any ParsableCommand, _ context: CLIContext) throws(CLIFailure) -> Invocation {
    switch command {
    case let run as Run: return .exit(try run.runApplication(in: context))
    case let verb as any Verb: return .exit(try verb.run(in: context).rawValue)
    case let command as ControlPlaneCommand: return .controlPlane(try command.options.settings(in: context))
    case let up as Up:
      let settings = try up.options.settings(in: context)
      guard up.demo else { return .controlPlane(settings) }
      return .exit(try Demo(settings: settings, ratePerSecond: up.demoRate, context: context).run())
    default:
      // The program's name alone, or `help`, which knows its text as an error.
      do {
        var command = command
        try command.run()
        return .exit(ExitStatus.success.rawValue)
      } catch {
        return .exit(report(parsing: error, context))
      }
    }
  }

  /// Help goes where results go; a command line that is not understood is told on standard error.
  private static func report(parsing error: any Error, _ context: CLIContext) -> Int32 {
    let text = ApusCommand.fullMessage(for: error)
    if ApusCommand.exitCode(for: error) == .success {
      context.output.write(text + "\n")
      return ExitStatus.success.rawValue
    }
    context.errors.write((text.hasPrefix("Error: ") ? "apus: " + text.dropFirst("Error: ".count) : text) + "\n")
    return ExitStatus.usage.rawValue
  }
}
