/// A value of a request or connection that a line of the access log can have, beside header fields.
package enum LogValue: UInt8, Sendable, CaseIterable {
  case startTime, method, path, authority, protocolName, responseCode, responseCodeDetails, responseFlags
  case bytesReceived, bytesSent, duration, responseDuration, upstreamServiceTime, attempts
  case requestID, traceparent, traceID, spanID, routeName, grpcStatus, grpcStatusNumber
  case upstreamHost, upstreamCluster, downstreamAddress, downstreamHost, downstreamPrincipal, upstreamPrincipal
  case errorReason, decidingObject

  /// The command operator: Envoy's where Envoy has one.
  package var operatorName: String {
    switch self {
    case .startTime: "START_TIME"
    case .method: "REQ(:METHOD)"
    case .path: "REQ(:PATH)"
    case .authority: "REQ(:AUTHORITY)"
    case .protocolName: "PROTOCOL"
    case .responseCode: "RESPONSE_CODE"
    case .responseCodeDetails: "RESPONSE_CODE_DETAILS"
    case .responseFlags: "RESPONSE_FLAGS"
    case .bytesReceived: "BYTES_RECEIVED"
    case .bytesSent: "BYTES_SENT"
    case .duration: "DURATION"
    case .responseDuration: "RESPONSE_DURATION"
    case .upstreamServiceTime: "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)"
    case .attempts: "UPSTREAM_REQUEST_ATTEMPT_COUNT"
    case .requestID: "REQ(X-REQUEST-ID)"
    case .traceparent: "REQ(TRACEPARENT)"
    case .traceID: "TRACE_ID"
    case .spanID: "SPAN_ID"
    case .routeName: "ROUTE_NAME"
    case .grpcStatus: "GRPC_STATUS"
    case .grpcStatusNumber: "GRPC_STATUS_NUMBER"
    case .upstreamHost: "UPSTREAM_HOST"
    case .upstreamCluster: "UPSTREAM_CLUSTER"
    case .downstreamAddress: "DOWNSTREAM_REMOTE_ADDRESS"
    case .downstreamHost: "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"
    case .downstreamPrincipal: "DOWNSTREAM_PEER_URI_SAN"
    case .upstreamPrincipal: "UPSTREAM_PEER_URI_SAN"
    case .errorReason: "ERROR_REASON"
    case .decidingObject: "DECIDING_OBJECT"
    }
  }

  /// Whether a field of JSON that is this value alone is a number.
  package var isNumber: Bool {
    switch self {
    case .responseCode, .bytesReceived, .bytesSent, .duration, .responseDuration, .upstreamServiceTime, .attempts,
      .grpcStatusNumber:
      true
    default: false
    }
  }
}

/// A part of a line.
package enum LogPiece: Sendable, Equatable {
  case literal(String)
  /// The first of the sources that has something; cut at `maxBytes`.
  case value([LogSource], maxBytes: Int?)
}

/// Where a value comes from.
package enum LogSource: Sendable, Equatable {
  case own(LogValue)
  /// A header field by its name in lower case.
  case request(String)
  case response(String)
}

/// A format of lines in the language of Envoy's access logs: text with command operators (`%REQ(USER-AGENT)%`).
package struct LogTemplate: Sendable, Equatable {
  /// Longest template, bytes.
  package static let maxBytes = 4_096
  /// Most parts of one.
  package static let maxPieces = 128

  package let pieces: [LogPiece]

  /// What is wrong with a template, in words, with how to mend it.
  package struct Fault: Error, Equatable, Sendable {
    package let message: String
  }

  /// - Throws: the first operator that is not understood.
  package init(_ text: String) throws(Fault) {
    guard text.utf8.count <= Self.maxBytes else {
      throw Fault(message: "has \(text.utf8.count) bytes; shorten it to at most \(Self.maxBytes)")
    }
    var pieces: [LogPiece] = []
    var literal: [UInt8] = []
    var rest = Array(text.utf8)[...]
    // Lines end by themselves.
    if rest.last == UInt8(ascii: "\n") { rest = rest.dropLast() }
    func flush() {
      if !literal.isEmpty { pieces.append(.literal(String(decoding: literal, as: UTF8.self))) }
      literal = []
    }
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        literal.append(byte)
        continue
      }
      if rest.first == UInt8(ascii: "%") {
        rest = rest.dropFirst()
        literal.append(byte)
        continue
      }
      guard let end = rest.firstIndex(of: UInt8(ascii: "%")) else {
        throw Fault(message: "has a % without its end; close the operator, or write %% for a % sign")
      }
      flush()
      pieces.append(try Self.piece(String(decoding: rest[..<end], as: UTF8.self)))
      rest = rest[(end + 1)...]
    }
    flush()
    guard pieces.count <= Self.maxPieces else {
      throw Fault(message: "has \(pieces.count) parts; keep at most \(Self.maxPieces)")
    }
    self.pieces = pieces
  }

  /// `NAME`, `NAME(argument)`, either with `:length` behind it.
  private static func piece(_ text: String) throws(Fault) -> LogPiece {
    var name = text[...]
    var maxBytes: Int?
    if let colon = text.lastIndex(of: ":"), !text[colon...].contains(")") {
      guard let length = Int(text[text.index(after: colon)...]), (1...2_048).contains(length) else {
        throw Fault(message: "has %\(text)% with a length that is not a number from 1 to 2048; mend it or leave it out")
      }
      maxBytes = length
      name = text[..<colon]
    }
    if name == "REQUEST_ID" { return .value([.own(.requestID)], maxBytes: maxBytes) }
    if name == "UPSTREAM_REMOTE_ADDRESS" { return .value([.own(.upstreamHost)], maxBytes: maxBytes) }
    if let own = LogValue.allCases.first(where: { $0.operatorName == name }) {
      return .value([.own(own)], maxBytes: maxBytes)
    }
    guard let open = name.firstIndex(of: "("), name.last == ")", ["REQ", "RESP"].contains(name[..<open]) else {
      let known = LogValue.allCases.map(\.operatorName).filter { !$0.contains("(") } + ["REQ(NAME)", "RESP(NAME)"]
      throw Fault(message: "has %\(text.prefix(64))%, which is no operator; known: \(known.joined(separator: ", "))")
    }
    let arguments = name[name.index(after: open)...].dropLast().split(
      separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var sources: [LogSource] = []
    for argument in arguments {
      sources.append(try source(String(argument), isRequest: name[..<open] == "REQ", in: text))
    }
    return .value(sources, maxBytes: maxBytes)
  }

  private static func source(_ name: String, isRequest: Bool, in text: String) throws(Fault) -> LogSource {
    let lower = name.lowercased()
    let own = LogValue.allCases.first { $0.operatorName == "\(isRequest ? "REQ" : "RESP")(\(name.uppercased()))" }
    if let own { return .own(own) }
    // The path of the log is the one that the client sent.
    if isRequest, lower == "x-envoy-original-path" { return .own(.path) }
    if isRequest, lower == "host" { return .own(.authority) }
    let isToken =
      !lower.isEmpty
      && lower.utf8.allSatisfy { byte in
        byte &- 0x61 < 26 || byte &- 0x30 < 10 || "!#$&'*+-.^_`|~".utf8.contains(byte)
      }
    guard isToken else {
      throw Fault(message: "has %\(text.prefix(64))%, which names no header field; write a name like X-USER")
    }
    return isRequest ? .request(lower) : .response(lower)
  }
}
