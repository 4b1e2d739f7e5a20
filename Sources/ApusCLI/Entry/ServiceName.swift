import MeshControl

/// A service as people name it on the command line: `NAME`, `service/NAME` or `service NAME`, with any name of the kind
/// (`svc`, `services`), and `NAMESPACE/NAME` in the place of `NAME`.
struct ServiceName: Equatable {
  var name: String
  /// That of `NAMESPACE/NAME`.
  var namespace: String?

  /// - Parameters:
  ///   - first: the only word, or the kind.
  ///   - second: the name, where `first` is the kind.
  init(_ first: String, _ second: String?) throws(CLIFailure) {
    var place = first
    if let second {
      try Self.check(try KindInfo.named(first), second)
      place = second
    } else if let (kind, rest) = Self.kind(before: first) {
      try Self.check(kind, rest)
      place = rest
    }
    let parts = place.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2, !parts.contains("") else {
      throw CLIFailure(.usage, "\"\(place)\" names no service", hint: "write NAME, service/NAME or service NAME")
    }
    name = parts[parts.count - 1]
    namespace = parts.count == 2 ? parts[0] : nil
  }

  /// The text without the kind that people write before a name (`service/catalog`), where one is there.
  static func withoutKind(_ text: String) -> String {
    guard let (kind, rest) = kind(before: text), kind == ServiceSpec.kind || kind == .workload else { return text }
    return rest
  }

  private static func kind(before text: String) -> (KindInfo, rest: String)? {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let kind = try? KindInfo.named(String(parts[0])) else { return nil }
    return (kind, String(parts[1]))
  }

  private static func check(_ kind: KindInfo, _ name: String) throws(CLIFailure) {
    if kind == ServiceSpec.kind { return }
    throw CLIFailure(
      .usage, "this verb is about services, not \(kind.plural)", hint: "`apus get \(kind.singular) \(name) -o yaml`")
  }
}
