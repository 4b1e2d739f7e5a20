import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/1 request heads")
struct HTTP1RequestTests {
  /// A request that must be refused, and why.
  struct Refused: CustomTestStringConvertible, Sendable {
    let input: String
    let error: HTTP1Error
    let status: UInt16
    var testDescription: String { "\(error) \(input.debugDescription.prefix(60))" }

    init(_ input: String, _ error: HTTP1Error, _ status: UInt16 = 400) {
      self.input = input
      self.error = error
      self.status = status
    }

    /// A POST with these lines behind Host.
    static func post(_ lines: String, _ error: HTTP1Error, _ status: UInt16 = 400) -> Refused {
      Refused("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n", error, status)
    }

    /// A GET of this target.
    static func get(_ target: String, _ error: HTTP1Error, _ status: UInt16 = 400) -> Refused {
      Refused("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n", error, status)
    }
  }

  static let framing: [Refused] = [
    .post("Content-Length: 5\r\nTransfer-Encoding: chunked", .lengthAndChunked),
    .post("Transfer-Encoding: chunked\r\nContent-Length: 0", .lengthAndChunked),
    .post("Content-Length: 5\r\nContent-Length: 6", .repeatedContentLength),
    .post("Content-Length: 5\r\ncontent-length: 5", .repeatedContentLength),
    .post("Content-Length: 5, 5", .badContentLength),
    .post("Content-Length: +5", .badContentLength),
    .post("Content-Length: -5", .badContentLength),
    .post("Content-Length: 0x5", .badContentLength),
    .post("Content-Length: 5_0", .badContentLength),
    .post("Content-Length: 5 0", .badContentLength),
    .post("Content-Length:", .badContentLength),
    .post("Content-Length: 9223372036854775808", .badContentLength),
    .post("Content-Length: 99999999999999999999", .badContentLength),
    .post("Content-Length: 18446744073709551621", .badContentLength),
    .post("Transfer-Encoding: xchunked", .badTransferEncoding),
    .post("Transfer-Encoding: ,chunked", .badTransferEncoding),
    .post("Transfer-Encoding: chunked,", .badTransferEncoding),
    .post("Transfer-Encoding: chunked, chunked", .badTransferEncoding),
    .post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .badTransferEncoding),
    .post("Transfer-Encoding: \"chunked\"", .badTransferEncoding),
    .post("Transfer-Encoding: identity", .badTransferEncoding),
    .post("Transfer-Encoding:", .badTransferEncoding),
    .post("Transfer-Encoding: gzip", .unsupportedTransferCoding, 501),
    .post("Transfer-Encoding: gzip, chunked", .badTransferEncoding),
    .post("Transfer-Encoding: chunked\u{b}", .badFieldValue),
    Refused("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingOnHTTP10),
    .post("Expect: 200-ok", .unsupportedExpectation, 417),
    .post("Connection: content-length\r\nContent-Length: 3", .badConnection),
    .post("Connection: close, Host", .badConnection),
    Refused("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\n", .bodyOnConnect),
  ]

  static let shape: [Refused] = [
    .post("Name : x", .spaceBeforeColon),
    .post("Name\t: x", .spaceBeforeColon),
    .post(" folded", .lineFolding),
    .post("\tfolded: x", .lineFolding),
    .post("X: a\r\n b", .lineFolding),
    .post(": empty", .badFieldName),
    .post("nocolon", .noColon),
    .post("na(me: x", .badFieldName),
    .post("na\u{0}me: x", .badFieldName),
    .post("X: a\u{0}b", .badFieldValue),
    .post("X: a\u{1}b", .badFieldValue),
    .post("X: a\u{7f}b", .badFieldValue),
    .post("X: a\nY: b", .badLineEnd),
    .post("X: a\rY: b", .badLineEnd),
    .post("X: a\r\r\nY: b", .badLineEnd),
    Refused("GET / HTTP/1.1\nHost: a\n\n", .badLineEnd),
    Refused("GET / HTTP/1.1\r\nHost: a\r\n\rX\n", .badLineEnd),
    Refused("GET / HTTP/1.1\r\nHost: a\r\n\n", .badLineEnd),
    Refused("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
    Refused("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", .badVersion),
    Refused("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
    Refused(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
    Refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
    Refused("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
    Refused("GET /\r\n\r\n", .badTarget),
    Refused("GET / \r\nHost: a\r\n\r\n", .badVersion),
    Refused("GET / HTTP\r\nHost: a\r\n\r\n", .badVersion),
    Refused("GET / http/1.1\r\nHost: a\r\n\r\n", .badVersion),
    Refused("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", .badLineEnd),
    Refused("GET / HTTP/1.2\r\nHost: a\r\n\r\n", .unsupportedVersion, 505),
    Refused("GET / HTTP/3.0\r\nHost: a\r\n\r\n", .unsupportedVersion, 505),
    Refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .http2Preface, 505),
    Refused("PRI * HTTP/1.1\r\nHost: a\r\n\r\n", .badTargetForm),
    Refused("\u{16}\u{3}\u{1}", .badMethod),
  ]

  static let hosts: [Refused] = [
    Refused("GET / HTTP/1.1\r\n\r\n", .missingHost),
    Refused("GET / HTTP/1.1\r\nHost:\r\n\r\n", .missingHost),
    Refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .repeatedHost),
    Refused("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", .repeatedHost),
    Refused("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", .badAuthority),
    Refused("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .badAuthority),
    Refused("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", .badAuthority),
    Refused("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", .badAuthority),
    Refused("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", .authorityMismatch),
    Refused("GET http://a:8080/ HTTP/1.1\r\nHost: a\r\n\r\n", .authorityMismatch),
    Refused("GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", .authorityMismatch),
    Refused("GET http://a:8080/ HTTP/1.1\r\nHost: a:\r\n\r\n", .authorityMismatch),
    Refused("GET http://a:/ HTTP/1.1\r\nHost: a::\r\n\r\n", .authorityMismatch),
    Refused("CONNECT a: HTTP/1.1\r\nHost: a:\r\n\r\n", .badTargetForm),
    Refused("GET http://a/ HTTP/1.1\r\n\r\n", .missingHost),
    Refused("CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", .authorityMismatch),
    Refused("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", .badTargetForm),
    Refused("CONNECT a:123456 HTTP/1.1\r\nHost: a\r\n\r\n", .badTargetForm),
    Refused("CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", .badTargetForm),
    Refused("GET * HTTP/1.1\r\nHost: a\r\n\r\n", .badTargetForm),
    Refused("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .badTargetForm),
    Refused("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", .badAuthority),
    Refused("GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", .badTargetForm),
  ]

  static let targets: [Refused] = [
    .get("/a#b", .badTarget),
    .get("/a\u{7f}", .badTarget),
    .get("/ä", .badTarget),
    .get("/a?x#y", .badTarget),
    .get("/%zz", .badEscape),
    .get("/%2", .badEscape),
    .get("/%", .badEscape),
    .get("/a%00", .escapedNul),
    .get("/a/..;/b", .dotSegmentParameter),
    .get("/a/..;x=y", .dotSegmentParameter),
    .get("/a/.;/b", .dotSegmentParameter),
    .get("/a/%2e%2E;/b", .dotSegmentParameter),
    .get("/a/..%3b/b", .dotSegmentParameter),
    .get("/" + String(repeating: "a", count: 17000), .targetTooLong, 414),
  ]

  @Test("is refused with its own reason and status", arguments: framing + shape + hosts + targets)
  func refuses(_ row: Refused) {
    #expect(request(row.input).result == .failure(row.error))
    #expect(row.error.status == row.status)
  }

  @Test("a plain request comes out whole")
  func plain() {
    let parsed = request("GET /a/b?c=d HTTP/1.1\r\nHost: Shop.Example:80\r\nX-One:  two \t\r\nEmpty:\r\n\r\nrest")
    #expect(parsed.result == .complete(length: 71))
    #expect(parsed.method == "GET")
    #expect(parsed.path == "/a/b")
    #expect(parsed.query == "c=d")
    #expect(parsed.target == "/a/b?c=d")
    #expect(parsed.authority == "shop.example:80")
    #expect(parsed.fields == ["Host=Shop.Example:80", "X-One=two", "Empty="])
    #expect(parsed.framing == .none)
    #expect(parsed.keepAlive)
  }

  @Test("values may have tabs and bytes above 0x7F, one empty line may come first")
  func lenient() {
    let parsed = request("\r\nGET / HTTP/1.1\r\nHost: a\r\nX: a\tb é\r\n\r\n")
    #expect(parsed.fields == ["Host=a", "X=a\tb é"])
    #expect(parsed.method == "GET")
  }

  @Test(
    "a path is made canonical",
    arguments: [
      ("/", "/"), ("/a/b", "/a/b"), ("/a//b", "/a/b"), ("//", "/"), ("///a", "/a"), ("/a/./b", "/a/b"),
      ("/a/../b", "/b"),
      ("/a/b/..", "/a/"), ("/a/b/.", "/a/b/"), ("/..", "/"), ("/../../x", "/x"), ("/a/%2e%2e/b", "/b"),
      ("/a/%2E/b", "/a/b"), ("/a/.%2e/b", "/b"), ("/%61%7e%2d", "/a~-"), ("/a%20b", "/a%20b"), ("/a%c3%a4", "/a%C3%A4"),
      ("\\a\\..\\b", "/b"), ("/a\\b", "/a/b"), ("/.well-known/x", "/.well-known/x"), ("/...", "/..."),
      ("/a/...", "/a/..."),
      ("/%252e%252e/x", "/%252e%252e/x"), ("/a;x=1/b", "/a;x=1/b"), ("/a..;/b", "/a..;/b"), ("/a/..//../b", "/b"),
      ("/a/b/../../..", "/"), ("/a|b{c}", "/a|b{c}"), ("/a/..a/b", "/a/..a/b"),
    ])
  func canonical(_ target: String, _ path: String) {
    let parsed = request("GET \(target)?q=/../%2f//x HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(parsed.path == path)
    #expect(parsed.query == "q=/../%2f//x")
    #expect(parsed.target == "\(target)?q=/../%2f//x")
    // What has been made canonical stays as it is.
    #expect(request("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n").path == path)
  }

  @Test(
    "escaped slashes stay, as part of their segment, and are found",
    arguments: [
      ("/a/..%2fb%5c", "/a/..%2Fb%5C", true), ("/%2F", "/%2F", true), ("/a%5C", "/a%5C", true),
      ("/@a%2fb", "/@a%2Fb", true),
      ("/", "/", false), ("/a%20b", "/a%20b", false), ("/%252F", "/%252F", false), ("/a/2F", "/a/2F", false),
    ])
  func keepsEscapedSlashes(_ target: String, _ path: String, _ found: Bool) {
    #expect(request("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n").path == path)
    #expect(Array(path.utf8).withUnsafeBufferPointer { PathNormalizer.holdsEscapedSlash($0) } == found)
  }

  @Test("the four forms of a target give one authority and one path")
  func forms() {
    let absolute = request("GET http://Shop:80/a/../b?c HTTP/1.1\r\nHost: shop\r\n\r\n")
    #expect(absolute.form == .absolute)
    #expect(absolute.authority == "shop:80")
    #expect(absolute.path == "/b")
    #expect(absolute.query == "c")
    #expect(request("GET https://[::1]:443 HTTP/1.1\r\nHost: [::1]\r\n\r\n").path == "/")
    #expect(request("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n").query == "x")
    #expect(request("GET http://a:/x HTTP/1.1\r\nHost: a\r\n\r\n").path == "/x")
    #expect(request("GET http://a:80/x HTTP/1.1\r\nHost: a:\r\n\r\n").path == "/x")
    #expect(request("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").path == "*")
    #expect(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").form == .asterisk)
    let connect = request("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(connect.form == .authority)
    #expect(connect.authority == "a:443")
    #expect(request("CONNECT a:443 HTTP/1.0\r\n\r\n").authority == "a:443")
    #expect(request("GET / HTTP/1.0\r\n\r\n").authority == "")
  }

  @Test("the connection persists as the version and Connection say")
  func persistence() {
    func keepAlive(_ version: String, _ connection: String) -> Bool {
      request("GET / HTTP/1.\(version)\r\nHost: a\r\n\(connection)\r\n").keepAlive
    }
    #expect(keepAlive("1", ""))
    #expect(!keepAlive("0", ""))
    #expect(keepAlive("0", "Connection: Keep-Alive\r\n"))
    #expect(!keepAlive("1", "Connection: x, CLOSE\r\n"))
    #expect(!keepAlive("1", "Connection: keep-alive, close\r\n"))
  }

  @Test("fields of this hop are flagged, and those that Connection names, wherever they stand")
  func hopByHop() {
    let parsed = request(
      "GET / HTTP/1.1\r\nX-Forwarded-Client-Cert: forged\r\nHost: a\r\nConnection: Upgrade, x-forwarded-client-cert, X-b\r\n"
        + "Upgrade: websocket\r\nTE: trailers\r\nKeep-Alive: 5\r\nx-B: 1\r\nX-B: 2\r\nX-C: 3\r\nTrailer: x\r\n\r\n")
    #expect(
      parsed.hopByHop == ["X-Forwarded-Client-Cert", "Connection", "Upgrade", "TE", "Keep-Alive", "x-B", "X-B"])
    #expect(parsed.upgrade == "websocket")
    #expect(request("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n").upgrade == "")
    let many = String(repeating: "x,", count: 40)
    #expect(request("GET / HTTP/1.1\r\nHost: a\r\nConnection: \(many)\r\n\r\n").result == .failure(.badConnection))
  }

  @Test("framing and expectation are read")
  func bodies() {
    func framing(_ lines: String) -> BodyFraming { request("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n").framing }
    #expect(framing("Content-Length: 5") == .length(5))
    #expect(framing("Content-Length: 0005") == .length(5))
    #expect(framing("Content-Length: 0") == .none)
    #expect(framing("Content-Length: 9223372036854775807") == .length(9_223_372_036_854_775_807))
    #expect(framing("Transfer-Encoding: Chunked") == .chunked)
    #expect(request("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n").expectContinue)
    #expect(!request("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").expectContinue)
    let old = request("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    #expect(!old.expectContinue)
    #expect(old.hopByHop == ["Expect"])
  }

  @Test("a head at the limit passes, one byte more or one field more does not")
  func limits() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 100))\r\n\r\n"
    #expect(request(head, limits: HTTP1Limits(maxHeadBytes: head.utf8.count)).fields.count == 2)
    #expect(request(head, limits: HTTP1Limits(maxHeadBytes: head.utf8.count - 1)).result == .failure(.headTooLarge))
    let fields = String(repeating: "a: b\r\n", count: 99)
    #expect(request("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").fields.count == 100)
    #expect(request("GET / HTTP/1.1\r\nHost: a\r\na: b\r\n\(fields)\r\n").result == .failure(.tooManyFields))
    #expect(HTTP1Error.headTooLarge.status == 431)
    #expect(HTTP1Error.tooManyFields.status == 431)
    let endless = "GET / HTTP/1.1\r\n" + String(repeating: "x", count: 62000)
    #expect(request(endless).result == .failure(.headTooLarge))
    #expect(request("GET /" + String(repeating: "x", count: 62000)).result == .failure(.targetTooLong))
  }

  @Test("every interned name is found in either case, and nothing near it")
  func interning() {
    for known in KnownHeader.allCases where known != .other {
      let name = Array(known.name.description.utf8)
      #expect(KnownHeader.lookup(name, name.count) == known)
      let upper = Array(known.name.description.uppercased().utf8)
      #expect(KnownHeader.lookup(upper, upper.count) == known)
      for index in name.indices {
        var near = name
        near[index] = 0x7A
        if near != name { #expect(KnownHeader.lookup(near, near.count) == .other) }
      }
      #expect(KnownHeader.lookup(name, name.count - 1) == .other)
    }
    for method in Method.allCases where method != .other {
      let name = Array("\(method)".uppercased().utf8)
      #expect(Method.lookup(name, name.count) == method)
    }
    let lower = Array("get".utf8)
    #expect(Method.lookup(lower, 3) == .other)
  }

  @Test("the names that frame a message come first, as the parser relies on")
  func order() {
    let framing: [KnownHeader] = [
      .host, .contentLength, .transferEncoding, .connection, .keepAlive, .proxyConnection, .te, .trailer, .upgrade,
      .expect,
      .proxyAuthenticate, .proxyAuthorization, .http2Settings,
    ]
    for known in KnownHeader.allCases {
      #expect((known.rawValue >= 1 && known.rawValue <= KnownHeader.http2Settings.rawValue) == framing.contains(known))
    }
  }
}
