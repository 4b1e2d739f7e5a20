// Unsafe by design: writes without looking at the end, into room that was asked for before.
import MeshModel

/// The second that lines were written in last, as text: most lines of a busy proxy begin with the same one.
package struct LineClock: Sendable, BitwiseCopyable {
  /// `2026-01-31T23:59:59.`
  private static let prefixBytes = 20
  /// Seconds since 1970; nothing was written yet at the least number.
  private var second = Int64.min
  private var text = InlineArray<24, UInt8>(repeating: 0)

  package init() {}

  /// The text up to the full stop behind the seconds.
  @inline(__always)
  fileprivate mutating func write(second wanted: Int64, to place: UnsafeMutablePointer<UInt8>) {
    if wanted != second { renew(wanted) }
    withUnsafeBytes(of: text) {
      UnsafeMutableRawPointer(place).copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: Self.prefixBytes)
    }
  }

  private mutating func renew(_ wanted: Int64) {
    second = wanted
    withUnsafeMutableBytes(of: &text) { bytes in
      guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
      var writer = FixedWriter(base: base, capacity: 24)
      CivilTime.write(milliseconds: wanted &* 1_000, into: &writer)
    }
  }
}

/// Writes one line where there is room for all of it: whoever makes a cursor has counted before how long the line can
/// get, so that nothing is looked at for each piece. Constant pieces are copied by a few stores.
struct LineCursor {
  /// Where the next byte goes.
  private(set) var place: UnsafeMutablePointer<UInt8>
  /// Bytes behind the end of what is written that may be written over.
  static let slack = 16

  private static let pairs: StaticString = """
    00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657\
    585960616263646566676869707172737475767778798081828384858687888990919293949596979899
    """

  init(_ place: UnsafeMutablePointer<UInt8>) { self.place = place }

  @inline(__always)
  mutating func put(_ text: StaticString) {
    place.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
    place += text.utf8CodeUnitCount
  }

  @inline(__always)
  mutating func put(_ byte: UInt8) {
    place.pointee = byte
    place += 1
  }

  @inline(__always)
  private func putPair(_ value: UInt64, at offset: Int) {
    let pair = UnsafeRawPointer(Self.pairs.utf8Start).loadUnaligned(
      fromByteOffset: Int(truncatingIfNeeded: value) &* 2, as: UInt16.self)
    UnsafeMutableRawPointer(place).storeBytes(of: pair, toByteOffset: offset, as: UInt16.self)
  }

  /// Decimal, without zeros before it.
  @inline(__always)
  mutating func put(decimal value: UInt64) {
    if value < 10 { return put(UInt8(truncatingIfNeeded: 48 &+ value)) }
    if value < 100 {
      putPair(value, at: 0)
      place += 2
      return
    }
    putLong(value)
  }

  private mutating func putLong(_ value: UInt64) {
    var digits = 3
    var bound: UInt64 = 1_000
    while digits < 20, value >= bound {
      digits &+= 1
      if digits < 20 { bound &*= 10 }
    }
    var rest = value
    var end = digits
    while rest >= 100 {
      end &-= 2
      putPair(rest % 100, at: end)
      rest /= 100
    }
    if rest >= 10 { putPair(rest, at: 0) } else { place.pointee = UInt8(truncatingIfNeeded: 48 &+ rest) }
    place += digits
  }

  /// Three digits, zeros before them.
  @inline(__always)
  mutating func put(thousandths value: UInt64) {
    place.pointee = UInt8(truncatingIfNeeded: 48 &+ value / 100 % 10)
    putPair(value % 100, at: 1)
    place += 3
  }

  /// Milliseconds with three places.
  @inline(__always)
  mutating func put(milliseconds nanoseconds: Int64) {
    let micros = UInt64(max(0, nanoseconds)) / 1_000
    put(decimal: micros / 1_000)
    put(UInt8(ascii: "."))
    put(thousandths: micros % 1_000)
  }

  /// A moment, as `CivilTime.write` writes it.
  @inline(__always)
  mutating func put(moment milliseconds: Int64, _ clock: inout LineClock) {
    let held = CivilTime.held(milliseconds)
    let second = held >= 0 ? held / 1_000 : (held &- 999) / 1_000
    clock.write(second: second, to: place)
    place += 20
    put(thousandths: UInt64(held &- second &* 1_000))
    put(UInt8(ascii: "Z"))
  }

  /// 16 digits of hexadecimal.
  @inline(__always)
  mutating func put(hexadecimal value: UInt64) {
    Hexadecimal.store(value, to: place)
    place += 16
  }

  /// A text in quotes with everything escaped that has to be; null where it is empty.
  @inline(__always)
  mutating func put(json text: UnsafeBufferPointer<UInt8>) {
    guard let base = text.baseAddress, text.count > 0 else { return put("null") }
    put(UInt8(ascii: "\""))
    let count = min(text.count, EscapedText.maxFieldBytes)
    let plain = copyPlain(base, count)
    place += plain
    if plain < count || text.count > count { putEscaped(base + plain, count &- plain, isCut: text.count > count) }
    put(UInt8(ascii: "\""))
  }

  /// Copies bytes that stand for themselves, eight at a time; returns how many there were up to the first other one.
  @inline(__always)
  private func copyPlain(_ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    let (from, to) = (UnsafeRawPointer(base), UnsafeMutableRawPointer(place))
    var position = 0
    while count &- position >= 8 {
      let word = from.loadUnaligned(fromByteOffset: position, as: UInt64.self)
      if EscapedText.isSpecial(word) { break }
      to.storeBytes(of: word, toByteOffset: position, as: UInt64.self)
      position &+= 8
    }
    if position &+ 8 > count, count >= 8 {
      // The rest together with what was copied before it.
      let word = from.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
      if !EscapedText.isSpecial(word) {
        to.storeBytes(of: word, toByteOffset: count &- 8, as: UInt64.self)
        return count
      }
    }
    while position < count, EscapedText.isPlain(base[position]) {
      place[position] = base[position]
      position &+= 1
    }
    return position
  }

  @inline(never)
  private mutating func putEscaped(_ base: UnsafePointer<UInt8>, _ count: Int, isCut: Bool) {
    var writer = FixedWriter(base: place, capacity: EscapedText.longest(count))
    EscapedText.json(base, count, isCut: isCut, into: &writer)
    place += writer.count
  }
}
