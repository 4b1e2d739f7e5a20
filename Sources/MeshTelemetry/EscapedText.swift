import MeshModel

/// Writes bytes from anywhere into a line, so that nothing in them can end the line or the field.
enum EscapedText {
  /// How much of one field is written: the rest is left out and marked with an ellipsis.
  static let maxFieldBytes = 2_048

  private static let hexDigits: StaticString = "0123456789abcdef"

  /// As the content of a JSON string (RFC 8259): control characters as `\u00xx`, what is not UTF-8 as U+FFFD.
  static func json(_ text: UnsafeBufferPointer<UInt8>, into writer: inout FixedWriter) {
    guard let base = text.baseAddress else { return }
    let count = min(text.count, maxFieldBytes)
    json(base, count, isCut: text.count > count, into: &writer)
  }

  /// Most bytes that so many can become, an ellipsis included.
  static func longest(_ count: Int) -> Int { 6 &* count &+ 3 }

  /// - Parameter isCut: there would be more: an ellipsis says so.
  static func json(_ base: UnsafePointer<UInt8>, _ count: Int, isCut: Bool, into writer: inout FixedWriter) {
    var position = 0
    var plain = 0
    while true {
      position &+= plainCount(base + position, count &- position)
      guard position < count else { break }
      let byte = base[position]
      let length = byte < 0x80 ? 0 : sequenceLength(base + position, count &- position)
      if length > 0 {
        position &+= length
        continue
      }
      writer.append(base + plain, count: position &- plain)
      switch byte {
      case UInt8(ascii: "\""): writer.append("\\\"")
      case UInt8(ascii: "\\"): writer.append("\\\\")
      case 0x0A: writer.append("\\n")
      case 0x0D: writer.append("\\r")
      case 0x09: writer.append("\\t")
      case 0x80...: writer.append("\u{FFFD}")
      default:
        writer.append("\\u00")
        hex(byte, into: &writer)
      }
      position &+= 1
      plain = position
    }
    writer.append(base + plain, count: position &- plain)
    if isCut { writer.append("…") }
  }

  /// As the content of a quoted field in a text line: control characters, quotes, backslashes and what is not UTF-8 as
  /// `\xhh`.
  static func quoted(_ text: UnsafeBufferPointer<UInt8>, into writer: inout FixedWriter) {
    guard let base = text.baseAddress else { return }
    let count = min(text.count, maxFieldBytes)
    var position = 0
    while true {
      let plain = plainCount(base + position, count &- position)
      writer.append(base + position, count: plain)
      position &+= plain
      guard position < count else { break }
      let byte = base[position]
      let length = byte < 0x80 ? 0 : sequenceLength(base + position, count &- position)
      if length > 0 {
        writer.append(base + position, count: length)
        position &+= length
      } else {
        writer.append("\\x")
        hex(byte, into: &writer)
        position &+= 1
      }
    }
    if text.count > count { writer.append("…") }
  }

  /// How many bytes at `base` stand for themselves in either format: printable ASCII but quotes and backslashes. Looks at
  /// eight at a time.
  private static func plainCount(_ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    let raw = UnsafeRawPointer(base)
    var position = 0
    while count &- position >= 8 {
      if isSpecial(raw.loadUnaligned(fromByteOffset: position, as: UInt64.self)) { break }
      position &+= 8
    }
    while position < count {
      guard isPlain(base[position]) else { break }
      position &+= 1
    }
    return position
  }

  /// Whether a byte stands for itself in either format.
  @inline(__always)
  static func isPlain(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
  }

  /// Whether one of eight bytes does not.
  @inline(__always)
  static func isSpecial(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let tops: UInt64 = 0x8080_8080_8080_8080
    @inline(__always) func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word }
    let below = (word &- ones &* 0x20) & ~word
    let special = below | zeros(word ^ (ones &* 0x22)) | zeros(word ^ (ones &* 0x5C)) | zeros(word ^ (ones &* 0x7F))
    return (special | word) & tops != 0
  }

  private static func hex(_ byte: UInt8, into writer: inout FixedWriter) {
    writer.append(hexDigits.utf8Start[Int(byte >> 4)])
    writer.append(hexDigits.utf8Start[Int(byte & 15)])
  }

  /// The length of the well-formed UTF-8 sequence of two to four bytes at `base`; 0 where there is none (RFC 3629, with
  /// no over-long forms and no surrogates). Line separators U+0085, U+2028 and U+2029 count as none: some readers end
  /// lines at them.
  private static func sequenceLength(_ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    let first = base[0]
    func follows(_ offset: Int, _ range: ClosedRange<UInt8>) -> Bool { offset < count && range ~= base[offset] }
    let any: ClosedRange<UInt8> = 0x80...0xBF
    switch first {
    case 0xC2 where count > 1 && base[1] < 0xA0: return 0  // C1 control characters.
    case 0xC2...0xDF: return follows(1, any) ? 2 : 0
    case 0xE0: return follows(1, 0xA0...0xBF) && follows(2, any) ? 3 : 0
    case 0xE2 where count > 2 && base[1] == 0x80 && (base[2] == 0xA8 || base[2] == 0xA9): return 0
    case 0xED: return follows(1, 0x80...0x9F) && follows(2, any) ? 3 : 0
    case 0xE1...0xEF: return follows(1, any) && follows(2, any) ? 3 : 0
    case 0xF0: return follows(1, 0x90...0xBF) && follows(2, any) && follows(3, any) ? 4 : 0
    case 0xF1...0xF3: return follows(1, any) && follows(2, any) && follows(3, any) ? 4 : 0
    case 0xF4: return follows(1, 0x80...0x8F) && follows(2, any) && follows(3, any) ? 4 : 0
    default: return 0
    }
  }
}
