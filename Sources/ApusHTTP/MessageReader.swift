/// Reads HTTP/1.1 messages from a socket, one after the other. For the loopback tools: answers to the command line, the
/// demo's services. What carries the mesh's traffic is `MeshHTTP`.
package struct MessageReader: ~Copyable {
  /// Bound of a head, bytes.
  package static let headLimitBytes = 64 * 1024
  /// Bound of a body that is read as a whole, bytes.
  package static let bodyLimitBytes = 64 * 1024 * 1024

  package let socket: Socket
  private var buffer: [UInt8] = []
  private var position = 0

  package init(_ socket: consuming Socket) {
    self.socket = socket
  }

  /// A head: its first line and its fields.
  package struct Head: Sendable {
    package var line: String
    package var fields: [HTTPField]

    /// How the body behind this head ends.
    func framing(ofRequest: Bool, noBody: Bool) throws(HTTPFailure) -> Framing {
      if noBody { return .length(0) }
      if let coding = fields["transfer-encoding"] {
        guard coding.lowercased() == "chunked" else { throw .malformed("transfer-encoding \(coding)") }
        return .chunked
      }
      if let text = fields["content-length"] {
        guard let length = Int(text), length >= 0 else { throw .malformed("content-length \(text)") }
        return .length(length)
      }
      return ofRequest ? .length(0) : .toEnd
    }
  }

  /// How a body ends.
  enum Framing: Equatable {
    case length(Int)
    case chunked
    case toEnd
  }

  /// The next request; nil when the peer closed the connection between two messages.
  package mutating func nextRequest() throws(HTTPFailure) -> HTTPRequest? {
    guard try !isAtEnd() else { return nil }
    let head = try readHead()
    let words = head.line.split(separator: " ")
    guard words.count == 3, words[2].hasPrefix("HTTP/1.") else { throw .malformed("the line \"\(head.line)\"") }
    let body = try readBody(head.framing(ofRequest: true, noBody: false))
    return HTTPRequest(method: String(words[0]), target: String(words[1]), fields: head.fields, body: body)
  }

  /// The next response's head, past interim ones; its body is still to be read.
  package mutating func nextResponseHead() throws(HTTPFailure) -> (status: Int, head: Head) {
    while true {
      let head = try readHead()
      let words = head.line.split(separator: " ", maxSplits: 2)
      guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
        throw .malformed("the line \"\(head.line.prefix(80))\"")
      }
      if !(100..<200).contains(status) { return (status, head) }
    }
  }

  /// The next response with its whole body.
  /// - Parameter method: of the request; an answer to HEAD has no body.
  package mutating func nextResponse(to method: String) throws(HTTPFailure) -> HTTPResponse {
    let (status, head) = try nextResponseHead()
    let noBody = method == "HEAD" || status == 204 || status == 304
    let body = try readBody(head.framing(ofRequest: false, noBody: noBody))
    return HTTPResponse(status: status, fields: head.fields, body: body)
  }

  /// Gives each line of a body as it comes, until the body ends or `take` says that it is enough.
  package mutating func forEachLine(of head: Head, _ take: (String) -> Bool) throws(HTTPFailure) {
    var line: [UInt8] = []
    var body = BodyCursor(framing: try head.framing(ofRequest: false, noBody: false))
    while let piece = try nextPiece(&body) {
      for byte in piece {
        guard byte == 0x0A else {
          line.append(byte)
          guard line.count <= Self.bodyLimitBytes else { throw .tooLarge(limitBytes: Self.bodyLimitBytes) }
          continue
        }
        if !line.isEmpty, !take(String(decoding: line, as: UTF8.self)) { return }
        line.removeAll(keepingCapacity: true)
      }
    }
  }

  private mutating func readBody(_ framing: Framing) throws(HTTPFailure) -> [UInt8] {
    var body: [UInt8] = []
    var cursor = BodyCursor(framing: framing)
    while let piece = try nextPiece(&cursor) {
      body += piece
      guard body.count <= Self.bodyLimitBytes else { throw .tooLarge(limitBytes: Self.bodyLimitBytes) }
    }
    return body
  }

  /// Where reading stands within a body.
  private struct BodyCursor {
    let framing: Framing
    /// Bytes left of the body, or of the chunk; -1 before the first chunk.
    var left: Int
    var isDone = false

    init(framing: Framing) {
      self.framing = framing
      if case .length(let length) = framing { left = length } else { left = -1 }
    }
  }

  /// The next bytes of a body; nil behind its last.
  private mutating func nextPiece(_ cursor: inout BodyCursor) throws(HTTPFailure) -> [UInt8]? {
    if cursor.isDone { return nil }
    switch cursor.framing {
    case .toEnd:
      if position == buffer.count, try !fill() { return nil }
      return takeBuffered(.max)
    case .length:
      guard cursor.left > 0 else { return nil }
    case .chunked:
      if cursor.left <= 0 {
        if cursor.left == 0 { _ = try readLine() }
        cursor.left = try readChunkSize()
        if cursor.left == 0 {
          while try !readLine().isEmpty {}
          cursor.isDone = true
          return nil
        }
      }
    }
    if position == buffer.count, try !fill() { throw .closed }
    let piece = takeBuffered(cursor.left)
    cursor.left -= piece.count
    return piece
  }

  private mutating func readChunkSize() throws(HTTPFailure) -> Int {
    let line = try readLine()
    let digits = line.prefix { $0 != ";" }
    guard let size = Int(digits, radix: 16), size >= 0, digits.utf8.count <= 8 else {
      throw .malformed("the chunk size \"\(line.prefix(20))\"")
    }
    return size
  }

  private mutating func readHead() throws(HTTPFailure) -> Head {
    let line = try readLine()
    var fields: [HTTPField] = []
    var size = line.utf8.count
    while true {
      let text = try readLine()
      if text.isEmpty { return Head(line: line, fields: fields) }
      size += text.utf8.count
      guard size <= Self.headLimitBytes else { throw .tooLarge(limitBytes: Self.headLimitBytes) }
      guard let colon = text.firstIndex(of: ":") else { throw .malformed("the field \"\(text.prefix(80))\"") }
      let value = text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      fields.append(HTTPField(String(text[..<colon]), String(value)))
    }
  }

  /// A line without its end.
  private mutating func readLine() throws(HTTPFailure) -> String {
    var scanned = position
    while true {
      if let end = buffer[scanned...].firstIndex(of: 0x0A) {
        var line = buffer[position..<end]
        if line.last == 0x0D { line.removeLast() }
        position = end + 1
        return String(decoding: line, as: UTF8.self)
      }
      guard buffer.count - position <= Self.headLimitBytes else { throw .tooLarge(limitBytes: Self.headLimitBytes) }
      let waiting = buffer.count - position
      guard try fill() else { throw .closed }
      scanned = position + waiting
    }
  }

  private mutating func isAtEnd() throws(HTTPFailure) -> Bool {
    if position < buffer.count { return false }
    do {
      return try !fill()
    } catch .closed {
      return true
    }
  }

  private mutating func takeBuffered(_ limit: Int) -> [UInt8] {
    let end = buffer.count - position > limit ? position + limit : buffer.count
    let piece = Array(buffer[position..<end])
    position = end
    return piece
  }

  /// Reads on; false at the end of the stream.
  private mutating func fill() throws(HTTPFailure) -> Bool {
    buffer.removeFirst(position)
    position = 0
    let bytes = try socket.read()
    buffer += bytes
    return !bytes.isEmpty
  }
}
