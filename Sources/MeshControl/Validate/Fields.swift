/// Walks the fields of an object, reading or writing them. A type names each of its fields once, in `fields(_:)`;
/// reading with all violations, refusing what is not known, and writing with defaults come from that one list.
package protocol FieldVisitor {
  /// - Parameters:
  ///   - name: the field's name in documents.
  ///   - value: its storage; what it holds before reading is the default of a field that is absent.
  ///   - rules: what the field must hold to.
  mutating func field<Field: FieldValue>(_ name: String, _ value: inout Field, _ rules: FieldRule...)
}

/// A type that a field of an object can have.
package protocol FieldValue {
  /// Reads the value; tells what is wrong with it and answers nil where there is nothing to go on with.
  static func read(_ value: Value, path: String, into report: ViolationReport) -> Self?
  /// The value as it is written; nil when it is not.
  var written: Value? { get }
}

/// An object with named fields.
package protocol FieldObject: FieldValue, Sendable {
  /// All fields at their defaults.
  init()
  /// Names every field.
  mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor)
  /// Tells what is wrong with the fields taken together. Called only where each field for itself was in order.
  func check(path: String, into report: ViolationReport)
}

extension FieldObject {
  package func check(path: String, into report: ViolationReport) {}

  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Self? {
    guard let members = value.members else {
      report.add(
        .typeInvalid, at: path, "is \(value.typeName) where an object is due; write \"name: value\" lines under it",
        position: value.position)
      return nil
    }
    return read(members: members, position: value.position, path: path, also: [], into: report)
  }

  /// Reads the object from `members`.
  /// - Parameter also: names that are read elsewhere, and are therefore known.
  static func read(
    members: [Value.Member], position: Value.Position?, path: String, also: [String], into report: ViolationReport
  ) -> Self? {
    let countBefore = report.violations.count + report.omittedCount
    var object = Self()
    var reader = FieldReader(members: members, position: position, path: path, report: report)
    object.fields(&reader)
    reader.refuseUnknown(also: also)
    guard report.violations.count + report.omittedCount == countBefore else { return nil }
    object.check(path: path, into: report)
    return object
  }

  package var written: Value? {
    var writer = FieldWriter()
    var copy = self
    copy.fields(&writer)
    return .object(writer.members)
  }
}

/// Fills fields from a document.
struct FieldReader: FieldVisitor {
  private let members: [Value.Member]
  private let position: Value.Position?
  private let path: String
  private let report: ViolationReport
  private var known: [String] = []

  init(members: [Value.Member], position: Value.Position?, path: String, report: ViolationReport) {
    self.members = members
    self.position = position
    self.path = path
    self.report = report
  }

  mutating func field<Field: FieldValue>(_ name: String, _ value: inout Field, _ rules: FieldRule...) {
    known.append(name)
    let fieldPath = path.isEmpty ? name : "\(path).\(name)"
    guard let found = members.first(where: { $0.name == name })?.value, !found.isNull else {
      if rules.contains(where: { if case .required = $0 { true } else { false } }) {
        report.add(.required, at: fieldPath, "is missing; add it", position: position)
      }
      return
    }
    if let read = Field.read(found, path: fieldPath, into: report) { value = read }
    for rule in rules { rule.check(found, path: fieldPath, into: report) }
  }

  /// Tells every member that no field has asked for.
  func refuseUnknown(also: [String]) {
    for member in members where !known.contains(member.name) && !also.contains(member.name) {
      let name = String(member.name.prefix(64))
      report.add(
        .unknownField, at: path.isEmpty ? name : "\(path).\(name)",
        "no such field; \(Suggestion.hint(for: member.name, among: known + also))", position: member.value.position)
    }
  }
}

/// Collects fields as members of an object.
struct FieldWriter: FieldVisitor {
  private(set) var members: [Value.Member] = []

  mutating func field<Field: FieldValue>(_ name: String, _ value: inout Field, _ rules: FieldRule...) {
    if let written = value.written { members.append(Value.Member(name, written)) }
  }
}

extension Value {
  var isNull: Bool {
    if case .null = content { true } else { false }
  }
}
