// Unsafe by design: the field lines of a head, read from raw bytes to offsets.
import MeshModel

/// Where parsing a line or a section of lines came to.
enum LineOutcome {
  /// The bytes end before the line does.
  case incomplete
  /// Everything up to this index is parsed.
  case done(Int)
  /// The byte at this index makes the message invalid.
  case bad(HTTP1Error, at: Int)
}

enum HTTP1FieldParser {
  /// Parses field lines from `start` to the empty line, or the end of the bytes.
  ///
  /// - Returns: `.done` with the index of the empty line.
  @inline(__always)
  static func parse(
    _ base: UnsafePointer<UInt8>, from start: Int, to end: Int, maxFields: Int, into head: inout MessageHead,
    facts: inout HTTP1FieldFacts
  ) -> LineOutcome {
    var position = start
    var count = 0
    defer { head.fieldCount = count }
    while true {
      guard position < end else { return .incomplete }
      // Name.
      var index = position
      while index < end, ByteTables.isToken(base[index]) { index &+= 1 }
      guard index < end else { return .incomplete }
      if base[index] != 0x3A || index == position {
        if base[position] == 0x0D { return emptyLine(base, position, end) }
        return .bad(nameProblem(base, position, index), at: index)
      }
      let nameLength = index &- position
      // Value.
      var first = index &+ 1
      while first < end, base[first] == 0x20 || base[first] == 0x09 { first &+= 1 }
      var stop = ByteScan.firstControl(base, from: first, to: end)
      while stop < end, base[stop] == 0x09 { stop = ByteScan.firstControl(base, from: stop &+ 1, to: end) }
      guard stop &+ 1 < end else {
        if stop < end, base[stop] != 0x0D { return .bad(valueProblem(base[stop]), at: stop) }
        return .incomplete
      }
      guard base[stop] == 0x0D, base[stop &+ 1] == 0x0A else {
        return .bad(valueProblem(base[stop]), at: base[stop] == 0x0D ? stop &+ 1 : stop)
      }
      var last = stop
      while last > first, base[last &- 1] == 0x20 || base[last &- 1] == 0x09 { last &-= 1 }
      // The field.
      guard count < maxFields else { return .bad(.tooManyFields, at: stop &+ 1) }
      let known = KnownHeader.lookup(base + position, nameLength)
      let value = ByteRange(from: first, to: last)
      head.fields[count].name = ByteRange(from: position, to: position &+ nameLength)
      head.fields[count].value = value
      head.fields[count].known = known
      if let problem = facts.note(known, value, at: count, head: head) { return .bad(problem, at: stop &+ 1) }
      count &+= 1
      position = stop &+ 2
    }
  }

  private static func emptyLine(_ base: UnsafePointer<UInt8>, _ position: Int, _ end: Int) -> LineOutcome {
    guard position &+ 1 < end else { return .incomplete }
    return base[position &+ 1] == 0x0A ? .done(position) : .bad(.badLineEnd, at: position &+ 1)
  }

  private static func nameProblem(_ base: UnsafePointer<UInt8>, _ start: Int, _ stop: Int) -> HTTP1Error {
    let byte = base[stop]
    if stop == start {
      if byte == 0x20 || byte == 0x09 { return .lineFolding }
      return byte == 0x0A ? .badLineEnd : .badFieldName
    }
    if byte == 0x20 || byte == 0x09 { return .spaceBeforeColon }
    return byte == 0x0D || byte == 0x0A ? .noColon : .badFieldName
  }

  private static func valueProblem(_ byte: UInt8) -> HTTP1Error {
    byte == 0x0A || byte == 0x0D ? .badLineEnd : .badFieldValue
  }

  /// What the caller of a parser is told, given that a line is judged only once its line feed has arrived. So the
  /// answer depends on the bytes alone, never on how they were cut into pieces.
  static func settle(
    _ outcome: LineOutcome, base: UnsafePointer<UInt8>, end: Int, atLimit: Bool, tooLarge: HTTP1Error
  ) -> HTTP1ParseResult {
    switch outcome {
    case .done(let emptyLine): return .complete(length: emptyLine &+ 2)
    case .bad(let problem, at: let index):
      if ByteScan.first(0x0A, in: base, from: index, to: end) != nil { return .failure(problem) }
    case .incomplete: break
    }
    return atLimit ? .failure(tooLarge) : .needMore
  }
}
