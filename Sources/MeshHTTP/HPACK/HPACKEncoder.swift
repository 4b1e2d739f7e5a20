// Unsafe by design: fields are written straight into the output.
import MeshModel

/// Encodes header blocks (RFC 7541). One for each sending direction of a connection.
///
/// A field goes into the dynamic table when its name and value come for the second time within the last few distinct
/// ones: constants are then sent as one byte, while request identifiers and other values that never come again do not
/// push them out. Credentials are never put in and are marked so that no hop does it.
struct HPACKEncoder: ~Copyable {
  private var table: DynamicTable
  private let useHuffman: Bool
  /// Direct-mapped by hash: the number of the entry with that hash.
  private var numbers: UnsafeMutablePointer<UInt64>?
  /// Direct-mapped by other bits of the hash: hashes seen once.
  private var seen: UnsafeMutablePointer<UInt32>?
  /// The smallest size the table has had since the last block; the peer must be told of it.
  private var pendingMinimum: Int?
  private static let numberSlots = 128
  private static let seenSlots = 64
  /// Larger fields are not worth their place.
  private static let maxIndexedBytes = 1024

  /// An encoder with a table of `tableBytes` at most. Strings are sent plain unless `huffman` is set: between proxies
  /// the time is worth more than the bytes.
  init(tableBytes: Int, huffman: Bool) {
    table = DynamicTable(ceiling: max(0, tableBytes))
    useHuffman = huffman
    // Until the peer's SETTINGS say otherwise it may have 4096 bytes.
    if tableBytes > 4096 { _ = table.resize(4096) }
    if tableBytes < 4096 { pendingMinimum = max(0, tableBytes) }
  }

  deinit {
    numbers?.deallocate()
    seen?.deallocate()
  }

  /// The peer's SETTINGS_HEADER_TABLE_SIZE.
  mutating func setPeerLimit(_ bytes: Int) {
    let size = min(bytes, table.ceiling)
    guard size != table.limit, table.resize(size) else { return }
    pendingMinimum = min(pendingMinimum ?? size, size)
  }

  /// Begins a header block.
  mutating func begin(_ out: inout HTTP2Buffer) {
    guard let minimum = pendingMinimum else { return }
    pendingMinimum = nil
    if minimum < table.limit { integer(minimum, prefix: 5, flags: 0x20, &out) }
    integer(table.limit, prefix: 5, flags: 0x20, &out)
  }

  /// Writes one field. The name must be in lower case.
  mutating func field(
    _ name: UnsafePointer<UInt8>, _ nameLength: Int, _ value: UnsafePointer<UInt8>, _ valueLength: Int,
    known: KnownHeader, _ out: inout HTTP2Buffer
  ) {
    let exact = StaticTable.index(of: known, value: value, valueLength)
    if exact > 0 { return integer(exact, prefix: 7, flags: 0x80, &out) }
    if Self.isSecret(known) {
      return literal(name, nameLength, value, valueLength, known, flags: 0x10, prefix: 4, &out)
    }
    if nameLength &+ valueLength &+ 32 > min(Self.maxIndexedBytes, table.limit) || Self.isVolatile(known) {
      return literal(name, nameLength, value, valueLength, known, flags: 0, prefix: 4, &out)
    }
    let hash = Self.hash(name, nameLength, value, valueLength)
    if let age = find(hash, name, nameLength, value, valueLength) {
      return integer(StaticTable.count &+ 1 &+ age, prefix: 7, flags: 0x80, &out)
    }
    guard seenBefore(hash) else {
      return literal(name, nameLength, value, valueLength, known, flags: 0, prefix: 4, &out)
    }
    literal(name, nameLength, value, valueLength, known, flags: 0x40, prefix: 6, &out)
    if table.insert(name: name, nameLength, value: value, valueLength, known: known, hash: hash), let numbers {
      numbers[Int(hash) & (Self.numberSlots &- 1)] = table.inserted
    }
  }

  /// Fields that must not be guessed through the table (RFC 7541, section 7.1.3).
  private static func isSecret(_ known: KnownHeader) -> Bool {
    switch known {
    case .authorization, .cookie, .proxyAuthorization: true
    default: false
    }
  }

  /// Fields whose values are new each time.
  private static func isVolatile(_ known: KnownHeader) -> Bool {
    switch known {
    case .xRequestID, .traceparent, .b3, .xB3TraceID, .xB3SpanID, .xB3ParentSpanID, .contentLength: true
    default: false
    }
  }

  private func find(
    _ hash: UInt32, _ name: UnsafePointer<UInt8>, _ nameLength: Int, _ value: UnsafePointer<UInt8>, _ valueLength: Int
  ) -> Int? {
    guard let numbers, let age = table.age(ofNumber: numbers[Int(hash) & (Self.numberSlots &- 1)]),
      let entry = table.entry(age: age), entry.hash == hash, Int(entry.nameLength) == nameLength,
      Int(entry.valueLength) == valueLength, let bytes = table.bytes(entry)
    else { return nil }
    return Self.same(bytes, name, nameLength) && Self.same(bytes + nameLength, value, valueLength) ? age : nil
  }

  private mutating func seenBefore(_ hash: UInt32) -> Bool {
    guard let seen else {
      let numbers = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.numberSlots)
      numbers.initialize(repeating: 0, count: Self.numberSlots)
      let seen = UnsafeMutablePointer<UInt32>.allocate(capacity: Self.seenSlots)
      seen.initialize(repeating: 0, count: Self.seenSlots)
      self.numbers = numbers
      self.seen = seen
      seen[Int(hash &>> 8) & (Self.seenSlots &- 1)] = hash
      return false
    }
    let slot = seen + (Int(hash &>> 8) & (Self.seenSlots &- 1))
    if slot.pointee == hash { return true }
    slot.pointee = hash
    return false
  }

  private mutating func literal(
    _ name: UnsafePointer<UInt8>, _ nameLength: Int, _ value: UnsafePointer<UInt8>, _ valueLength: Int,
    _ known: KnownHeader, flags: UInt8, prefix: UInt8, _ out: inout HTTP2Buffer
  ) {
    let index = StaticTable.index(ofName: name, nameLength, known: known)
    integer(index, prefix: prefix, flags: flags, &out)
    if index == 0 { string(name, nameLength, &out) }
    string(value, valueLength, &out)
  }

  private func string(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ out: inout HTTP2Buffer) {
    if useHuffman {
      let length = Huffman.encodedLength(bytes, count)
      if length < count {
        integer(length, prefix: 7, flags: 0x80, &out)
        Huffman.encode(bytes, count, into: out.reserve(length))
        return out.commit(length)
      }
    }
    integer(count, prefix: 7, flags: 0, &out)
    out.append(bytes, count)
  }

  @inline(__always)
  private func integer(_ value: Int, prefix: UInt8, flags: UInt8, _ out: inout HTTP2Buffer) {
    let mask = Int(UInt8.max &>> (8 &- prefix))
    if value < mask { return out.append(flags | UInt8(truncatingIfNeeded: value)) }
    out.append(flags | UInt8(truncatingIfNeeded: mask))
    var rest = value &- mask
    while rest >= 0x80 {
      out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest = rest &>> 7
    }
    out.append(UInt8(truncatingIfNeeded: rest))
  }

  private static func hash(
    _ name: UnsafePointer<UInt8>, _ nameLength: Int, _ value: UnsafePointer<UInt8>, _ valueLength: Int
  ) -> UInt32 {
    var state: UInt64 = UInt64(truncatingIfNeeded: nameLength) &* 0x9E37_79B9_7F4A_7C15
    mix(&state, name, nameLength)
    mix(&state, value, valueLength)
    state ^= state &>> 29
    // Never 0, which is what an empty place holds.
    return UInt32(truncatingIfNeeded: state) | 0x8000_0000
  }

  @inline(__always)
  private static func mix(_ state: inout UInt64, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    var index = 0
    while index &+ 8 <= count {
      state = (state ^ ByteScan.load8(bytes + index)) &* 0x9FB2_1C65_1E98_DF25
      state ^= state &>> 32
      index &+= 8
    }
    state = (state ^ tail(bytes, count)) &* 0x9FB2_1C65_1E98_DF25
    state ^= state &>> 32
  }

  /// A word that tells the last bytes, up to eight of them.
  @inline(__always)
  private static func tail(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    if count >= 8 { return ByteScan.load8(bytes + (count &- 8)) }
    if count >= 4 {
      return UInt64(ByteScan.load4(bytes)) &<< 32 | UInt64(ByteScan.load4(bytes + (count &- 4)))
    }
    if count == 0 { return 0 }
    // The first, the middle and the last: of three bytes and less these are all.
    return UInt64(bytes[0]) &<< 16 | UInt64(bytes[count / 2]) &<< 8 | UInt64(bytes[count &- 1])
  }

  @inline(__always)
  private static func same(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var index = 0
    while index &+ 8 < count {
      if ByteScan.load8(left + index) != ByteScan.load8(right + index) { return false }
      index &+= 8
    }
    return tail(left, count) == tail(right, count)
  }
}
