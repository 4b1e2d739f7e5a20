/// Writes proto3 binary format field by field, for messages whose definitions are other people's. Fields at their default
/// are left out, but where the name says otherwise.
package struct ProtobufWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  /// Goes on behind a message, with more of its fields.
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func reserve(_ count: Int) { bytes.reserveCapacity(bytes.count + count) }

  package var isEmpty: Bool { bytes.isEmpty }

  mutating func varint(_ value: UInt64) {
    var rest = value
    while rest > 0x7f {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  mutating func tag(_ number: UInt32, _ type: WireType) { varint(UInt64(number) << 3 | UInt64(type.rawValue)) }

  mutating func delimited(_ number: UInt32, _ content: some Collection<UInt8>) {
    tag(number, .delimited)
    varint(UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  mutating func eight(_ value: UInt64) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// `string`.
  package mutating func string(_ number: UInt32, _ value: String) {
    if !value.isEmpty { delimited(number, value.utf8) }
  }

  /// `bytes`.
  package mutating func bytes(_ number: UInt32, _ value: some Collection<UInt8>) {
    if !value.isEmpty { delimited(number, value) }
  }

  /// `bool`, `int32`, `int64`, `uint32`, `uint64` and enumerations.
  package mutating func integer(_ number: UInt32, _ value: Int64) {
    guard value != 0 else { return }
    tag(number, .varint)
    varint(UInt64(bitPattern: value))
  }

  /// A member of a `oneof`: written even where it is zero.
  package mutating func choice(_ number: UInt32, integer value: Int64) {
    tag(number, .varint)
    varint(UInt64(bitPattern: value))
  }

  /// A member of a `oneof`: written even where it is empty.
  package mutating func choice(_ number: UInt32, string value: String) { delimited(number, value.utf8) }

  /// A member of a `oneof` or an `optional`: written even where it is zero.
  package mutating func choice(_ number: UInt32, double value: Double) {
    tag(number, .fixed64)
    eight(value.bitPattern)
  }

  /// A `sfixed64` that is a member of a `oneof`.
  package mutating func choice(_ number: UInt32, fixed value: Int64) {
    tag(number, .fixed64)
    eight(UInt64(bitPattern: value))
  }

  /// `fixed64`.
  package mutating func fixed64(_ number: UInt32, _ value: UInt64) {
    guard value != 0 else { return }
    tag(number, .fixed64)
    eight(value)
  }

  /// `fixed32`.
  package mutating func fixed32(_ number: UInt32, _ value: UInt32) {
    guard value != 0 else { return }
    tag(number, .fixed32)
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// `repeated fixed64`, packed.
  package mutating func fixed64(_ number: UInt32, packed values: [UInt64]) {
    guard !values.isEmpty else { return }
    tag(number, .delimited)
    varint(UInt64(values.count * 8))
    for value in values { eight(value) }
  }

  /// `repeated double`, packed.
  package mutating func double(_ number: UInt32, packed values: [Double]) {
    fixed64(number, packed: values.map(\.bitPattern))
  }

  /// A message, written even where it is empty. Its length is known only behind it: it is moved to make room.
  package mutating func message(_ number: UInt32, _ body: (inout ProtobufWriter) -> Void) {
    tag(number, .delimited)
    let start = bytes.count
    body(&self)
    let length = UInt64(bytes.count - start)
    let room = max(1, (63 - (length | 1).leadingZeroBitCount) / 7 + 1)
    bytes.insert(contentsOf: repeatElement(0, count: room), at: start)
    var rest = length
    for index in 0..<room {
      bytes[start + index] = UInt8(truncatingIfNeeded: rest & 0x7f) | (index + 1 < room ? 0x80 : 0)
      rest >>= 7
    }
  }
}
