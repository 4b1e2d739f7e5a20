import MeshModel

/// Which header fields a log wants to have kept while a request is under way: each name once.
package struct WantedFields: Sendable, Equatable {
  /// Most names of each direction; of more the log shows nothing.
  package static let limit = 24

  /// Names in lower case.
  package private(set) var request: [String] = []
  package private(set) var response: [String] = []

  package init() {}

  /// The place of a name; nil where there are too many.
  package mutating func place(request name: String) -> Int? { Self.place(name, in: &request) }
  package mutating func place(response name: String) -> Int? {
    Self.place(name, in: &response).map { $0 + Self.limit }
  }

  private static func place(_ name: String, in names: inout [String]) -> Int? {
    if let known = names.firstIndex(of: name) { return known }
    guard names.count < limit else { return nil }
    names.append(name)
    return names.count - 1
  }
}

/// How the lines of one log are written, compiled: read by workers without reference counts while its owner lives.
package struct LogProgramView: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory that is never written after compilation.
  let fields: UnsafePointer<CompiledLogField>
  let fieldCount: Int
  let parts: UnsafePointer<CompiledLogPart>
  let bytes: UnsafePointer<UInt8>
  /// JSON, else text.
  let isJSON: Bool

  /// Whether lines are objects of JSON.
  package var isObject: Bool { isJSON }
}

/// A field of JSON, or the whole line of text, whose key is empty.
struct CompiledLogField: BitwiseCopyable {
  var key: ByteRange
  var firstPart: Int32
  var partCount: Int32
}

/// A literal, or a value with what takes its place where it is missing.
struct CompiledLogPart: BitwiseCopyable {
  static let literal: UInt8 = 255
  static let note: UInt8 = 254
  static let none: UInt8 = 253

  /// Raw value of a `LogValue`, or one of the above.
  var kind: UInt8
  var other: UInt8
  /// Places of kept header fields.
  var note: UInt8 = 0
  var otherNote: UInt8 = 0
  var maxBytes: Int32 = 2_048
  var text = ByteRange.empty
}

/// A compiled format and the memory of its view.
package final class LogProgram: Sendable {
  package let view: LogProgramView
  private let memory: Memory

  private final class Memory: @unchecked Sendable {
    // Unchecked: written once, before the owner is handed out.
    let fields: UnsafeMutablePointer<CompiledLogField>
    let parts: UnsafeMutablePointer<CompiledLogPart>
    let bytes: UnsafeMutablePointer<UInt8>

    init(_ fields: [CompiledLogField], _ parts: [CompiledLogPart], _ bytes: [UInt8]) {
      self.fields = .allocate(capacity: max(1, fields.count))
      self.parts = .allocate(capacity: max(1, parts.count))
      self.bytes = .allocate(capacity: max(1, bytes.count))
      for (index, field) in fields.enumerated() { (self.fields + index).initialize(to: field) }
      for (index, part) in parts.enumerated() { (self.parts + index).initialize(to: part) }
      for (index, byte) in bytes.enumerated() { (self.bytes + index).initialize(to: byte) }
    }

    deinit {
      fields.deallocate()
      parts.deallocate()
      bytes.deallocate()
    }
  }

  /// Lines of text.
  package convenience init(text: LogTemplate, wanted: inout WantedFields) {
    self.init([("", text)], isJSON: false, wanted: &wanted)
  }

  /// Objects of JSON with these fields in this order.
  package convenience init(json fields: [(name: String, value: LogTemplate)], wanted: inout WantedFields) {
    self.init(fields, isJSON: true, wanted: &wanted)
  }

  private init(_ named: [(name: String, value: LogTemplate)], isJSON: Bool, wanted: inout WantedFields) {
    var builder = Builder(wanted: wanted)
    for (name, template) in named { builder.add(name, template) }
    wanted = builder.wanted
    memory = Memory(builder.fields, builder.parts, builder.bytes)
    view = LogProgramView(
      fields: UnsafePointer(memory.fields), fieldCount: builder.fields.count, parts: UnsafePointer(memory.parts),
      bytes: UnsafePointer(memory.bytes), isJSON: isJSON)
  }

  private struct Builder {
    var fields: [CompiledLogField] = []
    var parts: [CompiledLogPart] = []
    var bytes: [UInt8] = []
    var wanted: WantedFields

    init(wanted: WantedFields) { self.wanted = wanted }

    private mutating func intern(_ text: [UInt8]) -> ByteRange {
      let range = ByteRange(offset: UInt32(clamping: bytes.count), length: UInt32(clamping: text.count))
      bytes += text
      return range
    }

    mutating func add(_ name: String, _ template: LogTemplate) {
      var key: [UInt8] = []
      if !name.isEmpty {
        // Names come from configuration; they are written as they will stand in the line.
        var room = [UInt8](repeating: 0, count: name.utf8.count * 6 + 16)
        let count = room.withUnsafeMutableBufferPointer { buffer in
          var writer = FixedWriter(buffer)
          Array(name.utf8).withUnsafeBufferPointer { EscapedText.json($0, into: &writer) }
          return writer.count
        }
        key = Array(room[..<count])
      }
      var field = CompiledLogField(key: intern(key), firstPart: Int32(clamping: parts.count), partCount: 0)
      for piece in template.pieces { parts.append(part(piece)) }
      field.partCount = Int32(clamping: parts.count) - field.firstPart
      fields.append(field)
    }

    private mutating func part(_ piece: LogPiece) -> CompiledLogPart {
      switch piece {
      case .literal(let text):
        var part = CompiledLogPart(kind: CompiledLogPart.literal, other: CompiledLogPart.none)
        // A line stays one line.
        part.text = intern(text.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 })
        return part
      case .value(let sources, let maxBytes):
        let first = sources.first.map { kind($0) } ?? (CompiledLogPart.none, 0)
        let second = sources.count > 1 ? kind(sources[1]) : (CompiledLogPart.none, 0)
        var part = CompiledLogPart(kind: first.0, other: second.0, note: first.1, otherNote: second.1)
        if let maxBytes { part.maxBytes = Int32(clamping: maxBytes) }
        return part
      }
    }

    private mutating func kind(_ source: LogSource) -> (UInt8, UInt8) {
      switch source {
      case .own(let value): return (value.rawValue, 0)
      case .request(let name):
        return wanted.place(request: name).map { (CompiledLogPart.note, UInt8($0)) } ?? (CompiledLogPart.none, 0)
      case .response(let name):
        return wanted.place(response: name).map { (CompiledLogPart.note, UInt8($0)) } ?? (CompiledLogPart.none, 0)
      }
    }
  }
}
