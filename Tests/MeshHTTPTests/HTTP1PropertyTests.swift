import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/1 heads, whatever the bytes")
struct HTTP1PropertyTests {
  static let seeds: [String] =
    (HTTP1RequestTests.framing + HTTP1RequestTests.shape + HTTP1RequestTests.hosts
    + HTTP1RequestTests.targets.dropLast())
    .map(\.input) + [
      "GET /a/../b?c=d HTTP/1.1\r\nHost: Shop\r\nConnection: x-a, close\r\nX-A: b\r\n\r\nGET / HTTP/1.1\r\n",
      "POST http://a:80/%41 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc",
      "HTTP/1.1 204 \r\nConnection: close\r\n\r\n",
    ]

  /// Feeds the input in pieces, as a connection would, until there is a verdict.
  static func fed(_ input: [UInt8], cuts: [Int], response: Bool, limits: HTTP1Limits) -> Parsed {
    let buffer = TestBuffer()
    var last = Parsed(result: .needMore)
    var scanned = 0
    for end in cuts + [input.count] where end > buffer.count {
      buffer.append(input[buffer.count..<end])
      last =
        response
        ? buffer.response(scanned: scanned, limits: limits) : buffer.request(scanned: scanned, limits: limits)
      if last.result != .needMore { break }
      scanned = buffer.count
    }
    return last
  }

  @Test("pieces give what the whole gives", arguments: seeds)
  func pieces(_ seed: String) {
    var generator = SeededGenerator(seed: UInt64(seed.utf8.count))
    let input = Array(seed.utf8)
    for response in [false, true] {
      for limits in [HTTP1Limits(), HTTP1Limits(maxHeadBytes: 64, maxFields: 2)] {
        let whole = Self.fed(input, cuts: [], response: response, limits: limits)
        #expect(Self.fed(input, cuts: Array(0..<input.count), response: response, limits: limits) == whole)
        for _ in 0..<5 {
          let cuts = (0..<4).map { _ in Int.random(in: 0...input.count, using: &generator) }.sorted()
          #expect(Self.fed(input, cuts: cuts, response: response, limits: limits) == whole)
        }
      }
    }
  }

  @Test("mutated bytes never crash, and pieces still agree with the whole", arguments: 0..<8)
  func mutated(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let interesting = Array("\r\n\t :/.%?#;,\\0129azAZ\u{0}\u{7f}".utf8)
    for _ in 0..<300 {
      var input = Array(Self.seeds[Int.random(in: 0..<Self.seeds.count, using: &generator)].utf8)
      for _ in 0..<Int.random(in: 1...4, using: &generator) where !input.isEmpty {
        let index = Int.random(in: 0..<input.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: input[index] = UInt8.random(in: 0...255, using: &generator)
        case 1: input[index] = interesting[Int.random(in: 0..<interesting.count, using: &generator)]
        case 2: input.remove(at: index)
        default: input.insert(interesting[Int.random(in: 0..<interesting.count, using: &generator)], at: index)
        }
      }
      for response in [false, true] {
        let whole = Self.fed(input, cuts: [], response: response, limits: HTTP1Limits())
        let bytewise = Self.fed(input, cuts: Array(0..<input.count), response: response, limits: HTTP1Limits())
        #expect(bytewise == whole, "\(String(decoding: input, as: UTF8.self).debugDescription)")
      }
    }
  }

  @Test("what is accepted and written out again is accepted with the same meaning", arguments: seeds)
  func roundTrip(_ seed: String) {
    let buffer = TestBuffer(seed.utf8)
    let first = buffer.request()
    guard case .complete = first.result, first.form != .authority else { return }
    let output = TestBuffer()
    var head = MessageHead(base: buffer.bytes, fields: buffer.fields)
    var info = HTTP1RequestInfo()
    _ = HTTP1Parser.parseRequestHead(
      buffer.bytes, count: buffer.count, scanned: 0, limits: HTTP1Limits(),
      scratch: HeadScratch(offset: TestBuffer.room, capacity: TestBuffer.room), into: &head, info: &info)
    var writer = HTTP1Writer(output.bytes, capacity: TestBuffer.room)
    writer.requestLine(head)
    writer.fields(of: head, except: FieldSet(), fieldsEnd: info.fieldsEnd)
    writer.endOfLine()
    #expect(!writer.overflowed)
    let copy = TestBuffer(UnsafeBufferPointer(start: output.bytes, count: writer.count))
    let second = copy.request()
    #expect(second.path == first.path)
    #expect(second.query == first.query)
    #expect(second.fields == first.fields)
    #expect(second.framing == first.framing)
    #expect(second.authority.isEmpty || second.authority == first.authority || first.form == .absolute)
  }

  @Test("the writer drops what it is told, and never writes past its room")
  func writer() {
    let buffer = TestBuffer("GET /x?y HTTP/1.1\r\nA: 1\r\nConnection: b\r\nB: 2\r\nHost: h\r\nC:3\r\n\r\n".utf8)
    var head = MessageHead(base: buffer.bytes, fields: buffer.fields)
    var info = HTTP1RequestInfo()
    _ = HTTP1Parser.parseRequestHead(
      buffer.bytes, count: buffer.count, scanned: 0, limits: HTTP1Limits(),
      scratch: HeadScratch(offset: TestBuffer.room, capacity: TestBuffer.room), into: &head, info: &info)
    let expected =
      "GET /x?y HTTP/1.1\r\nA: 1\r\nHost: h\r\nC:3\r\ncontent-length: 18446744073709551615\r\nvia: me\r\n\r\n"
    for capacity in 0...(expected.utf8.count + 1) {
      let output = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
      defer { output.deallocate() }
      output.initialize(repeating: 0xEE, count: 256)
      var writer = HTTP1Writer(output, capacity: capacity)
      writer.requestLine(head)
      writer.fields(of: head, except: info.hopByHop, fieldsEnd: info.fieldsEnd)
      writer.field(.contentLength, UInt64.max)
      writer.field(.via, "me")
      writer.endOfLine()
      #expect(writer.overflowed == (capacity < expected.utf8.count))
      for index in capacity..<256 { #expect(output[index] == 0xEE) }
      if !writer.overflowed {
        #expect(String(decoding: UnsafeBufferPointer(start: output, count: writer.count), as: UTF8.self) == expected)
      }
    }
  }

  @Test(
    "chunk headers are written in hexadecimal",
    arguments: [
      (0, "0\r\n"), (9, "9\r\n"), (16, "10\r\n"), (255, "ff\r\n"), (65536, "10000\r\n"), (0xABCDE, "abcde\r\n"),
    ])
  func chunkHeaders(_ size: Int, _ expected: String) {
    let output = UnsafeMutablePointer<UInt8>.allocate(capacity: 32)
    defer { output.deallocate() }
    var writer = HTTP1Writer(output, capacity: 32)
    writer.chunkHeader(UInt64(size))
    #expect(String(decoding: UnsafeBufferPointer(start: output, count: writer.count), as: UTF8.self) == expected)
  }
}
