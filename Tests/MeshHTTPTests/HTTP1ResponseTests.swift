import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/1 response heads")
struct HTTP1ResponseTests {
  @Test(
    "garbage is refused",
    arguments: [
      ("HTTP/1.1 20 OK\r\n\r\n", HTTP1Error.badStatusLine), ("HTTP/1.1 2000 OK\r\n\r\n", .badStatusLine),
      ("HTTP/1.1 099 OK\r\n\r\n", .badStatusLine), ("HTTP/1.1  200 OK\r\n\r\n", .badStatusLine),
      ("HTTP/2.0 200 OK\r\n\r\n", .badStatusLine), ("HTTP/1.2 200 OK\r\n\r\n", .badStatusLine),
      ("HTTP/1.1 200 a\u{0}b\r\n\r\n", .badStatusLine), ("HTTP/1.1 200 OK\n\r\n\r\n", .badStatusLine),
      ("HTTP/1.1\r\n", .badStatusLine), ("<html>", .badStatusLine), ("ICY 200 OK\r\n\r\n", .badStatusLine),
      ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", .repeatedContentLength),
      ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", .badContentLength),
      ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", .lengthAndChunked),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", .badTransferEncoding),
      ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingOnHTTP10),
      ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", .spaceBeforeColon), ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", .lineFolding),
    ])
  func refuses(_ input: String, _ error: HTTP1Error) {
    #expect(response(input).result == .failure(error))
  }

  @Test("a status line may leave out its phrase, with or without the space")
  func phrases() {
    #expect(response("HTTP/1.1 204\r\n\r\n").status == 204)
    #expect(response("HTTP/1.1 204 \r\n\r\n").status == 204)
    #expect(response("HTTP/1.1 404 Not Found at all\r\n\r\n").status == 404)
  }

  @Test("the framing depends on status and method")
  func framing() {
    let length = "Content-Length: 7\r\n\r\n"
    #expect(response("HTTP/1.1 200 OK\r\n" + length).framing == .length(7))
    #expect(response("HTTP/1.1 200 OK\r\n" + length, to: .head).framing == .none)
    #expect(response("HTTP/1.1 204 OK\r\n" + length).framing == .none)
    #expect(response("HTTP/1.1 304 OK\r\n" + length).framing == .none)
    #expect(response("HTTP/1.1 100 Continue\r\n\r\n").framing == .none)
    #expect(response("HTTP/1.1 101 Switching\r\n\r\n").framing == .tunnel)
    #expect(response("HTTP/1.1 200 OK\r\n\r\n", to: .connect).framing == .tunnel)
    #expect(response("HTTP/1.1 403 No\r\n" + length, to: .connect).framing == .length(7))
    #expect(response("HTTP/1.1 200 OK\r\n\r\n").framing == .untilClose)
    #expect(response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").framing == .none)
    #expect(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").framing == .chunked)
  }

  @Test("of final answers a 2xx would pass for the acceptance of a protocol, and 101 alone is one")
  func looks() {
    for (status, looks) in [
      (100, false), (101, false), (103, false), (200, true), (204, true), (299, true), (300, false), (404, false),
      (500, false),
    ] {
      #expect(response("HTTP/1.1 \(status) x\r\n\r\n").onlyLooksAccepted == looks, "\(status)")
    }
  }

  @Test("keep-alive is read, fields of the hop are flagged")
  func connection() {
    let parsed = response("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nServer: x\r\n\r\n")
    #expect(parsed.keepAlive)
    #expect(parsed.hopByHop == ["Connection", "Keep-Alive"])
    #expect(!response("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").keepAlive)
  }
}
