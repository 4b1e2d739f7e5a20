import CApusSystem
import Glibc

/// A program to start beside this one. It is killed when this process ends, however that comes about.
///
/// To be started from the main thread only: the kernel ties a child's life to the thread that made it.
struct ChildProcess {
  /// The program's file.
  var path: String
  /// Without the program's own name, which is `path`.
  var arguments: [String] = []
  var environment: [String: String]
  /// Descriptors that the child gets under the numbers 0 to 3; the others up to 2 are this process's own.
  var descriptors: [Int32: Int32] = [:]
  /// Whether it has a process group of its own, out of reach of the terminal's Ctrl-C.
  var hasOwnGroup = false

  /// Starts it.
  /// - Returns: its process id.
  func start() throws(CLIFailure) -> Int32 {
    guard let command = apus_command_create(path) else { throw CLIFailure(.failed, "cannot start \(path): no memory") }
    defer { apus_command_destroy(command) }
    var result: Int32 = 0
    for argument in [path] + arguments { result = min(result, apus_command_add_argument(command, argument)) }
    for (name, value) in environment { result = min(result, apus_command_add_variable(command, "\(name)=\(value)")) }
    for (slot, descriptor) in descriptors {
      result = min(result, apus_command_set_descriptor(command, slot, descriptor))
    }
    if hasOwnGroup { apus_command_set_own_group(command) }
    guard result == 0 else { throw Self.failure(path, result) }
    var didFailInExec: Int32 = 0
    let process = apus_command_spawn(command, &didFailInExec)
    guard process > 0 else { throw Self.failure(path, process, isExec: didFailInExec == 1) }
    return process
  }

  private static func failure(_ path: String, _ result: Int32, isExec: Bool = false) -> CLIFailure {
    let text = String(cString: strerror(-result))
    guard isExec else { return CLIFailure(.failed, "cannot start \(path): \(text)") }
    return result == -ENOENT
      ? CLIFailure(.commandNotFound, "cannot run \(path): \(text)", hint: "is its interpreter installed?")
      : CLIFailure(.cannotRun, "cannot run \(path): \(text)", hint: "is it a program for this machine, or a #! script?")
  }
}

/// Where programs are.
struct ProgramSearch {
  let context: CLIContext

  init(_ context: CLIContext) {
    self.context = context
  }

  /// The data plane: `APUS_PROXY`, else `apus-proxy` beside this program, else on the path.
  func proxy() throws(CLIFailure) -> String {
    try companion("apus-proxy", variable: "APUS_PROXY")
  }

  /// The services of the demo: `APUS_DEMO`, else `apus-demo` beside this program, else on the path.
  func demo() throws(CLIFailure) -> String {
    try companion("apus-demo", variable: "APUS_DEMO")
  }

  private func companion(_ name: String, variable: String) throws(CLIFailure) -> String {
    if let named = context.environment[variable], !named.isEmpty {
      guard Files.isExecutableFile(named) else {
        throw CLIFailure(
          .failed, "\(variable) names \(named), which is no program", hint: "set it to \(name), or unset it")
      }
      return named
    }
    let beside = "\(context.programFolder)/\(name)"
    if Files.isExecutableFile(beside) { return beside }
    if let found = onPath(name) { return found }
    throw CLIFailure(
      .failed, "\(name) is neither in \(context.programFolder) nor on the path",
      hint: "build it with `swift build -c release`, or name it with \(variable)")
  }

  /// The file that a shell would run for this command.
  func command(_ name: String) throws(CLIFailure) -> String {
    if name.contains("/") {
      if Files.isExecutableFile(name) { return name }
      guard Files.mode(name) != nil else {
        throw CLIFailure(.commandNotFound, "there is no \(name)", hint: "look at the command behind --")
      }
      throw CLIFailure(.cannotRun, "\(name) is no program", hint: "chmod +x it, or name what runs it")
    }
    if let found = onPath(name) { return found }
    throw CLIFailure(.commandNotFound, "\"\(name)\" is not on the path", hint: "look at the command behind --")
  }

  private func onPath(_ name: String) -> String? {
    let folders = (context.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":")
    return folders.map { "\($0)/\(name)" }.first(where: Files.isExecutableFile)
  }
}
