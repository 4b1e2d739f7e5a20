import Foundation
import MeshModel
import MeshTelemetry
import Testing

@Suite struct LogTemplateTests {
  private func record(_ change: (inout AccessRecord) -> Void = { _ in }) -> AccessRecord {
    var record = AccessRecord()
    record.startMilliseconds = 1_700_000_000_123
    record.httpVersion = "HTTP/1.1"
    record.status = 503
    record.flag = .noHealthyUpstream
    record.reason = .noHealthyEndpoint
    record.requestBytes = 7
    record.responseBytes = 1_024
    record.durationNanoseconds = 12_345_678
    record.attempts = 2
    record.mark = TraceMark(high: 1, low: 2, parent: 3, flags: .sampled)
    change(&record)
    return record
  }

  private func line(
    _ program: LogProgram, notes: [String] = [], path: [UInt8] = Array("/a".utf8), capacity: Int = 100_000,
    _ change: (inout AccessRecord) -> Void = { _ in }
  ) -> [UInt8] {
    let texts = UnsafeMutableBufferPointer<UnsafeBufferPointer<UInt8>>.allocate(capacity: 48)
    texts.initialize(repeating: UnsafeBufferPointer(start: nil, count: 0))
    var owned: [UnsafeMutableBufferPointer<UInt8>] = []
    for (index, note) in notes.enumerated() {
      let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, note.utf8.count))
      _ = buffer.initialize(from: Array(note.utf8))
      owned.append(buffer)
      texts[index] = UnsafeBufferPointer(rebasing: buffer[..<note.utf8.count])
    }
    let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: capacity)
    defer {
      texts.deallocate()
      room.deallocate()
      for buffer in owned { buffer.deallocate() }
    }
    return path.withUnsafeBufferPointer { path in
      var record = record(change)
      record.path = path
      record.notes = UnsafeBufferPointer(texts)
      var writer = FixedWriter(room)
      record.write(program.view, into: &writer)
      return Array(writer.written)
    }
  }

  private func text(_ template: String, notes: [String] = [], _ change: (inout AccessRecord) -> Void = { _ in }) throws
    -> String
  {
    var wanted = WantedFields()
    let program = LogProgram(text: try LogTemplate(template), wanted: &wanted)
    return String(decoding: line(program, notes: notes, change), as: UTF8.self)
  }

  @Test func operatorsHaveEnvoysMeaning() throws {
    #expect(
      try text("[%START_TIME%] %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION%\n")
        == "[2023-11-14T22:13:20.123Z] HTTP/1.1 503 UH 7 1024 12\n")
    #expect(
      try text("%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% 100%%")
        == "- /a - 100%\n")
    #expect(try text("%RESPONSE_CODE_DETAILS% %ERROR_REASON%") == "no_healthy_endpoint no_healthy_endpoint\n")
    #expect(
      try text("%RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT%") {
        $0.reason = nil
        $0.upstreamNanoseconds = 5
      } == "via_upstream 2\n")
    #expect(try text("%TRACE_ID% %SPAN_ID% %GRPC_STATUS%") == "00000000000000010000000000000002 - -\n")
    #expect(try text("%GRPC_STATUS% %GRPC_STATUS_NUMBER%") { $0.grpcStatus = 14 } == "Unavailable 14\n")
    #expect(try text("%REQ(:PATH):1%") == "/\n")
  }

  @Test func headerFieldsAreKeptByPlaceAndFallBack() throws {
    var wanted = WantedFields()
    let program = LogProgram(
      text: try LogTemplate("%REQ(X-A)% %REQ(X-B?X-A):3% %RESP(X-C)%"), wanted: &wanted)
    #expect(wanted.request == ["x-a", "x-b"] && wanted.response == ["x-c"])
    #expect(String(decoding: line(program, notes: ["longer", ""]), as: UTF8.self) == "longer lon -\n")
    let answer = [String](repeating: "", count: WantedFields.limit) + ["c"]
    #expect(String(decoding: line(program, notes: answer), as: UTF8.self) == "- - c\n")
  }

  @Test func everyOperatorIsWrittenAndRead() throws {
    for value in LogValue.allCases {
      let made = try LogTemplate("%\(value.operatorName)%")
      #expect(made.pieces == [.value([.own(value)], maxBytes: nil)])
      #expect(try text("%\(value.operatorName)%").hasSuffix("\n"))
    }
  }

  @Test(arguments: [
    ("%", "without its end"), ("a %DURATION", "without its end"), ("%NOPE%", "no operator"), ("%REQ()%", "names no"),
    ("%REQ(a b)%", "names no"), ("%REQ(X):0%", "length"), ("%REQ(X):9999%", "length"), ("%REQ(X):y%", "length"),
    ("%START_TIME(%s)%", "no operator"),
  ])
  func whatIsNotUnderstoodIsSaid(template: String, words: String) throws {
    let fault = #expect(throws: LogTemplate.Fault.self) { try LogTemplate(template) }
    #expect(fault?.message.contains(words) == true, "\(String(describing: fault))")
  }

  @Test func longAndManyAreRefused() {
    #expect(throws: LogTemplate.Fault.self) { try LogTemplate(String(repeating: "a", count: 5_000)) }
    #expect(throws: LogTemplate.Fault.self) { try LogTemplate(String(repeating: "%DURATION% ", count: 100)) }
  }

  @Test func jsonHasTypesAndNulls() throws {
    var wanted = WantedFields()
    let program = LogProgram(
      json: [
        ("code", try LogTemplate("%RESPONSE_CODE%")), ("time", try LogTemplate("%RESPONSE_DURATION%")),
        ("both", try LogTemplate("%RESPONSE_CODE%/%BYTES_SENT%")), ("user", try LogTemplate("%REQ(X-USER)%")),
        ("fix", try LogTemplate("a\"b")), ("quo\"te", try LogTemplate("%REQ(:PATH)%")),
      ], wanted: &wanted)
    let data = Data(line(program))
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(
      object["code"] as? Int == 503 && object["both"] as? String == "503/1024" && object["fix"] as? String == "a\"b")
    #expect(object["time"] is NSNull && object["user"] is NSNull && object["quo\"te"] as? String == "/a")
    #expect(data.last == 10 && data.filter { $0 == 10 }.count == 1)
    #expect(line(program, capacity: 20).isEmpty)
  }

  @Test func whateverBytesComeLinesStayLines() throws {
    var wanted = WantedFields()
    let plain = LogProgram(text: try LogTemplate("\"%REQ(:PATH)%\" %REQ(X)%\u{1}\t."), wanted: &wanted)
    let json = LogProgram(
      json: [("p", try LogTemplate("%REQ(:PATH)%")), ("m", try LogTemplate("x%REQ(X)%"))], wanted: &wanted)
    var state: UInt64 = 3
    for _ in 0..<300 {
      var bytes: [UInt8] = []
      for _ in 0..<30 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes.append(
          state >> 61 == 0 ? [10, 13, 34, 92, 0][Int(state >> 33) % 5] : UInt8(truncatingIfNeeded: state >> 33))
      }
      let note = String(decoding: bytes, as: UTF8.self)
      let text = line(plain, notes: [note], path: bytes)
      #expect(text.last == 10 && text.filter { $0 == 10 }.count == 1 && text.filter { $0 == 34 }.count == 2)
      #expect(text.dropLast().allSatisfy { $0 >= 0x20 && $0 != 0x7F })
      let object = line(json, notes: [note], path: bytes)
      #expect(try JSONSerialization.jsonObject(with: Data(object)) is [String: Any])
      #expect(object.filter { $0 == 10 }.count == 1)
    }
  }

  @Test func conditionsHoldOrTheShareDecides() {
    var condition = LogCondition()
    #expect(condition.takes(status: 200, durationNanoseconds: 1, reason: nil, chance: .max))
    condition.sharePerMillion = 0
    condition.add(LogCondition.StatusRange(from: 500, to: 599))
    condition.add(LogCondition.StatusRange(from: 0, to: 0))
    condition.slowNanoseconds = 1_000
    condition.add(.redirect)
    for (status, duration, reason, isTaken) in [
      (UInt16(200), Int64(1), Reason?.none, false), (499, 999, .directResponse, false), (500, 1, nil, true),
      (599, 1, nil, true), (0, 1, nil, true), (200, 1_000, nil, true), (302, 1, .redirect, true),
    ] {
      #expect(
        condition.takes(status: status, durationNanoseconds: duration, reason: reason, chance: 0) == isTaken,
        "\(status) \(duration)")
    }
    condition.anyReason = true
    #expect(condition.takes(status: 200, durationNanoseconds: 1, reason: .noRoute, chance: 0))
    var share = LogCondition()
    share.sharePerMillion = 100_000
    let taken = (0..<1_000).filter { number in
      share.takes(status: 200, durationNanoseconds: 1, reason: nil, chance: UInt64(number) << 54)
    }
    #expect((95...105).contains(taken.count))
    for reason in Reason.allCases {
      var one = LogCondition()
      one.sharePerMillion = 0
      one.add(reason)
      #expect(one.takes(status: 200, durationNanoseconds: 0, reason: reason, chance: 0))
    }
  }
}
