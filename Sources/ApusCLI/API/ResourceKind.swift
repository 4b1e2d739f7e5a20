import ApusHTTP
package import MeshControl

/// Kinds of objects as people name them on the command line.
extension KindInfo {
  /// Workloads are what discovery found: they can be read, not written.
  package static let workload = KindInfo(
    group: "apus.dev", version: "v1", kind: "Workload", plural: "workloads", shortNames: ["wl"])

  /// Every kind that can be read.
  package static var readable: [KindInfo] { KindRegistry.kinds + [.workload] }

  /// The kind of that name: kind, plural, singular or short name, with or without the group, letters' case aside.
  package static func named(_ name: String) throws(CLIFailure) -> KindInfo {
    if let kind = KindRegistry.kind(named: name) { return kind }
    let wanted = name.lowercased()
    let words = [workload.singular, workload.plural] + workload.shortNames
    if words.contains(where: { wanted == $0 || wanted == "\($0).\(workload.group)" }) { return workload }
    let known = readable.map(\.plural)
    let near = Suggestion.nearest(to: wanted, among: known + readable.map(\.singular))
    throw CLIFailure(
      .usage, "there is no kind \"\(name)\"",
      hint: (near.map { "did you mean \($0)? " } ?? "") + "kinds: \(known.joined(separator: ", "))")
  }

  /// The kind as messages name it: `httproute.gateway.networking.k8s.io`.
  package var qualifiedName: String { group.isEmpty ? singular : "\(singular).\(group)" }

  /// Path of the kind's objects; in all namespaces where none is given.
  package func path(namespace: String?) -> String {
    let root = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
    return root + (namespace.map { "/namespaces/\(PercentCoding.encode($0))" } ?? "") + "/\(plural)"
  }
}
