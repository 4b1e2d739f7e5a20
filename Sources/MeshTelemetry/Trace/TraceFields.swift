package import MeshModel

/// The header fields in which traces are passed on: W3C Trace Context, Level 2 (`traceparent`, `tracestate`), and B3 in
/// one field or several. What is malformed counts as absent; nothing that a peer sends here is an error.
package enum TraceFields {
  /// What a request's head says. `tracestate` is judged only beside a valid `traceparent`.
  ///
  /// Two `traceparent` fields are none. A valid `traceparent` goes before B3.
  package static func read(_ head: borrowing MessageHead) -> TraceMark {
    var parents = 0
    var mark: TraceMark?
    var state = TraceStateCheck()
    var b3 = B3Fields()
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      index &+= 1
      switch field.known {
      case .traceparent:
        parents &+= 1
        mark = parent(head.bytes(field.value))
      case .tracestate: state.take(head.bytes(field.value))
      case .b3: b3.single = head.bytes(field.value)
      case .xB3TraceID: b3.traceID = head.bytes(field.value)
      case .xB3SpanID: b3.spanID = head.bytes(field.value)
      case .xB3Sampled: b3.sampled = head.bytes(field.value)
      case .xB3Flags: b3.flags = head.bytes(field.value)
      default: break
      }
    }
    if parents == 1, var found = mark {
      found.flags.formUnion(b3.forms)
      if !state.isValid { found.flags.insert(.dropsState) }
      return found
    }
    var other = b3.mark
    other.flags.insert(.dropsState)
    return other
  }

  /// Reads a `traceparent`. Nil: it is malformed.
  package static func parent(_ value: UnsafeBufferPointer<UInt8>) -> TraceMark? {
    guard value.count >= 55, let base = value.baseAddress, base[2] == 0x2D, base[35] == 0x2D, base[52] == 0x2D,
      let version = Hexadecimal.read(base, 2), version != 0xFF, let flags = Hexadecimal.read(base + 53, 2),
      let high = Hexadecimal.read(base + 3, 16), let low = Hexadecimal.read(base + 19, 16), high | low != 0,
      let span = Hexadecimal.read(base + 36, 16), span != 0
    else { return nil }
    // A later version may have more behind another dash.
    if version == 0 ? value.count > 55 : value.count > 55 && base[55] != 0x2D { return nil }
    return TraceMark(
      high: high, low: low, parent: span, flags: TraceMark.Flags(rawValue: UInt8(truncatingIfNeeded: flags) & 3))
  }

  /// Writes the fields that go on to the next hop, as lines of HTTP/1: always `traceparent`, and B3 in the forms that
  /// the mark asks for. Nothing where there is no trace.
  package static func write(_ mark: TraceMark, into writer: inout FixedWriter) {
    guard mark.isPresent else { return }
    writer.append("traceparent: ")
    writeParent(mark, into: &writer)
    writer.append("\r\n")
    if mark.flags.contains(.b3Single) {
      writer.append("b3: ")
      Hexadecimal.write(mark.high, 16, into: &writer)
      Hexadecimal.write(mark.low, 16, into: &writer)
      writer.append("-")
      Hexadecimal.write(mark.outgoingSpan, 16, into: &writer)
      if !mark.flags.contains(.undecided) {
        writer.append(mark.flags.contains(.debug) ? "-d" : mark.flags.contains(.sampled) ? "-1" : "-0")
      }
      if mark.span != 0, mark.parent != 0 {
        writer.append("-")
        Hexadecimal.write(mark.parent, 16, into: &writer)
      }
      writer.append("\r\n")
    }
    if mark.flags.contains(.b3Multi) { writeB3Fields(mark, into: &writer) }
  }

  private static func writeB3Fields(_ mark: TraceMark, into writer: inout FixedWriter) {
    writer.append("x-b3-traceid: ")
    Hexadecimal.write(mark.high, 16, into: &writer)
    Hexadecimal.write(mark.low, 16, into: &writer)
    writer.append("\r\nx-b3-spanid: ")
    Hexadecimal.write(mark.outgoingSpan, 16, into: &writer)
    if mark.span != 0, mark.parent != 0 {
      writer.append("\r\nx-b3-parentspanid: ")
      Hexadecimal.write(mark.parent, 16, into: &writer)
    }
    if mark.flags.contains(.debug) {
      writer.append("\r\nx-b3-flags: 1\r\n")
    } else if mark.flags.contains(.undecided) {
      writer.append("\r\n")
    } else {
      writer.append(mark.flags.contains(.sampled) ? "\r\nx-b3-sampled: 1\r\n" : "\r\nx-b3-sampled: 0\r\n")
    }
  }

  /// The value of `traceparent`, in version 00, whatever the version was that came in.
  package static func writeParent(_ mark: TraceMark, into writer: inout FixedWriter) {
    writer.append("00-")
    Hexadecimal.write(mark.high, 16, into: &writer)
    Hexadecimal.write(mark.low, 16, into: &writer)
    writer.append("-")
    Hexadecimal.write(mark.outgoingSpan, 16, into: &writer)
    writer.append("-0")
    writer.append(0x30 &+ (mark.flags.rawValue & 3))
  }
}

/// Counts and checks the members of `tracestate`, over all its fields (W3C Trace Context, Level 2, 3.3).
package struct TraceStateCheck {
  /// Members there may be.
  package static let maxMembers = 32
  private static let maxKeyBytes = 256
  private static let maxValueBytes = 256

  private var members = 0
  private var isBroken = false

  package init() {}

  /// Whether everything taken so far may be passed on. Keys that come twice are not looked for: they may be kept.
  package var isValid: Bool { !isBroken && members <= Self.maxMembers }

  /// Takes one field's value. Empty members are allowed.
  package mutating func take(_ value: UnsafeBufferPointer<UInt8>) {
    var start = 0
    while start <= value.count, !isBroken {
      var end = start
      while end < value.count, value[end] != 0x2C { end &+= 1 }
      takeMember(value, start, end)
      start = end &+ 1
    }
  }

  private mutating func takeMember(_ value: UnsafeBufferPointer<UInt8>, _ from: Int, _ to: Int) {
    var (start, end) = (from, to)
    while start < end, value[start] == 0x20 || value[start] == 0x09 { start &+= 1 }
    while end > start, value[end &- 1] == 0x20 || value[end &- 1] == 0x09 { end &-= 1 }
    if start == end { return }
    members &+= 1
    var equals = start
    while equals < end, value[equals] != 0x3D {
      guard Self.isKeyByte(value[equals], isFirst: equals == start) else {
        isBroken = true
        return
      }
      equals &+= 1
    }
    let valueCount = end &- equals &- 1
    guard equals < end, equals > start, equals &- start <= Self.maxKeyBytes, valueCount > 0,
      valueCount <= Self.maxValueBytes
    else {
      isBroken = true
      return
    }
    var position = equals &+ 1
    while position < end {
      let byte = value[position]
      if byte < 0x20 || byte > 0x7E || byte == 0x3D { isBroken = true }
      position &+= 1
    }
  }

  private static func isKeyByte(_ byte: UInt8, isFirst: Bool) -> Bool {
    if byte &- 0x61 < 26 || byte &- 0x30 < 10 { return true }
    return !isFirst && (byte == 0x5F || byte == 0x2D || byte == 0x2A || byte == 0x2F || byte == 0x40)
  }
}

/// B3 as it came in (openzipkin/b3-propagation).
private struct B3Fields {
  typealias Bytes = UnsafeBufferPointer<UInt8>
  var single: Bytes?
  var traceID: Bytes?
  var spanID: Bytes?
  var sampled: Bytes?
  var flags: Bytes?

  /// The forms in which it came, and so goes on.
  var forms: TraceMark.Flags {
    var forms: TraceMark.Flags = single == nil ? [] : .b3Single
    if traceID != nil || sampled != nil || flags != nil { forms.insert(.b3Multi) }
    return forms
  }

  /// What it says. Without ids there is no trace, but perhaps a decision.
  var mark: TraceMark {
    if let single, let found = Self.read(single) { return with(forms, found) }
    var found = TraceMark()
    if let traceID, let spanID, let ids = Self.traceID(traceID), let span = Self.number(spanID), span != 0 {
      found = TraceMark(high: ids.high, low: ids.low, parent: span, flags: [])
    }
    if let flags, flags.count == 1, flags[0] == 0x31 {
      found.flags.formUnion([.debug, .sampled])
    } else if let sampled, let isSampled = Self.decision(sampled) {
      if isSampled { found.flags.insert(.sampled) }
    } else {
      found.flags.insert(.undecided)
    }
    return with(forms, found)
  }

  private func with(_ forms: TraceMark.Flags, _ mark: TraceMark) -> TraceMark {
    var mark = mark
    mark.flags.formUnion(forms)
    return mark
  }

  /// `{trace}-{span}[-{state}[-{parent}]]`, or a state alone.
  private static func read(_ value: Bytes) -> TraceMark? {
    if value.count == 1 {
      var mark = TraceMark()
      switch value[0] {
      case 0x30: return mark
      case 0x31: mark.flags = .sampled
      case 0x64: mark.flags = [.sampled, .debug]
      default: return nil
      }
      return mark
    }
    var dash = 0
    while dash < value.count, value[dash] != 0x2D { dash &+= 1 }
    guard let ids = traceID(Bytes(rebasing: value[..<dash])), value.count >= dash &+ 17 else { return nil }
    let rest = Bytes(rebasing: value[(dash &+ 1)...])
    guard let span = number(Bytes(rebasing: rest[..<16])), span != 0 else { return nil }
    var mark = TraceMark(high: ids.high, low: ids.low, parent: span, flags: [])
    if rest.count == 16 {
      mark.flags = .undecided
      return mark
    }
    guard rest.count == 18 || rest.count == 35, rest[16] == 0x2D else { return nil }
    switch rest[17] {
    case 0x30: break
    case 0x31: mark.flags = .sampled
    case 0x64: mark.flags = [.sampled, .debug]
    default: return nil
    }
    if rest.count == 35 { guard rest[18] == 0x2D, number(Bytes(rebasing: rest[19...])) != nil else { return nil } }
    return mark
  }

  private static func traceID(_ value: Bytes) -> (high: UInt64, low: UInt64)? {
    guard let base = value.baseAddress else { return nil }
    switch value.count {
    case 16: return Hexadecimal.read(base, 16).flatMap { $0 == 0 ? nil : (0, $0) }
    case 32:
      guard let high = Hexadecimal.read(base, 16), let low = Hexadecimal.read(base + 16, 16), high | low != 0 else {
        return nil
      }
      return (high, low)
    default: return nil
    }
  }

  private static func number(_ value: Bytes) -> UInt64? {
    guard value.count == 16, let base = value.baseAddress else { return nil }
    return Hexadecimal.read(base, 16)
  }

  /// `1` and `0`, and `true` and `false` of older tracers.
  private static func decision(_ value: Bytes) -> Bool? {
    switch value.count {
    case 1: value[0] == 0x31 ? true : value[0] == 0x30 ? false : nil
    case 4: value[0] | 0x20 == 0x74 ? true : nil
    case 5: value[0] | 0x20 == 0x66 ? false : nil
    default: nil
    }
  }
}

/// Numbers in lower-case hexadecimal digits.
package enum Hexadecimal {
  /// The number that `count` digits are, at most 16. Nil: something else is among them.
  package static func read(_ base: UnsafePointer<UInt8>, _ count: Int) -> UInt64? {
    var value: UInt64 = 0
    var index = 0
    while index &+ 8 <= count {
      guard let eight = readEight(base + index) else { return nil }
      value = value << 32 | UInt64(eight)
      index &+= 8
    }
    while index < count {
      let byte = base[index]
      let digit: UInt8
      if byte &- 0x30 < 10 {
        digit = byte &- 0x30
      } else if byte &- 0x61 < 6 {
        digit = byte &- 0x57
      } else {
        return nil
      }
      value = value << 4 | UInt64(digit)
      index &+= 1
    }
    return value
  }

  /// The lowest `digits` digits of a number, at most 16.
  package static func write(_ number: UInt64, _ digits: Int, into writer: inout FixedWriter) {
    guard digits > 0, digits <= 16, digits <= writer.remaining else {
      writer.overflow()
      return
    }
    let place = writer.base + writer.count
    writer.advance(by: digits)
    let leading = number &<< UInt64(64 &- 4 &* digits)
    // What is stored behind them is written over next.
    if writer.count &- digits &+ 16 <= writer.capacity { return store(leading, to: place) }
    var index = 0
    while index < digits {
      let digit = UInt8(truncatingIfNeeded: leading >> UInt64(60 &- 4 &* index)) & 15
      place[index] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
      index &+= 1
    }
  }

  /// Sixteen digits, at a place with room for them.
  @inline(__always)
  package static func store(_ number: UInt64, to place: UnsafeMutablePointer<UInt8>) {
    let raw = UnsafeMutableRawPointer(place)
    raw.storeBytes(of: digits(UInt32(truncatingIfNeeded: number >> 32)), as: UInt64.self)
    raw.storeBytes(of: digits(UInt32(truncatingIfNeeded: number)), toByteOffset: 8, as: UInt64.self)
  }

  /// Eight digits at once: bytes become nibbles, and what they are as digits again must be what was read.
  @inline(__always)
  private static func readEight(_ base: UnsafePointer<UInt8>) -> UInt32? {
    let text = UnsafeRawPointer(base).loadUnaligned(as: UInt64.self)
    let bytes = UInt64(bigEndian: text)
    var word = (bytes &+ (bytes >> 6 & 0x0101_0101_0101_0101) &* 9) & 0x0F0F_0F0F_0F0F_0F0F
    word = (word | word >> 4) & 0x00FF_00FF_00FF_00FF
    word = (word | word >> 8) & 0x0000_FFFF_0000_FFFF
    let number = UInt32(truncatingIfNeeded: word | word >> 16)
    return digits(number) == text ? number : nil
  }

  /// Eight digits as a word whose first byte is the first of them: nibbles are spread over bytes, and those above nine
  /// get what lies between `9` and `a`.
  @inline(__always)
  private static func digits(_ number: UInt32) -> UInt64 {
    var word = UInt64(number.byteSwapped)
    word = (word | word << 16) & 0x0000_FFFF_0000_FFFF
    word = (word | word << 8) & 0x00FF_00FF_00FF_00FF
    // The higher nibble comes first.
    word = (word >> 4 | word << 8) & 0x0F0F_0F0F_0F0F_0F0F
    let above = (word &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
    return (word &+ 0x3030_3030_3030_3030 &+ above &* 0x27).littleEndian
  }
}
