import CApusSystem
import FoundationEssentials
import Glibc
import MeshControl

/// Writes to a descriptor of the process. What a reader who has gone no longer takes is dropped.
struct DescriptorOutput: TextOutput {
  let descriptor: Int32
  /// What cannot be written for another reason (a full disk, a closed descriptor) ends the process with a message and
  /// status 1: what was asked for is not there. Otherwise it is dropped.
  var isDemanded = false

  func write(_ text: String) {
    var rest = Array(text.utf8)
    while !rest.isEmpty {
      let count = Glibc.write(descriptor, rest, rest.count)
      if count > 0 {
        rest.removeFirst(count)
        continue
      }
      let problem = errno
      switch problem {
      case EINTR: continue
      case EAGAIN:
        // Somebody else has made it non-blocking.
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&waiting, 1, -1)
      case _ where isDemanded && !Self.isReaderGone(problem):
        let failure = CLIFailure(
          .failed, "cannot write to standard output: \(String(cString: strerror(problem)))",
          hint: "what was printed is not whole; make room, or write it elsewhere")
        DescriptorOutput(descriptor: 2).write(failure.text)
        exit(failure.status.rawValue)
      default: return
      }
    }
  }

  /// A pipe without a reader, or a terminal that was closed.
  private static func isReaderGone(_ problem: Int32) -> Bool { problem == EPIPE || problem == EIO }
}

extension CLIContext {
  /// The context of this process.
  /// - Parameter readDocuments: the reader of documents, which is the control plane's.
  package static func process(readDocuments: @escaping DocumentsReader) -> CLIContext {
    let file = Files.target(ofLink: "/proc/self/exe") ?? CommandLine.arguments.first ?? "apus"
    let invoked = CommandLine.arguments.first ?? "apus"
    return CLIContext(
      environment: ProcessInfo.processInfo.environment,
      output: DescriptorOutput(descriptor: 1, isDemanded: true), errors: DescriptorOutput(descriptor: 2),
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
  /// The same for what serves others: it goes on where its own words cannot be written.
  package var serving: CLIContext {
    var copy = self
    copy.output = DescriptorOutput(descriptor: 1)
    return copy
  }
}
