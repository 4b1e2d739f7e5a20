// The types that fields have.

extension String: FieldValue {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> String? {
    if case .string(let text) = value.content { return text }
    let mend =
      switch value.content {
      case .boolean, .integer, .number: "put it in quotes"
      default: "write one text"
      }
    report.add(
      .typeInvalid, at: path, "is \(value.typeName) where a string is due; \(mend)", position: value.position)
    return nil
  }

  package var written: Value? { .string(self) }
}

extension Int: FieldValue {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Int? {
    if case .integer(let number) = value.content { return Int(number) }
    let mend =
      if case .string(let text) = value.content, Int(text) != nil {
        "write \(text) without quotes"
      } else {
        "write a number such as 1"
      }
    report.add(
      .typeInvalid, at: path, "is \(value.typeName) where a whole number is due; \(mend)", position: value.position)
    return nil
  }

  package var written: Value? { .integer(self) }
}

extension Bool: FieldValue {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Bool? {
    if case .boolean(let boolean) = value.content { return boolean }
    report.add(
      .typeInvalid, at: path, "is \(value.typeName) where a boolean is due; write true or false",
      position: value.position)
    return nil
  }

  package var written: Value? { .boolean(self) }
}

extension GatewayDuration: FieldValue {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> GatewayDuration? {
    guard let text = String.read(value, path: path, into: report) else { return nil }
    if let duration = GatewayDuration(text) { return duration }
    report.add(
      .invalid, at: path, "\(quoted(text)) is no duration; write \(TextFormat.duration.demand)",
      position: value.position)
    return nil
  }

  package var written: Value? { .string(text) }
}

/// A value that is kept as it came, without looking into it.
extension Value: FieldValue {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Value? { value }
  package var written: Value? { self }
}

extension Optional: FieldValue where Wrapped: FieldValue {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Wrapped?? {
    Wrapped.read(value, path: path, into: report).map { .some($0) }
  }

  package var written: Value? { flatMap(\.written) }
}

extension Array: FieldValue where Element: FieldValue {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> [Element]? {
    guard let elements = value.elements else {
      report.add(
        .typeInvalid, at: path, "is \(value.typeName) where a list is due; write its elements on lines with \"- \"",
        position: value.position)
      return nil
    }
    var read: [Element] = []
    for (index, element) in elements.enumerated() {
      if let element = Element.read(element, path: "\(path)[\(index)]", into: report) { read.append(element) }
    }
    return read
  }

  /// An empty list is not written.
  package var written: Value? { isEmpty ? nil : .list(compactMap(\.written)) }
}

/// Labels and the like: texts under names that the user chooses.
extension Dictionary: FieldValue where Key == String, Value == String {
  package static func read(
    _ value: MeshControl.Value, path: String, into report: ViolationReport
  ) -> [String: String]? {
    guard let members = value.members else {
      report.add(
        .typeInvalid, at: path, "is \(value.typeName) where an object is due; write \"name: value\" lines under it",
        position: value.position)
      return nil
    }
    var read: [String: String] = [:]
    for member in members {
      read[member.name] = String.read(member.value, path: "\(path)[\(quoted(member.name))]", into: report)
    }
    return read
  }

  /// An empty object is not written; members are in the order of their names.
  package var written: MeshControl.Value? {
    isEmpty
      ? nil : .object(sorted { $0.key < $1.key }.map { MeshControl.Value.Member($0.key, .string($0.value)) })
  }
}

/// A choice among words. The raw value is the word in documents.
package protocol FieldEnum: FieldValue, RawRepresentable, CaseIterable, Sendable where RawValue == String {}

extension FieldEnum {
  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Self? {
    guard let text = String.read(value, path: path, into: report) else { return nil }
    if let choice = Self(rawValue: text) { return choice }
    let known = allCases.map(\.rawValue)
    var mend = "use one of \(known.joined(separator: ", "))"
    if let nearest = Suggestion.nearest(to: text, among: known) { mend += "; did you mean \"\(nearest)\"?" }
    report.add(.notSupported, at: path, "\(quoted(text)) is not supported; \(mend)", position: value.position)
    return nil
  }

  package var written: Value? { .string(rawValue) }
}
