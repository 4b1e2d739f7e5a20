/// A compiled regular expression as plain pointers, for the traffic path. Valid while its `RegexProgram` lives.
package struct RegexView: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory that is never written after compilation.
  let classes: UnsafeBufferPointer<UInt8>
  let accepting: UnsafeBufferPointer<UInt8>
  let table: UnsafeBufferPointer<UInt16>
  let classCount: Int
  /// Words of a bit set of states; 0 where there is a table.
  let words: Int
  let follow: UnsafeBufferPointer<UInt64>
  let members: UnsafeBufferPointer<UInt64>
  let final: UnsafeBufferPointer<UInt64>

  /// Whether all of `text` matches.
  package func matches(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    var state = RegexState(self)
    state.feed(text)
    return state.isAccepted
  }
}

/// A match under way: bytes may come in pieces, and from more than one place.
struct RegexState {
  private let program: RegexView
  private var state = 1
  private var active: InlineArray<9, UInt64>

  init(_ program: RegexView) {
    self.program = program
    active = InlineArray(repeating: 0)
    active[0] = 1
  }

  mutating func feed(_ text: UnsafeBufferPointer<UInt8>) {
    if program.words == 0 {
      guard var next = text.baseAddress, let table = program.table.baseAddress,
        let classes = program.classes.baseAddress
      else { return }
      let classCount = program.classCount
      let end = next + text.count
      var current = state
      while next < end, current != 0 {
        current = Int(table[current &* classCount &+ Int(classes[Int(next.pointee)])])
        next += 1
      }
      state = current
    } else {
      for byte in text { step(byte) }
    }
  }

  mutating func feed(_ byte: UInt8) {
    if program.words == 0 {
      state = Int(program.table[state &* program.classCount &+ Int(program.classes[Int(byte)])])
    } else {
      step(byte)
    }
  }

  private mutating func step(_ byte: UInt8) {
    let words = program.words
    var reachable = InlineArray<9, UInt64>(repeating: 0)
    for word in 0..<words {
      var bits = active[word]
      while bits != 0 {
        let source = word &* 64 &+ bits.trailingZeroBitCount
        bits &= bits &- 1
        for index in 0..<words { reachable[index] |= program.follow[source &* words &+ index] }
      }
    }
    let row = Int(program.classes[Int(byte)]) &* words
    for index in 0..<words { active[index] = reachable[index] & program.members[row &+ index] }
  }

  /// Whether what was fed so far is a whole match.
  var isAccepted: Bool {
    if program.words == 0 { return program.accepting[state] != 0 }
    for word in 0..<program.words where active[word] & program.final[word] != 0 { return true }
    return false
  }
}
