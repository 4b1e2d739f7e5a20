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
  package static let maxLineBytes = 14 * EscapedText.maxFieldBytes * 6 + 2_048

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

  private func writeJSON(into writer: inout FixedWriter) {
    writer.append("{\"start_time\":\"")
    CivilTime.write(milliseconds: startMilliseconds, into: &writer)
    writer.append("\"")
    string(",\"method\":", method, into: &writer)
    string(",\"path\":", path, into: &writer)
    writer.append(",\"protocol\":")
    constant(httpVersion, into: &writer)
    writer.append(",\"response_code\":")
    writer.append(decimal: UInt64(status))
    writer.append(",\"grpc_status\":")
    if let grpcStatus { writer.append(decimal: UInt64(grpcStatus)) } else { writer.append("null") }
    writer.append(",\"response_flags\":")
    constant(flag.code, into: &writer)
    writer.append(",\"error_reason\":")
    constant(reason?.name ?? "", into: &writer)
    writer.append(",\"bytes_received\":")
    writer.append(decimal: requestBytes)
    writer.append(",\"bytes_sent\":")
    writer.append(decimal: responseBytes)
    writer.append(",\"duration_ms\":")
    fraction(durationNanoseconds, into: &writer)
    writer.append(",\"upstream_service_time_ms\":")
    if let upstreamNanoseconds { fraction(upstreamNanoseconds, into: &writer) } else { writer.append("null") }
    writer.append(",\"attempts\":")
    writer.append(decimal: UInt64(attempts))
    string(",\"x_forwarded_for\":", forwardedFor, into: &writer)
    string(",\"user_agent\":", userAgent, into: &writer)
    string(",\"request_id\":", requestID, into: &writer)
    writer.append(",\"traceparent\":")
    if mark.isPresent {
      writer.append("\"")
      TraceFields.writeParent(mark, into: &writer)
      writer.append("\"")
    } else {
      writer.append("null")
    }
    string(",\"authority\":", authority, into: &writer)
    string(",\"upstream_host\":", upstreamHost, into: &writer)
    string(",\"upstream_cluster\":", upstreamService, into: &writer)
    string(",\"downstream_remote_address\":", downstreamAddress, into: &writer)
    string(",\"source_principal\":", sourcePrincipal, into: &writer)
    string(",\"destination_principal\":", destinationPrincipal, into: &writer)
    string(",\"route_name\":", route, into: &writer)
    writer.append("}")
  }

  /// A field; `name` comes with all that stands before its value.
  private func string(_ name: StaticString, _ text: Bytes, into writer: inout FixedWriter) {
    writer.append(name)
    if text.isEmpty {
      writer.append("null")
    } else {
      writer.append(UInt8(ascii: "\""))
      EscapedText.json(text, into: &writer)
      writer.append(UInt8(ascii: "\""))
    }
  }

  private func constant(_ text: StaticString, into writer: inout FixedWriter) {
    guard text.utf8CodeUnitCount > 0 else {
      writer.append("null")
      return
    }
    writer.append("\"")
    writer.append(text)
    writer.append("\"")
  }

  /// Milliseconds with three places.
  private func fraction(_ nanoseconds: Int64, into writer: inout FixedWriter) {
    let micros = UInt64(max(0, nanoseconds)) / 1_000
    writer.append(decimal: micros / 1_000)
    writer.append(".")
    CivilTime.digits(micros % 1_000, 3, into: &writer)
  }
}
