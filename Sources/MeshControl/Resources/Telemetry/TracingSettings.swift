extension TelemetrySpec {
  /// Which requests are traced. Spans are recorded where there is an exporter.
  package struct Tracing: FieldObject, Equatable {
    package var disabled: Bool?
    /// Share of the traces that begin at the proxy; what callers have decided is kept to. Default 1.
    package var samplingPercentage: Percentage?
    /// Shares for some requests; the most specific match decides, as among the rules of an HTTPRoute.
    package var rules: [SamplingRule] = []
    package var customTags: [CustomTag] = []
    /// Written beside `traceparent` even where the caller did not.
    package var propagation: [Propagation] = []
    /// The header by which a caller of the mesh asks for a trace (`1` or `true`). Default x-apus-trace.
    package var forceHeader: String?
    /// Instead of the object's.
    package var exporter: Exporter?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("disabled", &disabled)
      visitor.field("samplingPercentage", &samplingPercentage)
      visitor.field("rules", &rules, .items(0...32))
      visitor.field("customTags", &customTags, .items(0...16), .uniqueBy("name"))
      visitor.field("propagation", &propagation, .items(0...2), .unique)
      visitor.field("forceHeader", &forceHeader, .length(1...128), .format(.token))
      visitor.field("exporter", &exporter)
    }
  }

  /// A share of the traces that begin with certain requests.
  package struct SamplingRule: FieldObject, Equatable {
    /// Any of them holds.
    package var matches: [HTTPRouteMatch] = []
    package var samplingPercentage = Percentage()

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("matches", &matches, .required, .items(1...16))
      visitor.field("samplingPercentage", &samplingPercentage, .required)
    }
  }

  package enum Propagation: String, FieldEnum {
    /// One field, `b3`.
    case b3 = "B3"
    /// `x-b3-traceid` and the others.
    case b3Multi = "B3Multi"
  }

  /// A further attribute of spans.
  package struct CustomTag: FieldObject, Equatable {
    package var name = ""
    package var literal: String?
    package var header: TagHeader?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name, .required, .length(1...64))
      visitor.field("literal", &literal, .length(1...256))
      visitor.field("header", &header)
    }

    package func check(path: String, into report: ViolationReport) {
      let isPlain = name.utf8.allSatisfy { TextFormat.isAlphanumeric($0) || "._-/".utf8.contains($0) }
      if !isPlain {
        report.add(
          .invalid, at: "\(path).name",
          "\(quoted(name)) has other characters than letters, digits and '.', '_', '-', '/'; change it")
      }
      if (literal == nil) == (header == nil) {
        report.add(.invalid, at: path, "has \(literal == nil ? "no value" : "two values"); give literal or header")
      }
    }
  }

  /// A header field of the request as the value of a tag; at most 256 bytes are kept.
  package struct TagHeader: FieldObject, Equatable {
    package var name = ""
    /// Where the field is not there; absent: then there is no tag.
    package var defaultValue: String?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name, .required, .length(1...128), .format(.token))
      visitor.field("defaultValue", &defaultValue, .length(1...256))
    }
  }
}
