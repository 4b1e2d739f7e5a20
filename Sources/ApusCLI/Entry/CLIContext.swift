package import MeshControl

/// Where text goes: a descriptor of the process, or memory in tests.
package protocol TextOutput: Sendable {
  func write(_ text: String)
}

/// Everything of the outside that the verbs use, so that they can be driven without a process.
package struct CLIContext: Sendable {
  package var environment: [String: String]
  /// What was asked for.
  package var output: any TextOutput
  /// Messages to the person, apart from what was asked for.
  package var errors: any TextOutput
  /// The terminal's size behind `output`; absent where it is none.
  package var terminalSize: @Sendable () -> TerminalSize?
  /// All of standard input.
  package var input: @Sendable () -> [UInt8]
  package var now: @Sendable () -> Timestamp
  /// Reads the objects of a text, with all that is wrong with it: the reader of documents that the control plane has.
  package var readDocuments: DocumentsReader
  /// How the program was called, for text that shows what to type next.
  package var programName: String
  /// The folder of the program's own file, where the other programs lie.
  package var programFolder: String

  package init(
    environment: [String: String], output: any TextOutput, errors: any TextOutput,
    terminalSize: @escaping @Sendable () -> TerminalSize?, input: @escaping @Sendable () -> [UInt8],
    now: @escaping @Sendable () -> Timestamp, readDocuments: @escaping DocumentsReader = { _, _ in ([], []) },
    programName: String, programFolder: String
  ) {
    self.environment = environment
    self.output = output
    self.errors = errors
    self.terminalSize = terminalSize
    self.input = input
    self.now = now
    self.readDocuments = readDocuments
    self.programName = programName
    self.programFolder = programFolder
  }

  /// Whether colour may be used: a terminal, and no `NO_COLOR` (no-color.org).
  package var allowsColour: Bool {
    terminalSize() != nil && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
  }
}

/// Reads a text with one or more documents; the second argument is the namespace of objects that name none.
package typealias DocumentsReader = @Sendable ([UInt8], String) -> (objects: [MeshAnalysis.Object], findings: [Finding])

/// Columns and rows of a terminal.
package struct TerminalSize: Sendable, Equatable {
  package var columns: Int
  package var rows: Int

  package init(columns: Int, rows: Int) {
    self.columns = columns
    self.rows = rows
  }
}
