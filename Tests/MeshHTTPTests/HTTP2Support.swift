import MeshHTTP
import MeshModel

/// An event with its bytes copied out.
enum Seen: Equatable {
  case head(UInt32, HTTP2Head.Kind, [String], end: Bool)
  case data(UInt32, String, end: Bool)
  case reset(UInt32, HTTP2Reset)
  case writable(UInt32)
  case refused(HTTP2Reason)
  case settings
  case pong(UInt64)
  case goAway(UInt32, HTTP2ErrorCode)
  case failed(HTTP2Reason)
}

/// One end of a connection for tests: bytes and events as values.
final class Endpoint {
  var connection: HTTP2Connection
  let scratch: TestScratch
  var streams: [UInt32: HTTP2Stream] = [:]
  /// Whether body bytes are consumed as they come.
  var consumes = true
  /// Whether bytes are looked through before they are read.
  var looksAhead = false

  init(
    _ role: HTTP2Connection.Role, _ limits: HTTP2Limits = HTTP2Limits(), huffman: Bool = false,
    growth: UnsafeMutablePointer<HTTP2Growth>? = nil
  ) {
    connection = HTTP2Connection(role: role, limits: limits, huffman: huffman, growth: growth)
    scratch = TestScratch(limits)
  }

  var isFailed: Bool { connection.isFailed }
  var isDrained: Bool { connection.isDrained }
  var hasOutput: Bool { connection.hasOutput }
  var openStreams: Int { connection.openStreams }
  var hasWritable: Bool { connection.hasWritable }

  func window(_ stream: HTTP2Stream) -> Int { connection.window(stream) }

  /// Takes all output.
  func output(atMost limit: Int = .max) -> [UInt8] {
    let bytes = Array(connection.pendingOutput.prefix(limit))
    connection.didWrite(bytes.count)
    return bytes
  }

  /// Feeds bytes and returns what happened.
  @discardableResult
  func feed(_ bytes: [UInt8] = []) -> [Seen] {
    var seen: [Seen] = []
    bytes.withUnsafeBufferPointer { buffer in
      let empty: [UInt8] = [0]
      empty.withUnsafeBufferPointer { fallback in
        guard let start = buffer.baseAddress ?? fallback.baseAddress else { return }
        var input = HTTP2Input(start, count: buffer.count)
        if looksAhead, let reason = connection.lookAhead(input, scratch.value) { seen.append(.failed(reason)) }
        while let next = step(&input) { seen.append(next) }
      }
    }
    return seen
  }

  private func step(_ input: inout HTTP2Input) -> Seen? {
    switch connection.next(&input, scratch.value) {
    case .needMore: return nil
    case .head(let stream, let head):
      streams[stream.id] = stream
      return .head(stream.id, head.kind, lines(head), end: head.endStream)
    case .data(let stream, let data):
      if consumes { connection.consumed(stream, data.bytes.count) }
      return .data(stream.id, String(decoding: data.bytes, as: UTF8.self), end: data.endStream)
    case .reset(let stream, let reset): return .reset(stream.id, reset)
    case .writable(let stream): return .writable(stream.id)
    case .refused(let reason): return .refused(reason)
    case .settings: return .settings
    case .pong(let opaque): return .pong(opaque)
    case .goAway(let last, let code): return .goAway(last, code)
    case .failed(let reason): return .failed(reason)
    }
  }

  private func lines(_ head: HTTP2Head) -> [String] {
    let parts = head.head
    var lines: [String] = []
    switch head.kind {
    case .request:
      let query = parts.query.isEmpty ? "" : "?\(text(parts, parts.query))"
      lines.append("\(text(parts, parts.method)) \(text(parts, parts.path))\(query) @\(text(parts, parts.authority))")
    case .response, .interim: lines.append("\(parts.status)")
    case .trailers: break
    }
    for index in 0..<parts.fieldCount {
      lines.append("\(text(parts, parts.fields[index].name)): \(text(parts, parts.fields[index].value))")
    }
    return lines
  }

  /// Opens a request with these fields.
  func request(
    _ method: String = "GET", _ path: String = "/", fields: [(String, String)] = [], end: Bool = true
  ) -> HTTP2Stream? {
    guard let stream = connection.openRequest() else { return nil }
    streams[stream.id] = stream
    connection.requestHead(stream, method: method, scheme: "http", authority: "a", path: path, endStream: end) {
      add(fields, &$0)
    }
    return stream
  }

  func respond(_ stream: HTTP2Stream, _ status: UInt16, fields: [(String, String)] = [], end: Bool = false) {
    guard connection.beginResponse(stream, status: status) else { return }
    add(fields, &connection)
    connection.endHead(stream, endStream: end)
  }

  func trailers(_ stream: HTTP2Stream, _ fields: [(String, String)]) {
    guard connection.beginHead(stream) else { return }
    add(fields, &connection)
    connection.endHead(stream, endStream: true)
  }

  private func add(_ fields: [(String, String)], _ connection: inout HTTP2Connection) {
    for (name, value) in fields {
      let name = Array(name.utf8)
      let value = Array(value.utf8)
      connection.field(name: name, name.count, value, value.count)
    }
  }

  func send(_ stream: HTTP2Stream, _ bytes: [UInt8], end: Bool) -> Int? {
    connection.sendData(stream, bytes, bytes.count, endStream: end)
  }
}

/// Carries everything between two ends until both are quiet.
@discardableResult
func exchange(_ client: Endpoint, _ server: Endpoint) -> (client: [Seen], server: [Seen]) {
  var seen: (client: [Seen], server: [Seen]) = ([], [])
  for _ in 0..<1000 {
    let up = client.output()
    seen.server += server.feed(up)
    let down = server.output()
    seen.client += client.feed(down)
    if up.isEmpty, down.isEmpty { break }
  }
  return seen
}

/// Frames by hand.
enum Frame {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  static func make(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8] = []) -> [UInt8] {
    let length = payload.count
    return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags] + word(stream)
      + payload
  }

  static func word(_ value: UInt32) -> [UInt8] {
    [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
  }

  static func settings(_ values: [(UInt16, UInt32)] = []) -> [UInt8] {
    make(4, 0, 0, values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + word($0.1) })
  }

  static let settingsAck = make(4, 1, 0)

  /// HEADERS with fields as literals, neither indexed nor in Huffman code.
  static func headers(_ stream: UInt32, _ fields: [(String, String)], end: Bool = true, flags: UInt8 = 4) -> [UInt8] {
    make(1, flags | (end ? 1 : 0), stream, block(fields))
  }

  static func block(_ fields: [(String, String)]) -> [UInt8] {
    fields.flatMap { [0] + string($0.0) + string($0.1) }
  }

  static func string(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    if bytes.count < 127 { return [UInt8(bytes.count)] + bytes }
    var rest = bytes.count - 127
    var length: [UInt8] = [127]
    while rest >= 128 {
      length.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    return length + [UInt8(rest)] + bytes
  }

  static let get = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
  static let post = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")]

  static func data(_ stream: UInt32, _ text: String, end: Bool = false) -> [UInt8] {
    make(0, end ? 1 : 0, stream, Array(text.utf8))
  }

  static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { make(3, 0, stream, word(code)) }

  static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> [UInt8] { make(8, 0, stream, word(increment)) }

  static func ping(_ flags: UInt8 = 0) -> [UInt8] { make(6, flags, 0, [1, 2, 3, 4, 5, 6, 7, 8]) }

  /// A server that has had the preface and SETTINGS.
  static func server(_ limits: HTTP2Limits = HTTP2Limits()) -> Endpoint {
    let server = Endpoint(.server, limits)
    server.feed(preface + settings() + settingsAck)
    _ = server.output()
    return server
  }
}
