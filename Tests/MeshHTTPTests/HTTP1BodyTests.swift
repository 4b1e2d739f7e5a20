import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/1 bodies")
struct HTTP1BodyTests {
  /// Reads a body in pieces and returns its payload, the bytes consumed, and how it ended.
  static func decode(
    _ framing: BodyFraming, _ input: [UInt8], cuts: [Int] = []
  ) -> (payload: String, consumed: Int, progress: HTTP1BodyStep.Progress) {
    var reader = HTTP1BodyReader(framing)
    var payload: [UInt8] = []
    var consumed = 0
    var progress = HTTP1BodyStep.Progress.more
    for end in cuts + [input.count] {
      let piece = Array(input[consumed..<max(consumed, end)])
      var index = 0
      while index < piece.count, progress == .more {
        let step = piece.withUnsafeBufferPointer { reader.next($0.baseAddress! + index, count: $0.count - index) }
        payload += piece[(index + Int(step.payload.offset))..<(index + step.payload.end)]
        index += step.consumed
        progress = step.progress
        if step.consumed == 0 { break }
      }
      consumed += index
      if progress != .more { break }
    }
    return (String(decoding: payload, as: UTF8.self), consumed, progress)
  }

  static func chunked(_ input: String) -> (payload: String, consumed: Int, progress: HTTP1BodyStep.Progress) {
    decode(.chunked, Array(input.utf8))
  }

  @Test("chunks are decoded, and what follows the last one is left alone")
  func decodes() {
    let read = Self.chunked("5\r\nhello\r\n00A\r\n, world!!!\r\n0\r\n\r\nGET /next HTTP/1.1\r\n")
    #expect(read.payload == "hello, world!!!")
    #expect(read.consumed == 32)
    #expect(read.progress == .finished)
  }

  @Test(
    "ambiguous chunk framing is refused",
    arguments: [
      ("0x5\r\nhello", HTTP1Error.badChunkSize), ("+5\r\nhello", .badChunkSize), ("-5\r\nhello", .badChunkSize),
      (" 5\r\nhello", .badChunkSize), ("5 \r\nhello", .badChunkSize), ("\r\nhello", .badChunkSize),
      ("5\nhello", .badChunkSize), ("5\rXhello", .badChunkSize), ("8000000000000000\r\n", .badChunkSize),
      ("FFFFFFFFFFFFFFFF1\r\n", .badChunkSize), ("00000000000000005\r\n", .badChunkSize), ("g\r\n", .badChunkSize),
      (";a\r\n", .badChunkSize), ("5;a\nhello", .badChunkSize), ("5;a\rhello", .badChunkSize),
      ("5;a\0\r\n", .badChunkSize),
      ("5;é\r\nhello", .badChunkSize), ("5 ;a\r\nhello", .badChunkSize), ("5;a\u{7F}\r\n", .badChunkSize),
      ("5;" + String(repeating: "a", count: 256) + "\r\n", .chunkExtension), ("5\r\nhello\n0\r\n\r\n", .badChunkEnd),
      ("5\r\nhello\rX", .badChunkEnd), ("5\r\nhelloX\r\n", .badChunkEnd), ("0\r\n\rX", .badChunkEnd),
    ])
  func refuses(_ input: String, _ error: HTTP1Error) {
    #expect(Self.chunked(input).progress == .failed(error))
  }

  @Test(
    "chunk extensions are skipped",
    arguments: [
      "5;a=b\r\nhello\r\n0;\r\n\r\n", "5;\t a=\"x;y\" ; c\r\nhello\r\n0;last\r\n\r\n",
      "5;" + String(repeating: "a", count: 255) + "\r\nhello\r\n0\r\n\r\n",
    ])
  func skipsExtensions(_ input: String) {
    let read = Self.chunked(input)
    #expect(read.payload == "hello" && read.consumed == input.utf8.count && read.progress == .finished)
  }

  @Test("a trailer section is handed over, and read with its own rules")
  func trailers() {
    let input = Array("1\r\nx\r\n0\r\nX-Sum: 1\r\nGrpc-Status: 0\r\n\r\nnext".utf8)
    let read = Self.decode(.chunked, input)
    #expect(read.progress == .trailers)
    #expect(read.consumed == 9)
    let buffer = TestBuffer(input[9...])
    var head = MessageHead(base: buffer.bytes, fields: buffer.fields)
    #expect(parseTrailers(buffer, &head) == .complete(length: 28))
    #expect(head.fieldCount == 2)
    #expect(head.fields[1].known == .grpcStatus)
    var reader = HTTP1BodyReader(.chunked)
    #expect(input.withUnsafeBufferPointer { reader.passThrough($0.baseAddress!, count: $0.count) }.consumed == 9)
    reader.finishTrailers()
    #expect(reader.isFinished)
  }

  @Test(
    "trailers that frame, route or authenticate are refused",
    arguments: [
      "Content-Length: 5", "Transfer-Encoding: chunked", "Host: a", "Authorization: x", "X-Forwarded-Client-Cert: x",
      "Connection: x",
    ])
  func forbidden(_ line: String) {
    let buffer = TestBuffer("\(line)\r\n\r\n".utf8)
    var head = MessageHead(base: buffer.bytes, fields: buffer.fields)
    #expect(parseTrailers(buffer, &head) == .failure(.forbiddenTrailer))
  }

  @Test("trailers have limits and no bare line feeds")
  func trailerLimits() {
    let large = TestBuffer("X: \(String(repeating: "x", count: 9000))".utf8)
    var head = MessageHead(base: large.bytes, fields: large.fields)
    #expect(parseTrailers(large, &head) == .failure(.trailersTooLarge))
    let bare = TestBuffer("X: y\n\n".utf8)
    #expect(parseTrailers(bare, &head) == .failure(.badLineEnd))
  }

  private func parseTrailers(_ buffer: TestBuffer, _ head: inout MessageHead) -> HTTP1ParseResult {
    HTTP1Parser.parseTrailers(
      buffer.bytes, count: buffer.count, scanned: 0, limits: HTTP1Limits(), into: &head)
  }

  @Test("a counted body ends exactly, and knows whether it was cut short")
  func counted() {
    let read = Self.decode(.length(5), Array("helloGET".utf8))
    #expect(read.payload == "hello")
    #expect(read.consumed == 5)
    #expect(read.progress == .finished)
    var reader = HTTP1BodyReader(.length(5))
    let part = Array("hel".utf8)
    _ = reader.next(part, count: 3)
    #expect(!reader.mayEndHere)
    #expect(reader.remaining == 2)
    #expect(reader.payloadBytes == 3)
    #expect(HTTP1BodyReader(.none).isFinished)
    #expect(HTTP1BodyReader(.untilClose).mayEndHere)
    #expect(!HTTP1BodyReader(.chunked).mayEndHere)
  }

  @Test("however a chunked body is cut, payload, length and verdict are the same", arguments: 0..<40)
  func splits(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var input: [UInt8] = []
    for _ in 0..<Int.random(in: 0...5, using: &generator) {
      let size = Int.random(in: 1...300, using: &generator)
      input += Array(String(size, radix: 16, uppercase: Bool.random(using: &generator)).utf8) + [13, 10]
      input += (0..<size).map { _ in UInt8.random(in: 97...122, using: &generator) } + [13, 10]
    }
    input += Array("0\r\n\r\nGET / HTTP/1.1\r\n".utf8)
    if seed % 4 == 3 {
      input[Int.random(in: 0..<input.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
    }
    let whole = Self.decode(.chunked, input)
    for _ in 0..<20 {
      let cuts = (0..<Int.random(in: 1...30, using: &generator)).map { _ in
        Int.random(in: 0...input.count, using: &generator)
      }.sorted()
      let pieces = Self.decode(.chunked, input, cuts: cuts)
      #expect(pieces == whole)
    }
    let bytewise = Self.decode(.chunked, input, cuts: Array(0...input.count))
    #expect(bytewise == whole)
  }
}
