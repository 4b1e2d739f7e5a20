/// A message that travels between the programs of the mesh or lies on disk.
///
/// A message says once, in `fields(_:)`, which fields it has; four coders come from that one list: protobuf out and in
/// (the wire, the disk cache) and JSON out and in (static configuration, `/config_dump`). Fields at their default are
/// not written, unknown protobuf fields are skipped (a newer peer may send them), unknown JSON fields are errors
/// (a person has mistyped them).
package protocol WireMessage: Equatable, Sendable {
  init()
  /// Lists every field as (number, name, storage); the order is the order of output.
  mutating func fields<C: WireCoder>(_ coder: inout C) throws(WireError)
}

/// An enumeration on the wire: the raw value is the protobuf number, the name is what JSON shows.
package protocol WireEnum: RawRepresentable, CaseIterable, Equatable, Sendable where RawValue == UInt32 {
  /// The value that is not written.
  static var unset: Self { get }
  /// The name in JSON.
  var wireName: String { get }
}

/// What walks the fields of a message, writing or filling them.
package protocol WireCoder {
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout String) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Bool) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt64) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Double) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32?) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt8]) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String]) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt32]) throws(WireError)
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String: String]) throws(WireError)
  mutating func field<E: WireEnum>(_ number: UInt32, _ name: StaticString, _ value: inout E) throws(WireError)
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout M?) throws(WireError)
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout [M]) throws(WireError)
}

/// Why bytes are not the message they should be.
package struct WireError: Error, Equatable, CustomStringConvertible {
  /// Where, from the outermost message inward, for example `services[2].routes[0].name`.
  package var path: String
  /// What is wrong there.
  package var message: String

  package init(path: String = "", message: String) {
    self.path = path
    self.message = message
  }

  package var description: String { path.isEmpty ? message : "\(path): \(message)" }

  /// The same error seen from one message further out.
  func inside(_ name: String) -> WireError {
    WireError(path: path.isEmpty ? name : path.hasPrefix("[") ? name + path : "\(name).\(path)", message: message)
  }
}

/// Deepest nesting of messages or JSON values that is read; deeper input is refused, so that no input exhausts the stack.
package let wireDepthLimit = 32

extension WireMessage {
  /// The protobuf encoding (proto3 binary format).
  package func protobuf() -> [UInt8] {
    var coder = ProtobufEncoder()
    var copy = self
    // An encoder has nothing to refuse.
    try? copy.fields(&coder)
    return coder.bytes
  }

  /// Reads the protobuf encoding.
  package init(protobuf bytes: [UInt8]) throws(WireError) {
    try self.init(protobuf: bytes[...], depth: 0)
  }

  init(protobuf bytes: ArraySlice<UInt8>, depth: Int) throws(WireError) {
    guard depth < wireDepthLimit else { throw WireError(message: "nested deeper than \(wireDepthLimit) messages") }
    self.init()
    var coder = try ProtobufDecoder(bytes, depth: depth)
    try fields(&coder)
  }

  /// The JSON form, indented by two spaces.
  package func json() -> String {
    var coder = JSONMessageEncoder(depth: 0)
    var copy = self
    try? copy.fields(&coder)
    return coder.finish()
  }

  /// Reads the JSON form; a field that the message does not have is an error that names it.
  package init(json bytes: [UInt8]) throws(WireError) {
    try self.init(jsonValue: try JSONValue(parsing: bytes))
  }

  init(jsonValue: JSONValue) throws(WireError) {
    guard case .object(let members) = jsonValue else {
      throw WireError(message: "is \(jsonValue.kindName); an object was expected")
    }
    self.init()
    var coder = JSONMessageDecoder(members)
    try fields(&coder)
    try coder.refuseUnknown()
  }
}
