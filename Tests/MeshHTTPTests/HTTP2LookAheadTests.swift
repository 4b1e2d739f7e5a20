import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/2: streams that are opened and reset in the same bytes")
struct HTTP2LookAheadTests {
  private func server(_ limits: HTTP2Limits = HTTP2Limits()) -> Endpoint {
    let server = Frame.server(limits)
    server.looksAhead = true
    return server
  }

  /// `count` streams, each opened and reset.
  private func flood(_ count: Int) -> [UInt8] {
    resets(0..<count)
  }

  private func resets(_ numbers: Range<Int>) -> [UInt8] {
    var bytes: [UInt8] = []
    for number in numbers {
      let id = UInt32(number * 2 + 1)
      bytes += Frame.headers(id, Frame.get)
      bytes += Frame.reset(id)
    }
    return bytes
  }

  private func opened(_ seen: [Seen]) -> [UInt32] {
    seen.compactMap { if case .head(let id, _, _, _) = $0 { id } else { nil } }
  }

  @Test("no work is begun for them, and for the others it is")
  func doomed() {
    let server = server()
    var bytes = Frame.headers(1, Frame.get)
    bytes += Frame.headers(3, Frame.post, end: false)
    bytes += Frame.headers(5, Frame.get)
    bytes += Frame.data(3, "x")
    bytes += Frame.reset(3)
    bytes += Frame.reset(1)
    let seen = server.feed(bytes)
    #expect(opened(seen) == [5])
    #expect(seen.filter { $0 == .refused(.cancelled) }.count == 2)
    #expect(server.openStreams == 1)
    #expect(!server.isFailed)
  }

  @Test("a flood is found out before anything of it is read")
  func flood() {
    let server = server()
    let seen = server.feed(flood(400))
    #expect(seen == [.failed(.resetFlood)])
    #expect(server.isFailed)
    let goAway = server.output()
    #expect(Array(goAway.prefix(13)) == [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    #expect(Array(goAway.suffix(4)) == Frame.word(HTTP2ErrorCode.enhanceYourCalm.rawValue))
  }

  @Test("in whatever pieces it comes, at the same limit", arguments: [1, 7, 64, 1000, 4096])
  func pieces(_ size: Int) {
    let bytes = flood(249)
    let server = server()
    var seen: [Seen] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
      seen += server.feed(Array(bytes[start..<min(start + size, bytes.count)]))
    }
    #expect(!server.isFailed)
    #expect(opened(seen).count + seen.filter { $0 == .refused(.cancelled) }.count == 249)
    #expect(server.openStreams == 0)
    let last = server.feed(Frame.headers(499, Frame.get) + Frame.reset(499))
    #expect(last.last == .failed(.resetFlood))
  }

  @Test("a sample's end between the resets counts as it does without looking ahead")
  func samples() {
    // 490 streams that end well, then 30 resets across the end of the sample of 500.
    for looksAhead in [false, true] {
      var limits = HTTP2Limits()
      limits.maxEarlyResets = 25
      let server = server(limits)
      server.looksAhead = looksAhead
      for index in 0..<490 {
        let id = UInt32(index * 2 + 1)
        server.feed(Frame.headers(id, Frame.get))
        if let stream = server.streams[id] { server.respond(stream, 200, end: true) }
      }
      server.feed(resets(490..<520))
      #expect(!server.isFailed)
    }
  }

  @Test("cut anywhere, frames are found where they begin")
  func cuts() {
    let first = Frame.preface + Frame.settings() + Frame.settingsAck + Frame.headers(1, Frame.post, end: false)
    // Padding, a frame longer than a byte's length, and one of an unknown type lie in between.
    var second = Frame.make(0, 8, 1, [3] + Array("hello".utf8) + [0, 0, 0])
    second += Frame.data(1, String(repeating: "y", count: 700))
    second += Frame.make(99, 0, 0, [UInt8](repeating: 3, count: 40))
    second += Frame.headers(3, Frame.get)
    let bytes = first + second + Frame.headers(5, Frame.get) + Frame.reset(3) + Frame.ping()
    for cut in 0...bytes.count {
      let server = Endpoint(.server)
      server.looksAhead = true
      let seen = server.feed(Array(bytes[..<cut])) + server.feed(Array(bytes[cut...]))
      // The header of the reset is enough.
      let told = bytes.count - Frame.ping().count - 4
      let wasLate = cut >= first.count + second.count && cut < told
      #expect(opened(seen) == (wasLate ? [1, 3, 5] : [1, 5]), "cut at \(cut)")
      #expect(!server.isFailed, "cut at \(cut)")
      #expect(server.openStreams == 2, "cut at \(cut)")
    }
  }

  /// Frames on a stream after the client's reset of it, fed in one piece, in two (before the reset, and after it), and
  /// a byte at a time.
  private func afterReset(_ last: [UInt8], _ check: (Endpoint, [Seen]) -> Void) {
    let first = Frame.headers(1, Frame.post, end: false) + Frame.data(1, "before")
    let second = Frame.reset(1)
    let whole = first + second + last
    let arrivals = [[whole], [first, second + last], [first + second, last], whole.map { [$0] }]
    for pieces in arrivals {
      let server = server()
      _ = server.output()
      let seen = pieces.flatMap { server.feed($0) }
      check(server, seen)
    }
  }

  @Test("what a client sends after its reset is a fault, in whatever pieces it comes: DATA")
  func dataAfterReset() {
    afterReset(Frame.data(1, "after")) { server, seen in
      #expect(seen.last == .refused(.frameOnClosedStream))
      #expect(!server.isFailed)
      #expect(server.openStreams == 0)
      #expect(Array(server.output().suffix(13)) == Frame.reset(1, HTTP2ErrorCode.streamClosed.rawValue))
    }
  }

  @Test("what a client sends after its reset is a fault, in whatever pieces it comes: HEADERS")
  func headersAfterReset() {
    afterReset(Frame.headers(1, Frame.get)) { server, seen in
      #expect(seen.last == .failed(.frameOnClosedStream))
      #expect(Array(server.output().suffix(4)) == Frame.word(HTTP2ErrorCode.streamClosed.rawValue))
    }
  }

  @Test("a reset that crosses ours ends the time in which frames are read past")
  func crossingResets() {
    let server = server()
    server.feed(Frame.headers(1, Frame.post, end: false))
    if let stream = server.streams[1] { server.connection.reset(stream, .cancel) }
    _ = server.output()
    #expect(server.feed(Frame.data(1, "sent before ours came")) == [])
    #expect(server.output() == [])
    #expect(server.feed(Frame.reset(1) + Frame.data(1, "after")).last == .refused(.frameOnClosedStream))
    #expect(Array(server.output().suffix(13)) == Frame.reset(1, HTTP2ErrorCode.streamClosed.rawValue))
  }

  @Test("streams cancelled unseen do not push out the memory of those that this side has reset")
  func memoryOfResets() {
    let server = server()
    server.feed(Frame.headers(1, Frame.post, end: false))
    if let stream = server.streams[1] { server.connection.reset(stream, .cancel) }
    server.feed(resets(1..<200))
    #expect(server.feed(Frame.headers(1, [("x-trailer", "sent before ours came")])) == [])
    #expect(!server.isFailed)
  }
}
