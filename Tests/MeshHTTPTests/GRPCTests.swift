import MeshHTTP
import Testing

@Suite("gRPC")
struct GRPCTests {
  static func message(_ text: String, flag: UInt8 = 0) -> [UInt8] {
    [flag, 0, 0, UInt8(text.utf8.count >> 8), UInt8(text.utf8.count & 255)] + Array(text.utf8)
  }

  /// Feeds a body in pieces and returns its messages.
  static func read(_ body: [UInt8], piece: Int, limit: Int = 1000) throws -> (texts: [String], whole: Bool) {
    var reader = GRPCMessageReader(limitBytes: limit)
    var texts: [String] = []
    for start in stride(from: 0, to: body.count, by: piece) {
      let bytes = Array(body[start..<min(body.count, start + piece)])
      reader.append(bytes, bytes.count)
      while let message = try reader.next() {
        texts.append((message.compressed ? "z:" : "") + String(decoding: message.bytes, as: UTF8.self))
      }
    }
    return (texts, reader.isEmpty)
  }

  @Test("messages come out whole, however the body is cut", arguments: [1, 2, 3, 5, 7, 100, 4000])
  func messages(piece: Int) throws {
    let long = String(repeating: "x", count: 900)
    let body = Self.message("one") + Self.message("") + Self.message("three", flag: 1) + Self.message(long)
    let read = try Self.read(body, piece: piece)
    #expect(read.texts == ["one", "", "z:three", long])
    #expect(read.whole)
    #expect(try !Self.read(Array(body.dropLast()), piece: piece).whole)
    var scanner = GRPCMessageScanner()
    for start in stride(from: 0, to: body.count, by: piece) {
      let bytes = Array(body[start..<min(body.count, start + piece)])
      #expect(scanner.scan(bytes, bytes.count) == nil)
    }
    #expect(scanner.messages == 4)
    #expect(scanner.mayEndHere)
  }

  @Test("a message of 2^32 - 1 bytes is RESOURCE_EXHAUSTED before a byte of it is kept")
  func limits() {
    let huge: [UInt8] = [0, 255, 255, 255, 255, 1]
    #expect(throws: GRPCFramingError.messageTooLarge) { try Self.read(huge, piece: 2) }
    #expect(throws: GRPCFramingError.badFlag) { try Self.read([2], piece: 1) }
    #expect(GRPCFramingError.messageTooLarge.status == .resourceExhausted)
    var scanner = GRPCMessageScanner()
    #expect(scanner.scan(huge, huge.count) == .messageTooLarge)
    var other = GRPCMessageScanner()
    #expect(other.scan([7], 1) == .badFlag)
  }

  @Test(
    "timeouts are read",
    arguments: [
      ("1H", Duration.seconds(3600)), ("2M", .seconds(120)), ("3S", .seconds(3)),
      ("99999999m", .milliseconds(99_999_999)),
      ("5u", .microseconds(5)), ("6n", .nanoseconds(6)), ("0S", .zero), ("", nil), ("S", nil), ("5", nil), ("5s", nil),
      ("-5S", nil), ("+5S", nil), ("100000000S", nil), ("5 S", nil), ("1.5S", nil), ("\u{ff}S", nil),
    ])
  func timeouts(_ text: String, _ expected: Duration?) {
    let bytes = Array(text.utf8)
    #expect(GRPCTimeout.parse(bytes + [0], bytes.count) == expected)
  }

  private func written(_ body: (inout HTTP1Writer) -> Void) -> String {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    defer { room.deallocate() }
    var writer = HTTP1Writer(room, capacity: 256)
    body(&writer)
    return String(decoding: UnsafeBufferPointer(start: room, count: writer.count), as: UTF8.self)
  }

  @Test(
    "timeouts are written with at most eight digits and never shorter than they are",
    arguments: [
      Duration.zero, .nanoseconds(1), .nanoseconds(99_999_999), .milliseconds(100), .microseconds(100_001), .seconds(1),
      .milliseconds(98_999), .seconds(99), .seconds(100_000), .seconds(100_000_000), .seconds(9_000_000_000),
      .seconds(3600 * 90_000_000), .nanoseconds(1_500_000_001),
    ])
  func timeoutWriting(_ time: Duration) throws {
    let text = written { GRPCTimeout.write(time, &$0) }
    #expect(text.count <= 9)
    let bytes = Array(text.utf8)
    let back = try #require(GRPCTimeout.parse(bytes, bytes.count))
    #expect(back >= time)
    #expect(back <= time + time / 10_000 + .seconds(time > .seconds(100_000_000) ? 3600 : 0))
  }

  @Test("messages of statuses survive their encoding")
  func text() {
    for text in ["all well", "50% off", "zeile\r\nzwei", "schön \u{1F426}", ""] {
      let encoded = written { writer in
        var text = text
        text.withUTF8 { GRPCMessageText.write($0, &writer) }
      }
      #expect(encoded.utf8.allSatisfy { $0 >= 0x20 && $0 <= 0x7E })
      var back = encoded
      #expect(back.withUTF8 { GRPCMessageText.decode($0) } == text)
    }
    var odd = "100% %zz %4"
    #expect(odd.withUTF8 { GRPCMessageText.decode($0) } == "100% %zz %4")
  }

  @Test("statuses are read from headers, from HTTP and from resets")
  func statuses() {
    #expect(GRPCStatus(value: Array("16".utf8), 2) == .unauthenticated)
    #expect(GRPCStatus(value: Array("0".utf8), 1) == .ok)
    for bad in ["17", "x", "", "-1", "014"] {
      #expect(GRPCStatus(value: Array(bad.utf8) + [0], bad.utf8.count) == .unknown)
    }
    let http: [(UInt16, GRPCStatus)] = [
      (400, .internal), (401, .unauthenticated), (403, .permissionDenied), (404, .unimplemented), (429, .unavailable),
      (502, .unavailable), (503, .unavailable), (504, .unavailable), (500, .unknown), (200, .unknown),
    ]
    for (status, expected) in http { #expect(GRPCStatus(httpStatus: status) == expected) }
    #expect(GRPCStatus(reset: .refusedStream) == .unavailable)
    #expect(GRPCStatus(reset: .cancel) == .cancelled)
    #expect(GRPCStatus(reset: .enhanceYourCalm) == .resourceExhausted)
    #expect(GRPCStatus(reset: HTTP2ErrorCode(rawValue: 99)) == .unknown)
    #expect(GRPCStatus.forMeshAnswer(httpStatus: 504) == .deadlineExceeded)
    #expect(GRPCStatus.forMeshAnswer(httpStatus: 429) == .resourceExhausted)
    #expect(GRPCStatus.allCases.map(\.rawValue) == Array(0...16))
  }
}
