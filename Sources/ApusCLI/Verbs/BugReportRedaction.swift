import MeshControl

/// Takes out of a report what must not leave the house: values of header fields that carry secrets, copies of objects
/// that tools keep in annotations, and what the operator names.
struct Redaction {
  /// What stands in its place.
  static let mark = "[redacted]"

  /// Texts that are blotted out wherever they stand.
  private let texts: [String]

  init(_ texts: [String]) {
    // The longer first: a text may be a part of another.
    self.texts = texts.filter { !$0.isEmpty }.sorted { $0.utf8.count > $1.utf8.count }
  }

  /// Header fields, queries and annotations whose values are taken out: by their whole name, or a part of it.
  private static let secretNames = ["authorization", "proxy-authorization", "cookie", "set-cookie"]
  private static let secretParts = ["token", "secret", "password", "passwd", "api-key", "apikey", "credential"]
  private static let copies = "last-applied-configuration"

  static func isSecret(_ name: String) -> Bool {
    let name = name.lowercased()
    return secretNames.contains(name) || secretParts.contains { name.contains($0) } || name.hasSuffix(copies)
  }

  /// The value without them.
  func clean(_ value: Value) -> Value {
    if let members = value.members { return .object(clean(members)) }
    if let elements = value.elements { return .list(elements.map(clean)) }
    if let text = value.text { return .string(blot(text)) }
    return value
  }

  private func clean(_ members: [Value.Member]) -> [Value.Member] {
    // `{"name": "authorization", "value": …}`: a field that a route sets, adds or compares.
    let named = members.first { $0.name == "name" }?.value.text
    return members.map { member in
      let isValue = member.name == "value" && named.map(Self.isSecret) == true
      let isOwn = Self.isSecret(member.name) && member.value.text?.isEmpty == false
      return Value.Member(blot(member.name), isValue || isOwn ? .string(Self.mark) : clean(member.value))
    }
  }

  private func blot(_ text: String) -> String {
    texts.reduce(text) { $0.split(separator: $1, omittingEmptySubsequences: false).joined(separator: Self.mark) }
  }
}
