package import MeshControl

/// What one text holds: the objects in it, in order, with all that is wrong.
package struct ReadDocuments {
  /// An object, with where its document stands among those of the text, from 0.
  package struct Entry {
    package var resource: Resource
    package var document: Int
    /// As it was read, with positions.
    package var value: Value
  }

  package var entries: [Entry] = []
  package var violations: [Violation] = []
  package var omittedCount = 0
}

/// Reads texts with one or more documents, in YAML or JSON; a `List` counts as its items.
package enum DocumentReader {
  /// Documents in one text.
  package static let maxDocuments = 5000

  /// - Parameter namespace: for objects that name none.
  package static func read(_ bytes: [UInt8], namespace: String) -> ReadDocuments {
    let report = ViolationReport()
    var result = ReadDocuments()
    let text = bytes.starts(with: YAMLReader.byteOrderMark) ? Array(bytes.dropFirst(3)) : bytes
    let (values, isLastCut) = values(text, into: report)
    let documents = values.flatMap(items)
    if documents.isEmpty, report.isEmpty {
      report.add(.required, at: "", "there is no object in it; begin with apiVersion, kind, metadata and spec")
    }
    var places: [ResourceKey: Int] = [:]
    for (index, document) in documents.prefix(maxDocuments).enumerated() {
      let own = ViolationReport()
      if let resource = Resource.read(document, namespace: namespace, into: own) {
        if let first = places[resource.key] {
          own.add(
            .duplicate, at: "metadata.name",
            "\(resource.key) is there already, in document \(first + 1); remove one of the two",
            position: document.position)
        } else {
          places[resource.key] = index
          result.entries.append(ReadDocuments.Entry(resource: resource, document: index, value: document))
        }
      }
      // What is not there may have been meant by what could not be read.
      let isCut = isLastCut && index == documents.count - 1
      add(own, of: document, index: documents.count > 1 ? index : nil, isCut: isCut, to: report)
    }
    if documents.count > maxDocuments {
      report.add(.tooMany, at: "", "there are over \(maxDocuments) documents; apply them in parts")
    }
    result.violations = report.violations
    result.omittedCount = report.omittedCount
    return result
  }

  /// The values of a text: JSON where it is JSON, else YAML. What comes before a mistake is read all the same, so that
  /// its violations are told too.
  private static func values(_ bytes: [UInt8], into report: ViolationReport) -> (values: [Value], isLastCut: Bool) {
    let first = bytes.first { $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D }
    var failure: JSONReader.Failure?
    if first == UInt8(ascii: "{") {
      do { return ([try JSONReader.read(bytes)], false) } catch { failure = error }
    }
    let yaml = YAMLReader.read(bytes)
    if let mistake = yaml.failure {
      let position = failure?.position ?? mistake.position
      report.add(
        .malformed, at: "",
        "line \(position.line), column \(position.column): \(failure?.message ?? mistake.message)", position: position)
    }
    return (yaml.documents, yaml.isLastCut)
  }

  /// The items of a `List`, else the document itself.
  private static func items(_ document: Value) -> [Value] {
    guard document["apiVersion"]?.text == "v1", document["kind"]?.text == "List",
      let items = document["items"]?.elements
    else { return [document] }
    return items
  }

  /// Adds what is wrong with one document, told with its name and line.
  /// - Parameter isCut: whether the document may go on in what could not be read.
  private static func add(
    _ own: ViolationReport, of document: Value, index: Int?, isCut: Bool, to report: ViolationReport
  ) {
    let kind = document["kind"]?.text.map { visible($0, limit: 64) } ?? "object"
    let name = document["metadata"]?["name"]?.text.map { " \(visible($0, limit: 64))" } ?? ""
    for var violation in own.violations where !isCut || violation.reason != .required {
      // What is wrong with several fields together is told without a position.
      violation.position = violation.position ?? document.position(of: violation.path)
      let line = violation.position.map { ", line \($0.line)" } ?? ""
      violation.message = "\(kind)\(name)\(line): \(violation.message)"
      if let index {
        violation.path = violation.path.isEmpty ? "documents[\(index)]" : "documents[\(index)].\(violation.path)"
      }
      report.add(violation)
    }
    if own.omittedCount > 0 {
      report.add(.tooMany, at: "", "\(own.omittedCount) more mistakes in \(kind)\(name); mend those told first")
    }
  }
}
