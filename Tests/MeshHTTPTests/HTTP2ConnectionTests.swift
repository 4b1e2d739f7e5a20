import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/2 connections, end to end")
struct HTTP2ConnectionTests {
  @Test(
    "a request with body and a response with trailers go through, both ways of coding strings",
    arguments: [false, true])
  func exchangeOfOne(huffman: Bool) throws {
    let client = Endpoint(.client, huffman: huffman)
    let server = Endpoint(.server, huffman: huffman)
    let stream = try #require(
      client.request(
        "POST", "/a/../b?c=d", fields: [("Content-Type", "application/grpc"), ("te", "trailers")], end: false))
    #expect(client.send(stream, Array("hello".utf8), end: true) == 5)
    let first = exchange(client, server)
    #expect(
      first.server == [
        .settings,
        .head(1, .request, ["POST /b?c=d @a", "content-type: application/grpc", "te: trailers"], end: false),
        .data(1, "hello", end: true),
      ])
    let answer = try #require(server.streams[1])
    server.respond(answer, 103, fields: [("link", "x")])
    server.respond(answer, 200, fields: [("content-type", "application/grpc")])
    #expect(server.send(answer, Array("world".utf8), end: false) == 5)
    server.trailers(answer, [("grpc-status", "0")])
    let second = exchange(client, server)
    #expect(
      second.client == [
        .head(1, .interim, ["103", "link: x"], end: false),
        .head(1, .response, ["200", "content-type: application/grpc"], end: false), .data(1, "world", end: false),
        .head(1, .trailers, ["grpc-status: 0"], end: true),
      ])
    #expect(client.openStreams == 0)
    #expect(server.openStreams == 0)
    #expect(client.request() != nil)
  }

  @Test("the same head again takes a byte a field, and secrets are never put into the table")
  func compression() throws {
    let client = Endpoint(.client)
    let server = Endpoint(.server)
    exchange(client, server)
    let fields = [("user-agent", "curl/7.88.1"), ("x-custom", "some value"), ("authorization", "Bearer secret")]
    var sizes: [Int] = []
    for _ in 0..<4 {
      let stream = try #require(client.request("GET", "/path/of/some/length", fields: fields))
      let bytes = client.output()
      sizes.append(bytes.count)
      let seen = server.feed(bytes)
      let lines = ["GET /path/of/some/length @a"] + fields.map { "\($0): \($1)" }
      #expect(seen == [.head(stream.id, .request, lines, end: true)])
    }
    #expect(sizes[0] > 2 * sizes[3])
    #expect(sizes[3] == sizes[2])
    // Frame header, method, scheme, authority, path, two fields, and the secret in full.
    #expect(sizes[3] == 9 + 6 + 2 + 1 + "Bearer secret".utf8.count)
  }

  @Test("bodies larger than every window go through whole, in order, with backpressure")
  func flowControl() throws {
    let client = Endpoint(.client)
    let server = Endpoint(.server)
    server.consumes = false
    exchange(client, server)
    let body = (0..<300_000).map { UInt8($0 % 251) }
    let stream = try #require(client.request("PUT", "/", fields: [("content-length", "300000")], end: false))
    var sent = try #require(client.send(stream, body, end: true))
    // The window is 64 KiB, and so is the output, which has a head and frame headers in it too.
    #expect(sent > 65_000 && sent <= 65_536)
    var received = 0
    var ended = false
    for _ in 0..<100 where !ended {
      var writable = false
      let bytes = client.output()
      for seen in server.feed(bytes) {
        guard case .data(1, let text, let end) = seen else { continue }
        received += text.utf8.count
        ended = end
      }
      // Nothing is consumed: the window closes, and opens again when it is.
      if let open = server.streams[1] { server.connection.consumed(open, 40_000) }
      for seen in client.feed(server.output()) where seen == .writable(1) { writable = true }
      if writable { sent += try #require(client.send(stream, Array(body[sent...]), end: true)) }
    }
    #expect(sent == 300_000)
    #expect(ended)
  }

  @Test("streams beyond the peer's limit are not opened, and one that ends makes room")
  func concurrency() throws {
    var limits = HTTP2Limits()
    limits.maxConcurrentStreams = 2
    let client = Endpoint(.client)
    let server = Endpoint(.server, limits)
    exchange(client, server)
    let first = try #require(client.request())
    #expect(client.request() != nil)
    #expect(client.request() == nil)
    exchange(client, server)
    server.respond(try #require(server.streams[first.id]), 204, end: true)
    exchange(client, server)
    #expect(client.request() != nil)
  }

  @Test("a drain refuses nothing at first, settles the last stream, and ends when the streams have")
  func drain() throws {
    let client = Endpoint(.client)
    let server = Endpoint(.server)
    exchange(client, server)
    let first = try #require(client.request())
    server.feed(client.output())
    server.connection.drain()
    // Sent before the client knows.
    let second = try #require(client.request())
    let seen = exchange(client, server)
    #expect(seen.client == [.goAway(0x7FFF_FFFF, .noError), .goAway(second.id, .noError)])
    #expect(client.request() == nil)
    #expect(!server.isDrained)
    for id in [first.id, second.id] { server.respond(try #require(server.streams[id]), 204, end: true) }
    exchange(client, server)
    #expect(server.isDrained)
    #expect(client.openStreams == 0)
  }

  @Test("streams that a GOAWAY leaves out are reported as not processed")
  func goAway() throws {
    let client = Endpoint(.client)
    client.feed(Frame.settings())
    for _ in 0..<3 { _ = client.request() }
    let seen = client.feed(Frame.make(7, 0, 0, Frame.word(1) + Frame.word(0)))
    let left = HTTP2Reset(code: .refusedStream, origin: .goAway)
    #expect(seen == [.goAway(1, .noError), .reset(3, left), .reset(5, left)])
    #expect(left.isUnprocessed)
    #expect(client.openStreams == 1)
  }

  @Test("cookies sent in crumbs become one field, and a host field that agrees is taken")
  func cookies() {
    let server = Frame.server()
    let fields = Frame.get + [("cookie", "a=b"), ("host", "A"), ("x", "y"), ("cookie", "c=d"), ("cookie", "e")]
    let lines = ["GET / @a", "cookie: a=b; c=d; e", "host: A", "x: y"]
    #expect(server.feed(Frame.headers(1, fields)) == [.head(1, .request, lines, end: true)])
    let only = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "B")]
    #expect(server.feed(Frame.headers(3, only)) == [.head(3, .request, ["GET / @b", "host: b"], end: true)])
  }

  @Test("padding is passed over, and its room in the windows given back")
  func padding() {
    let server = Frame.server()
    server.feed(Frame.headers(1, Frame.post, end: false))
    for _ in 0..<2000 {
      let seen = server.feed(Frame.make(0, 8, 1, [200, 120] + [UInt8](repeating: 0, count: 200)))
      #expect(seen == [.data(1, "x", end: false)])
      _ = server.output()
    }
    let end = server.feed(Frame.make(0, 9, 1, [2, 0, 0]))
    #expect(end == [.data(1, "", end: true)])
    let padded = Frame.make(1, 4 | 8 | 32 | 1, 3, [3, 0, 0, 0, 0, 9] + Frame.block(Frame.get) + [0, 0, 0])
    #expect(server.feed(padded) == [.head(3, .request, ["GET / @a"], end: true)])
  }

  @Test("a head of several frames goes through, however it is cut")
  func continuations() throws {
    let client = Endpoint(.client)
    let server = Endpoint(.server)
    exchange(client, server)
    let fields = (0..<50).map { ("x-\($0)", String(repeating: "v", count: 1000)) }
    let stream = try #require(client.request("GET", "/", fields: fields))
    let bytes = client.output()
    #expect(bytes.count > 3 * 16_384)
    let lines = ["GET / @a"] + fields.map { "\($0): \($1)" }
    #expect(bytes.flatMap { server.feed([$0]) } == [.head(stream.id, .request, lines, end: true)])
  }

  @Test("CONNECT has an authority only; extended CONNECT has a protocol and the rest")
  func connect() {
    let server = Frame.server()
    let plain = [(":method", "CONNECT"), (":authority", "b:1")]
    #expect(server.feed(Frame.headers(1, plain, end: false)) == [.head(1, .request, ["CONNECT  @b:1"], end: false)])
    let extended = [
      (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat"), (":authority", "b"),
    ]
    #expect(
      server.feed(Frame.headers(3, extended, end: false)) == [.head(3, .request, ["CONNECT /chat @b"], end: false)])
    var limits = HTTP2Limits()
    limits.extendedConnect = false
    #expect(Frame.server(limits).feed(Frame.headers(1, extended)) == [.refused(.badPseudoField)])
  }

  @Test("a reset ends a stream on both sides; what was on its way is not held against the peer")
  func resets() throws {
    let client = Endpoint(.client)
    let server = Endpoint(.server)
    exchange(client, server)
    let stream = try #require(client.request("POST", end: false))
    server.feed(client.output())
    server.connection.reset(try #require(server.streams[1]), .cancel)
    #expect(server.openStreams == 0)
    _ = client.send(stream, [1, 2, 3], end: false)
    client.trailers(stream, [("x", "y")])
    let seen = exchange(client, server)
    #expect(seen.client == [.reset(1, HTTP2Reset(code: .cancel, origin: .peer))])
    #expect(seen.server == [])
    #expect(client.send(stream, [1], end: true) == nil)
  }
}
