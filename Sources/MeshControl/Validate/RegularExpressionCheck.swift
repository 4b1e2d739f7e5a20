/// Decides whether a text is a regular expression that the data plane will take: the syntax of RE2 (no look-around, no
/// back-references, so that matching takes time in proportion to the input), and of bounded size.
package enum RegularExpressionCheck {
  /// Bytes of an expression.
  package static let maxLength = 1024
  /// A repetition `{n,m}` counts at most so far, as in RE2.
  package static let maxRepetition = 1000
  /// States of the expanded expression. `((a{1000}){1000}){1000}` has thirty bytes and a thousand million states.
  package static let maxStates = 5000
  /// Groups within groups.
  package static let maxDepth = 50

  /// Tells what is wrong with `text`, if anything.
  static func check(_ text: String, path: String, into report: ViolationReport) {
    guard let fault = fault(in: text) else { return }
    report.add(.invalid, at: path, "\(quoted(text)) is no regular expression for the mesh (RE2 syntax): \(fault)")
  }

  /// What is wrong and how to mend it; nil when nothing is.
  package static func fault(in text: String) -> String? {
    guard !text.isEmpty else { return "it is empty; write .* to match everything" }
    guard text.utf8.count <= maxLength else { return "it has over \(maxLength) bytes; shorten it" }
    var parser = Parser(bytes: Array(text.utf8))
    do {
      let states = try parser.alternatives(depth: 0)
      guard parser.index == parser.bytes.count else {
        return "a group is closed that was never opened; write \\) for \")\""
      }
      guard states <= maxStates else {
        return "expanded it has over \(maxStates) states; use fewer or smaller repetitions"
      }
      return nil
    } catch {
      return error.message
    }
  }

  private struct Fault: Error {
    var message: String
  }

  /// Walks the expression and counts the states that it would expand to. Counts saturate far above the limit.
  private struct Parser {
    let bytes: [UInt8]
    var index = 0

    var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    mutating func alternatives(depth: Int) throws(Fault) -> Int {
      guard depth <= maxDepth else { throw Fault(message: "groups are nested over \(maxDepth) deep; flatten them") }
      var states = try sequence(depth: depth)
      while next == UInt8(ascii: "|") {
        index += 1
        states = bounded(states + 1 + (try sequence(depth: depth)))
      }
      return states
    }

    func bounded(_ states: Int) -> Int { min(states, maxStates * 2) }

    mutating func sequence(depth: Int) throws(Fault) -> Int {
      var total = 0
      while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
        let states = try atom(depth: depth)
        total = bounded(total + (try repeated(states)))
      }
      return total
    }

    mutating func atom(depth: Int) throws(Fault) -> Int {
      let byte = bytes[index]
      index += 1
      switch byte {
      case UInt8(ascii: "("): return try group(depth: depth)
      case UInt8(ascii: "["):
        try characterClass()
        return 1
      case UInt8(ascii: "\\"):
        try escape()
        return 1
      case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
        throw Fault(
          message: "\"\(Character(Unicode.Scalar(byte)))\" has nothing before it to repeat; put a backslash "
            + "before it to mean itself")
      default: return 1
      }
    }

    mutating func group(depth: Int) throws(Fault) -> Int {
      if next == UInt8(ascii: "?") {
        index += 1
        try groupFlags()
        if index > 0, bytes[index - 1] == UInt8(ascii: ")") { return 0 }
      }
      let states = try alternatives(depth: depth + 1)
      guard next == UInt8(ascii: ")") else { throw Fault(message: "a group is not closed; add \")\"") }
      index += 1
      return states + 1
    }

    /// What may follow `(?`: flags up to `:` or `)`, or the name of a group.
    mutating func groupFlags() throws(Fault) {
      let lookaround: Fault = Fault(
        message: "look-around is not part of the syntax; say with two matches what one cannot")
      switch next {
      case UInt8(ascii: "="), UInt8(ascii: "!"): throw lookaround
      case UInt8(ascii: "P"), UInt8(ascii: "<"):
        if next == UInt8(ascii: "P") { index += 1 }
        guard next == UInt8(ascii: "<") else { throw Fault(message: "a group's name is written (?P<name>…)") }
        index += 1
        guard next != UInt8(ascii: "="), next != UInt8(ascii: "!") else { throw lookaround }
        let start = index
        while let byte = next, TextFormat.isAlphanumeric(byte) || byte == UInt8(ascii: "_") { index += 1 }
        guard index > start, next == UInt8(ascii: ">") else {
          throw Fault(message: "a group's name is written (?P<name>…)")
        }
        index += 1
      default:
        while let byte = next, "imsU-".utf8.contains(byte) { index += 1 }
        guard next == UInt8(ascii: ":") || next == UInt8(ascii: ")") else {
          throw Fault(message: "no such kind of group; use (…) or (?:…)")
        }
        index += 1
      }
    }

    mutating func characterClass() throws(Fault) {
      let open = Fault(message: "a set of characters is not closed; add \"]\", or write \\[ for \"[\"")
      if next == UInt8(ascii: "^") { index += 1 }
      var isFirst = true
      var low: UInt8?
      while let byte = next {
        if byte == UInt8(ascii: "]"), !isFirst {
          index += 1
          return
        }
        isFirst = false
        if byte == UInt8(ascii: "["), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: ":") {
          try namedClass()
          low = nil
          continue
        }
        index += 1
        var single: UInt8? = byte
        if byte == UInt8(ascii: "\\") {
          let escaped = next
          try escape()
          single = escaped.flatMap { TextFormat.isAlphanumeric($0) ? nil : $0 }
        }
        if byte == UInt8(ascii: "-"), let lowest = low, let high = next, high != UInt8(ascii: "]"),
          high != UInt8(ascii: "\\"), high < 0x80, lowest < 0x80
        {
          guard lowest <= high else { throw Fault(message: "a range of characters is backwards; exchange its ends") }
          index += 1
          single = nil
        }
        low = single
      }
      throw open
    }

    mutating func namedClass() throws(Fault) {
      let names = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
        "word", "xdigit",
      ]
      let rest = String(decoding: bytes[index...].prefix(12), as: UTF8.self)
      guard let name = names.first(where: { rest.hasPrefix("[:\($0):]") || rest.hasPrefix("[:^\($0):]") }) else {
        throw Fault(message: "no such named set of characters; use one like [[:alpha:]]")
      }
      index += name.utf8.count + (rest.hasPrefix("[:^") ? 5 : 4)
    }

    mutating func escape() throws(Fault) {
      guard let byte = next else { throw Fault(message: "it ends with a backslash; double it to mean itself") }
      index += 1
      guard TextFormat.isAlphanumeric(byte) else { return }
      switch byte {
      case UInt8(ascii: "1")...UInt8(ascii: "9"):
        throw Fault(message: "back-references are not part of the syntax; write the alternatives out")
      case UInt8(ascii: "x"): try hexadecimal()
      case UInt8(ascii: "p"), UInt8(ascii: "P"):
        throw Fault(message: "sets of Unicode are not supported; list the characters in [ ]")
      case _ where "dDwWsSbBAzafnrtv0".utf8.contains(byte): return
      default:
        throw Fault(message: "there is no escape \\\(Character(Unicode.Scalar(byte))); leave out the backslash")
      }
    }

    mutating func hexadecimal() throws(Fault) {
      for _ in 0..<2 {
        guard let byte = next, Character(Unicode.Scalar(byte)).isHexDigit else {
          throw Fault(message: "two hexadecimal digits are due after \\x")
        }
        index += 1
      }
    }

    mutating func repeated(_ states: Int) throws(Fault) -> Int {
      var total = states
      var isRepeated = false
      while let byte = next {
        var factor = 1
        switch byte {
        case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"): index += 1
        case UInt8(ascii: "{"):
          guard let count = try counted() else { return total }
          factor = count
        default: return total
        }
        if isRepeated { throw Fault(message: "a repetition is repeated; put the first into a group (…)") }
        isRepeated = true
        total = bounded(max(1, factor) * (total + 1))
        // A question mark after it asks for the shortest match.
        if next == UInt8(ascii: "?") { index += 1 }
      }
      return total
    }

    /// `{n}`, `{n,}` or `{n,m}`; nil where the brace only stands for itself.
    mutating func counted() throws(Fault) -> Int? {
      var cursor = index + 1
      func number() -> Int? {
        let start = cursor
        while cursor < bytes.count, TextFormat.isDigit(bytes[cursor]) { cursor += 1 }
        guard cursor > start else { return nil }
        return Int(String(decoding: bytes[start..<cursor].prefix(9), as: UTF8.self))
      }
      guard let low = number(), cursor < bytes.count else { return literalBrace() }
      var high = low
      if bytes[cursor] == UInt8(ascii: ",") {
        cursor += 1
        high = number() ?? low
      }
      guard cursor < bytes.count, bytes[cursor] == UInt8(ascii: "}") else { return literalBrace() }
      guard low <= maxRepetition, high <= maxRepetition else {
        throw Fault(message: "a repetition counts over \(maxRepetition); use * or + for \"many\"")
      }
      guard low <= high else { throw Fault(message: "a repetition {n,m} is backwards; exchange its ends") }
      index = cursor + 1
      return max(low, high)
    }

    mutating func literalBrace() -> Int? {
      index += 1
      return nil
    }
  }
}
