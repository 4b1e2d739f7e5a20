import MeshHTTP
import MeshModel
import Testing

@Suite struct HTTP2FromHTTP1Tests {
  /// Sends a head that lies as text from a client to a server; nil if the client refused it.
  private func send(_ text: String, asProtocol: Bool = false, extendedConnect: Bool = false) -> [Seen]? {
    let client = Endpoint(.client)
    let server = Endpoint(.server)
    exchange(client, server)
    guard let stream = client.connection.openRequest() else { return nil }
    var bytes = Array(text.utf8)
    let count = bytes.count
    bytes += [UInt8](repeating: 0, count: 8)
    guard client.connection.beginRequest(stream, http1: bytes, count, scheme: "https", asProtocol: asProtocol) else {
      return nil
    }
    client.connection.endHead(stream, endStream: !asProtocol)
    return exchange(client, server).server
  }

  @Test func aHeadAsTextArrivesAsTheSameHead() {
    let seen = send(
      "POST /a/b?c=d HTTP/1.1\r\nhost: shop:8080\r\nX-Mixed: One, two \r\naccept: */*\r\ncontent-length: 0\r\n\r\n")
    #expect(
      seen == [
        .head(
          1, .request, ["POST /a/b?c=d @shop:8080", "x-mixed: One, two", "accept: */*", "content-length: 0"], end: true)
      ])
  }

  @Test func whatBelongsToOneHopOfHTTP1StaysBehind() {
    let seen = send(
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\ntransfer-encoding: chunked\r\n"
        + "keep-alive: 5\r\nte: trailers\r\nte: gzip\r\nproxy-connection: close\r\nb: 1\r\n\r\n")
    #expect(seen == [.head(1, .request, ["GET / @a", "te: trailers", "b: 1"], end: true)])
  }

  @Test func aSwitchOfProtocolsBecomesAnExtendedConnect() {
    let seen = send(
      "GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
      asProtocol: true)
    #expect(seen == [.head(1, .request, ["CONNECT /chat @a", "sec-websocket-version: 13"], end: false)])
  }

  @Test(arguments: ["", "GET", "GET / HTTP/1.1", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhos\r\n\r\n"])
  func textThatIsNoHeadIsRefusedWithoutATrace(_ text: String) {
    #expect(send(text) == nil)
  }

  @Test func trailersAreReadUpToTheirEmptyLine() {
    let client = Endpoint(.client)
    let server = Endpoint(.server)
    exchange(client, server)
    let stream = client.request("POST", end: false)
    guard let stream else { return #expect(Bool(false)) }
    let lines = Array("checksum: 12\r\nx:\r\n\r\nnot: this\r\n        ".utf8)
    guard client.connection.beginHead(stream) else { return #expect(Bool(false)) }
    client.connection.fieldLines(lines, from: 0, lines.count - 8)
    client.connection.endHead(stream, endStream: true)
    let seen = exchange(client, server).server
    #expect(seen.last == .head(1, .trailers, ["checksum: 12", "x: "], end: true))
  }

  @Test func aFieldIsFoundByItsName() {
    let text = "GET / HTTP/1.1\r\nhost: a\r\nSec-WebSocket-Key: abc\r\n\r\n"
    let bytes = Array(text.utf8) + [UInt8](repeating: 0, count: 8)
    let found = HTTP1Text.value(of: "sec-websocket-key", bytes, text.utf8.count)
    #expect(found.map { String(decoding: bytes[$0], as: UTF8.self) } == "abc")
    #expect(HTTP1Text.value(of: "absent", bytes, text.utf8.count) == nil)
  }

  @Test func thePrefaceIsToldFromRequestsAtItsFirstDifference() {
    let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    for count in 1..<14 { #expect(HTTP2Connection.beginsWithPreface(preface, count) == .maybe) }
    #expect(HTTP2Connection.beginsWithPreface(preface, 14) == .yes)
    for text in ["PUT / HTTP/1.1", "PRI / HTTP/1.1", "PRI * HTTP/1.1"] {
      #expect(HTTP2Connection.beginsWithPreface(Array(text.utf8), text.utf8.count) == .no)
    }
  }
}
