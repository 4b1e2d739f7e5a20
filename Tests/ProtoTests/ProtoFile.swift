import Foundation

/// As much of a `.proto` file as ours use: messages with fields, enumerations, no nesting.
struct ProtoFile {
  private(set) var messages: [String: [FieldDescription]] = [:]
  private(set) var enums: [String: [String: UInt32]] = [:]
  private var package = ""

  /// Types of the language itself.
  private static let scalars: Set<Substring> = [
    "string", "bool", "uint32", "uint64", "int32", "int64", "double", "bytes", "map<string,",
  ]

  init(_ text: String) {
    var message: String?
    var enumeration: String?
    for line in text.split(separator: "\n") {
      let code = line.prefix(upTo: line.range(of: "//")?.lowerBound ?? line.endIndex)
      let words = code.split(whereSeparator: { " ;{}".contains($0) })
      guard let first = words.first else {
        if code.contains("}") { (message, enumeration) = (nil, nil) }
        continue
      }
      switch first {
      case "package": package = words.dropFirst().first.map(String.init) ?? ""
      case "message":
        message = package + "." + words[1]
        if let message { messages[message] = [] }
      case "enum":
        enumeration = package + "." + words[1]
        if let enumeration { enums[enumeration] = [:] }
      case "service": (message, enumeration) = (nil, nil)
      default:
        if let message, let field = field(words, in: code) { messages[message]?.append(field) }
        if let enumeration, let value = value(words, of: enumeration) { enums[enumeration]?[value.0] = value.1 }
      }
    }
  }

  private func field(_ words: [Substring], in code: Substring) -> FieldDescription? {
    guard let equals = words.firstIndex(of: "="), equals >= 2, words.count > equals + 1,
      let number = UInt32(words[equals + 1])
    else { return nil }
    var type = Array(words[..<(equals - 1)])
    if let last = type.indices.last, !type[last].contains("."), !type[last].contains(">"),
      !Self.scalars.contains(type[last])
    {
      type[last] = "\(package).\(type[last])"
    }
    var name = Self.camelCase(words[equals - 1])
    if let option = code.range(of: "json_name = \"") {
      name = String(code[option.upperBound...].prefix { $0 != "\"" })
    }
    return FieldDescription(number: number, name: name, type: type.joined(separator: " "))
  }

  /// `RETRY_KIND_ON_RESET` of `RetryKind` is `onReset`, but for letters that stand for words of their own.
  private func value(_ words: [Substring], of enumeration: String) -> (String, UInt32)? {
    guard words.count >= 3, words[1] == "=", let number = UInt32(words[2]) else { return nil }
    let type = enumeration.split(separator: ".").last ?? ""
    let prefix = Self.snakeCase(type).uppercased() + "_"
    guard words[0].hasPrefix(prefix) else { return (String(words[0]), number) }
    return (Self.camelCase(words[0].dropFirst(prefix.count).lowercased()[...]), number)
  }

  static func camelCase(_ text: Substring) -> String {
    let parts = text.split(separator: "_")
    return (parts.prefix(1).map(String.init) + parts.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() })
      .joined()
  }

  /// `MutualTLSMode` is `mutual_tls_mode`.
  static func snakeCase(_ text: Substring) -> String {
    let letters = Array(text)
    var result = ""
    for (index, letter) in letters.enumerated() {
      let beginsWord =
        letter.isUppercase && index > 0
        && (!letters[index - 1].isUppercase || (index + 1 < letters.count && !letters[index + 1].isUppercase))
      if beginsWord { result += "_" }
      result += letter.lowercased()
    }
    return result
  }
}
