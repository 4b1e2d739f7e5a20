package import MeshControl

/// Values as YAML 1.2 in block style, in the order their members have. What it writes, `apus apply` reads back as the same
/// value: a string that another reader could take for something else stands in quotes.
package enum YAMLWriter {
  package static func text(_ value: Value) -> String {
    var lines: [String] = []
    write(value, indent: 0, into: &lines)
    return lines.joined(separator: "\n") + "\n"
  }

  private static func write(_ value: Value, indent: Int, into lines: inout [String]) {
    let blanks = String(repeating: " ", count: indent)
    switch value.content {
    case .object(let members) where !members.isEmpty:
      for member in members {
        let name = scalar(member.name)
        if let flow = flow(member.value) {
          lines.append("\(blanks)\(name): \(flow)")
        } else {
          lines.append("\(blanks)\(name):")
          // A list's dashes may stand as deep as the name that it belongs to, as kubectl writes them.
          write(member.value, indent: member.value.elements == nil ? indent + 2 : indent, into: &lines)
        }
      }
    case .list(let elements) where !elements.isEmpty:
      for element in elements {
        if let flow = flow(element) {
          lines.append("\(blanks)- \(flow)")
          continue
        }
        let first = lines.count
        write(element, indent: indent + 2, into: &lines)
        lines[first] = "\(blanks)- " + lines[first].dropFirst(indent + 2)
      }
    default:
      lines.append(blanks + (flow(value) ?? "null"))
    }
  }

  /// The value on one line; nil for a list or an object with content.
  private static func flow(_ value: Value) -> String? {
    switch value.content {
    case .null: "null"
    case .boolean, .integer, .number: value.json()
    case .string(let text): scalar(text)
    case .list(let elements): elements.isEmpty ? "[]" : nil
    case .object(let members): members.isEmpty ? "{}" : nil
    }
  }

  private static func scalar(_ text: String) -> String {
    isPlain(text) ? text : Value.string(text).json()
  }

  /// Whether the text may stand without quotes: only harmless characters, and nothing that reads as a number, a truth
  /// value, nothing or a time in YAML 1.1 or 1.2.
  private static func isPlain(_ text: String) -> Bool {
    guard let first = text.first, first.isASCII, first.isLetter || first == "/" || first == "_" else { return false }
    let reserved: Set<String> = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"]
    guard !reserved.contains(text.lowercased()) else { return false }
    return text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./".contains($0)) }
  }
}
