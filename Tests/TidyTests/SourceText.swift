/// A Swift file split into what the compiler sees and what people read: `code` has every comment and every string
/// literal blanked out, byte for byte, so that a rule can look for words in it without being fooled by text.
///
/// Understands nested block comments, multi-line and raw strings, and code inside interpolations (which stays code).
struct SourceText {
  /// The path from the top of the repository.
  let path: String
  /// The file's bytes with comments and string literals replaced by spaces; newlines are kept.
  let code: [UInt8]
  /// The comments alone, everything else replaced by spaces; newlines are kept.
  let comments: [UInt8]
  /// The number of lines of the file.
  let lineCount: Int

  init(path: String, text: String) {
    var scanner = Scanner(bytes: Array(text.utf8))
    scanner.run()
    self.path = path
    self.code = scanner.code
    self.comments = scanner.comments
    let newlines = scanner.bytes.count { $0 == UInt8(ascii: "\n") }
    self.lineCount = newlines + (scanner.bytes.last == UInt8(ascii: "\n") || scanner.bytes.isEmpty ? 0 : 1)
  }

  /// The line number, from 1, of a position in `code`.
  func line(at position: Int) -> Int {
    1 + code[..<position].count { $0 == UInt8(ascii: "\n") }
  }

  /// Where `pattern` begins in `code`. A pattern that starts or ends with a letter matches whole words only.
  func positions(of pattern: String) -> [Int] {
    Self.positions(of: Array(pattern.utf8), in: code)
  }

  static func positions(of pattern: [UInt8], in bytes: [UInt8]) -> [Int] {
    guard let first = pattern.first, let last = pattern.last, bytes.count >= pattern.count else { return [] }
    var found: [Int] = []
    for start in 0...(bytes.count - pattern.count) where bytes[start] == first {
      let end = start + pattern.count
      guard bytes[start..<end].elementsEqual(pattern) else { continue }
      if isWord(first), start > 0, isWord(bytes[start - 1]) { continue }
      if isWord(last), end < bytes.count, isWord(bytes[end]) { continue }
      found.append(start)
    }
    return found
  }

  /// Whether a byte can be part of an identifier.
  static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
      true
    default:
      false
    }
  }
}

/// Walks over the bytes once and copies each to the code, to the comments, or to neither (string literals).
private struct Scanner {
  let bytes: [UInt8]
  var code: [UInt8]
  var comments: [UInt8]
  private var index = 0

  private let quote = UInt8(ascii: "\"")
  private let newline = UInt8(ascii: "\n")
  private let slash = UInt8(ascii: "/")
  private let star = UInt8(ascii: "*")
  private let hash = UInt8(ascii: "#")
  private let backslash = UInt8(ascii: "\\")

  init(bytes: [UInt8]) {
    self.bytes = bytes
    let blank = bytes.map { $0 == UInt8(ascii: "\n") ? $0 : UInt8(ascii: " ") }
    self.code = blank
    self.comments = blank
  }

  mutating func run() {
    scanCode(untilClosingParenthesis: false)
  }

  private func at(_ offset: Int) -> UInt8? {
    let position = index + offset
    return position < bytes.count ? bytes[position] : nil
  }

  private mutating func scanCode(untilClosingParenthesis: Bool) {
    var depth = 0
    while let byte = at(0) {
      if byte == slash, at(1) == slash {
        scanLineComment()
      } else if byte == slash, at(1) == star {
        scanBlockComment()
      } else if byte == quote {
        scanString(hashes: 0)
      } else if byte == hash, let hashes = rawStringHashes() {
        index += hashes
        scanString(hashes: hashes)
      } else {
        if byte == UInt8(ascii: "(") { depth += 1 }
        if byte == UInt8(ascii: ")") {
          if depth == 0, untilClosingParenthesis { return }
          depth -= 1
        }
        code[index] = byte
        index += 1
      }
    }
  }

  private mutating func scanLineComment() {
    while let byte = at(0), byte != newline {
      comments[index] = byte
      index += 1
    }
  }

  private mutating func scanBlockComment() {
    var depth = 0
    repeat {
      if at(0) == slash, at(1) == star {
        depth += 1
        index += 2
      } else if at(0) == star, at(1) == slash {
        depth -= 1
        index += 2
      } else {
        if let byte = at(0) { comments[index] = byte }
        index += 1
      }
    } while depth > 0 && index < bytes.count
  }

  /// The number of `#` before an opening quote here, or nil when this is no raw string.
  private func rawStringHashes() -> Int? {
    var count = 0
    while at(count) == hash { count += 1 }
    return at(count) == quote ? count : nil
  }

  private mutating func scanString(hashes: Int) {
    let isMultiline = at(1) == quote && at(2) == quote
    let quotes = isMultiline ? 3 : 1
    index += quotes
    while let byte = at(0) {
      if byte == backslash, escapeBegins(hashes: hashes) {
        index += 1 + hashes
        if at(0) == UInt8(ascii: "(") {
          index += 1
          scanCode(untilClosingParenthesis: true)
        }
        index += 1
      } else if byte == quote, stringEnds(quotes: quotes, hashes: hashes) {
        index += quotes + hashes
        return
      } else if byte == newline, !isMultiline {
        return
      } else {
        index += 1
      }
    }
  }

  private func escapeBegins(hashes: Int) -> Bool {
    (0..<hashes).allSatisfy { at(1 + $0) == hash }
  }

  private func stringEnds(quotes: Int, hashes: Int) -> Bool {
    (0..<quotes).allSatisfy { at($0) == quote } && (0..<hashes).allSatisfy { at(quotes + $0) == hash }
  }
}
