/// What a field must hold to beyond its type. Rules are about the document, so that they can be told with its words.
package indirect enum FieldRule: Sendable {
  /// The field must be there.
  case required
  /// Bytes of a text.
  case length(ClosedRange<Int>)
  /// Elements of a list or members of an object.
  case items(ClosedRange<Int>)
  /// A whole number's value.
  case range(ClosedRange<Int>)
  /// The form of a text.
  case format(TextFormat)
  /// The rule holds for every element of a list.
  case each(FieldRule)
  /// No element of a list comes twice.
  case unique
  /// No two elements of a list have the same text in this member.
  case uniqueBy(String)
  /// Like `uniqueBy`, letters' case left out, as header names are compared.
  case uniqueIgnoringCase(String)

  /// Tells every breach of the rule by `value`.
  func check(_ value: Value, path: String, into report: ViolationReport) {
    switch (self, value.content) {
    case (.length(let bounds), .string(let text)): checkLength(text, bounds, value, path, report)
    case (.items(let bounds), .list(let elements)):
      checkCount(elements.count, bounds, "elements", value, path, report)
    case (.items(let bounds), .object(let members)):
      checkCount(members.count, bounds, "members", value, path, report)
    case (.range(let bounds), .integer(let number)):
      guard Int64(bounds.lowerBound) > number || number > Int64(bounds.upperBound) else { return }
      report.add(
        .invalid, at: path,
        "\(number) is out of bounds; use a number from \(bounds.lowerBound) to \(bounds.upperBound)",
        position: value.position)
    case (.format(let format), .string(let text)):
      guard let fault = format.fault(in: text) else { return }
      report.add(.invalid, at: path, "\(quoted(text)) \(fault); change it to that form", position: value.position)
    case (.each(let rule), .list(let elements)):
      for (index, element) in elements.enumerated() {
        rule.check(element, path: "\(path)[\(index)]", into: report)
      }
    case (.unique, .list(let elements)):
      checkUnique(elements.map { ($0.text, "", $0) }, path, report) { $0 }
    case (.uniqueBy(let member), .list(let elements)):
      checkUnique(elements.map { ($0[member]?.text, ".\(member)", $0) }, path, report) { $0 }
    case (.uniqueIgnoringCase(let member), .list(let elements)):
      checkUnique(elements.map { ($0[member]?.text, ".\(member)", $0) }, path, report) { $0.lowercased() }
    default: return
    }
  }

  private func checkLength(
    _ text: String, _ bounds: ClosedRange<Int>, _ value: Value, _ path: String, _ report: ViolationReport
  ) {
    let count = text.utf8.count
    if count < bounds.lowerBound {
      report.add(.invalid, at: path, "must not be empty; give it a value or leave it out", position: value.position)
    } else if count > bounds.upperBound {
      report.add(
        .tooLong, at: path, "has \(count) bytes; shorten it to at most \(bounds.upperBound)", position: value.position)
    }
  }

  private func checkCount(
    _ count: Int, _ bounds: ClosedRange<Int>, _ what: String, _ value: Value, _ path: String,
    _ report: ViolationReport
  ) {
    if count < bounds.lowerBound {
      report.add(
        .required, at: path, "has \(count) \(what); give at least \(bounds.lowerBound)", position: value.position)
    } else if count > bounds.upperBound {
      report.add(
        .tooMany, at: path, "has \(count) \(what); keep at most \(bounds.upperBound)", position: value.position)
    }
  }

  private func checkUnique(
    _ entries: [(key: String?, suffix: String, value: Value)], _ path: String, _ report: ViolationReport,
    fold: (String) -> String
  ) {
    var seen: [String: Int] = [:]
    for (index, entry) in entries.enumerated() {
      guard let key = entry.key.map(fold) else { continue }
      if let first = seen[key] {
        report.add(
          .duplicate, at: "\(path)[\(index)]\(entry.suffix)",
          "\(quoted(key)) is there already, at \(path)[\(first)]; remove one of them", position: entry.value.position)
      } else {
        seen[key] = index
      }
    }
  }
}

/// `text` in quotes, as `visible` shows it.
func quoted(_ text: String) -> String { "\"\(visible(text))\"" }

/// `text` cut to a length that a message bears. Letters of every language are shown as they are; what steers a terminal,
/// or cannot be seen, is shown as `?`.
/// - Parameter limit: the most Unicode scalars that are shown.
package func visible(_ text: String, limit: Int = 80) -> String {
  var shown = String.UnicodeScalarView()
  var rest = text.unicodeScalars[...]
  var count = 0
  while count < limit, let scalar = rest.popFirst() {
    shown.append(isVisible(scalar) ? scalar : "?")
    count += 1
  }
  return String(shown) + (rest.isEmpty ? "" : "…")
}

/// Whether a scalar can be seen and does nothing else.
private func isVisible(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
  case .spaceSeparator: scalar == " "
  default: true
  }
}
