package import MeshModel

/// How lines of the access log are written.
package enum AccessLogFormat: UInt8, Sendable, BitwiseCopyable {
  /// One JSON object a line.
  case json
  /// The fields of Envoy's default format in its order, then route, reason and the peers' identities.
  case text
}

/// What a line of the access log says of a request or connection. The texts point into memory of the caller and are read
/// only while the line is written. Empty texts are written as `-` (text) or null (JSON).
package struct AccessRecord {
  package typealias Bytes = UnsafeBufferPointer<UInt8>

  /// Milliseconds since 1970.
  package var startMilliseconds: Int64 = 0
  package var method = Bytes(start: nil, count: 0)
  /// Path and query as the client sent them.
  package var path = Bytes(start: nil, count: 0)
  /// `HTTP/1.1`, `HTTP/2`; empty for TCP.
  package var httpVersion: StaticString = ""
  /// 0 where no status was sent.
  package var status: UInt16 = 0
  /// Nil where there was none.
  package var grpcStatus: UInt8?
  package var flag = ResponseFlag.none
  package var reason: Reason?
  package var requestBytes: UInt64 = 0
  package var responseBytes: UInt64 = 0
  package var durationNanoseconds: Int64 = 0
  /// From the last byte of the request sent to the upstream to the first of its answer; nil where it never answered.
  package var upstreamNanoseconds: Int64?
  package var attempts: UInt8 = 0
  package var forwardedFor = Bytes(start: nil, count: 0)
  package var userAgent = Bytes(start: nil, count: 0)
  package var requestID = Bytes(start: nil, count: 0)
  package var authority = Bytes(start: nil, count: 0)
  /// `address:port` of the endpoint.
  package var upstreamHost = Bytes(start: nil, count: 0)
  /// The service, `namespace/name:port`.
  package var upstreamService = Bytes(start: nil, count: 0)
  /// `address:port` of the client.
  package var downstreamAddress = Bytes(start: nil, count: 0)
  /// SPIFFE ID of the client, as its certificate says.
  package var sourcePrincipal = Bytes(start: nil, count: 0)
  /// SPIFFE ID of the server.
  package var destinationPrincipal = Bytes(start: nil, count: 0)
  /// `namespace/name/rule`.
  package var route = Bytes(start: nil, count: 0)
  /// The object of configuration that decided, where the mesh gave a reason.
  package var decidingObject = Bytes(start: nil, count: 0)
  /// Where the request stands in its trace.
  package var mark = TraceMark()
  /// From the first byte of the request to the first of the answer; nil where there was none.
  package var responseNanoseconds: Int64?
  /// Header fields that formats ask for, by their places in `WantedFields`.
  package var notes = UnsafeBufferPointer<Bytes>(start: nil, count: 0)

  package init() {}

  /// Room that a line always fits into: every text at its longest with every byte escaped.
  package static let maxLineBytes = 14 * (EscapedText.maxFieldBytes * 6 + 3) + 2_048

  /// Appends one line, its line feed included. Where it does not fit, nothing is appended.
  ///
  /// Every text is cut at 2 KiB; whatever bytes peers sent, the line stays one line and its fields stay apart.
  package func write(_ format: AccessLogFormat, into writer: inout FixedWriter) {
    let start = writer.count
    switch format {
    case .json: writeJSON(into: &writer)
    case .text: writeText(into: &writer)
    }
    writer.append(UInt8(ascii: "\n"))
    if writer.overflowed {
      writer.truncate(to: start)
    }
  }

  // MARK: Text

  private func writeText(into writer: inout FixedWriter) {
    writer.append("[")
    CivilTime.write(milliseconds: startMilliseconds, into: &writer)
    writer.append("] \"")
    field(method, into: &writer)
    writer.append(" ")
    field(path, into: &writer)
    writer.append(" ")
    writer.append(httpVersion.utf8CodeUnitCount == 0 ? "-" : httpVersion)
    writer.append("\" ")
    writer.append(decimal: UInt64(status))
    writer.append(" ")
    writer.append(flag.code)
    writer.append(" ")
    writer.append(decimal: requestBytes)
    writer.append(" ")
    writer.append(decimal: responseBytes)
    writer.append(" ")
    writer.append(decimal: milliseconds(durationNanoseconds))
    writer.append(" ")
    if let upstreamNanoseconds {
      writer.append(decimal: milliseconds(upstreamNanoseconds))
    } else {
      writer.append("-")
    }
    quoted(forwardedFor, into: &writer)
    quoted(userAgent, into: &writer)
    quoted(requestID, into: &writer)
    quoted(authority, into: &writer)
    quoted(upstreamHost, into: &writer)
    quoted(upstreamService, into: &writer)
    quoted(downstreamAddress, into: &writer)
    quoted(route, into: &writer)
    writer.append(" ")
    writer.append(reason?.name ?? "-")
    quoted(sourcePrincipal, into: &writer)
    quoted(destinationPrincipal, into: &writer)
  }

  private func field(_ text: Bytes, into writer: inout FixedWriter) {
    if text.isEmpty { writer.append("-") } else { EscapedText.quoted(text, into: &writer) }
  }

  private func quoted(_ text: Bytes, into writer: inout FixedWriter) {
    writer.append(" \"")
    field(text, into: &writer)
    writer.append("\"")
  }

  private func milliseconds(_ nanoseconds: Int64) -> UInt64 { UInt64(max(0, nanoseconds)) / 1_000_000 }

  // MARK: JSON

  /// Most bytes that the line of JSON can have: what is constant in it, numbers at their longest, and each text with
  /// every byte escaped.
  package var longestJSON: Int {
    // Constant pieces have 466 bytes, numbers, constants and the trace less than 400.
    1_024 &+ longest(method) &+ longest(path) &+ longest(forwardedFor) &+ longest(userAgent) &+ longest(requestID)
      &+ longest(authority) &+ longest(upstreamHost) &+ longest(upstreamService) &+ longest(downstreamAddress)
      &+ longest(sourcePrincipal) &+ longest(destinationPrincipal) &+ longest(route) &+ LineCursor.slack
  }

  @inline(__always)
  private func longest(_ text: Bytes) -> Int { EscapedText.longest(min(text.count, EscapedText.maxFieldBytes)) }

  private func writeJSON(into writer: inout FixedWriter) {
    guard writer.remaining >= longestJSON else {
      writer.overflow()
      return
    }
    var clock = LineClock()
    // The line feed comes with every format.
    writer.advance(by: writeJSON(to: writer.base + writer.count, &clock) &- 1)
  }

  /// Writes the line, its line feed included, where there is room for `longestJSON` bytes; returns how many it has.
  package func writeJSON(to place: UnsafeMutablePointer<UInt8>, _ clock: inout LineClock) -> Int {
    var line = LineCursor(place)
    line.put("{\"start_time\":\"")
    line.put(moment: startMilliseconds, &clock)
    line.put("\",\"method\":")
    line.put(json: method)
    line.put(",\"path\":")
    line.put(json: path)
    line.put(",\"protocol\":")
    constant(httpVersion, into: &line)
    line.put(",\"response_code\":")
    line.put(decimal: UInt64(status))
    line.put(",\"grpc_status\":")
    if let grpcStatus { line.put(decimal: UInt64(grpcStatus)) } else { line.put("null") }
    line.put(",\"response_flags\":")
    constant(flag.code, into: &line)
    line.put(",\"error_reason\":")
    if let reason { constant(reason.name, into: &line) } else { line.put("null") }
    line.put(",\"bytes_received\":")
    line.put(decimal: requestBytes)
    line.put(",\"bytes_sent\":")
    line.put(decimal: responseBytes)
    line.put(",\"duration_ms\":")
    line.put(milliseconds: durationNanoseconds)
    line.put(",\"upstream_service_time_ms\":")
    if let upstreamNanoseconds { line.put(milliseconds: upstreamNanoseconds) } else { line.put("null") }
    line.put(",\"attempts\":")
    line.put(decimal: UInt64(attempts))
    writeTexts(into: &line)
    line.put("}\n")
    return line.place - place
  }

  @inline(__always)
  private func writeTexts(into line: inout LineCursor) {
    line.put(",\"x_forwarded_for\":")
    line.put(json: forwardedFor)
    line.put(",\"user_agent\":")
    line.put(json: userAgent)
    line.put(",\"request_id\":")
    line.put(json: requestID)
    line.put(",\"traceparent\":")
    if mark.isPresent {
      line.put("\"00-")
      line.put(hexadecimal: mark.high)
      line.put(hexadecimal: mark.low)
      line.put(UInt8(ascii: "-"))
      line.put(hexadecimal: mark.outgoingSpan)
      line.put("-0")
      line.put(0x30 &+ (mark.flags.rawValue & 3))
      line.put(UInt8(ascii: "\""))
    } else {
      line.put("null")
    }
    line.put(",\"authority\":")
    line.put(json: authority)
    line.put(",\"upstream_host\":")
    line.put(json: upstreamHost)
    line.put(",\"upstream_cluster\":")
    line.put(json: upstreamService)
    line.put(",\"downstream_remote_address\":")
    line.put(json: downstreamAddress)
    line.put(",\"source_principal\":")
    line.put(json: sourcePrincipal)
    line.put(",\"destination_principal\":")
    line.put(json: destinationPrincipal)
    line.put(",\"route_name\":")
    line.put(json: route)
  }

  @inline(__always)
  private func constant(_ text: StaticString, into line: inout LineCursor) {
    guard text.utf8CodeUnitCount > 0 else { return line.put("null") }
    line.put(UInt8(ascii: "\""))
    line.put(text)
    line.put(UInt8(ascii: "\""))
  }
}
