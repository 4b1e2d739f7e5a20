/// Appends `text` as a JSON string, quotes included, control characters escaped.
package func appendJSONString(_ text: String, to output: inout String) {
  output.append("\"")
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": output.append("\\\"")
    case "\\": output.append("\\\\")
    case "\n": output.append("\\n")
    case "\r": output.append("\\r")
    case "\t": output.append("\\t")
    case "\u{0}"..<"\u{20}", "\u{7f}":
      let hex = String(scalar.value, radix: 16)
      output.append("\\u" + String(repeating: "0", count: 4 - hex.count) + hex)
    default: output.unicodeScalars.append(scalar)
    }
  }
  output.append("\"")
}

/// Writes a message as an indented JSON object; fields at their default are left out.
struct JSONMessageEncoder: WireCoder {
  private var output = "{"
  private let depth: Int
  private var isEmpty = true

  init(depth: Int) { self.depth = depth }

  private func indent(_ levels: Int) -> String { "\n" + String(repeating: "  ", count: levels) }

  private mutating func member(_ name: StaticString) {
    if !isEmpty { output.append(",") }
    isEmpty = false
    output.append(indent(depth + 1))
    output.append("\"\(name)\": ")
  }

  private mutating func list<T>(_ name: StaticString, _ elements: [T], _ write: (inout String, T) -> Void) {
    guard !elements.isEmpty else { return }
    member(name)
    output.append("[")
    for (index, element) in elements.enumerated() {
      if index > 0 { output.append(",") }
      output.append(indent(depth + 2))
      write(&output, element)
    }
    output.append(indent(depth + 1))
    output.append("]")
  }

  private static func object<M: WireMessage>(_ message: M, depth: Int) -> String {
    var coder = JSONMessageEncoder(depth: depth)
    var copy = message
    try? copy.fields(&coder)
    return coder.finish()
  }

  consuming func finish() -> String { isEmpty ? "{}" : output + indent(depth) + "}" }

  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout String) {
    guard !value.isEmpty else { return }
    member(name)
    appendJSONString(value, to: &output)
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Bool) {
    guard value else { return }
    member(name)
    output.append("true")
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32) {
    guard value != 0 else { return }
    member(name)
    output.append("\(value)")
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt64) {
    guard value != 0 else { return }
    member(name)
    output.append("\(value)")
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Double) {
    guard value != 0, value.isFinite else { return }
    member(name)
    output.append("\(value)")
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32?) {
    guard let value else { return }
    member(name)
    output.append("\(value)")
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt8]) {
    guard !value.isEmpty else { return }
    member(name)
    appendJSONString(base64(value), to: &output)
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String]) {
    list(name, value) { appendJSONString($1, to: &$0) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt32]) {
    list(name, value) { $0.append("\($1)") }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String: String]) {
    guard !value.isEmpty else { return }
    member(name)
    output.append("{")
    for (index, (key, element)) in value.sorted(by: { $0.key < $1.key }).enumerated() {
      if index > 0 { output.append(",") }
      output.append(indent(depth + 2))
      appendJSONString(key, to: &output)
      output.append(": ")
      appendJSONString(element, to: &output)
    }
    output.append(indent(depth + 1))
    output.append("}")
  }
  mutating func field<E: WireEnum>(_ number: UInt32, _ name: StaticString, _ value: inout E) {
    guard value.rawValue != 0 else { return }
    member(name)
    appendJSONString(value.wireName, to: &output)
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout M?) {
    guard let value else { return }
    member(name)
    output.append(Self.object(value, depth: depth + 1))
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout [M]) {
    let inner = depth + 2
    list(name, value) { $0.append(Self.object($1, depth: inner)) }
  }
}

/// Fills a message from a JSON object and remembers which members it asked for.
struct JSONMessageDecoder: WireCoder {
  private let members: [(key: String, value: JSONValue)]
  private var known: [String] = []

  init(_ members: [(key: String, value: JSONValue)]) { self.members = members }

  /// Throws for the first member that no field asked for, and lists what there is.
  func refuseUnknown() throws(WireError) {
    for member in members where !known.contains(member.key) {
      throw WireError(
        path: member.key, message: "is not a field here; the fields are \(known.sorted().joined(separator: ", "))")
    }
  }

  private mutating func take(_ name: StaticString) -> JSONValue? {
    let key = "\(name)"
    known.append(key)
    guard let value = members.first(where: { $0.key == key })?.value, value != .null else { return nil }
    return value
  }

  private func wrong(_ name: StaticString, _ value: JSONValue, _ expected: String) -> WireError {
    WireError(path: "\(name)", message: "is \(value.kindName); \(expected) was expected")
  }

  private mutating func integer<T: FixedWidthInteger>(_ name: StaticString, _ type: T.Type) throws(WireError) -> T? {
    guard let value = take(name) else { return nil }
    guard case .number(let text) = value else { throw wrong(name, value, "a number") }
    guard let number = T(text) else {
      throw WireError(path: "\(name)", message: "\(text) is not a whole number from \(T.min) to \(T.max)")
    }
    return number
  }

  private mutating func array(_ name: StaticString) throws(WireError) -> [JSONValue] {
    guard let value = take(name) else { return [] }
    guard case .array(let elements) = value else { throw wrong(name, value, "an array") }
    return elements
  }

  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout String) throws(WireError) {
    guard let found = take(name) else { return }
    guard case .string(let text) = found else { throw wrong(name, found, "a string") }
    value = text
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Bool) throws(WireError) {
    guard let found = take(name) else { return }
    guard case .bool(let flag) = found else { throw wrong(name, found, "true or false") }
    value = flag
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32) throws(WireError) {
    if let found = try integer(name, UInt32.self) { value = found }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt64) throws(WireError) {
    if let found = try integer(name, UInt64.self) { value = found }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Double) throws(WireError) {
    guard let found = take(name) else { return }
    guard case .number(let text) = found, let parsed = Double(text) else { throw wrong(name, found, "a number") }
    value = parsed
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32?) throws(WireError) {
    if let found = try integer(name, UInt32.self) { value = found }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt8]) throws(WireError) {
    guard let found = take(name) else { return }
    guard case .string(let text) = found, let bytes = decodeBase64(text) else {
      throw wrong(name, found, "base64 text")
    }
    value = bytes
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String]) throws(WireError) {
    for element in try array(name) {
      guard case .string(let text) = element else { throw wrong(name, element, "a string") }
      value.append(text)
    }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt32]) throws(WireError) {
    for element in try array(name) {
      guard case .number(let text) = element, let parsed = UInt32(text) else {
        throw wrong(name, element, "a whole number")
      }
      value.append(parsed)
    }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String: String]) throws(WireError) {
    guard let found = take(name) else { return }
    guard case .object(let entries) = found else { throw wrong(name, found, "an object") }
    for entry in entries {
      guard case .string(let text) = entry.value else { throw wrong(name, entry.value, "a string") }
      value[entry.key] = text
    }
  }
  mutating func field<E: WireEnum>(_ number: UInt32, _ name: StaticString, _ value: inout E) throws(WireError) {
    guard let found = take(name) else { return }
    guard case .string(let text) = found, let known = E.allCases.first(where: { $0.wireName == text }) else {
      let names = E.allCases.map(\.wireName).joined(separator: ", ")
      throw WireError(path: "\(name)", message: "is not one of \(names)")
    }
    value = known
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout M?) throws(WireError) {
    guard let found = take(name) else { return }
    do throws(WireError) { value = try M(jsonValue: found) } catch { throw error.inside("\(name)") }
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout [M]) throws(WireError) {
    for (index, element) in try array(name).enumerated() {
      do throws(WireError) {
        value.append(try M(jsonValue: element))
      } catch {
        throw error.inside("\(name)[\(index)]")
      }
    }
  }
}

private let base64Alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

/// RFC 4648, section 4, with padding.
func base64(_ bytes: [UInt8]) -> String {
  var output: [UInt8] = []
  var index = 0
  while index < bytes.count {
    let count = min(3, bytes.count - index)
    var group: UInt32 = 0
    for offset in 0..<3 { group = group << 8 | (offset < count ? UInt32(bytes[index + offset]) : 0) }
    for position in 0..<4 {
      output.append(
        position <= count ? base64Alphabet[Int(group >> UInt32(18 - 6 * position) & 63)] : UInt8(ascii: "="))
    }
    index += 3
  }
  return String(decoding: output, as: UTF8.self)
}

/// Reads RFC 4648, section 4; nothing for anything else.
func decodeBase64(_ text: String) -> [UInt8]? {
  var output: [UInt8] = []
  var group: UInt32 = 0
  var bits = 0
  guard text.utf8.count % 4 == 0 else { return nil }
  for byte in text.utf8.prefix(while: { $0 != UInt8(ascii: "=") }) {
    guard let value = base64Alphabet.firstIndex(of: byte) else { return nil }
    group = group << 6 | UInt32(value)
    bits += 6
    if bits >= 8 {
      bits -= 8
      output.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
    }
  }
  return output
}
