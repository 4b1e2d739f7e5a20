/// Texts under names (`v1 ConfigMap`); a BackendTLSPolicy takes certificates from one.
package struct ConfigMapSpec: ResourceSpec {
  package static let kind = KindInfo(
    group: "", version: "v1", kind: "ConfigMap", plural: "configmaps", shortNames: ["cm"], layout: .topLevel)

  /// At most 1 MiB together, as in Kubernetes.
  package var data: [String: String] = [:]
  /// Kept, without effect here.
  package var binaryData: [String: String] = [:]
  package var immutable: Bool?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("data", &data, .items(0...1024))
    visitor.field("binaryData", &binaryData, .items(0...1024))
    visitor.field("immutable", &immutable)
  }

  package func check(path: String, into report: ViolationReport) {
    let size = (Array(data) + Array(binaryData)).reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    guard size > 1 << 20 else { return }
    report.add(.tooLong, at: path.isEmpty ? "data" : "\(path).data", "has \(size) bytes; keep at most 1048576")
  }
}
