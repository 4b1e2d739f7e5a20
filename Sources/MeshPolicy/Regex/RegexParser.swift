/// Reads a regular expression: the part of RE2's syntax that bytes, classes, groups, alternatives and repeats make up.
struct RegexParser {
  private let bytes: [UInt8]
  private var position = 0
  private var depth = 0
  private var ignoresCase = false
  private var dotMatchesNewline = false

  init(_ pattern: String) { bytes = Array(pattern.utf8) }

  /// The whole expression.
  mutating func parse() throws(RegexError) -> RegexNode {
    let node = try alternatives()
    if position < bytes.count { throw .unbalanced(offset: position) }
    if let stray = node.strayAnchor(atStart: true, atEnd: true) { throw .unsupported(offset: stray) }
    if node.size(limit: RegexProgram.maxPositions) > RegexProgram.maxPositions { throw .tooLarge }
    return node
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func take(_ byte: Character) -> Bool {
    guard next == byte.asciiValue else { return false }
    position += 1
    return true
  }

  private mutating func take(text: String) -> Bool {
    guard bytes[position...].starts(with: text.utf8) else { return false }
    position += text.utf8.count
    return true
  }

  private mutating func alternatives() throws(RegexError) -> RegexNode {
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(RegexError) -> RegexNode {
    var nodes: [RegexNode] = []
    while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
      let atom = try atom()
      nodes.append(try repeats(of: atom))
      if nodes.count > RegexProgram.maxPositions { throw .tooLarge }
    }
    return nodes.count == 1 ? nodes[0] : (nodes.isEmpty ? .empty : .sequence(nodes))
  }

  private mutating func repeats(of atom: RegexNode) throws(RegexError) -> RegexNode {
    let start = position
    let node: RegexNode
    if take("*") {
      node = .repeated(atom, least: 0, most: nil)
    } else if take("+") {
      node = .repeated(atom, least: 1, most: nil)
    } else if take("?") {
      node = .repeated(atom, least: 0, most: 1)
    } else if next == UInt8(ascii: "{"), let bounds = try counts() {
      node = .repeated(atom, least: bounds.least, most: bounds.most)
    } else {
      return atom
    }
    switch atom {
    case .start, .end: throw .badRepeat(offset: start)
    default: break
    }
    _ = take("?")  // Lazy or greedy: the same texts match.
    let after = position
    if take("*") || take("+") || take("?") { throw .badRepeat(offset: after) }
    if next == UInt8(ascii: "{"), try counts() != nil { throw .badRepeat(offset: after) }
    return node
  }

  /// `{n}`, `{n,}` or `{n,m}`; nil, and nothing taken, where the brace is an ordinary character as in RE2.
  private mutating func counts() throws(RegexError) -> (least: Int, most: Int?)? {
    let start = position
    position += 1
    guard let least = number() else {
      position = start
      return nil
    }
    var most: Int? = least
    if take(",") { most = number() }
    guard take("}") else {
      position = start
      return nil
    }
    if least > 1000 || (most ?? least) > 1000 || (most ?? least) < least { throw .badRepeat(offset: start) }
    return (least, most)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
      value = min((value ?? 0) * 10 + Int(byte - 48), 100_000)
      position += 1
    }
    return value
  }

  private mutating func atom() throws(RegexError) -> RegexNode {
    let start = position
    let byte = bytes[position]
    position += 1
    switch byte {
    case UInt8(ascii: "("): return try group(from: start)
    case UInt8(ascii: "["): return .set(try bracket(from: start))
    case UInt8(ascii: "."):
      return .set(dotMatchesNewline ? .all : ByteSet(UInt8(ascii: "\n")).inverted)
    case UInt8(ascii: "^"): return .start(offset: start)
    case UInt8(ascii: "$"): return .end(offset: start)
    case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"): throw .badRepeat(offset: start)
    case UInt8(ascii: "{"):
      position = start
      if try counts() != nil { throw .badRepeat(offset: start) }
      position = start + 1
      return literal(byte)
    case UInt8(ascii: "\\"): return try escape(from: start)
    default: return byte < 0x80 ? literal(byte) : character(from: start)
    }
  }

  private func literal(_ byte: UInt8) -> RegexNode {
    let set = ByteSet(byte)
    return .set(ignoresCase ? set.caseFolded : set)
  }

  /// A character outside ASCII, all its bytes, so that a repeat applies to the whole of it.
  private mutating func character(from start: Int) -> RegexNode {
    while let byte = next, byte & 0xC0 == 0x80 { position += 1 }
    return .sequence(bytes[start..<position].map { .set(ByteSet($0)) })
  }

  private mutating func group(from start: Int) throws(RegexError) -> RegexNode {
    depth += 1
    if depth > RegexProgram.maxDepth { throw .tooDeep }
    let outer = (ignoresCase, dotMatchesNewline)
    if take("?") {
      if take(text: "P<") || (next == UInt8(ascii: "<") && !take(text: "<=") && !take(text: "<!") && take("<")) {
        while let byte = next, byte != UInt8(ascii: ">") {
          guard isWord(byte) else { throw .unsupported(offset: start) }
          position += 1
        }
        if !take(">") { throw .unbalanced(offset: start) }
      } else if try flags(from: start) {
        depth -= 1
        return .empty  // `(?i)`: holds to the end of the enclosing group.
      }
    }
    let node = try alternatives()
    if !take(")") { throw .unbalanced(offset: start) }
    (ignoresCase, dotMatchesNewline) = outer
    depth -= 1
    return node
  }

  /// The flags after `(?`. True if the group ends with them, false if `:` and an expression follow.
  private mutating func flags(from start: Int) throws(RegexError) -> Bool {
    var value = true
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "i"): ignoresCase = value
      case UInt8(ascii: "s"): dotMatchesNewline = value
      case UInt8(ascii: "-"): value = false
      case UInt8(ascii: ":"): return false
      case UInt8(ascii: ")"): return true
      default: throw .unsupported(offset: start)
      }
    }
    throw .unbalanced(offset: start)
  }

  private func isWord(_ byte: UInt8) -> Bool { Self.word.contains(byte) }

  private static let digit = ByteSet(UInt8(ascii: "0")...UInt8(ascii: "9"))
  private static let word: ByteSet = {
    var set = digit
    set.formUnion(ByteSet(UInt8(ascii: "a")...UInt8(ascii: "z")))
    set.formUnion(ByteSet(UInt8(ascii: "A")...UInt8(ascii: "Z")))
    set.insert(UInt8(ascii: "_"))
    return set
  }()
  private static let space: ByteSet = {
    var set = ByteSet()
    for byte in [9, 10, 12, 13, 32] as [UInt8] { set.insert(byte) }
    return set
  }()

  private mutating func escape(from start: Int) throws(RegexError) -> RegexNode {
    let set = try escapedSet(from: start)
    return .set(ignoresCase ? set.caseFolded : set)
  }

  /// What a backslash and the next character mean, alone or inside brackets.
  private mutating func escapedSet(from start: Int) throws(RegexError) -> ByteSet {
    guard let byte = next else { throw .badEscape(offset: start) }
    position += 1
    switch byte {
    case UInt8(ascii: "d"): return Self.digit
    case UInt8(ascii: "D"): return Self.digit.inverted
    case UInt8(ascii: "w"): return Self.word
    case UInt8(ascii: "W"): return Self.word.inverted
    case UInt8(ascii: "s"): return Self.space
    case UInt8(ascii: "S"): return Self.space.inverted
    case UInt8(ascii: "n"): return ByteSet(10)
    case UInt8(ascii: "t"): return ByteSet(9)
    case UInt8(ascii: "r"): return ByteSet(13)
    case UInt8(ascii: "f"): return ByteSet(12)
    case UInt8(ascii: "v"): return ByteSet(11)
    case UInt8(ascii: "x"):
      guard let high = hexDigit(), let low = hexDigit() else { throw .badEscape(offset: start) }
      return ByteSet(high << 4 | low)
    case UInt8(ascii: "1")...UInt8(ascii: "9"), UInt8(ascii: "b"), UInt8(ascii: "B"), UInt8(ascii: "p"),
      UInt8(ascii: "P"), UInt8(ascii: "A"), UInt8(ascii: "z"), UInt8(ascii: "Q"), UInt8(ascii: "C"):
      throw .unsupported(offset: start)
    default:
      // Punctuation stands for itself; other letters are kept for meanings to come.
      guard byte < 0x80, !isWord(byte) || byte == UInt8(ascii: "_") else { throw .badEscape(offset: start) }
      return ByteSet(byte)
    }
  }

  private mutating func hexDigit() -> UInt8? {
    guard let byte = next, let value = Character(UnicodeScalar(byte)).hexDigitValue else { return nil }
    position += 1
    return UInt8(value)
  }

  private mutating func bracket(from start: Int) throws(RegexError) -> ByteSet {
    let inverted = take("^")
    var set = ByteSet()
    var isFirst = true
    while true {
      guard let byte = next else { throw .unbalanced(offset: start) }
      if byte == UInt8(ascii: "]"), !isFirst { break }
      isFirst = false
      if take(text: "[:") {
        set.formUnion(try namedClass(from: start))
        continue
      }
      let low = try classMember(from: start)
      guard next == UInt8(ascii: "-"), position + 1 < bytes.count, bytes[position + 1] != UInt8(ascii: "]") else {
        set.formUnion(low)
        continue
      }
      position += 1
      let high = try classMember(from: start)
      guard let first = low.only, let last = high.only, first <= last else { throw .badClass(offset: start) }
      set.formUnion(ByteSet(first...last))
    }
    position += 1
    if ignoresCase { set = set.caseFolded }
    return inverted ? set.inverted : set
  }

  private mutating func classMember(from start: Int) throws(RegexError) -> ByteSet {
    guard let byte = next else { throw .unbalanced(offset: start) }
    position += 1
    if byte == UInt8(ascii: "\\") { return try escapedSet(from: position - 1) }
    guard byte < 0x80 else { throw .badClass(offset: start) }
    return ByteSet(byte)
  }

  private mutating func namedClass(from start: Int) throws(RegexError) -> ByteSet {
    var letters = Self.word
    letters.words &= Self.digit.inverted.words & ByteSet(UInt8(ascii: "_")).inverted.words
    var alphanumeric = letters
    alphanumeric.formUnion(Self.digit)
    let names: [(String, ByteSet)] = [
      ("alnum:]", alphanumeric), ("alpha:]", letters), ("digit:]", Self.digit), ("word:]", Self.word),
      ("lower:]", ByteSet(UInt8(ascii: "a")...UInt8(ascii: "z"))),
      ("upper:]", ByteSet(UInt8(ascii: "A")...UInt8(ascii: "Z"))), ("space:]", Self.space),
      ("xdigit:]", ByteSet(words: Self.digit.words | ByteSet(97...102).words | ByteSet(65...70).words)),
    ]
    for (name, set) in names where take(text: name) { return set }
    throw .badClass(offset: start)
  }
}

extension ByteSet {
  /// The one byte in it, nil if there are none or several.
  fileprivate var only: UInt8? {
    var found: UInt8?
    for index in 0..<4 where words[index] != 0 {
      guard found == nil, words[index].nonzeroBitCount == 1 else { return nil }
      found = UInt8(index * 64 + words[index].trailingZeroBitCount)
    }
    return found
  }
}
