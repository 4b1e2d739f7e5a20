/// Why a regular expression was refused. Offsets count bytes of its UTF-8 from 0.
package enum RegexError: Error, Equatable, Sendable {
  /// A parenthesis or bracket that is not closed, or closes nothing.
  case unbalanced(offset: Int)
  /// `*`, `+`, `?` or `{…}` with nothing before it, after another one, or with a range that goes down or over 1000.
  case badRepeat(offset: Int)
  /// A class that ends before it begins, is empty, or holds a character outside ASCII.
  case badClass(offset: Int)
  /// A backslash with nothing or something unknown after it.
  case badEscape(offset: Int)
  /// Something that cannot be done in linear time, or that this engine leaves out: back references, look-around, word
  /// boundaries, Unicode classes, anchors in the middle, flags other than `i` and `s`.
  case unsupported(offset: Int)
  /// More than `RegexProgram.maxPositions` characters and classes once repeats are written out.
  case tooLarge
  /// More than `RegexProgram.maxDepth` groups one in the other.
  case tooDeep

  /// One sentence for people.
  package var message: String {
    switch self {
    case .unbalanced(let at): "has a parenthesis or bracket at byte \(at) that is not matched"
    case .badRepeat(let at): "has a repeat at byte \(at) with nothing to repeat, doubled, or out of 0…1000"
    case .badClass(let at): "has a character class at byte \(at) that is empty, goes down, or is not ASCII"
    case .badEscape(let at): "has an unknown escape at byte \(at)"
    case .unsupported(let at):
      "has something at byte \(at) that is not supported (back references, look-around, word boundaries, "
        + "Unicode classes, anchors in the middle)"
    case .tooLarge: "is too large: at most \(RegexProgram.maxPositions) characters once repeats are written out"
    case .tooDeep: "has more than \(RegexProgram.maxDepth) groups one in the other"
    }
  }
}

/// A set of bytes.
struct ByteSet: Hashable {
  var words: SIMD4<UInt64> = .zero

  static let all = ByteSet(words: SIMD4(repeating: .max))

  init(words: SIMD4<UInt64> = .zero) { self.words = words }

  init(_ byte: UInt8) { insert(byte) }

  init(_ range: ClosedRange<UInt8>) {
    for byte in range { insert(byte) }
  }

  mutating func insert(_ byte: UInt8) {
    words[Int(byte >> 6)] |= 1 << UInt64(byte & 63)
  }

  mutating func formUnion(_ other: ByteSet) { words |= other.words }

  func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] & (1 << UInt64(byte & 63)) != 0 }

  var inverted: ByteSet { ByteSet(words: ~words) }

  /// With both cases of every ASCII letter in it.
  var caseFolded: ByteSet {
    var result = self
    for letter in UInt8(ascii: "a")...UInt8(ascii: "z") {
      if contains(letter) { result.insert(letter &- 32) }
      if contains(letter &- 32) { result.insert(letter) }
    }
    return result
  }
}

/// What a regular expression consists of.
indirect enum RegexNode {
  case empty
  case set(ByteSet)
  case sequence([RegexNode])
  case choice([RegexNode])
  /// `most` nil: without end.
  case repeated(RegexNode, least: Int, most: Int?)
  case start(offset: Int)
  case end(offset: Int)

  /// Characters and classes once repeats are written out; at least 1, held at `limit` + 1.
  func size(limit: Int) -> Int {
    let total: Int
    switch self {
    case .empty, .set, .start, .end: total = 1
    case .sequence(let nodes), .choice(let nodes):
      total = nodes.reduce(0) { min($0 + $1.size(limit: limit), limit + 1) }
    case .repeated(let node, let least, let most):
      total = node.size(limit: limit) * max(1, most ?? least)
    }
    return min(max(1, total), limit + 1)
  }

  /// Whether nothing but anchors and nothing can match.
  var isEmptyWidth: Bool {
    switch self {
    case .empty, .start, .end: true
    case .set: false
    case .sequence(let nodes), .choice(let nodes): nodes.allSatisfy(\.isEmptyWidth)
    case .repeated(let node, _, let most): most == 0 || node.isEmptyWidth
    }
  }

  /// The anchor that stands where it is not sure to hold, if there is one: the whole text is always matched, so `^` says
  /// nothing at the very start, `$` nothing at the very end, and anywhere else they are refused.
  func strayAnchor(atStart: Bool, atEnd: Bool) -> Int? {
    switch self {
    case .empty, .set: return nil
    case .start(let offset): return atStart ? nil : offset
    case .end(let offset): return atEnd ? nil : offset
    case .choice(let nodes):
      for node in nodes {
        if let stray = node.strayAnchor(atStart: atStart, atEnd: atEnd) { return stray }
      }
      return nil
    case .sequence(let nodes):
      for (index, node) in nodes.enumerated() {
        let first = atStart && nodes[..<index].allSatisfy(\.isEmptyWidth)
        let last = atEnd && nodes[(index + 1)...].allSatisfy(\.isEmptyWidth)
        if let stray = node.strayAnchor(atStart: first, atEnd: last) { return stray }
      }
      return nil
    case .repeated(let node, _, let most):
      let once = most == 1
      return node.strayAnchor(atStart: atStart && once, atEnd: atEnd && once)
    }
  }
}
