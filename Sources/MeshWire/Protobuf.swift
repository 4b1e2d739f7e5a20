/// Writes proto3 binary format (https://protobuf.dev/programming-guides/encoding/).
struct ProtobufEncoder: WireCoder {
  private var writer = ProtobufWriter()

  var bytes: [UInt8] { writer.bytes }

  private mutating func varint(_ value: UInt64) { writer.varint(value) }
  private mutating func tag(_ number: UInt32, _ type: WireType) { writer.tag(number, type) }
  private mutating func delimited(_ number: UInt32, _ content: some Collection<UInt8>) {
    writer.delimited(number, content)
  }

  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout String) {
    if !value.isEmpty { delimited(number, value.utf8) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Bool) {
    guard value else { return }
    tag(number, .varint)
    varint(1)
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32) {
    guard value != 0 else { return }
    tag(number, .varint)
    varint(UInt64(value))
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt64) {
    guard value != 0 else { return }
    tag(number, .varint)
    varint(value)
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Double) {
    guard value != 0 else { return }
    tag(number, .fixed64)
    writer.eight(value.bitPattern)
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32?) {
    guard let value else { return }
    tag(number, .varint)
    varint(UInt64(value))
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt8]) {
    if !value.isEmpty { delimited(number, value) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String]) {
    for element in value { delimited(number, element.utf8) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt32]) {
    guard !value.isEmpty else { return }
    var packed = ProtobufEncoder()
    for element in value { packed.varint(UInt64(element)) }
    delimited(number, packed.bytes)
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String: String]) {
    // Sorted, so that equal messages have equal bytes and versions can be hashes of them.
    for (key, element) in value.sorted(by: { $0.key < $1.key }) {
      var entry = ProtobufEncoder()
      entry.delimited(1, key.utf8)
      entry.delimited(2, element.utf8)
      delimited(number, entry.bytes)
    }
  }
  mutating func field<E: WireEnum>(_ number: UInt32, _ name: StaticString, _ value: inout E) {
    guard value.rawValue != 0 else { return }
    tag(number, .varint)
    varint(UInt64(value.rawValue))
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout M?) {
    if let value { delimited(number, value.protobuf()) }
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout [M]) {
    for element in value { delimited(number, element.protobuf()) }
  }
}

/// How a field's value is laid out.
enum WireType: UInt8 {
  case varint = 0
  case fixed64 = 1
  case delimited = 2
  case fixed32 = 5
}

/// Reads proto3 binary format: the fields are indexed once, then handed out by number.
struct ProtobufDecoder: WireCoder {
  private struct Entry {
    var number: UInt32
    var type: WireType
    var scalar: UInt64
    var content: ArraySlice<UInt8>
  }
  private var entries: [Entry] = []
  private let depth: Int

  init(_ bytes: ArraySlice<UInt8>, depth: Int) throws(WireError) {
    self.depth = depth
    var rest = bytes
    while !rest.isEmpty {
      let tag = try Self.varint(&rest)
      let number = tag >> 3
      guard number > 0, number < 1 << 29 else { throw WireError(message: "field number \(number) is out of range") }
      guard let type = WireType(rawValue: UInt8(tag & 7)) else {
        throw WireError(message: "field \(number) has the unknown wire type \(tag & 7)")
      }
      var entry = Entry(number: UInt32(number), type: type, scalar: 0, content: [])
      switch type {
      case .varint: entry.scalar = try Self.varint(&rest)
      case .fixed64: entry.scalar = try Self.fixed(&rest, 8)
      case .fixed32: entry.scalar = try Self.fixed(&rest, 4)
      case .delimited:
        let length = try Self.varint(&rest)
        guard length <= UInt64(rest.count) else { throw WireError(message: "field \(number) is cut off") }
        entry.content = rest.prefix(Int(length))
        rest = rest.dropFirst(Int(length))
      }
      entries.append(entry)
    }
  }

  private static func varint(_ rest: inout ArraySlice<UInt8>) throws(WireError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = rest.popFirst() {
      guard shift < 70 else { throw WireError(message: "a number is longer than 64 bits") }
      value |= UInt64(byte & 0x7f) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    throw WireError(message: "a number is cut off")
  }

  private static func fixed(_ rest: inout ArraySlice<UInt8>, _ count: Int) throws(WireError) -> UInt64 {
    guard rest.count >= count else { throw WireError(message: "a number is cut off") }
    var value: UInt64 = 0
    for (index, byte) in rest.prefix(count).enumerated() { value |= UInt64(byte) << UInt64(8 * index) }
    rest = rest.dropFirst(count)
    return value
  }

  private func last(_ number: UInt32, _ name: StaticString, _ type: WireType) throws(WireError) -> Entry? {
    guard let entry = entries.last(where: { $0.number == number }) else { return nil }
    guard entry.type == type else { throw WireError(path: "\(name)", message: "has the wrong wire type") }
    return entry
  }

  private func all(_ number: UInt32, _ name: StaticString, _ type: WireType) throws(WireError) -> [Entry] {
    let found = entries.filter { $0.number == number }
    for entry in found where entry.type != type { throw WireError(path: "\(name)", message: "has the wrong wire type") }
    return found
  }

  private func text(_ content: ArraySlice<UInt8>, _ name: StaticString) throws(WireError) -> String {
    guard let text = String(validating: content, as: UTF8.self) else {
      throw WireError(path: "\(name)", message: "is not valid UTF-8")
    }
    return text
  }

  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout String) throws(WireError) {
    if let entry = try last(number, name, .delimited) { value = try text(entry.content, name) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Bool) throws(WireError) {
    if let entry = try last(number, name, .varint) { value = entry.scalar != 0 }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32) throws(WireError) {
    if let entry = try last(number, name, .varint) { value = UInt32(truncatingIfNeeded: entry.scalar) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt64) throws(WireError) {
    if let entry = try last(number, name, .varint) { value = entry.scalar }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Double) throws(WireError) {
    if let entry = try last(number, name, .fixed64) { value = Double(bitPattern: entry.scalar) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32?) throws(WireError) {
    if let entry = try last(number, name, .varint) { value = UInt32(truncatingIfNeeded: entry.scalar) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt8]) throws(WireError) {
    if let entry = try last(number, name, .delimited) { value = Array(entry.content) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String]) throws(WireError) {
    for entry in try all(number, name, .delimited) { value.append(try text(entry.content, name)) }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt32]) throws(WireError) {
    for entry in entries where entry.number == number {
      switch entry.type {
      case .varint: value.append(UInt32(truncatingIfNeeded: entry.scalar))
      case .delimited:
        var rest = entry.content
        while !rest.isEmpty { value.append(UInt32(truncatingIfNeeded: try Self.varint(&rest))) }
      case .fixed64, .fixed32: throw WireError(path: "\(name)", message: "has the wrong wire type")
      }
    }
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String: String]) throws(WireError) {
    for entry in try all(number, name, .delimited) {
      var decoder = try ProtobufDecoder(entry.content, depth: depth + 1)
      var key = "", element = ""
      try decoder.field(1, name, &key)
      try decoder.field(2, name, &element)
      value[key] = element
    }
  }
  mutating func field<E: WireEnum>(_ number: UInt32, _ name: StaticString, _ value: inout E) throws(WireError) {
    guard let entry = try last(number, name, .varint) else { return }
    guard let known = E(rawValue: UInt32(truncatingIfNeeded: entry.scalar)) else {
      throw WireError(path: "\(name)", message: "\(entry.scalar) is not a known value")
    }
    value = known
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout M?) throws(WireError) {
    guard let entry = try last(number, name, .delimited) else { return }
    do throws(WireError) {
      value = try M(protobuf: entry.content, depth: depth + 1)
    } catch {
      throw error.inside("\(name)")
    }
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout [M]) throws(WireError) {
    for (index, entry) in try all(number, name, .delimited).enumerated() {
      do throws(WireError) {
        value.append(try M(protobuf: entry.content, depth: depth + 1))
      } catch {
        throw error.inside("\(name)[\(index)]")
      }
    }
  }
}
