/// A regular expression compiled for matching whole texts in linear time, without allocation.
///
/// Compilation follows Glushkov (1961): an automaton with one state per character of the expression and no empty
/// moves. Where the subset construction stays small it is done at once and a byte costs one table look-up; where it
/// would explode the automaton is run as it is, on bit sets, at most `maxPositions` / 64 words of work per active
/// state and byte. Both are decided here: nothing is built while matching.
///
/// Syntax: RE2's, on bytes, less what `RegexError.unsupported` names. The *whole* text must match, as in Envoy.
package final class RegexProgram: Sendable {
  /// The most characters and classes an expression may have once repeats are written out.
  package static let maxPositions = 512
  /// The most groups one in the other.
  package static let maxDepth = 50
  /// The most entries of a table of the subset construction; past it the automaton is run on bit sets.
  static let maxTableEntries = 8_192

  /// What the traffic path reads; valid while this object lives.
  package let view: RegexView

  private let store: FrozenStore

  /// Compiles `pattern`.
  package init(_ pattern: String) throws(RegexError) {
    var parser = RegexParser(pattern)
    let node = try parser.parse()
    var automaton = Automaton()
    automaton.build(node)
    let classes = automaton.byteClasses()
    let store = FrozenStore()
    self.store = store
    if let table = SubsetTable(automaton, classes) {
      view = RegexView(
        classes: store.freeze(classes.map), accepting: store.freeze(table.accepting),
        table: store.freeze(table.next), classCount: classes.count, words: 0,
        follow: store.freeze([]), members: store.freeze([]), final: store.freeze([]))
    } else {
      view = RegexView(
        classes: store.freeze(classes.map), accepting: store.freeze([]), table: store.freeze([]),
        classCount: classes.count, words: automaton.words, follow: store.freeze(automaton.follow.flatMap(\.self)),
        members: store.freeze(automaton.members(of: classes).flatMap(\.self)), final: store.freeze(automaton.last))
    }
  }

  /// Whether all of `text` matches. For tests and tools; the traffic path uses `view`.
  package func matches(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBufferPointer { view.matches($0) }
  }
}

/// Bytes that the expression never tells apart, numbered.
struct ByteClasses {
  var map: [UInt8]
  /// One byte of each class.
  var representatives: [UInt8]
  var count: Int { representatives.count }
}

/// Glushkov's automaton. State 0 is the beginning, state n is "the n-th character has just been read".
struct Automaton {
  typealias Bits = [UInt64]

  private(set) var sets: [ByteSet] = [ByteSet()]
  private(set) var follow: [Bits] = []
  private(set) var last: Bits = []
  private(set) var nullable = false
  private(set) var words = 1

  private struct Fragment {
    var nullable: Bool
    var first: [Int]
    var last: [Int]
  }

  mutating func build(_ node: RegexNode) {
    words = (node.size(limit: RegexProgram.maxPositions) + 1 + 63) / 64
    follow = [Bits(repeating: 0, count: words)]
    let whole = add(node)
    connect([0], whole.first)
    last = Bits(repeating: 0, count: words)
    for state in whole.last { last[state >> 6] |= 1 << UInt64(state & 63) }
    nullable = whole.nullable
    if nullable { last[0] |= 1 }
  }

  private mutating func connect(_ from: [Int], _ to: [Int]) {
    for source in from {
      for target in to { follow[source][target >> 6] |= 1 << UInt64(target & 63) }
    }
  }

  private mutating func add(_ node: RegexNode) -> Fragment {
    switch node {
    case .empty, .start, .end: return Fragment(nullable: true, first: [], last: [])
    case .set(let set):
      let state = sets.count
      sets.append(set)
      follow.append(Bits(repeating: 0, count: words))
      return Fragment(nullable: false, first: [state], last: [state])
    case .choice(let nodes):
      var result = Fragment(nullable: false, first: [], last: [])
      for node in nodes {
        let part = add(node)
        result.nullable = result.nullable || part.nullable
        result.first += part.first
        result.last += part.last
      }
      return result
    case .sequence(let nodes):
      var result = Fragment(nullable: true, first: [], last: [])
      for node in nodes { append(add(node), to: &result) }
      return result
    case .repeated(let node, let least, let most): return addRepeated(node, least, most)
    }
  }

  private mutating func append(_ part: Fragment, to result: inout Fragment) {
    connect(result.last, part.first)
    if result.nullable { result.first += part.first }
    result.last = part.nullable ? result.last + part.last : part.last
    result.nullable = result.nullable && part.nullable
  }

  private mutating func addRepeated(_ node: RegexNode, _ least: Int, _ most: Int?) -> Fragment {
    var result = Fragment(nullable: true, first: [], last: [])
    let copies = most ?? max(1, least)
    for copy in 0..<copies {
      var part = add(node)
      if most == nil, copy == copies - 1 { connect(part.last, part.first) }
      if copy >= least { part.nullable = true }
      append(part, to: &result)
    }
    return result
  }

  /// Divides the 256 bytes by which of the sets hold them.
  func byteClasses() -> ByteClasses {
    let distinct = Array(Set(sets))
    var known: [[Bool]: UInt8] = [:]
    var classes = ByteClasses(map: [], representatives: [])
    for byte in UInt8.min...UInt8.max {
      let signature = distinct.map { $0.contains(byte) }
      if let number = known[signature] {
        classes.map.append(number)
      } else {
        let number = UInt8(classes.count)
        known[signature] = number
        classes.map.append(number)
        classes.representatives.append(byte)
      }
    }
    return classes
  }

  /// For each class the states that reading one of its bytes can lead to.
  func members(of classes: ByteClasses) -> [Bits] {
    classes.representatives.map { byte in
      var bits = Bits(repeating: 0, count: words)
      for state in 1..<max(1, sets.count) where sets[state].contains(byte) {
        bits[state >> 6] |= 1 << UInt64(state & 63)
      }
      return bits
    }
  }
}

/// The automaton made deterministic. State 0 is dead, state 1 the beginning.
struct SubsetTable {
  private(set) var next: [UInt16] = []
  private(set) var accepting: [UInt8] = []

  /// Nil where the table would be larger than `RegexProgram.maxTableEntries`.
  init?(_ automaton: Automaton, _ classes: ByteClasses) {
    let members = automaton.members(of: classes)
    let empty = Automaton.Bits(repeating: 0, count: automaton.words)
    var start = empty
    start[0] = 1
    var numbers = [empty: UInt16(0), start: UInt16(1)]
    var states = [empty, start]
    var done = 0
    while done < states.count {
      if states.count * classes.count > RegexProgram.maxTableEntries { return nil }
      let state = states[done]
      accepting.append(zip(state, automaton.last).contains { $0 & $1 != 0 } ? 1 : 0)
      var reachable = empty
      for word in 0..<automaton.words {
        var bits = state[word]
        while bits != 0 {
          let source = word * 64 + bits.trailingZeroBitCount
          bits &= bits &- 1
          for index in 0..<automaton.words { reachable[index] |= automaton.follow[source][index] }
        }
      }
      for number in 0..<classes.count {
        let target = zip(reachable, members[number]).map { $0 & $1 }
        if let known = numbers[target] {
          next.append(known)
        } else {
          let known = UInt16(states.count)
          numbers[target] = known
          states.append(target)
          next.append(known)
        }
      }
      done += 1
    }
  }
}
