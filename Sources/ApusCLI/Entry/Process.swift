import CApusSystem
import FoundationEssentials
import Glibc
import MeshControl

/// Writes to a descriptor of the process; what the reader no longer takes is dropped.
struct DescriptorOutput: TextOutput {
  let descriptor: Int32

  func write(_ text: String) {
    var rest = Array(text.utf8)
    while !rest.isEmpty {
      let count = Glibc.write(descriptor, rest, rest.count)
      if count > 0 {
        rest.removeFirst(count)
      } else if errno != EINTR {
        return
      }
    }
  }
}

extension CLIContext {
  /// The context of this process.
  /// - Parameter readDocuments: the reader of documents, which is the control plane's.
  package static func process(readDocuments: @escaping DocumentsReader) -> CLIContext {
    let file = Files.target(ofLink: "/proc/self/exe") ?? CommandLine.arguments.first ?? "apus"
    let invoked = CommandLine.arguments.first ?? "apus"
    return CLIContext(
      environment: ProcessInfo.processInfo.environment,
      output: DescriptorOutput(descriptor: 1), errors: DescriptorOutput(descriptor: 2),
      terminalSize: {
        var columns: Int32 = 0
        var rows: Int32 = 0
        guard isatty(1) == 1, apus_terminal_size(1, &columns, &rows) == 0, columns > 0, rows > 0 else { return nil }
        return TerminalSize(columns: Int(columns), rows: Int(rows))
      },
      input: { Files.readAll(descriptor: 0) },
      now: { Timestamp(secondsSinceEpoch: Int64(time(nil))) },
      readDocuments: readDocuments, programName: invoked.contains("/") ? invoked : "apus",
      programFolder: Files.folder(of: file))
  }
}
