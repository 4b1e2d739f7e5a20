/// The longest file and the longest function that one sitting can hold. Where that hurts, the design asks for something.
enum Budgets {
  static let linesPerFile = 400
  static let linesPerFunction = 70

  static func checkFile(_ source: SourceText) -> [Violation] {
    guard source.lineCount > linesPerFile else { return [] }
    return [
      Violation(
        path: source.path, line: source.lineCount,
        message: "\(source.lineCount) lines; the budget is \(linesPerFile): give the second purpose a file of its own")
    ]
  }

  static func checkFunctions(_ source: SourceText) -> [Violation] {
    functions(in: source).filter { $0.lines > linesPerFunction }.map { function in
      Violation(
        path: source.path, line: function.firstLine,
        message: "`\(function.name)` has \(function.lines) lines; the budget is \(linesPerFunction): name its steps")
    }
  }

  struct Function: Equatable {
    let name: String
    let firstLine: Int
    let lines: Int
  }

  /// Every function, initializer and subscript with a body, outermost and nested alike.
  static func functions(in source: SourceText) -> [Function] {
    let code = source.code
    var found: [Function] = []
    for keyword in ["func", "init", "deinit", "subscript"] {
      for start in source.positions(of: keyword) {
        if keyword == "init", start > 0, code[start - 1] == UInt8(ascii: ".") { continue }
        guard let body = bodyBegin(after: start + keyword.utf8.count, in: code),
          let end = matchingBrace(from: body, in: code)
        else { continue }
        let first = source.line(at: start)
        let name = keyword == "func" ? identifier(after: start + keyword.utf8.count, in: code) : keyword
        found.append(Function(name: name, firstLine: first, lines: source.line(at: end) - first + 1))
      }
    }
    return found.sorted { $0.firstLine < $1.firstLine }
  }

  private static func identifier(after position: Int, in code: [UInt8]) -> String {
    let rest = code[position...].drop { $0 == UInt8(ascii: " ") }
    let name = rest.prefix { $0 != UInt8(ascii: "(") && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: " ") }
    return String(decoding: name, as: UTF8.self)
  }

  /// Where a declaration's body opens; nil when it has none, as in a protocol.
  private static func bodyBegin(after position: Int, in code: [UInt8]) -> Int? {
    var depth = 0
    var sawParameters = false
    for index in position..<code.count {
      switch code[index] {
      case UInt8(ascii: "("), UInt8(ascii: "["):
        depth += 1
      case UInt8(ascii: ")"), UInt8(ascii: "]"):
        depth -= 1
        sawParameters = true
        if depth < 0 { return nil }
      case UInt8(ascii: "{") where depth == 0:
        return index
      case UInt8(ascii: "}") where depth == 0, UInt8(ascii: ";") where depth == 0, UInt8(ascii: "=") where depth == 0:
        if code[index] == UInt8(ascii: "="), !sawParameters || isOperator(around: index, in: code) { continue }
        return nil
      case UInt8(ascii: "\n") where depth == 0 && sawParameters:
        if !continues(after: index, in: code) { return nil }
      default:
        continue
      }
    }
    return nil
  }

  private static func isOperator(around index: Int, in code: [UInt8]) -> Bool {
    let neighbours = [index - 1, index + 1].filter(code.indices.contains).map { code[$0] }
    return neighbours.contains(UInt8(ascii: "=")) || neighbours.contains(UInt8(ascii: ">"))
  }

  /// Whether a declaration goes on after a line break: with `->`, `throws`, `async`, `where` or its brace.
  private static func continues(after index: Int, in code: [UInt8]) -> Bool {
    let rest = code[(index + 1)...].drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
    let next = String(decoding: rest.prefix(6), as: UTF8.self)
    if ["->", "{", "throws", "async", "where "].contains(where: next.hasPrefix) { return true }
    let before = code[..<index].last { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
    return before == UInt8(ascii: ",") || before == UInt8(ascii: ":") || before == UInt8(ascii: ">")
      || before == UInt8(ascii: "&")
  }

  private static func matchingBrace(from open: Int, in code: [UInt8]) -> Int? {
    var depth = 0
    for index in open..<code.count {
      if code[index] == UInt8(ascii: "{") { depth += 1 }
      if code[index] == UInt8(ascii: "}") {
        depth -= 1
        if depth == 0 { return index }
      }
    }
    return nil
  }
}
