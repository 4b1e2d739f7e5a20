import Foundation
import MeshModel
import MeshTelemetry
import Testing

@Suite struct AccessLogTests {
  /// Writes a record whose texts are `bytes`; nil where it did not fit.
  private func line(
    _ format: AccessLogFormat, path: [UInt8], userAgent: [UInt8] = [], capacity: Int = AccessRecord.maxLineBytes,
    _ change: (inout AccessRecord) -> Void = { _ in }
  ) -> [UInt8] {
    path.withUnsafeBufferPointer { path in
      userAgent.withUnsafeBufferPointer { userAgent in
        let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: capacity)
        defer { buffer.deallocate() }
        var record = AccessRecord()
        record.path = path
        record.userAgent = userAgent
        change(&record)
        var writer = FixedWriter(buffer)
        record.write(format, into: &writer)
        return Array(writer.written)
      }
    }
  }

  private func example(_ record: inout AccessRecord) {
    record.startMilliseconds = 1_700_000_000_123
    record.httpVersion = "HTTP/1.1"
    record.status = 503
    record.flag = .noHealthyUpstream
    record.reason = .noHealthyEndpoint
    record.requestBytes = 7
    record.responseBytes = 1_024
    record.durationNanoseconds = 12_345_678
    record.upstreamNanoseconds = 2_000_999
    record.attempts = 2
  }

  @Test func textLinesHaveEnvoysFieldsInItsOrder() {
    let bytes = line(.text, path: Array("/a?b".utf8), userAgent: Array("curl".utf8), example)
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(
      text == """
        [2023-11-14T22:13:20.123Z] "- /a?b HTTP/1.1" 503 UH 7 1024 12 2 "-" "curl" "-" "-" "-" "-" "-" "-" \
        no_healthy_endpoint "-" "-"

        """)
  }

  @Test func jsonLinesAreObjectsWithEveryField() throws {
    let bytes = line(.json, path: Array("/a?b".utf8), userAgent: Array("curl".utf8), example)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    #expect(object["start_time"] as? String == "2023-11-14T22:13:20.123Z")
    #expect(object["path"] as? String == "/a?b")
    #expect(object["response_code"] as? Int == 503)
    #expect(object["response_flags"] as? String == "UH")
    #expect(object["error_reason"] as? String == "no_healthy_endpoint")
    #expect(object["duration_ms"] as? Double == 12.345)
    #expect(object["upstream_service_time_ms"] as? Double == 2.0)
    #expect(object["attempts"] as? Int == 2)
    #expect(object["grpc_status"] is NSNull && object["method"] is NSNull)
    #expect(object.count == 24)
  }

  /// Lines are written without looking at the end of their memory: the room that is asked for before must do.
  @Test func noLineIsLongerThanItIsSaidToBe() throws {
    let texts: [[UInt8]] = [
      [], [1], Array(repeating: 1, count: 7), Array(repeating: 0xFF, count: 2_048),
      Array(repeating: 0x41, count: 4_000),
      Array(repeating: 0, count: 2_049), Array("plain/and\"quoted\\".utf8),
    ]
    for bytes in texts {
      try bytes.withUnsafeBufferPointer { text in
        var record = AccessRecord()
        example(&record)
        (record.method, record.path, record.forwardedFor, record.userAgent) = (text, text, text, text)
        (record.requestID, record.authority, record.upstreamHost, record.upstreamService) = (text, text, text, text)
        (record.downstreamAddress, record.sourcePrincipal, record.destinationPrincipal) = (text, text, text)
        record.route = text
        (record.status, record.grpcStatus, record.attempts) = (.max, .max, .max)
        (record.requestBytes, record.responseBytes) = (.max, .max)
        (record.durationNanoseconds, record.upstreamNanoseconds) = (.max, .max)
        record.startMilliseconds = .max
        record.mark = TraceMark(high: .max, low: .max, parent: .max, flags: .sampled)
        let place = UnsafeMutablePointer<UInt8>.allocate(capacity: record.longestJSON)
        defer { place.deallocate() }
        var clock = LineClock()
        let count = record.writeJSON(to: place, &clock)
        #expect(count + 16 <= record.longestJSON)
        let line = Data(UnsafeBufferPointer(start: place, count: count))
        let object = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
        #expect(object["start_time"] as? String == "9999-12-31T23:59:59.999Z")
        #expect((object["bytes_sent"] as? NSNumber)?.uint64Value == .max)
        #expect(
          object["traceparent"] as? String
            == "00-\(String(repeating: "f", count: 32))-\(String(repeating: "f", count: 16))-01")
      }
    }
  }

  @Test func theClockOfLinesGoesOnAndBack() {
    var clock = LineClock()
    let place = UnsafeMutablePointer<UInt8>.allocate(capacity: 2_048)
    defer { place.deallocate() }
    for (moment, text) in [
      (0, "1970-01-01T00:00:00.000Z"), (999, "1970-01-01T00:00:00.999Z"), (1_000, "1970-01-01T00:00:01.000Z"),
      (-1, "1969-12-31T23:59:59.999Z"), (951_782_400_007, "2000-02-29T00:00:00.007Z"),
    ] {
      var record = AccessRecord()
      record.startMilliseconds = Int64(moment)
      let count = record.writeJSON(to: place, &clock)
      let line = String(decoding: UnsafeBufferPointer(start: place, count: count), as: UTF8.self)
      #expect(line.hasPrefix("{\"start_time\":\"\(text)\","))
    }
  }

  @Test func numbersAreWrittenAsTheyAre() {
    let place = UnsafeMutablePointer<UInt8>.allocate(capacity: 2_048)
    defer { place.deallocate() }
    var clock = LineClock()
    var numbers: [UInt64] = [0, 9, 10, 99, 100, 999, 1_000, 9_999, 10_000, .max, .max / 10]
    numbers += (0..<64).map { UInt64(1) << $0 }
    for number in numbers {
      var record = AccessRecord()
      record.requestBytes = number
      let count = record.writeJSON(to: place, &clock)
      let line = String(decoding: UnsafeBufferPointer(start: place, count: count), as: UTF8.self)
      #expect(line.contains("\"bytes_received\":\(number),"))
    }
  }

  @Test func whateverBytesComeTheLineIsOneLineAndValidJSON() throws {
    var state: UInt64 = 11
    for _ in 0..<400 {
      var bytes: [UInt8] = []
      for _ in 0..<40 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let byte = UInt8(truncatingIfNeeded: state >> 33)
        bytes.append(state >> 60 < 4 ? [10, 13, 34, 92, 0xE2, 0x80, 0xA8, 0xC2, 0x85][Int(byte) % 9] : byte)
      }
      let json = line(.json, path: bytes, userAgent: bytes)
      #expect(json.last == 10 && json.filter { $0 == 10 }.count == 1)
      let text = String(decoding: json, as: UTF8.self)
      #expect(Array(text.utf8) == json, "not UTF-8")
      #expect(text.dropLast().allSatisfy { !$0.isNewline })
      let object = try #require(try JSONSerialization.jsonObject(with: Data(json)) as? [String: Any])
      // What is valid comes through; every other byte is one replacement, line separators are three.
      let path = try #require(object["path"] as? String)
      #expect(path.utf8.count <= 3 * bytes.count)
      let plain = line(.text, path: bytes, userAgent: bytes)
      #expect(plain.filter { $0 == 10 }.count == 1)
      // The quotes are those of the fields alone.
      #expect(plain.filter { $0 == 34 }.count == 2 + 2 * 10)
      #expect(Array(String(decoding: plain, as: UTF8.self).utf8) == plain)
    }
  }

  @Test func validTextComesThroughUnchanged() throws {
    for text in ["grüße", "日本語", "🦅", "a\u{7FF}b\u{FFFF}c\u{10FFFF}"] {
      let object = try JSONSerialization.jsonObject(with: Data(line(.json, path: Array(text.utf8)))) as? [String: Any]
      #expect(object?["path"] as? String == text)
      #expect(String(decoding: line(.text, path: Array(text.utf8)), as: UTF8.self).contains(text))
    }
  }

  @Test func longTextsAreCutAndWhatDoesNotFitIsLeftOut() throws {
    let long = line(.json, path: Array(repeating: 97, count: 5_000))
    let object = try JSONSerialization.jsonObject(with: Data(long)) as? [String: Any]
    #expect(object?["path"] as? String == String(repeating: "a", count: 2_048) + "…")
    #expect(line(.json, path: [97], capacity: 50).isEmpty)
    let worst = line(.json, path: Array(repeating: 1, count: 5_000), userAgent: Array(repeating: 1, count: 5_000))
    #expect(worst.count > 2 * 6 * 2_048 && worst.last == 10)
  }

  @Test func momentsAreThoseOfTheCalendar() {
    let formatter = ISO8601DateFormatter()
    formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
    var moment: Int64 = -5_000_000_000_000
    while moment < 10_000_000_000_000 {
      let text = String(decoding: line(.text, path: []) { $0.startMilliseconds = moment }, as: UTF8.self)
      let expected = formatter.string(from: Foundation.Date(timeIntervalSince1970: Double(moment) / 1_000))
      #expect(text.hasPrefix("[\(expected)]"), "\(moment)")
      moment += 37_123_456_789
    }
    for (moment, text) in [(Int64.max, "9999-12-31T23:59:59.999Z"), (.min, "0000-01-01T00:00:00.000Z")] {
      let written = String(decoding: line(.text, path: []) { $0.startMilliseconds = moment }, as: UTF8.self)
      #expect(written.hasPrefix("[\(text)]"))
    }
  }
}
