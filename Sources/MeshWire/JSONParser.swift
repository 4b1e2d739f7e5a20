/// What a JSON document is read into: each reader keeps what it needs of a value.
package protocol JSONTree {
  /// Takes one value in. nil where a number cannot be kept; nothing else may be refused.
  init?(_ value: JSONParser<Self>.Parsed, at position: JSONPosition)
}

/// Where something stands in a document: line and column in bytes, both from 1.
package struct JSONPosition: Sendable, Hashable {
  package var line: Int
  package var column: Int

  package init(line: Int, column: Int) {
    self.line = line
    self.column = column
  }
}

/// Why a text is not JSON, and where.
package struct JSONFailure: Error, Sendable, Equatable {
  package var message: String
  package var position: JSONPosition
}

/// Reads JSON (RFC 8259) strictly: one value, nothing after it, no name twice in an object, UTF-8 only, nested to a bound.
package struct JSONParser<Tree: JSONTree> {
  /// One value with its parts already read.
  package enum Parsed {
    case null
    case boolean(Bool)
    /// The number's text, and whether it has neither fraction nor exponent.
    case number(String, isWhole: Bool)
    case string(String)
    case list([Tree])
    /// Members in the order they were written.
    case object([(name: String, value: Tree)])
  }

  private let bytes: [UInt8]
  private let maxDepth: Int
  private var index = 0
  private var line = 1
  private var lineStart = 0

  private init(_ bytes: [UInt8], maxDepth: Int) {
    self.bytes = bytes
    self.maxDepth = maxDepth
  }

  /// Reads the whole of `bytes` as one value; `maxDepth` is the deepest nesting that is read.
  package static func read(_ bytes: [UInt8], maxDepth: Int) throws(JSONFailure) -> Tree {
    var parser = JSONParser(bytes, maxDepth: maxDepth)
    let tree = try parser.value(depth: 0)
    parser.skipSpace()
    guard parser.index == bytes.count else {
      throw parser.failure("something follows the value; end the document there")
    }
    return tree
  }

  private var position: JSONPosition { JSONPosition(line: line, column: index - lineStart + 1) }

  private func failure(_ message: String) -> JSONFailure { JSONFailure(message: message, position: position) }

  private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

  private mutating func skipSpace() {
    while let byte = next {
      switch byte {
      case 0x20, 0x09, 0x0D: index += 1
      case 0x0A:
        index += 1
        line += 1
        lineStart = index
      default: return
      }
    }
  }

  private mutating func value(depth: Int) throws(JSONFailure) -> Tree {
    skipSpace()
    guard depth < maxDepth else { throw failure("nested deeper than \(maxDepth); flatten the document") }
    let start = position
    guard let first = next else { throw failure("the document ends where a value is due; complete it") }
    let content: Parsed
    switch first {
    case UInt8(ascii: "{"): content = .object(try members(depth: depth))
    case UInt8(ascii: "["): content = .list(try elements(depth: depth))
    case UInt8(ascii: "\""): content = .string(try string())
    case UInt8(ascii: "t"): content = try word("true", .boolean(true))
    case UInt8(ascii: "f"): content = try word("false", .boolean(false))
    case UInt8(ascii: "n"): content = try word("null", .null)
    case UInt8(ascii: "-"), 0x30...0x39: content = try number()
    default: throw failure("no JSON value begins with this character; quote it if it is text")
    }
    guard let tree = Tree(content, at: start) else {
      throw failure("not a number that can be kept; use a smaller one")
    }
    return tree
  }

  private mutating func word(_ word: String, _ content: Parsed) throws(JSONFailure) -> Parsed {
    for byte in word.utf8 {
      guard next == byte else { throw failure("not a JSON value; did you mean \(word)?") }
      index += 1
    }
    return content
  }

  private mutating func members(depth: Int) throws(JSONFailure) -> [(name: String, value: Tree)] {
    index += 1
    var members: [(name: String, value: Tree)] = []
    var names: Set<String> = []
    skipSpace()
    if next == UInt8(ascii: "}") {
      index += 1
      return []
    }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw failure("a member's name in double quotes is due here") }
      let name = try string()
      guard names.insert(name).inserted else {
        throw failure("\"\(name.prefix(64))\" comes twice in one object; keep one of them")
      }
      skipSpace()
      guard next == UInt8(ascii: ":") else { throw failure("a colon is due here") }
      index += 1
      members.append((name, try value(depth: depth + 1)))
      skipSpace()
      switch next {
      case UInt8(ascii: ","): index += 1
      case UInt8(ascii: "}"):
        index += 1
        return members
      default: throw failure("a comma or the end of the object is due here")
      }
    }
  }

  private mutating func elements(depth: Int) throws(JSONFailure) -> [Tree] {
    index += 1
    var elements: [Tree] = []
    skipSpace()
    if next == UInt8(ascii: "]") {
      index += 1
      return []
    }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      switch next {
      case UInt8(ascii: ","): index += 1
      case UInt8(ascii: "]"):
        index += 1
        return elements
      default: throw failure("a comma or the end of the list is due here")
      }
    }
  }

  private mutating func number() throws(JSONFailure) -> Parsed {
    let start = index
    if next == UInt8(ascii: "-") { index += 1 }
    let firstDigit = index
    var isWhole = true
    scan: while let byte = next {
      switch byte {
      case 0x30...0x39: break
      case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"), UInt8(ascii: "-"):
        isWhole = false
      default: break scan
      }
      index += 1
    }
    let text = String(decoding: bytes[start..<index], as: UTF8.self)
    let digits = bytes[firstDigit..<index]
    let second = digits.dropFirst().first
    let hasLeadingZero = digits.first == 0x30 && second.map { (0x30...0x39).contains($0) } == true
    guard !digits.isEmpty, digits.first != UInt8(ascii: "."), !hasLeadingZero, digits.last != UInt8(ascii: ".") else {
      throw failure("not a JSON number: \(text.prefix(32)); quote it if it is text")
    }
    guard isWhole || Double(text) != nil else {
      throw failure("not a JSON number: \(text.prefix(32)); quote it if it is text")
    }
    return .number(text, isWhole: isWhole)
  }

  private mutating func string() throws(JSONFailure) -> String {
    index += 1
    var text: [UInt8] = []
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        guard let decoded = String(validating: text, as: UTF8.self) else {
          throw failure("the text is not UTF-8; save the document as UTF-8")
        }
        index += 1
        return decoded
      case UInt8(ascii: "\\"): try escape(into: &text)
      case 0..<0x20: throw failure("a control character stands in a string; write it as an escape such as \\n")
      default:
        text.append(byte)
        index += 1
      }
    }
    throw failure("the string is not closed; end it with a double quote")
  }

  private mutating func escape(into text: inout [UInt8]) throws(JSONFailure) {
    index += 1
    guard let byte = next else { throw failure("the document ends within an escape; complete it") }
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xD800..<0xDC00).contains(code) {
        guard next == UInt8(ascii: "\\"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "u") else {
          throw failure("the second half of a surrogate pair is missing; write both as \\uXXXX\\uXXXX")
        }
        index += 2
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw failure("not a surrogate pair; write both halves") }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair; write both halves") }
      text.append(contentsOf: String(Character(scalar)).utf8)
    default: throw failure("no such escape in JSON; write \\\\ for a backslash")
    }
  }

  private mutating func hexadecimal() throws(JSONFailure) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("four hexadecimal digits are due after \\u")
      }
      code = code << 4 | UInt32(digit)
      index += 1
    }
    return code
  }
}
