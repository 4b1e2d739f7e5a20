/// One thing wrong with a document or an object: where, what, how to mend it.
package struct Violation: Sendable, Equatable {
  /// The classes of mistakes, with the words Kubernetes uses for them in `details.causes[].reason`.
  package enum Reason: String, Sendable, Equatable, CaseIterable {
    case required = "FieldValueRequired"
    case invalid = "FieldValueInvalid"
    case notSupported = "FieldValueNotSupported"
    case duplicate = "FieldValueDuplicate"
    case forbidden = "FieldValueForbidden"
    case tooLong = "FieldValueTooLong"
    case tooMany = "FieldValueTooMany"
    case typeInvalid = "FieldValueTypeInvalid"
    case notFound = "FieldValueNotFound"
    case unknownField = "FieldUnknown"
    case malformed = "DocumentMalformed"
  }

  /// Where in the object, such as `spec.rules[0].matches[1].path.value`; empty for the whole document.
  package var path: String
  package var reason: Reason
  /// What is wrong; it ends with how to mend it.
  package var message: String
  /// Where in the document, if the object came from one.
  package var position: Value.Position?

  package init(path: String, reason: Reason, message: String, position: Value.Position? = nil) {
    self.path = path
    self.reason = reason
    self.message = message
    self.position = position
  }
}

/// Collects violations while a document is read, so that all of them are told at once.
///
/// At most `limit` are kept, so that a hostile document cannot make a report without end; the rest are counted.
package final class ViolationReport {
  /// How many violations are kept.
  package static let limit = 500

  package private(set) var violations: [Violation] = []
  /// How many were found beyond the limit.
  package private(set) var omittedCount = 0

  package init() {}

  package var isEmpty: Bool { violations.isEmpty }

  package func add(_ violation: Violation) {
    if violations.count < Self.limit {
      violations.append(violation)
    } else {
      omittedCount += 1
    }
  }

  package func add(
    _ reason: Violation.Reason, at path: String, _ message: String, position: Value.Position? = nil
  ) {
    add(Violation(path: path, reason: reason, message: message, position: position))
  }

  package func add(contentsOf other: ViolationReport) {
    for violation in other.violations { add(violation) }
    omittedCount += other.omittedCount
  }
}
