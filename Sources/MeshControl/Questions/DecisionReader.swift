package import MeshWire

/// Which decisions are wanted.
package struct DecisionQuery: Sendable, Equatable {
  package var requestID: String?
  /// `NAME` or `NAMESPACE/NAME` of a workload or service.
  package var from: String?
  package var to: String?
  /// The beginning of the path.
  package var path: String?
  package var reason: String?
  package var method: String?
  /// `503`, or `5xx` for all that begin so.
  package var status: String?
  /// Only refusals, failures and retries.
  package var isNotable: Bool
  /// Whether heads are wanted: proxies keep them only while somebody watches.
  package var hasHeads = false
  /// Fields of heads whose values are not shown, beside those that never are.
  package var redactedFields: [String] = []
  /// Of each proxy, and of all together; newest first.
  package var limit: Int

  package init(
    requestID: String? = nil, from: String? = nil, to: String? = nil, path: String? = nil, reason: String? = nil,
    method: String? = nil, status: String? = nil, isNotable: Bool = false, limit: Int = 100
  ) {
    self.requestID = requestID
    self.from = from
    self.to = to
    self.path = path
    self.reason = reason
    self.method = method
    self.status = status
    self.isNotable = isNotable
    self.limit = limit
  }

  /// The page of a proxy that answers it.
  /// - Parameter after: where the last answer of the proxy ended; empty: from the beginning.
  func target(after: String = "") -> String {
    var parameters = ["as=protobuf", "limit=\(limit)"]
    let texts = [
      ("id", requestID), ("from", from), ("to", to), ("path", path), ("reason", reason), ("method", method),
      ("status", status),
    ]
    for (name, text) in texts {
      if let text { parameters.append("\(name)=\(Self.encoded(text))") }
    }
    if isNotable { parameters.append("notable=1") }
    if hasHeads {
      parameters.append("heads=1")
      if !redactedFields.isEmpty { parameters.append("redact=\(Self.encoded(redactedFields.joined(separator: ",")))") }
    }
    if !after.isEmpty { parameters.append("after=\(after)") }
    return "/decisions?" + parameters.joined(separator: "&")
  }

  /// Percent-encoded (RFC 3986), so that what a person typed stays one value.
  private static func encoded(_ text: String) -> String {
    var result = ""
    for byte in text.utf8.prefix(1_024) {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"), UInt8(ascii: "/"):
        result.unicodeScalars.append(Unicode.Scalar(byte))
      default: result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
    return result
  }
}

/// Reads what the proxies decided lately.
package struct DecisionReader: Sendable {
  /// Where each proxy's last answer ended, for reading on from there.
  package struct Cursor: Sendable {
    fileprivate var sequences: [String: String] = [:]
    package init() {}
  }

  private let pages: any ProxyPages

  package init(pages: any ProxyPages) { self.pages = pages }

  /// The newest decisions of all attached proxies, newest first.
  package func decisions(_ query: DecisionQuery) async -> [DecisionRecord] {
    let lists = await pages.pages { _ in query.target() }.compactMap(Self.list)
    return Array(
      lists.flatMap(\.list.decisions).sorted { $0.endedMilliseconds > $1.endedMilliseconds }.prefix(query.limit))
  }

  /// What has been decided since the cursor, oldest first. The first reading only finds where each proxy is.
  package func decisions(_ query: DecisionQuery, after cursor: inout Cursor) async -> [DecisionRecord] {
    let known = cursor.sequences
    let lists = await pages.pages { proxy in
      var own = query
      if known[proxy] == nil { own.limit = 0 }
      return own.target(after: known[proxy] ?? "")
    }.compactMap(Self.list)
    var records: [DecisionRecord] = []
    for (proxy, list) in lists {
      if known[proxy] != nil { records += list.decisions }
      cursor.sequences[proxy] = list.sequences.joined(separator: ",")
    }
    return records.sorted { $0.endedMilliseconds < $1.endedMilliseconds }
  }

  private static func list(_ page: ProxyPage) -> (proxy: String, list: DecisionList)? {
    guard page.status == 200, let list = try? DecisionList(protobuf: page.body) else { return nil }
    return (page.proxy, list)
  }
}

extension DecisionRecord {
  /// The record as the API gives it: every member is always there.
  package var value: Value {
    func text(_ name: String, _ text: String) -> Value.Member {
      Value.Member(name, .string(text == "unknown" ? "" : text))
    }
    func number(_ name: String, _ number: UInt64) -> Value.Member {
      Value.Member(name, .integer(Int(clamping: number)))
    }
    let seconds = Int64(clamping: endedMilliseconds / 1000)
    return .object([
      text("time", Timestamp(secondsSinceEpoch: seconds).rfc3339), number("endedMilliseconds", endedMilliseconds),
      text("proxy", proxy), text("reporter", reporter.wireName), text("requestID", requestID), text("method", method),
      text("authority", authority), text("path", path), number("status", UInt64(status)), text("reason", reason),
      text("attemptReason", attemptReason), number("attempts", UInt64(attempts)), number("retries", UInt64(retries)),
      Value.Member("durationMs", Value(.number(Double(durationMicroseconds) / 1000))),
      Value.Member("upstreamMs", isAnswered ? Value(.number(Double(upstreamMicroseconds) / 1000)) : .null),
      text("sourceNamespace", sourceNamespace), text("source", source), text("sourceService", sourceService),
      text("sourceIdentity", sourceIdentity), text("destinationNamespace", destinationNamespace),
      text("service", service), text("askedNamespace", askedNamespace), text("asked", asked),
      text("workload", workload), text("version", version),
      text("destinationIdentity", destinationIdentity), text("route", route), text("endpoint", endpoint),
      number("limit", UInt64(limit)), Value.Member("mutualTLS", .boolean(isMutualTLS)),
      Value.Member("tunnel", .boolean(isTunnel)), Value.Member("localReply", .boolean(isLocalReply)),
      Value.Member("grpcStatus", grpcStatus.map { .integer(Int($0)) } ?? .null),
      Value.Member("failure", .boolean(isFailure)), number("requestBytes", requestBytes),
      number("responseBytes", responseBytes), text("peer", peer), text("policy", policy),
      number("delayMs", UInt64(delayMilliseconds)), Value.Member("connection", .boolean(isConnection)),
      Value.Member("raced", .boolean(isRaced)), Value.Member("failedAttempts", .list(failedAttempts.map(\.value))),
      number("failedAttemptCount", UInt64(failedAttemptCount)),
      Value.Member("requestHead", Self.value(requestHead)), Value.Member("responseHead", Self.value(responseHead)),
    ])
  }

  private static func value(_ head: [HeaderValue]) -> Value {
    .list(head.map { .object([Value.Member("name", .string($0.name)), Value.Member("value", .string($0.value))]) })
  }
}

extension AttemptRecord {
  /// The attempt as the API gives it.
  var value: Value {
    .object([
      Value.Member("workload", .string(workload == "unknown" ? "" : workload)),
      Value.Member("endpoint", .string(endpoint)), Value.Member("reason", .string(reason)),
      Value.Member("status", .integer(Int(status))),
      Value.Member("grpcStatus", grpcStatus.map { .integer(Int($0)) } ?? .null),
      Value.Member("durationMs", Value(.number(Double(microseconds) / 1000))),
    ])
  }
}

extension Explanation {
  /// The explanation as the API gives it.
  package var value: Value {
    let steps = chain.map { step in
      Value.object([Value.Member("place", .string(step.place)), Value.Member("text", .string(step.text))])
    }
    let decider = object.map { object in
      Value.object([
        Value.Member("kind", .string(object.kind)), Value.Member("namespace", .string(object.namespace)),
        Value.Member("name", .string(object.name)), Value.Member("detail", .string(object.detail)),
        Value.Member("text", .string(object.text)),
      ])
    }
    return .object([
      Value.Member("sentence", .string(sentence)), Value.Member("reason", .string(reason)),
      Value.Member("object", decider ?? .null), Value.Member("chain", .list(steps)),
      Value.Member("remedy", .string(remedy)), Value.Member("decisions", .list(decisions.map(\.value))),
    ])
  }
}
