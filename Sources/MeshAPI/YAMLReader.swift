import CYaml
package import MeshControl

/// Reads YAML (the JSON schema of YAML 1.2) event by event, with a bound on all that a document can make grow: nesting,
/// the number of values, and what aliases expand to.
///
/// The library's events are taken instead of its trees, because a tree compares the keys of its mappings with each other,
/// and a key may be an alias that expands without end.
package enum YAMLReader {
  /// Deepest nesting that is read.
  package static let maxDepth = 64
  /// Values in all documents together.
  package static let maxValues = 300_000
  /// Values that aliases may add by being expanded.
  package static let maxAliasValues = 10_000

  /// Why a text is not YAML that is read here, and where.
  package struct Failure: Error, Sendable, Equatable {
    package var message: String
    package var position: Value.Position
  }

  /// What a stream holds.
  package struct Stream: Sendable {
    /// The documents, empty ones left out, up to the first mistake.
    package var documents: [Value]
    /// That mistake.
    package var failure: Failure?
    /// Whether the mistake follows upon the last document, which may therefore be a part of what was meant: something is
    /// written where the document has ended by its indentation.
    package var isLastCut = false
  }

  /// Reads a stream. A byte order mark before it (UTF-8's, YAML 1.2 section 5.2) is passed over.
  package static func read(_ bytes: [UInt8]) -> Stream {
    bytes.dropFirst(bytes.starts(with: byteOrderMark) ? byteOrderMark.count : 0).withUnsafeBufferPointer { buffer in
      var builder = Builder(source: EventSource(buffer))
      do throws(Failure) {
        try builder.readAll()
        return Stream(documents: builder.documents)
      } catch {
        return Stream(documents: builder.documents, failure: error, isLastCut: builder.isBetween)
      }
    }
  }

  /// That of UTF-8.
  static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

  /// One event, in Swift's own types.
  enum Event {
    case streamStart, streamEnd, documentStart, documentEnd, sequenceEnd, mappingEnd
    case scalar(text: String, isPlain: Bool, tag: String?, anchor: String?)
    case sequenceStart(anchor: String?)
    case mappingStart(anchor: String?)
    case alias(String)
  }

  /// The library's parser over bytes that outlive it.
  final class EventSource {
    private var parser = yaml_parser_t()

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
      yaml_parser_initialize(&parser)
      yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
      yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)
    }

    deinit { yaml_parser_delete(&parser) }

    func next() throws(Failure) -> (event: Event, position: Value.Position) {
      var raw = yaml_event_t()
      guard yaml_parser_parse(&parser, &raw) == 1 else { throw failure() }
      defer { yaml_event_delete(&raw) }
      let position = Self.position(raw.start_mark)
      switch raw.type {
      case YAML_STREAM_START_EVENT: return (.streamStart, position)
      case YAML_DOCUMENT_START_EVENT: return (.documentStart, position)
      case YAML_DOCUMENT_END_EVENT: return (.documentEnd, position)
      case YAML_SEQUENCE_END_EVENT: return (.sequenceEnd, position)
      case YAML_MAPPING_END_EVENT: return (.mappingEnd, position)
      case YAML_ALIAS_EVENT: return (.alias(Self.text(raw.data.alias.anchor) ?? ""), position)
      case YAML_SEQUENCE_START_EVENT:
        return (.sequenceStart(anchor: Self.text(raw.data.sequence_start.anchor)), position)
      case YAML_MAPPING_START_EVENT:
        return (.mappingStart(anchor: Self.text(raw.data.mapping_start.anchor)), position)
      case YAML_SCALAR_EVENT:
        let scalar = raw.data.scalar
        let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
        let isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
        return (
          .scalar(text: text, isPlain: isPlain, tag: Self.text(scalar.tag), anchor: Self.text(scalar.anchor)), position
        )
      default: return (.streamEnd, position)
      }
    }

    private func failure() -> Failure {
      let mark = parser.problem_mark.line > 0 || parser.problem_mark.column > 0 ? parser.problem_mark : parser.mark
      let problem = parser.problem.map { String(cString: $0) } ?? "it cannot be read"
      let advice =
        parser.error == YAML_READER_ERROR
        ? "the document is not text in UTF-8 (\(problem)); save it as UTF-8 without control characters"
        : "the document is not YAML: \(problem); see the indentation and the quotes there"
      return Failure(message: advice, position: Self.position(mark))
    }

    private static func position(_ mark: yaml_mark_t) -> Value.Position {
      Value.Position(line: Int(clamping: mark.line) + 1, column: Int(clamping: mark.column) + 1)
    }

    private static func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
      pointer.map { String(cString: $0) }
    }
  }
}

extension YAMLReader {
  /// Makes values of events.
  struct Builder {
    private let source: EventSource
    private(set) var documents: [Value] = []
    /// Whether a document has been read and the next one not begun.
    private(set) var isBetween = false
    private var valueCount = 0
    private var aliasValueCount = 0
    /// Values under their anchors, with how many values each is.
    private var anchors: [String: (value: Value, count: Int)] = [:]

    init(source: EventSource) {
      self.source = source
    }

    mutating func readAll() throws(Failure) {
      while true {
        let (event, _) = try source.next()
        switch event {
        case .streamEnd: return
        case .documentStart:
          isBetween = false
          anchors = [:]
          let (first, position) = try source.next()
          let value = try build(first, position, depth: 0)
          if case .null = value.content { continue }
          documents.append(value)
          isBetween = true
        default: continue
        }
      }
    }

    private mutating func build(
      _ event: Event, _ position: Value.Position, depth: Int
    ) throws(Failure) -> Value {
      guard depth < maxDepth else {
        throw Failure(message: "nested deeper than \(maxDepth); flatten the document", position: position)
      }
      valueCount += 1
      guard valueCount <= maxValues else {
        throw Failure(
          message: "over \(maxValues) values; apply several documents in parts, and make a single one smaller",
          position: position)
      }
      let countBefore = valueCount
      switch event {
      case .scalar(let text, let isPlain, let tag, let anchor):
        let value = Value(try Self.scalar(text, isPlain: isPlain, tag: tag, at: position), position: position)
        remember(anchor, value, count: 1)
        return value
      case .sequenceStart(let anchor):
        let value = Value(.list(try elements(depth: depth)), position: position)
        remember(anchor, value, count: valueCount - countBefore + 1)
        return value
      case .mappingStart(let anchor):
        let value = Value(.object(try members(depth: depth)), position: position)
        remember(anchor, value, count: valueCount - countBefore + 1)
        return value
      case .alias(let name): return try expand(name, at: position)
      default:
        throw Failure(message: "the document ends where a value is due; complete it", position: position)
      }
    }

    private mutating func remember(_ anchor: String?, _ value: Value, count: Int) {
      if let anchor { anchors[anchor] = (value, count) }
    }

    private mutating func expand(_ name: String, at position: Value.Position) throws(Failure) -> Value {
      guard let known = anchors[name] else {
        throw Failure(
          message: "*\(name.prefix(32)) refers to no anchor before it; write &\(name.prefix(32)) there",
          position: position)
      }
      valueCount += known.count
      aliasValueCount += known.count
      guard aliasValueCount <= maxAliasValues, valueCount <= maxValues else {
        throw Failure(
          message: "aliases expand to over \(maxAliasValues) values; write them out", position: position)
      }
      return known.value
    }

    private mutating func elements(depth: Int) throws(Failure) -> [Value] {
      var elements: [Value] = []
      while true {
        let (event, position) = try source.next()
        if case .sequenceEnd = event { return elements }
        elements.append(try build(event, position, depth: depth + 1))
      }
    }

    private mutating func members(depth: Int) throws(Failure) -> [Value.Member] {
      var members: [Value.Member] = []
      var names: Set<String> = []
      while true {
        let (event, position) = try source.next()
        if case .mappingEnd = event { return members }
        guard case .scalar(let name, _, _, _) = event else {
          throw Failure(message: "a name is due here, not a list or an object; write a plain name", position: position)
        }
        guard name != "<<" else {
          throw Failure(message: "merging with << is not supported; write the members out", position: position)
        }
        guard names.insert(name).inserted else {
          throw Failure(
            message: "\"\(name.prefix(64))\" comes twice in one object; keep one of them", position: position)
        }
        let (next, start) = try source.next()
        members.append(Value.Member(name, try build(next, start, depth: depth + 1)))
      }
    }

    /// What a scalar means by the core schema of YAML 1.2. `yes`, `no`, `on`, `off` are texts.
    private static func scalar(
      _ text: String, isPlain: Bool, tag: String?, at position: Value.Position
    ) throws(Failure) -> Value.Content {
      switch tag {
      case "tag:yaml.org,2002:str": return .string(text)
      case nil, "!": break
      default:
        throw Failure(
          message: "the tag \(tag?.prefix(48) ?? "") is not supported; leave it out, or write a plain value",
          position: position)
      }
      guard isPlain, tag == nil else { return .string(text) }
      switch text {
      case "", "~", "null", "Null", "NULL": return .null
      case "true", "True", "TRUE": return .boolean(true)
      case "false", "False", "FALSE": return .boolean(false)
      default: return number(text) ?? .string(text)
      }
    }

    private static func number(_ text: String) -> Value.Content? {
      if text.hasPrefix("0x") { return Int64(text.dropFirst(2), radix: 16).map { .integer($0) } }
      if text.hasPrefix("0o") { return Int64(text.dropFirst(2), radix: 8).map { .integer($0) } }
      let digits =
        text.utf8.first == UInt8(ascii: "-") || text.utf8.first == UInt8(ascii: "+") ? text.dropFirst() : text[...]
      guard let first = digits.utf8.first, (0x30...0x39).contains(first) else { return nil }
      if let whole = Int64(text) { return .integer(whole) }
      // A number of the core schema has digits, a point, an exponent, and nothing else ("1.2.3" and "10m" are texts).
      guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || ".eE+-".utf8.contains($0) }),
        let value = Double(text), value.isFinite
      else { return nil }
      return .number(value)
    }
  }
}
