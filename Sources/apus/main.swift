import ApusCLI
import Glibc
import MeshAPI
import MeshControl

/// Runs a control plane until a signal asks for its end; a second one does not wait for it.
func serve(_ settings: ControlPlaneSettings, _ context: CLIContext) throws(CLIFailure) -> Int32 {
  let signals = try TerminationSignals()
  let serving = Task.detached {
    exit(await ControlPlaneHost(settings: settings, context: context).run().rawValue)
  }
  _ = signals.wait()
  serving.cancel()
  return 128 + signals.wait()
}

// The main thread belongs to the verbs: `run` and `up --demo` start processes from it and wait for signals on it. It is
// never a thread of Swift's tasks, therefore nothing is awaited here.
let context = CLIContext.process(readDocuments: { AnalysisReader.read($0, namespace: $1) })
switch CommandLineEntry.start(arguments: Array(CommandLine.arguments.dropFirst()), context: context) {
case .exit(let status):
  exit(status)
case .controlPlane(let settings):
  do throws(CLIFailure) {
    exit(try serve(settings, context.serving))
  } catch {
    context.errors.write(error.text)
    exit(error.status.rawValue)
  }
}
