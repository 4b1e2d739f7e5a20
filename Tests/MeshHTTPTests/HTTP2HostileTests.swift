import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/2 against bad peers")
struct HTTP2HostileTests {
  /// Frames that must end the connection, each with its reason, after preface and SETTINGS.
  struct Fatal: CustomTestStringConvertible, Sendable {
    let name: String
    let bytes: [UInt8]
    let reason: HTTP2Reason
    var testDescription: String { name }

    init(_ name: String, _ bytes: [UInt8], _ reason: HTTP2Reason) {
      self.name = name
      self.bytes = bytes
      self.reason = reason
    }
  }

  static let open = Frame.headers(1, Frame.post, end: false)

  static let fatal: [Fatal] = [
    Fatal("frame over 16 KiB", Frame.make(0, 0, 1, [UInt8](repeating: 0, count: 16_385)), .frameTooLarge),
    Fatal("DATA on stream 0", Frame.make(0, 0, 0, [1]), .badStreamID),
    Fatal("DATA on an idle stream", Frame.make(0, 0, 1, [1]), .frameOnIdleStream),
    Fatal("padding longer than the frame", open + Frame.make(0, 8, 1, [2, 0]), .badPadding),
    Fatal("padded and empty", open + Frame.make(0, 8, 1), .badPadding),
    Fatal("HEADERS on stream 0", Frame.headers(0, Frame.get), .badStreamID),
    Fatal("HEADERS on an even stream", Frame.headers(2, Frame.get), .badStreamID),
    Fatal("HEADERS padding too long", Frame.make(1, 4 | 8, 1, [5, 0]), .badPadding),
    Fatal("HEADERS without its priority", Frame.make(1, 4 | 32, 1, [0]), .badFrameSize),
    Fatal("stream ids that go down", Frame.headers(5, Frame.get) + Frame.headers(3, Frame.get), .streamReused),
    Fatal(
      "HEADERS on a stream that was left out",
      Frame.headers(1, Frame.get) + Frame.headers(5, Frame.get) + Frame.headers(3, Frame.get), .streamReused),
    Fatal("HEADERS on a stream that was reset", open + Frame.reset(1) + open, .frameOnClosedStream),
    Fatal("PRIORITY of an idle stream on itself", Frame.make(2, 0, 3, [0, 0, 0, 3, 0]), .badStreamID),
    Fatal("CONTINUATION from nowhere", Frame.make(9, 4, 1), .frameOutOfPlace),
    Fatal("another frame within a head", Frame.headers(1, Frame.get, flags: 0) + Frame.ping(), .frameOutOfPlace),
    Fatal(
      "CONTINUATION of another stream", Frame.headers(1, Frame.get, flags: 0) + Frame.make(9, 4, 3), .frameOutOfPlace),
    Fatal("PUSH_PROMISE", Frame.make(5, 4, 1, Frame.word(2)), .pushRefused),
    Fatal("SETTINGS on a stream", Frame.make(4, 0, 1), .badStreamID),
    Fatal("SETTINGS of a wrong size", Frame.make(4, 0, 0, [0]), .badFrameSize),
    Fatal("SETTINGS acknowledgement with payload", Frame.make(4, 1, 0, [0]), .badFrameSize),
    Fatal("ENABLE_PUSH of 2", Frame.settings([(2, 2)]), .badSetting),
    Fatal("window over 2^31 - 1", Frame.settings([(4, 0x8000_0000)]), .windowOverflow),
    Fatal("frame size too small", Frame.settings([(5, 16_383)]), .badSetting),
    Fatal("frame size too large", Frame.settings([(5, 16_777_216)]), .badSetting),
    Fatal("PING on a stream", Frame.make(6, 0, 1, [UInt8](repeating: 0, count: 8)), .badStreamID),
    Fatal("PING of a wrong size", Frame.make(6, 0, 0, [0]), .badFrameSize),
    Fatal("RST_STREAM on stream 0", Frame.reset(0), .badStreamID),
    Fatal("RST_STREAM on an idle stream", Frame.reset(1), .frameOnIdleStream),
    Fatal("RST_STREAM of a wrong size", open + Frame.make(3, 0, 1, [0]), .badFrameSize),
    Fatal("WINDOW_UPDATE of 0", Frame.windowUpdate(0, 0), .zeroWindowUpdate),
    Fatal("WINDOW_UPDATE past 2^31 - 1", Frame.windowUpdate(0, 0x7FFF_FFFF), .windowOverflow),
    Fatal("WINDOW_UPDATE on an idle stream", Frame.windowUpdate(1, 1), .frameOnIdleStream),
    Fatal("WINDOW_UPDATE of a wrong size", Frame.make(8, 0, 0, [0]), .badFrameSize),
    Fatal("GOAWAY on a stream", Frame.make(7, 0, 1, [UInt8](repeating: 0, count: 8)), .badStreamID),
    Fatal("GOAWAY cut short", Frame.make(7, 0, 0, [0]), .badFrameSize),
    Fatal("PRIORITY on stream 0", Frame.make(2, 0, 0, [0, 0, 0, 0, 0]), .badStreamID),
    Fatal("index 0", Frame.make(1, 5, 1, [0x80]), .badHeaderBlock),
    Fatal("index past the table", Frame.make(1, 5, 1, [0xFE]), .badHeaderBlock),
    Fatal("table size over the setting", Frame.make(1, 5, 1, [0x3F, 0xE2, 0x1F, 0x82]), .badHeaderBlock),
    Fatal("header block cut off", Frame.make(1, 5, 1, [0x00, 0x05, 0x61]), .badHeaderBlock),
    Fatal(
      "CONTINUATION flood",
      Frame.headers(1, Frame.get, flags: 0)
        + (0..<513).flatMap { _ in Frame.make(9, 0, 1, [0x82]) }, .continuationFlood),
    Fatal(
      "empty CONTINUATION flood",
      Frame.headers(1, Frame.get, flags: 0)
        + (0..<11).flatMap { _ in Frame.make(9, 0, 1) }, .emptyFrameFlood),
    Fatal("empty DATA flood", open + (0..<11).flatMap { _ in Frame.make(0, 0, 1) }, .emptyFrameFlood),
    Fatal("padding only DATA flood", open + (0..<11).flatMap { _ in Frame.make(0, 8, 1, [1, 0]) }, .emptyFrameFlood),
    Fatal("SETTINGS flood", (0..<1001).flatMap { _ in Frame.settings() }, .controlFlood),
    Fatal("PING flood", (0..<1001).flatMap { _ in Frame.ping() }, .controlFlood),
    Fatal("unknown frame flood", (0..<1001).flatMap { _ in Frame.make(99, 0, 0) }, .controlFlood),
    Fatal(
      "flood of DATA on closed streams",
      (0..<510).flatMap { index -> [UInt8] in
        let id = UInt32(index * 2 + 1)
        return id < 401 ? Frame.headers(id, Frame.post, end: false) + Frame.reset(id) : []
      } + (0..<1001).flatMap { index in Frame.data(UInt32(index % 200 * 2 + 1), "x") }, .controlQueueFull),
    Fatal("PRIORITY flood", (0..<101).flatMap { _ in Frame.make(2, 0, 3, [0, 0, 0, 0, 0]) }, .priorityFlood),
    Fatal("WINDOW_UPDATE flood", (0..<101).flatMap { _ in Frame.windowUpdate(0, 1) }, .windowUpdateFlood),
    Fatal(
      "rapid reset",
      (0..<250).flatMap { index -> [UInt8] in
        let id = UInt32(index * 2 + 1)
        return Frame.headers(id, Frame.get) + Frame.reset(id)
      }, .resetFlood),
    Fatal(
      "made to reset: zero WINDOW_UPDATE",
      (0..<250).flatMap { index -> [UInt8] in
        let id = UInt32(index * 2 + 1)
        return Frame.headers(id, Frame.get) + Frame.windowUpdate(id, 0)
      }, .resetFlood),
    Fatal(
      "made to reset: malformed heads",
      (0..<250).flatMap { index -> [UInt8] in
        Frame.headers(UInt32(index * 2 + 1), Frame.get + [("X", "y")])
      }, .resetFlood),
    Fatal(
      "header bomb",
      Frame.make(
        1, 4, 1,
        [0x40] + Frame.string("a") + Frame.string(String(repeating: "x", count: 4000))
          + [UInt8](repeating: 0xBE, count: 5000)), .headerBomb),
  ]

  @Test("the connection ends, says why, and reads nothing more", arguments: fatal)
  func ends(_ row: Fatal) {
    let server = Frame.server()
    let seen = server.feed(row.bytes)
    #expect(seen.last == .failed(row.reason))
    #expect(seen.filter { if case .failed = $0 { true } else { false } }.count == 1)
    #expect(server.isFailed)
    let goAway = server.output().suffix(17)
    #expect(Array(goAway.prefix(9)) == [0, 0, 8, 7, 0, 0, 0, 0, 0])
    #expect(Array(goAway.suffix(4)) == Frame.word(row.reason.code.rawValue))
    #expect(server.feed(Frame.headers(101, Frame.get)) == [])
    #expect(!server.hasOutput)
  }

  /// Heads that must end their stream, each with its reason.
  static let malformed: [([(String, String)], HTTP2Reason)] = [
    (Frame.get + [("X-Upper", "a")], .badFieldName), (Frame.get + [("", "a")], .badFieldName),
    (Frame.get + [("a b", "c")], .badFieldName), (Frame.get + [("a:", "c")], .badFieldName),
    (Frame.get + [("a\u{0}", "c")], .badFieldName),
    (Frame.get + [("x", "a\r\nb: c")], .badFieldValue), (Frame.get + [("x", "a\nb")], .badFieldValue),
    (Frame.get + [("x", "a\u{0}b")], .badFieldValue), (Frame.get + [("x", " a")], .badFieldValue),
    (Frame.get + [("x", "a\t")], .badFieldValue), (Frame.get + [("x", "a\u{7f}")], .badFieldValue),
    (Frame.get + [("connection", "close")], .connectionSpecificField),
    (Frame.get + [("keep-alive", "1")], .connectionSpecificField),
    (Frame.get + [("proxy-connection", "x")], .connectionSpecificField),
    (Frame.get + [("transfer-encoding", "chunked")], .connectionSpecificField),
    (Frame.get + [("upgrade", "h2c")], .connectionSpecificField),
    (Frame.get + [("te", "gzip")], .badTE), (Frame.get + [("te", "trailers, gzip")], .badTE),
    (Frame.get + [(":path", "/x")], .badPseudoField), (Frame.get + [(":unknown", "x")], .badPseudoField),
    (Frame.get + [(":status", "200")], .badPseudoField),
    (Frame.get + [("x", "y"), (":protocol", "z")], .badPseudoField),
    ([("x", "y")] + Frame.get, .badPseudoField), (Frame.get + [(":Path", "/x")], .badFieldName),
    ([(":method", "GET"), (":scheme", "http"), (":authority", "a")], .missingPseudoField),
    ([(":method", "GET"), (":path", "/"), (":authority", "a")], .missingPseudoField),
    ([(":scheme", "http"), (":path", "/"), (":authority", "a")], .missingPseudoField),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/")], .badAuthority),
    ([(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a")], .badPath),
    ([(":method", "GET"), (":scheme", "http"), (":path", "x"), (":authority", "a")], .badPath),
    ([(":method", "GET"), (":scheme", "http"), (":path", "*"), (":authority", "a")], .badPath),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/a b"), (":authority", "a")], .badPath),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/%00"), (":authority", "a")], .badPath),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/..;/x"), (":authority", "a")], .badPath),
    ([(":method", "G T"), (":scheme", "http"), (":path", "/"), (":authority", "a")], .badMethod),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "u@a")], .badAuthority),
    (Frame.get + [("host", "b")], .authorityMismatch), (Frame.get + [("host", "a"), ("host", "a")], .badAuthority),
    ([(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")], .badPseudoField),
    ([(":method", "CONNECT")], .missingPseudoField),
    (Frame.get + [("content-length", "x")], .badContentLength),
    (Frame.get + [("content-length", "-1")], .badContentLength),
    (Frame.get + [("content-length", "1"), ("content-length", "1")], .badContentLength),
    (Frame.get + [("content-length", "5")], .contentLengthMismatch),
    (Frame.get + (0..<101).map { _ in ("x", "y") }, .headTooLarge),
    (Frame.get + (0..<40).map { ("x\($0)", String(repeating: "y", count: 390)) }, .headTooLarge),
  ]

  @Test("a malformed head ends its stream only, with its own reason", arguments: malformed)
  func malformedHead(_ fields: [(String, String)], _ reason: HTTP2Reason) {
    var limits = HTTP2Limits()
    limits.maxHeaderListBytes = 12 * 1024
    let server = Frame.server(limits)
    #expect(server.feed(Frame.headers(1, fields)) == [.refused(reason)])
    #expect(server.output() == Frame.make(3, 0, 1, Frame.word(reason.code.rawValue)))
    #expect(server.feed(Frame.headers(3, Frame.get)) == [.head(3, .request, ["GET / @a"], end: true)])
  }

  @Test("a body that is not as long as announced ends its stream")
  func contentLength() {
    func seen(_ frames: [UInt8]) -> Seen? {
      let server = Frame.server()
      return server.feed(Frame.headers(1, Frame.post + [("content-length", "3")], end: false) + frames).last
    }
    let mismatch = Seen.reset(1, HTTP2Reset(code: .protocolError, origin: .local(.contentLengthMismatch)))
    #expect(seen(Frame.data(1, "ab", end: true)) == mismatch)
    #expect(seen(Frame.data(1, "abcd")) == mismatch)
    #expect(seen(Frame.data(1, "ab") + Frame.data(1, "cd", end: true)) == mismatch)
    #expect(seen(Frame.data(1, "ab") + Frame.headers(1, [("x", "y")])) == mismatch)
    #expect(seen(Frame.data(1, "abc", end: true)) == .data(1, "abc", end: true))
    #expect(
      seen(Frame.data(1, "ab") + Frame.data(1, "c") + Frame.headers(1, [("x", "y")]))
        == .head(1, .trailers, ["x: y"], end: true))
  }

  @Test("of a frame that overruns the announced length nothing is reported, in whatever pieces it comes")
  func overrun() {
    let server = Frame.server()
    let bytes = Frame.headers(1, Frame.post + [("content-length", "3")], end: false) + Frame.data(1, "abcde", end: true)
    let seen = bytes.flatMap { server.feed([$0]) }
    #expect(seen.count == 2)
    #expect(seen.last == .reset(1, HTTP2Reset(code: .protocolError, origin: .local(.contentLengthMismatch))))
    #expect(seen == Frame.server().feed(bytes))
  }

  @Test("frames on a stream that the peer has ended")
  func closedStreams() {
    let server = Frame.server()
    server.feed(Frame.headers(1, Frame.get))
    let closed = Seen.reset(1, HTTP2Reset(code: .streamClosed, origin: .local(.frameOnClosedStream)))
    #expect(server.feed(Frame.data(1, "x")) == [closed])
    #expect(server.feed(Frame.data(1, "x") + Frame.windowUpdate(1, 5) + Frame.reset(1)) == [])
    server.feed(Frame.headers(3, Frame.get))
    #expect(
      server.feed(Frame.headers(3, [("x", "y")])).first
        == .reset(3, HTTP2Reset(code: .streamClosed, origin: .local(.frameOnClosedStream))))
    let trailers = Frame.server()
    trailers.feed(Frame.headers(1, Frame.post, end: false))
    #expect(
      trailers.feed(Frame.headers(1, [("x", "y")], end: false)).first
        == .reset(1, HTTP2Reset(code: .protocolError, origin: .local(.unexpectedHead))))
  }

  @Test("a stream that depends on itself is refused, or ended if it is open")
  func selfDependent() {
    let server = Frame.server()
    let block = Frame.block(Frame.get)
    #expect(server.feed(Frame.make(1, 4 | 32 | 1, 1, Frame.word(1) + [15] + block)) == [.refused(.badStreamID)])
    let cut = Frame.make(1, 32 | 1, 3, Frame.word(0x8000_0003) + [15] + block) + Frame.make(9, 4, 3)
    #expect(server.feed(cut) == [.refused(.badStreamID)])
    #expect(server.feed(Frame.make(1, 4 | 32 | 1, 5, Frame.word(3) + [15] + block)).count == 1)
    #expect(
      server.feed(Frame.make(2, 0, 5, Frame.word(5) + [15]))
        == [.reset(5, HTTP2Reset(code: .protocolError, origin: .local(.badStreamID)))])
  }

  @Test("a client that reads a long answer may ask for a round trip as often as it likes")
  func pingsDuringAnswer() throws {
    let server = Frame.server()
    server.feed(Frame.windowUpdate(0, 1_000_000) + Frame.headers(1, Frame.get) + Frame.windowUpdate(1, 1_000_000))
    let stream = try #require(server.streams[1])
    server.respond(stream, 200)
    for _ in 0..<5000 {
      #expect(server.send(stream, [1, 2, 3], end: false) == 3)
      #expect(server.feed(Frame.ping()) == [])
      _ = server.output()
    }
  }

  @Test("a peer that sends past its windows is stopped")
  func windows() {
    let server = Frame.server()
    server.consumes = false
    server.feed(Frame.headers(1, Frame.post, end: false))
    let frame = Frame.make(0, 0, 1, [UInt8](repeating: 1, count: 16_384))
    for _ in 0..<4 { server.feed(frame) }
    #expect(
      server.feed(Frame.data(1, "x"))
        == [.reset(1, HTTP2Reset(code: .flowControlError, origin: .local(.windowExceeded)))])
    var last: Seen?
    for index in 1..<20 {
      let id = UInt32(index * 2 + 1)
      server.feed(Frame.headers(id, Frame.post, end: false))
      for _ in 0..<4 { last = server.feed(Frame.make(0, 0, id, [UInt8](repeating: 1, count: 16_384))).last }
    }
    #expect(last == nil)
    #expect(server.isFailed)
  }

  @Test("a stream's window that is pushed over 2^31 - 1 ends the stream; more streams than allowed are refused")
  func streamLimits() {
    var limits = HTTP2Limits()
    limits.maxConcurrentStreams = 2
    let server = Frame.server(limits)
    server.feed(Frame.headers(1, Frame.post, end: false) + Frame.headers(3, Frame.post, end: false))
    #expect(server.feed(Frame.headers(5, Frame.get)) == [.refused(.tooManyStreams)])
    #expect(
      server.feed(Frame.windowUpdate(1, 0x7FFF_FFFF))
        == [.reset(1, HTTP2Reset(code: .flowControlError, origin: .local(.windowOverflow)))])
    #expect(server.feed(Frame.headers(7, Frame.get)) == [.head(7, .request, ["GET / @a"], end: true)])
  }

  @Test("answers to a peer that does not read are bounded")
  func controlQueue() {
    var limits = HTTP2Limits()
    limits.maxControlFrames = 100_000
    let server = Frame.server(limits)
    let seen = server.feed((0..<1001).flatMap { _ in Frame.ping() })
    #expect(seen == [.failed(.controlQueueFull)])
    let reading = Frame.server(limits)
    for _ in 0..<20 {
      #expect(reading.feed((0..<900).flatMap { _ in Frame.ping() }) == [])
      _ = reading.output()
    }
  }

  @Test("garbage for a preface, or no SETTINGS behind it")
  func preface() {
    for garbage in ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nXX", "\u{16}\u{3}\u{1}"] {
      #expect(Endpoint(.server).feed(Array(garbage.utf8)) == [.failed(.badPreface)])
    }
    #expect(Endpoint(.server).feed(Frame.preface + Frame.ping()) == [.failed(.badPreface)])
    #expect(Endpoint(.server).feed(Frame.preface + Frame.settingsAck) == [.failed(.badPreface)])
    #expect(Endpoint(.client).feed(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)).count == 1)
  }

  @Test(
    "what a server may not send to a client",
    arguments: [
      (Frame.headers(2, [(":status", "200")]), HTTP2Reason.badStreamID),
      (Frame.headers(3, [(":status", "200")]), .badStreamID), (Frame.settings([(2, 1)]), .badSetting),
      (Frame.make(5, 4, 1, Frame.word(2)), .pushRefused),
    ])
  func client(_ bytes: [UInt8], _ reason: HTTP2Reason) {
    let client = Endpoint(.client)
    client.feed(Frame.settings())
    _ = client.request()
    #expect(client.feed(bytes) == [.failed(reason)])
  }

  @Test(
    "malformed responses end their stream",
    arguments: [
      ([("x", "y")], HTTP2Reason.missingPseudoField), ([(":status", "20")], .badStatus),
      ([(":status", "101")], .badStatus),
      ([(":status", "abc")], .badStatus), ([(":status", "200"), (":path", "/")], .badPseudoField),
      ([(":status", "200"), ("Upper", "x")], .badFieldName),
      ([(":status", "200"), ("content-length", "5")], .contentLengthMismatch),
      ([(":status", "103")], .unexpectedHead),
    ])
  func responses(_ fields: [(String, String)], _ reason: HTTP2Reason) {
    let client = Endpoint(.client)
    client.feed(Frame.settings())
    _ = client.request()
    #expect(
      client.feed(Frame.headers(1, fields)) == [.reset(1, HTTP2Reset(code: .protocolError, origin: .local(reason)))])
    #expect(client.openStreams == 0)
  }

  @Test("interim heads without end are a flood")
  func interimFlood() {
    let client = Endpoint(.client)
    client.feed(Frame.settings())
    _ = client.request()
    let interim = Frame.headers(1, [(":status", "103")], end: false)
    #expect(client.feed((0..<1001).flatMap { _ in interim }).last == .failed(.controlFlood))
  }

  @Test("the answer to HEAD, 204 and 304 may announce a length and have no body")
  func bodiless() {
    for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
      let client = Endpoint(.client)
      client.feed(Frame.settings())
      _ = client.request(method)
      let head = Frame.headers(1, [(":status", status), ("content-length", "5")])
      #expect(client.feed(head) == [.head(1, .response, [status, "content-length: 5"], end: true)])
    }
  }
}
