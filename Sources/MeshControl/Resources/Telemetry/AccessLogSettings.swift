import MeshModel
import MeshTelemetry

extension TelemetrySpec {
  /// One access log.
  package struct AccessLog: FieldObject, Equatable {
    /// No access log; stands alone.
    package var disabled: Bool?
    /// Default Stdout.
    package var destination: Destination?
    /// Default JSON.
    package var format: Format?
    /// The format of text, in the language of Envoy's access logs. Default: Envoy's fields in its order, and the mesh's.
    package var text: String?
    /// The fields of JSON, in the same language; in the order of their names.
    package var json: [String: String] = [:]
    /// Which requests are told of; absent: all.
    package var when: When?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("disabled", &disabled)
      visitor.field("destination", &destination)
      visitor.field("format", &format)
      visitor.field("text", &text, .length(1...LogTemplate.maxBytes))
      visitor.field("json", &json, .items(0...64))
      visitor.field("when", &when)
    }

    package func check(path: String, into report: ViolationReport) {
      if format == .text, !json.isEmpty {
        report.add(.forbidden, at: "\(path).json", "is for format JSON; remove it, or change the format")
      }
      if format != .text, text != nil {
        report.add(.forbidden, at: "\(path).text", "is for format Text; set format: Text, or remove it")
      }
      if let text { checkTemplate(text, "\(path).text", report) }
      for (name, template) in json.sorted(by: { $0.key < $1.key }) {
        let place = "\(path).json[\(quoted(name))]"
        if name.isEmpty || name.utf8.count > 64 {
          report.add(.invalid, at: place, "a field's name has 1 to 64 bytes; change it")
        }
        checkTemplate(template, place, report)
      }
    }

    private func checkTemplate(_ text: String, _ path: String, _ report: ViolationReport) {
      do throws(LogTemplate.Fault) {
        _ = try LogTemplate(text)
      } catch {
        report.add(.invalid, at: path, error.message)
      }
    }
  }

  package enum Destination: String, FieldEnum {
    /// The proxy's standard output.
    case stdout = "Stdout"
    /// The collector.
    case otlp = "OTLP"
  }

  package enum Format: String, FieldEnum {
    case json = "JSON"
    case text = "Text"
  }

  /// Requests that are told of: any condition holds, or the percentage of the others takes them.
  package struct When: FieldObject, Equatable {
    /// `404`, `5xx`, `400-499`; `0`: nothing was answered.
    package var statuses: [StatusRange] = []
    package var slowerThan: GatewayDuration?
    /// Names of reasons; `*`: any.
    package var reasons: [String] = []
    /// Of the requests for which nothing else holds; default 0 where there is a condition, else 100.
    package var percentage: Percentage?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("statuses", &statuses, .items(0...8), .unique)
      visitor.field("slowerThan", &slowerThan)
      visitor.field("reasons", &reasons, .items(0...64), .unique)
      visitor.field("percentage", &percentage)
    }

    package func check(path: String, into report: ViolationReport) {
      slowerThan?.checkBounds(path: "\(path).slowerThan", longest: 3_600, into: report)
      for (index, name) in reasons.enumerated() where name != "*" && Reason(name: name) == nil {
        let known = Reason.allCases.map(\.name.description)
        var mend = "see docs/reasons.md, or write *"
        if let nearest = Suggestion.nearest(to: name, among: known) { mend = "did you mean \"\(nearest)\"?" }
        report.add(.notSupported, at: "\(path).reasons[\(index)]", "\(quoted(name)) is no reason; \(mend)")
      }
    }
  }

  /// Statuses as people write them: `404`, `5xx`, `400-499`, `0` for no answer.
  package struct StatusRange: FieldValue, Equatable, Sendable {
    /// As it was written.
    package let text: String
    package let range: ClosedRange<UInt16>

    package static func read(_ value: Value, path: String, into report: ViolationReport) -> StatusRange? {
      var text = value.text ?? ""
      if case .integer(let number) = value.content { text = "\(number)" }
      if let range = range(text) { return StatusRange(text: text, range: range) }
      report.add(
        .invalid, at: path, "\(quoted(text)) is no status; write 404, 5xx, 400-499 or 0", position: value.position)
      return nil
    }

    package var written: Value? { .string(text) }

    private static func range(_ text: String) -> ClosedRange<UInt16>? {
      if text == "0" { return 0...0 }
      let bytes = Array(text.utf8)
      if bytes.count == 3, bytes[1...].allSatisfy({ $0 | 0x20 == 0x78 }), (0x31...0x35).contains(bytes[0]) {
        let first = UInt16(bytes[0] - 0x30) * 100
        return first...(first + 99)
      }
      let parts = text.split(separator: "-", omittingEmptySubsequences: false)
      guard let from = parts.first.flatMap({ UInt16($0) }), let to = parts.last.flatMap({ UInt16($0) }),
        parts.count <= 2, (100...599).contains(from), (100...599).contains(to), from <= to
      else { return nil }
      return from...to
    }
  }
}
