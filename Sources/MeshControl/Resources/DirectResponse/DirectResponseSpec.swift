/// An answer that the client's proxy gives itself (`apus.dev/v1 DirectResponse`), put into a rule of an HTTPRoute by a
/// filter of type ExtensionRef.
package struct DirectResponseSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "apus.dev", version: "v1", kind: "DirectResponse", plural: "directresponses")

  package var status = 0
  /// At most 4096 bytes; empty for none.
  package var body: String?
  /// Default `text/plain`, where there is a body.
  package var contentType: String?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("status", &status, .required, .range(200...599))
    visitor.field("body", &body, .length(0...4096))
    visitor.field("contentType", &contentType, .length(1...256), .format(.headerValue))
  }

  package func check(path: String, into report: ViolationReport) {
    if [204, 205, 304].contains(status), body?.isEmpty == false {
      report.add(
        .forbidden, at: "\(path).body", "an answer with status \(status) has no body (RFC 9110); leave it out")
    }
  }
}
