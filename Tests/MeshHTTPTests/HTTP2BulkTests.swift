import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/2: bodies that the owner sends itself")
struct HTTP2BulkTests {
  /// A client with a request on its way, and the server's end of it.
  private func pair(_ limits: HTTP2Limits = HTTP2Limits()) -> (client: Endpoint, server: Endpoint, HTTP2Stream)? {
    let client = Endpoint(.client, limits)
    let server = Endpoint(.server)
    exchange(client, server)
    _ = client.request()
    exchange(client, server)
    guard let stream = server.streams[1] else { return nil }
    return (client, server, stream)
  }

  /// The frame of a part of a body, as its owner sends it.
  private func part(_ server: Endpoint, _ stream: HTTP2Stream, _ body: [UInt8], end: Bool) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: HTTP2Connection.frameHeaderBytes)
    header.withUnsafeMutableBufferPointer { bytes in
      if let start = bytes.baseAddress {
        server.connection.dataHeader(stream, body.count, endStream: end, into: start)
      }
    }
    return header + body
  }

  @Test("the peer sees a body, and the stream ends")
  func body() throws {
    let (client, server, stream) = try #require(pair())
    server.respond(stream, 200)
    let first = server.output()
    let frames =
      part(server, stream, Array("one ".utf8), end: false) + part(server, stream, Array("two".utf8), end: true)
    let seen = client.feed(first + frames)
    #expect(
      seen == [
        .head(1, .response, ["200"], end: false), .data(1, "one ", end: false), .data(1, "two", end: true),
      ])
    #expect(server.openStreams == 0)
    #expect(client.openStreams == 0)
  }

  @Test("what is sent counts against both windows, and a stream that waits is told when it may go on")
  func windows() throws {
    var limits = HTTP2Limits()
    limits.streamWindowBytes = 20_000
    let (client, server, stream) = try #require(pair(limits))
    client.consumes = false
    server.respond(stream, 200)
    #expect(server.window(stream) == 20_000)
    client.feed(server.output() + part(server, stream, [UInt8](repeating: 1, count: 16_384), end: false))
    #expect(server.window(stream) == 20_000 - 16_384)
    client.feed(part(server, stream, [UInt8](repeating: 1, count: 3_616), end: false))
    #expect(server.window(stream) == 0)
    server.connection.awaitWindow(stream)
    #expect(!server.hasWritable)
    #expect(!client.isFailed)
    if let opened = client.streams[1] { client.connection.consumed(opened, 20_000) }
    #expect(server.feed(client.output()) == [.writable(1)])
    #expect(server.window(stream) == 20_000)
    #expect(!server.hasWritable)
  }

  @Test("a stream that is over has no window")
  func over() throws {
    let (_, server, stream) = try #require(pair())
    server.respond(stream, 200, end: true)
    #expect(server.window(stream) == 0)
    server.feed(Frame.reset(1))
    #expect(server.window(stream) == 0)
  }
}
