import MeshPolicy

/// Decides whether a text is a regular expression that the data plane will take, by letting the data plane's own engine
/// compile it: RE2's syntax without what takes more than linear time, and of bounded size once repeats are written out.
package enum RegularExpressionCheck {
  /// Bytes of an expression.
  package static let maxLength = 1024

  /// Tells what is wrong with `text`, if anything.
  static func check(_ text: String, path: String, into report: ViolationReport) {
    guard let fault = fault(in: text) else { return }
    report.add(
      .invalid, at: path, "\(quoted(text)) is no regular expression for the mesh (RE2 syntax): it \(fault)")
  }

  /// What is wrong and how to mend it; nil when nothing is.
  package static func fault(in text: String) -> String? {
    guard !text.isEmpty else { return "is empty; write .* to match everything" }
    guard text.utf8.count <= maxLength else { return "has over \(maxLength) bytes; shorten it" }
    do throws(RegexError) {
      _ = try RegexProgram(text)
      return nil
    } catch {
      return "\(error.message); change it there, or say it with several matches"
    }
  }
}
