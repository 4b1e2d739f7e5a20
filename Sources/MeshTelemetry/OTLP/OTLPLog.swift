import MeshModel
import MeshWire

/// What stands before a line in a ring whose lines go to a collector: 40 bytes.
package struct LogEntryHead: Sendable, BitwiseCopyable, Equatable {
  package static let bytes = 40

  /// Nanoseconds since 1970.
  package var wallNanoseconds: UInt64 = 0
  package var high: UInt64 = 0
  package var low: UInt64 = 0
  package var span: UInt64 = 0
  /// Bytes of the line behind it.
  package var lineBytes: UInt32 = 0
  /// OpenTelemetry's numbers: 9 for what went well, 13 for 4xx, 17 for what failed.
  package var severity: UInt8 = 9
  /// Whether the line is JSON.
  package var isJSON = false

  package init() {}

  /// Writes it into the first 40 bytes of `memory`.
  package func write(to memory: UnsafeMutablePointer<UInt8>) {
    let raw = UnsafeMutableRawPointer(memory)
    raw.storeBytes(of: wallNanoseconds, as: UInt64.self)
    raw.storeBytes(of: high, toByteOffset: 8, as: UInt64.self)
    raw.storeBytes(of: low, toByteOffset: 16, as: UInt64.self)
    raw.storeBytes(of: span, toByteOffset: 24, as: UInt64.self)
    raw.storeBytes(of: lineBytes, toByteOffset: 32, as: UInt32.self)
    raw.storeBytes(of: severity, toByteOffset: 36, as: UInt8.self)
    raw.storeBytes(of: isJSON, toByteOffset: 37, as: Bool.self)
  }

  /// Reads it; nil where there are too few bytes.
  package init?(_ bytes: ArraySlice<UInt8>) {
    guard bytes.count >= Self.bytes else { return nil }
    func number(_ offset: Int, _ count: Int) -> UInt64 {
      (0..<count).reduce(0) { $0 | UInt64(bytes[bytes.startIndex + offset + $1]) << UInt64(8 * $1) }
    }
    wallNanoseconds = number(0, 8)
    high = number(8, 8)
    low = number(16, 8)
    span = number(24, 8)
    lineBytes = UInt32(truncatingIfNeeded: number(32, 4))
    severity = UInt8(truncatingIfNeeded: number(36, 1))
    isJSON = number(37, 1) != 0
  }
}

/// Lines of the access log as OTLP has them (opentelemetry/proto/logs/v1).
package enum OTLPLog {
  /// One `LogRecord`: text is its body; the fields of JSON are its attributes.
  ///
  /// - Parameter line: without its line feed.
  package static func encode(_ head: LogEntryHead, line: [UInt8]) -> [UInt8] {
    var record = ProtobufWriter()
    record.fixed64(1, head.wallNanoseconds)
    record.integer(2, Int64(head.severity))
    record.string(3, head.severity >= 17 ? "ERROR" : head.severity >= 13 ? "WARN" : "INFO")
    if head.isJSON, let members = LogJSON.members(line) {
      record.message(5) { $0.choice(1, string: "access") }
      for (name, value) in members {
        switch value {
        case .text(let text): record.attribute(6, name, text)
        case .integer(let number): record.attribute(6, name, number)
        case .number(let number): record.attribute(6, name, fraction: number)
        case .null, .object, .other: break
        }
      }
    } else {
      record.message(5) { $0.choice(1, string: String(decoding: line, as: UTF8.self)) }
    }
    record.fixed64(11, head.wallNanoseconds)
    if head.high | head.low != 0 {
      record.identifier(9, head.high, head.low)
      if head.span != 0 { record.identifier(10, head.span) }
    }
    return record.bytes
  }
}

/// The lines of our own log, read again.
private indirect enum LogJSON: JSONTree {
  case text(String)
  case integer(Int64)
  case number(Double)
  case null
  case object([(name: String, value: LogJSON)])
  case other

  init?(_ parsed: JSONParser<LogJSON>.Parsed, at position: JSONPosition) {
    switch parsed {
    case .null: self = .null
    case .string(let text): self = .text(text)
    case .number(let text, _): self = Int64(text).map { .integer($0) } ?? .number(Double(text) ?? 0)
    case .object(let members): self = .object(members)
    case .boolean, .list: self = .other
    }
  }

  /// The members of a line; nil where it is no object.
  static func members(_ line: [UInt8]) -> [(name: String, value: LogJSON)]? {
    guard case .object(let members) = try? JSONParser<LogJSON>.read(line, maxDepth: 4) else { return nil }
    return members
  }
}
