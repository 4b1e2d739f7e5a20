/// Why a verb did not do what it was asked: what and where, in detail, and how to mend it.
package struct CLIFailure: Error, Sendable, Equatable {
  package var status: ExitStatus
  /// One clause that names what failed and where.
  package var what: String
  /// A line for each single finding, such as a violation.
  package var details: [String]
  /// What to do about it; absent where there is no advice beyond the message.
  package var hint: String?

  package init(_ status: ExitStatus, _ what: String, details: [String] = [], hint: String? = nil) {
    self.status = status
    self.what = what
    self.details = details
    self.hint = hint
  }

  /// The text for standard error.
  package var text: String {
    var lines = ["apus: \(what)"]
    lines += details.map { "  \($0)" }
    if let hint { lines.append("  hint: \(hint)") }
    return lines.joined(separator: "\n") + "\n"
  }
}
