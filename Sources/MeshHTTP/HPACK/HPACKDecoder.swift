// Unsafe by design: a header block is walked as raw bytes.
import MeshModel

/// Decodes header blocks (RFC 7541). One for each receiving direction of a connection.
package struct HPACKDecoder: ~Copyable {
  private var table: DynamicTable

  /// A decoder whose dynamic table may have `tableBytes`, which is what our SETTINGS announce.
  package init(tableBytes: Int) { table = DynamicTable(ceiling: max(0, tableBytes)) }

  /// Size of the dynamic table as HPACK counts it.
  package var tableSize: Int { table.size }

  /// Decodes one whole header block into `sink`.
  ///
  /// - Returns: false if the block is broken. Then the compression state is lost, and the connection with it.
  package mutating func decode(_ block: UnsafePointer<UInt8>, _ count: Int, into sink: inout HeadSink) -> Bool {
    var reader = BlockReader(bytes: block, count: count)
    var fields = false
    while reader.index < count {
      let byte = block[reader.index]
      if sink.isBomb { return false }
      sink.begin()
      if byte & 0x80 != 0 {
        guard let index = reader.integer(prefix: 7), indexed(index, &sink) else { return false }
      } else if byte & 0x40 != 0 {
        guard let index = reader.integer(prefix: 6), literal(index, &reader, insert: true, &sink) else { return false }
      } else if byte & 0x20 != 0 {
        // A change of the table's size stands at the beginning of a block or nowhere.
        guard !fields, let size = reader.integer(prefix: 5), table.resize(size) else { return false }
        continue
      } else {
        guard let index = reader.integer(prefix: 4), literal(index, &reader, insert: false, &sink) else { return false }
      }
      fields = true
    }
    return true
  }

  @inline(__always)
  private mutating func indexed(_ index: Int, _ sink: inout HeadSink) -> Bool {
    if index > StaticTable.count {
      guard let entry = table.entry(age: index &- StaticTable.count &- 1), let bytes = table.bytes(entry) else {
        return false
      }
      let nameLength = Int(entry.nameLength)
      guard let whole = sink.store(bytes, nameLength &+ Int(entry.valueLength)) else { return false }
      sink.accept(
        name: ByteRange(from: whole.first, to: whole.first &+ nameLength),
        value: ByteRange(from: whole.first &+ nameLength, to: whole.limit), known: entry.known)
      return true
    }
    guard let entry = StaticTable.entry(index) else { return false }
    guard let name = sink.store(entry.name.utf8Start, entry.name.utf8CodeUnitCount),
      let value = sink.store(entry.value.utf8Start, entry.value.utf8CodeUnitCount)
    else { return false }
    sink.accept(name: name, value: value, known: entry.known)
    return true
  }

  @inline(__always)
  private mutating func literal(
    _ index: Int, _ reader: inout BlockReader, insert: Bool, _ sink: inout HeadSink
  ) -> Bool {
    var known = KnownHeader.other
    var name = ByteRange.none
    if index == 0 {
      guard let text = reader.string(&sink) else { return false }
      name = text
      known = KnownHeader.lookup(sink.pointer(name), name.size)
    } else if index <= StaticTable.count {
      guard let entry = StaticTable.entry(index),
        let text = sink.store(entry.name.utf8Start, entry.name.utf8CodeUnitCount)
      else { return false }
      name = text
      known = entry.known
    } else {
      guard let entry = table.entry(age: index &- StaticTable.count &- 1), let bytes = table.bytes(entry),
        let text = sink.store(bytes, Int(entry.nameLength))
      else { return false }
      name = text
      known = entry.known
    }
    guard let value = reader.string(&sink) else { return false }
    if insert {
      table.insert(
        name: sink.pointer(name), name.size, value: sink.pointer(value), value.size, known: known, hash: 0)
    }
    sink.accept(name: name, value: value, known: known)
    return true
  }
}

/// Integers and strings of a header block.
private struct BlockReader {
  let bytes: UnsafePointer<UInt8>
  let count: Int
  var index = 0

  init(bytes: UnsafePointer<UInt8>, count: Int) {
    self.bytes = bytes
    self.count = count
  }

  /// An integer whose first byte has `prefix` bits of it (RFC 7541, section 5.1); nil if it is cut off or over 2^28.
  @inline(__always)
  mutating func integer(prefix: UInt8) -> Int? {
    guard index < count else { return nil }
    let mask = UInt8.max &>> (8 &- prefix)
    let first = bytes[index] & mask
    index &+= 1
    if first < mask { return Int(first) }
    return longInteger(Int(first))
  }

  private mutating func longInteger(_ start: Int) -> Int? {
    var value = start
    var shift = 0
    while index < count, shift <= 21 {
      let byte = bytes[index]
      index &+= 1
      value &+= Int(byte & 0x7F) &<< shift
      if byte & 0x80 == 0 { return value }
      shift &+= 7
    }
    return nil
  }

  /// A string (RFC 7541, section 5.2), decoded into the arena; nil if it is cut off, broken, or larger than the arena.
  @inline(__always)
  mutating func string(_ sink: inout HeadSink) -> ByteRange? {
    guard index < count else { return nil }
    let huffman = bytes[index] & 0x80 != 0
    guard let length = integer(prefix: 7), length <= count &- index else { return nil }
    let start = bytes + index
    index &+= length
    if !huffman { return sink.store(start, length) }
    guard let decoded = Huffman.decode(start, length, into: sink.free, capacity: sink.room) else { return nil }
    return sink.take(decoded)
  }
}
