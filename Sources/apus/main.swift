import ApusCLI
import Glibc

// The main thread belongs to the verbs: `run` and `up --demo` start processes from it and wait for signals on it.
let context = CLIContext.process()
switch CommandLineEntry.start(arguments: Array(CommandLine.arguments.dropFirst()), context: context) {
case .exit(let status):
  exit(status)
case .controlPlane(let settings):
  let problem = CLIFailure(.failed, "this build has no control plane for \(settings.folder.path)")
  context.errors.write(problem.text)
  exit(problem.status.rawValue)
}
