import MeshModel
import MeshWire

/// Spans as OTLP has them (opentelemetry/proto/trace/v1), with the attribute names of OpenTelemetry's semantic conventions
/// for HTTP and RPC, and `apus.…` for what only a mesh knows.
package enum OTLPSpan {
  /// Longest name of a span.
  private static let maxNameBytes = 160

  /// One `Span`.
  ///
  /// - Parameter tags: the names of the configured tags, where the record belongs to the configuration in force.
  package static func encode(_ entry: SpanEntry, _ labels: LabelTexts, tags: [String]) -> [UInt8] {
    let record = entry.record
    let texts = Texts(entry)
    let edge = labels.edge(record.edge)
    let route = labels.route(record.route)
    let end = record.startNanoseconds &+ record.durationNanoseconds
    var span = ProtobufWriter()
    span.identifier(1, record.mark.high, record.mark.low)
    span.identifier(2, record.mark.span)
    if record.mark.parent != 0 { span.identifier(4, record.mark.parent) }
    span.string(5, name(record, texts, route: route))
    span.integer(6, record.flags.contains(.inbound) ? 2 : 3)
    span.fixed64(7, record.startNanoseconds)
    span.fixed64(8, end)
    addMessage(&span, record, texts)
    addEnds(&span, record, texts, edge)
    addMesh(&span, record, texts, edge, route)
    for (index, tag) in tags.enumerated() { span.attribute(9, tag, texts.tag(index)) }
    addAttempts(&span, record)
    if isError(record) {
      span.message(15) { status in
        if let reason = Reason(rawValue: record.reason) { status.string(2, reason.sentence.description) }
        status.integer(3, 2)
      }
    }
    // The flags of the trace; the parent, where there is one, is another process.
    let flags = UInt32(record.mark.flags.rawValue & 3) | 0x100 | (record.mark.parent != 0 ? 0x200 : 0)
    span.fixed32(16, flags)
    return span.bytes
  }

  private static func name(_ record: SpanRecord, _ texts: Texts, route: String) -> String {
    if record.grpcStatus != 255, texts[.path].count > 1 { return String(texts[.path].dropFirst().prefix(maxNameBytes)) }
    let method = record.method == .other ? "HTTP" : methodName(record, texts)
    return route.isEmpty ? method : String("\(method) \(route)".prefix(maxNameBytes))
  }

  private static func methodName(_ record: SpanRecord, _ texts: Texts) -> String {
    record.method == .other ? texts[.method] : "\(record.method)".uppercased()
  }

  /// Whether a span failed: a server by 5xx, a client by 4xx too; gRPC by status.
  static func isError(_ record: SpanRecord) -> Bool {
    let isServer = record.flags.contains(.inbound)
    if record.grpcStatus != 255 {
      return isServer ? [2, 4, 12, 13, 14, 15].contains(record.grpcStatus) : record.grpcStatus != 0
    }
    return record.status == 0 || record.status >= (isServer ? 500 : 400) || record.flags.contains(.failed)
  }

  /// The request and its answer.
  private static func addMessage(_ span: inout ProtobufWriter, _ record: SpanRecord, _ texts: Texts) {
    if record.method == .other {
      span.attribute(9, "http.request.method", "_OTHER")
      span.attribute(9, "http.request.method_original", texts[.method])
    } else {
      span.attribute(9, "http.request.method", methodName(record, texts))
    }
    if record.status > 0 { span.attribute(9, "http.response.status_code", Int64(record.status)) }
    span.attribute(9, "url.path", texts[.path])
    span.attribute(9, "network.protocol.name", "http")
    span.attribute(9, "network.protocol.version", record.version == 20 ? "2" : record.version == 10 ? "1.0" : "1.1")
    span.attribute(9, "http.request.body.size", Int64(clamping: record.requestBytes))
    span.attribute(9, "http.response.body.size", Int64(clamping: record.responseBytes))
    span.attribute(9, "user_agent.original", texts[.userAgent])
    if record.retries > 0 { span.attribute(9, "http.request.resend_count", Int64(record.retries)) }
    if isError(record) {
      let reason = Reason(rawValue: record.reason)?.name.description
      let status = record.grpcStatus != 255 ? String(record.grpcStatus) : String(record.status)
      span.attribute(9, "error.type", reason ?? (record.status == 0 ? "_OTHER" : status))
    }
    guard record.grpcStatus != 255 else { return }
    span.attribute(9, "rpc.system", "grpc")
    let parts = texts[.path].dropFirst().split(separator: "/", maxSplits: 1)
    if parts.count == 2 {
      span.attribute(9, "rpc.service", String(parts[0]))
      span.attribute(9, "rpc.method", String(parts[1]))
    }
    span.attribute(9, "rpc.grpc.status_code", Int64(record.grpcStatus))
  }

  /// Who speaks with whom.
  private static func addEnds(_ span: inout ProtobufWriter, _ record: SpanRecord, _ texts: Texts, _ edge: EdgeLabels) {
    let isServer = record.flags.contains(.inbound)
    let scheme = isServer && record.flags.contains(.mutualTLS) ? "https" : "http"
    span.attribute(9, "url.scheme", scheme)
    let (host, port) = hostAndPort(texts[.authority])
    span.attribute(9, "server.address", host)
    if let port { span.attribute(9, "server.port", Int64(port)) }
    if !isServer, !texts[.authority].isEmpty {
      span.attribute(9, "url.full", "\(scheme)://\(texts[.authority])\(texts[.path])")
    }
    let client = AddressText.text(record.clientFamily, record.clientAddress)
    let endpoint = AddressText.text(record.endpointFamily, record.endpointAddress)
    span.attribute(9, "client.address", isServer ? client : "")
    span.attribute(9, "network.peer.address", isServer ? client : endpoint)
    let peerPort = isServer ? record.clientPort : record.endpointPort
    if peerPort != 0 { span.attribute(9, "network.peer.port", Int64(peerPort)) }
  }

  /// What the mesh did.
  private static func addMesh(
    _ span: inout ProtobufWriter, _ record: SpanRecord, _ texts: Texts, _ edge: EdgeLabels, _ route: String
  ) {
    let isServer = record.flags.contains(.inbound)
    span.attribute(9, "apus.request_id", texts[.requestID])
    span.attribute(9, "apus.service", texts[.service])
    span.attribute(9, "apus.route", route)
    if let reason = Reason(rawValue: record.reason) {
      span.attribute(9, "apus.reason", reason.name.description)
      span.attribute(9, "apus.response_flags", reason.flag.code.description)
      span.attribute(9, "apus.decided_by", texts[.object])
    }
    let peer = isServer ? edge.source : edge.destination
    span.attribute(9, "apus.peer.workload", peer.workload)
    span.attribute(9, "apus.peer.namespace", peer.namespace)
    span.attribute(9, "apus.peer.version", peer.version)
    let principal = isServer && !texts[.principal].isEmpty ? texts[.principal] : peer.principal
    span.attribute(9, "apus.peer.principal", principal)
    let isSecured = isServer ? record.flags.contains(.mutualTLS) : !principal.isEmpty
    span.attribute(9, "apus.security", isSecured ? "mutual_tls" : "none")
  }

  /// Tries, where there was more than one, or one that failed: an event each, for the first three that failed, the last that
  /// did, and the one whose answer was passed on.
  private static func addAttempts(_ span: inout ProtobufWriter, _ record: SpanRecord) {
    let failed = record.trail.kept
    guard !failed.isEmpty else { return }
    for (index, attempt) in failed.enumerated() {
      let number = index == failed.count - 1 ? Int(record.trail.count) : index + 1
      addAttempt(&span, record.startNanoseconds &+ UInt64(attempt.begun) * 1_000, number: number) { event in
        event.attribute(3, "network.peer.address", AddressText.text(Int32(attempt.family), attempt.address))
        event.attribute(3, "network.peer.port", Int64(attempt.port))
        if attempt.status > 0 { event.attribute(3, "http.response.status_code", Int64(attempt.status)) }
        event.attribute(3, "error.type", Reason(rawValue: attempt.reason)?.name.description ?? "")
        event.attribute(3, "apus.attempt.milliseconds", fraction: Double(attempt.microseconds) / 1_000)
      }
    }
    guard record.attempts > record.trail.count else { return }
    let begun = record.startNanoseconds &+ record.lastAttemptNanoseconds
    addAttempt(&span, begun, number: Int(record.attempts)) { event in
      event.attribute(
        3, "network.peer.address", AddressText.text(record.endpointFamily, record.endpointAddress))
      event.attribute(3, "network.peer.port", Int64(record.endpointPort))
    }
  }

  private static func addAttempt(
    _ span: inout ProtobufWriter, _ time: UInt64, number: Int, _ more: (inout ProtobufWriter) -> Void
  ) {
    span.message(11) { event in
      event.fixed64(1, time)
      event.string(2, "apus.attempt")
      event.attribute(3, "apus.attempt.number", Int64(number))
      more(&event)
    }
  }

  /// The parts of an authority; IPv6 addresses lose their brackets.
  static func hostAndPort(_ authority: String) -> (host: String, port: UInt16?) {
    guard let colon = authority.lastIndex(of: ":"), let port = UInt16(authority[authority.index(after: colon)...])
    else {
      return (authority.trimmingBrackets, nil)
    }
    return (String(authority[..<colon]).trimmingBrackets, port)
  }
}

extension String {
  fileprivate var trimmingBrackets: String { first == "[" && last == "]" ? String(dropFirst().dropLast()) : self }
}

/// The texts of an entry, as valid UTF-8.
private struct Texts {
  private var found: [UInt8: String] = [:]

  init(_ entry: SpanEntry) {
    var found: [UInt8: String] = [:]
    entry.texts.withUnsafeBufferPointer { bytes in
      SpanTexts.forEach(bytes) { kind, text in found[kind] = String(decoding: text, as: UTF8.self) }
    }
    self.found = found
  }

  subscript(_ kind: SpanText) -> String { found[kind.rawValue] ?? "" }

  func tag(_ index: Int) -> String { found[SpanText.firstTag &+ UInt8(truncatingIfNeeded: index)] ?? "" }
}
