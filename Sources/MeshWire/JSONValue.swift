/// A JSON document (RFC 8259) as a tree. Object members keep their order.
enum JSONValue: Equatable {
  case null
  case bool(Bool)
  /// The number's text; it is read as the type of the field it is for.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([(key: String, value: JSONValue)])

  static func == (left: JSONValue, right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): a == b
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)):
      a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && $0.value == $1.value }
    default: false
    }
  }

  /// What it is, for messages to people.
  var kindName: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }

  /// Parses exactly one document; the error names the line and column.
  init(parsing bytes: [UInt8]) throws(WireError) {
    var parser = JSONParser(bytes: bytes)
    self = try parser.document()
  }
}

/// A recursive-descent JSON parser with a bounded depth.
private struct JSONParser {
  let bytes: [UInt8]
  var position = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(WireError) -> JSONValue {
    let value = try self.value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw fail("something follows the end of the document") }
    return value
  }

  private func fail(_ message: String) -> WireError {
    let before = bytes.prefix(position)
    let line = before.reduce(1) { $1 == 0x0a ? $0 + 1 : $0 }
    let column = position - (before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0) + 1
    return WireError(message: "line \(line), column \(column): \(message)")
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  private mutating func expect(_ word: StaticString, _ value: JSONValue) throws(WireError) -> JSONValue {
    let expected = Array("\(word)".utf8)
    guard bytes[position...].starts(with: expected) else { throw fail("expected a value") }
    position += expected.count
    return value
  }

  private mutating func value(depth: Int) throws(WireError) -> JSONValue {
    guard depth < wireDepthLimit else { throw fail("nested deeper than \(wireDepthLimit) values") }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try expect("true", .bool(true))
    case UInt8(ascii: "f"): return try expect("false", .bool(false))
    case UInt8(ascii: "n"): return try expect("null", .null)
    case .some: return try number()
    case .none: throw fail("the document ends where a value should stand")
    }
  }

  private mutating func object(depth: Int) throws(WireError) -> JSONValue {
    position += 1
    var members: [(key: String, value: JSONValue)] = []
    skipSpace()
    if next == UInt8(ascii: "}") {
      position += 1
      return .object([])
    }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw fail("a member's name in quotes was expected") }
      let key = try string()
      guard !members.contains(where: { $0.key == key }) else { throw fail("the member \"\(key)\" stands twice") }
      skipSpace()
      guard next == UInt8(ascii: ":") else { throw fail("':' was expected") }
      position += 1
      members.append((key, try value(depth: depth + 1)))
      skipSpace()
      if next == UInt8(ascii: ",") {
        position += 1
        continue
      }
      guard next == UInt8(ascii: "}") else { throw fail("',' or '}' was expected") }
      position += 1
      return .object(members)
    }
  }

  private mutating func array(depth: Int) throws(WireError) -> JSONValue {
    position += 1
    var elements: [JSONValue] = []
    skipSpace()
    if next == UInt8(ascii: "]") {
      position += 1
      return .array([])
    }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if next == UInt8(ascii: ",") {
        position += 1
        continue
      }
      guard next == UInt8(ascii: "]") else { throw fail("',' or ']' was expected") }
      position += 1
      return .array(elements)
    }
  }

  private mutating func number() throws(WireError) -> JSONValue {
    let start = position
    while let byte = next {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
        UInt8(ascii: "e"), UInt8(ascii: "E"):
        position += 1
        continue
      default: break
      }
      break
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let first = text.utf8.first, first != UInt8(ascii: "+"), Double(text) != nil else {
      position = start
      throw fail("expected a value")
    }
    return .number(text)
  }

  private mutating func string() throws(WireError) -> String {
    position += 1
    var content: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: content, as: UTF8.self) else { throw fail("the string is not valid UTF-8") }
        return text
      case UInt8(ascii: "\\"): try escape(&content)
      case 0..<0x20: throw fail("a control character must be escaped")
      default: content.append(byte)
      }
    }
    throw fail("the string has no end")
  }

  private mutating func escape(_ content: inout [UInt8]) throws(WireError) {
    guard let byte = next else { throw fail("the string has no end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
    case UInt8(ascii: "b"): content.append(0x08)
    case UInt8(ascii: "f"): content.append(0x0c)
    case UInt8(ascii: "n"): content.append(0x0a)
    case UInt8(ascii: "r"): content.append(0x0d)
    case UInt8(ascii: "t"): content.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hexUnit()
      if code >> 10 == 0x36 {
        guard next == UInt8(ascii: "\\") else { throw fail("half a surrogate pair") }
        position += 1
        guard next == UInt8(ascii: "u") else { throw fail("half a surrogate pair") }
        position += 1
        let low = try hexUnit()
        guard low >> 10 == 0x37 else { throw fail("half a surrogate pair") }
        code = 0x10000 + (code & 0x3ff) << 10 + low & 0x3ff
      }
      guard let scalar = Unicode.Scalar(code) else { throw fail("half a surrogate pair") }
      content.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    default: throw fail("unknown escape")
    }
  }

  private mutating func hexUnit() throws(WireError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw fail("four hexadecimal digits were expected")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
