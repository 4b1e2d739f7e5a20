package import MeshControl

/// JSON for people: two blanks for each level, members in the order they have.
package enum PrettyJSON {
  package static func text(_ value: Value) -> String {
    var text = ""
    write(value, indent: 0, into: &text)
    return text + "\n"
  }

  private static func write(_ value: Value, indent: Int, into text: inout String) {
    let inner = String(repeating: "  ", count: indent + 1)
    let outer = String(repeating: "  ", count: indent)
    switch value.content {
    case .list(let elements) where !elements.isEmpty:
      text += "[\n"
      for (index, element) in elements.enumerated() {
        text += inner
        write(element, indent: indent + 1, into: &text)
        text += index + 1 < elements.count ? ",\n" : "\n"
      }
      text += outer + "]"
    case .object(let members) where !members.isEmpty:
      text += "{\n"
      for (index, member) in members.enumerated() {
        text += inner + Value.string(member.name).json() + ": "
        write(member.value, indent: indent + 1, into: &text)
        text += index + 1 < members.count ? ",\n" : "\n"
      }
      text += outer + "}"
    default:
      text += value.json()
    }
  }
}
