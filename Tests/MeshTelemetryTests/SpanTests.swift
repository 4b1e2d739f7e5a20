import MeshModel
import MeshTelemetry
import Testing

@Suite struct SpanTests {
  private func put(_ ring: SpanRing, _ number: UInt64, _ texts: [(SpanText, String)] = []) -> Bool {
    var record = SpanRecord()
    record.mark = TraceMark(high: number, low: number, parent: 0, flags: .sampled)
    return ring.append(record) { writer in
      for (kind, text) in texts {
        Array(text.utf8).withUnsafeBufferPointer { SpanTexts.put(kind, $0, into: &writer) }
      }
    }
  }

  @Test func spansComeOutInOrderAndAFullRingDrops() {
    let ring = SpanRing(capacity: 16)
    for round in 0..<5 {
      for number in 0..<16 { #expect(put(ring, UInt64(number + 1), [(.path, "/\(round)/\(number)")])) }
      #expect(!put(ring, 99))
      for number in 0..<16 {
        let entry = ring.take()
        #expect(entry?.record.mark.low == UInt64(number + 1))
        #expect(entry.map { String(decoding: $0.texts.dropFirst(3), as: UTF8.self) } == "/\(round)/\(number)")
      }
      #expect(ring.take() == nil)
    }
  }

  @Test func longTextsAreCutAndTooManyAreLeftOut() {
    let ring = SpanRing(capacity: 16)
    let long = String(repeating: "x", count: 5_000)
    #expect(put(ring, 1, (0..<20).map { _ in (.path, long) }))
    var count = 0
    ring.take()?.texts.withUnsafeBufferPointer { bytes in
      SpanTexts.forEach(bytes) { kind, text in
        count += 1
        #expect(kind == SpanText.path.rawValue && text.count == SpanTexts.maxBytes)
      }
    }
    #expect(count > 3 && count < 20)
  }

  @Test func brokenTextsEndTheWalk() {
    for bytes: [UInt8] in [[], [1], [1, 0], [1, 0, 5, 65], [1, 255, 255]] {
      bytes.withUnsafeBufferPointer { bytes in SpanTexts.forEach(bytes) { _, _ in Issue.record("nothing is whole") } }
    }
  }

  @Test func linesForCollectorsAreReadAgainAsTheyWereWritten() {
    var head = LogEntryHead()
    head.wallNanoseconds = 1
    head.high = .max
    head.low = 3
    head.span = 4
    head.lineBytes = 70_000
    head.severity = 17
    head.isJSON = true
    var bytes = [UInt8](repeating: 0, count: 64)
    bytes.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { head.write(to: base) }
    }
    #expect(LogEntryHead(bytes[...]) == head)
    #expect(LogEntryHead(bytes[..<39]) == nil)
    let json = Array(#"{"a":"x\"\\\n\u0001ü","b":1,"c":1.5,"d":null}"#.utf8)
    let text = String(decoding: OTLPLog.encode(head, line: json), as: UTF8.self)
    #expect(text.contains("x\"\\\n\u{1}ü") && text.contains("access"))
    head.isJSON = false
    #expect(String(decoding: OTLPLog.encode(head, line: Array("plain".utf8)), as: UTF8.self).contains("plain"))
    head.isJSON = true
    for broken in ["", "{", "{\"a\"", "{\"a\":}", "[]", "{\"a\":\"\\u12", "{\"a\":tru}"] {
      #expect(!OTLPLog.encode(head, line: Array(broken.utf8)).isEmpty)
    }
  }

  @Test(
    arguments: [
      ("http://127.0.0.1:4317", "127.0.0.1", 4317, ""), ("http://[::1]:4318/otlp/", "::1", 4318, "/otlp"),
      ("http://Collector.obs", "collector.obs", nil, ""), ("http://localhost/a", "localhost", nil, "/a"),
      ("https://otel.example.com:443/v", "otel.example.com", 443, "/v"),
    ] as [(String, String, UInt16?, String)])
  func endpointsAreRead(text: String, host: String, port: UInt16?, path: String) throws {
    let endpoint = try OTLPEndpoint(text)
    #expect(endpoint.host == host && endpoint.port == port && endpoint.path == path)
    #expect(endpoint.isSecure == text.hasPrefix("https:"))
  }

  @Test(arguments: [
    "", "collector:4317", "https:/collector:4317", "https://", "http://", "http://:80", "http://a:0", "http://a:99999",
    "http://u@a", "http://a/b?c", "http://a b", "grpc://a",
  ])
  func otherEndpointsAreRefused(text: String) {
    #expect(throws: OTLPEndpoint.Fault.self) { try OTLPEndpoint(text) }
  }
}

@Suite struct ExemplarTests {
  private func exposition(_ metrics: LoopMetrics, _ format: ExpositionFormat) -> String {
    var exposition = IstioExposition(metrics.snapshot(), LabelDictionary().texts(), after: ExpositionWriter(format))
    var text = ""
    while let page = exposition.nextPage() { text += String(decoding: page, as: UTF8.self) }
    return text
  }

  @Test func sampledRequestsStandForTheirBucketsInOpenMetricsOnly() {
    let metrics = LoopMetrics()
    let key = RequestKey(edge: 0, responseCode: 200)
    let mark = TraceMark(high: 0xA, low: 0xB, parent: 0xC, flags: .sampled)
    #expect(metrics.snapshot().exemplars.count == 0)
    for milliseconds in [Int64(3), 700] {
      metrics.recordRequest(
        key, durationNanoseconds: milliseconds * 1_000_000, requestBytes: 0, responseBytes: 0, now: 1)
      metrics.noteExemplar(
        key, durationNanoseconds: milliseconds * 1_000_000, mark, wallNanoseconds: 1_700_000_000_123_000_000)
    }
    let text = exposition(metrics, .openMetrics)
    let label = #"{trace_id="000000000000000a000000000000000b",span_id="000000000000000c"}"#
    let found = text.split(separator: "\n").filter { $0.contains(" # ") }
    #expect(found.count == 2)
    #expect(found.first?.hasSuffix("1 # \(label) 3.0 1700000000.123") == true)
    #expect(found.first?.contains(#"le="5.0""#) == true)
    #expect(found.last?.contains(#"le="1000.0""#) == true)
    #expect(!exposition(metrics, .prometheus).contains(" # {"))
  }

  @Test func theTableIsBoundedAndLoopsAddUpToTheLatest() {
    let metrics = LoopMetrics()
    for number in 0..<100_000 {
      metrics.noteExemplar(
        RequestKey(edge: UInt32(number), responseCode: 200), durationNanoseconds: Int64(number),
        TraceMark(high: 1, low: UInt64(number), parent: 1, flags: .sampled), wallNanoseconds: 1)
    }
    #expect((1...1_024).contains(metrics.snapshot().exemplars.count))
    let other = LoopMetrics()
    let key = RequestKey(edge: 7, responseCode: 200)
    for (loop, time) in [(metrics, UInt64(5)), (other, 9)] {
      loop.noteExemplar(
        key, durationNanoseconds: 1, TraceMark(high: 0, low: time, parent: 1, flags: []), wallNanoseconds: time)
    }
    let merged = MetricsSnapshot.merged([other.snapshot(), metrics.snapshot()])
    #expect(merged.exemplars.find(key, bucket: 0)?.low == 9)
    #expect(merged.exemplars.find(key, bucket: 1) == nil)
  }
}
