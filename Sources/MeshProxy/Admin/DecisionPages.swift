internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry
internal import MeshWire

/// `/decisions`: what the workers decided lately.
extension Proxy {
  /// Most decisions in one answer.
  private static let mostDecisions = 2_000

  /// Parameters: `id` (request id), `notable=1`, `from`, `to` (namespace/name or name), `path` (prefix), `reason`,
  /// `method`, `status` (`503`, `5xx`),
  /// `heads=1` (keeps heads from now on, and shows those that are kept; `redact`: fields whose values are not shown),
  /// `after` (one number a worker, as the last answer's `sequences`), `limit` (default 100).
  func decisions(_ request: AdminRequest, _ done: @escaping (AdminResponse) -> Void) {
    let limit = min(max(0, request.query["limit"].flatMap { Int($0) } ?? 100), Self.mostDecisions)
    let after = (request.query["after"] ?? "").split(separator: ",").map { UInt64($0) ?? 0 }
    let choice = DecisionChoice(request.query)
    var filter = DecisionFilter(requestID: request.query["id"], isNotable: request.query["notable"] == "1")
    // Names are compared on this side: the workers only copy.
    filter.limit = choice.isEverything ? limit : Self.mostDecisions
    let hasHeads = request.query["heads"] == "1"
    let redacted = Set((request.query["redact"] ?? "").lowercased().split(separator: ",").map(String.init))
    onAllWorkers({ [filter] worker in
      var own = filter
      own.after = worker.index < after.count ? after[worker.index] : 0
      var found = WorkerDecisions(
        worker: worker.index, entries: worker.telemetry.decisions.entries(own), count: worker.telemetry.decisions.count)
      if hasHeads {
        worker.telemetry.watchHeads(now: worker.now)
        found.heads = worker.telemetry.heads(of: found.entries)
      }
      return found
    }) { [self] workers in
      let texts = labels.texts()
      let node = snapshot.common.node ?? NodeIdentity()
      var list = DecisionList()
      list.decisions = workers.flatMap { worker in worker.entries.map { ($0, worker.heads[$0.decision.sequence]) } }
        .sorted { $0.0.decision.wallMilliseconds > $1.0.decision.wallMilliseconds }
        .lazy.map { entry, heads in
          var record = DecisionRecord(entry, texts, node: node)
          func shown(_ head: [UInt8]?) -> [MeshWire.HeaderValue] {
            ShownHead.fields(of: head ?? [], redacting: redacted).map {
              MeshWire.HeaderValue(name: $0.name, value: $0.value)
            }
          }
          (record.requestHead, record.responseHead) = (shown(heads?.request), shown(heads?.response))
          return record
        }.filter(choice.takes).prefix(limit).map { $0 }
      list.sequences = workers.sorted { $0.worker < $1.worker }.map { "\($0.count)" }
      if request.query["as"] == "protobuf" {
        done(AdminResponse(contentType: "application/x-protobuf", body: list.protobuf()))
      } else {
        done(.json(list.json() + "\n"))
      }
    }
  }
}

extension Proxy {
  /// Largest body of an answer, bytes: a message of the stream may have one MiB.
  private static let mostAnswerBytes = 900 << 10

  /// Answers a question of the control plane: pages that change nothing, as for `GET`.
  func answer(_ question: ProxyQuestion, _ done: @escaping (ProxyAnswer) -> Void) {
    answer(AdminRequest(get: question.target)) { response in
      var answer = ProxyAnswer()
      answer.id = question.id
      answer.status = UInt32(response.status)
      answer.body = response.body
      if answer.body.count > Self.mostAnswerBytes {
        answer.status = 413
        answer.body = Array("the answer has \(response.body.count) bytes; ask for less\n".utf8)
      }
      done(answer)
    }
  }
}

extension AdminRequest {
  /// A request for a page by path and query.
  init(get target: String) {
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    self.init(method: "GET", path: parts[0], query: Self.query(parts.count > 1 ? parts[1] : ""), accept: "")
  }

  /// The parameters of a query, decoded (RFC 3986, section 2.1).
  static func query(_ text: String) -> [String: String] {
    var values: [String: String] = [:]
    for pair in text.split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(decoded)
      values[parts[0]] = parts.count > 1 ? parts[1] : ""
    }
    return values
  }

  private static func decoded(_ text: Substring) -> String {
    guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%"), rest.count >= 2,
        let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      else {
        bytes.append(byte)
        continue
      }
      bytes.append(code)
      rest = rest.dropFirst(2)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// What one worker gave.
private struct WorkerDecisions: Sendable {
  var worker: Int
  var entries: [DecisionEntry]
  var count: UInt64
  var heads: [UInt64: HeadRing.Heads] = [:]
}

/// Which decisions a question is about, by name.
struct DecisionChoice {
  private let from: String?
  private let to: String?
  private let path: String?
  private let reason: String?
  private let method: String?
  private let status: String?

  init(_ query: [String: String]) {
    func text(_ name: String) -> String? { query[name].flatMap { $0.isEmpty ? nil : $0 } }
    (from, to, path, reason) = (text("from"), text("to"), text("path"), text("reason"))
    (method, status) = (text("method")?.uppercased(), text("status")?.lowercased())
  }

  var isEverything: Bool {
    from == nil && to == nil && path == nil && reason == nil && method == nil && status == nil
  }

  func takes(_ record: DecisionRecord) -> Bool {
    (from.map { Self.names($0, record.sourceNamespace, record.source, record.sourceService) } ?? true)
      && (to.map { Self.isCalled($0, record) } ?? true)
      && (path.map { record.path.hasPrefix($0) } ?? true) && (reason == nil || reason == record.reason)
      && (method == nil || method == record.method) && (status.map { Self.isLike($0, record.status) } ?? true)
  }

  /// Whether a name is that of who was called: the service that was asked for, the one that a route chose, the workload,
  /// or, where no service was found, the name that was asked for.
  private static func isCalled(_ wanted: String, _ record: DecisionRecord) -> Bool {
    if names(wanted, record.destinationNamespace, record.service, record.workload) { return true }
    if !record.asked.isEmpty, names(wanted, record.askedNamespace, record.asked) { return true }
    guard record.service.isEmpty, record.workload.isEmpty, !record.authority.isEmpty else { return false }
    // The authority is the client's word, and may be `:` alone.
    let host = record.authority.prefix { $0 != ":" }
    let labels = host.split(separator: ".", maxSplits: 2).map(String.init)
    guard let name = labels.first else { return false }
    return wanted == host || names(wanted, labels.count > 1 ? labels[1] : record.sourceNamespace, name)
  }

  /// Whether a status is `503`, or one of `5xx`.
  private static func isLike(_ wanted: String, _ status: UInt32) -> Bool {
    wanted.hasSuffix("xx") ? "\(status / 100)xx" == wanted : "\(status)" == wanted
  }

  /// Whether `NAME` or `NAMESPACE/NAME` means one of these.
  private static func names(_ wanted: String, _ namespace: String, _ names: String...) -> Bool {
    guard let slash = wanted.firstIndex(of: "/") else { return names.contains(wanted) }
    return wanted[..<slash] == namespace && names.contains(String(wanted[wanted.index(after: slash)...]))
  }
}

extension DecisionRecord {
  init(_ entry: DecisionEntry, _ texts: LabelTexts, node: NodeIdentity) {
    self.init()
    let decision = entry.decision
    let labels = texts.edge(decision.edge)
    endedMilliseconds = UInt64(clamping: decision.wallMilliseconds)
    proxy = node.uid
    reporter = decision.flags.contains(.inbound) ? .destination : .source
    requestID = entry.requestID
    isConnection = decision.flags.contains(.connection)
    method =
      isConnection ? "" : decision.flags.contains(.tunnel) ? "TCP" : "\(decision.method)".uppercased()
    authority = entry.authority
    path = entry.path
    status = UInt32(decision.status)
    reason = Self.name(decision.reason)
    attemptReason = Self.name(decision.attemptReason)
    attempts = UInt32(decision.attempts)
    retries = UInt32(decision.retries)
    durationMicroseconds = UInt64(clamping: decision.durationNanoseconds / 1_000)
    isAnswered = decision.upstreamNanoseconds >= 0
    upstreamMicroseconds = UInt64(clamping: decision.upstreamNanoseconds / 1_000)
    name(labels, service: entry.service)
    if source.isEmpty, reporter == .source {
      // No service was found: the edge is nobody's, and yet the caller is known.
      (sourceNamespace, source, sourceService) = (node.namespace, node.workload, node.service)
    }
    route = texts.route(decision.route)
    let wanted = texts.asked(decision.route).split(separator: "/", maxSplits: 1).map(String.init)
    if wanted.count == 2, reporter == .source { (askedNamespace, asked) = (wanted[0], wanted[1]) }
    if decision.endpointFamily != 0 {
      endpoint =
        "\(SocketAddress(family: decision.endpointFamily, bytes: decision.endpointAddress, port: decision.endpointPort))"
    }
    limit = decision.limit
    isMutualTLS =
      reporter == .source ? !labels.destination.principal.isEmpty : decision.flags.contains(.mutualTLS)
    isTunnel = decision.flags.contains(.tunnel)
    isLocalReply = decision.flags.contains(.localReply)
    requestBytes = decision.requestBytes
    responseBytes = decision.responseBytes
    grpcStatus = decision.grpcStatus == 255 ? nil : UInt32(decision.grpcStatus)
    isFailure = decision.flags.contains(.failed)
    isRaced = decision.flags.contains(.raced)
    policy = entry.policy
    delayMilliseconds = decision.delayMilliseconds
    if decision.peerFamily != 0 {
      peer =
        "\(SocketAddress(family: Int32(decision.peerFamily), bytes: decision.peerAddress, port: decision.peerPort))"
    }
    failedAttemptCount = UInt32(entry.trail?.count ?? 0)
    failedAttempts = (entry.trail?.kept ?? []).map { AttemptRecord($0, texts) }
  }

  private mutating func name(_ labels: EdgeLabels, service found: String) {
    sourceNamespace = labels.source.namespace
    source = labels.source.workload
    sourceService = labels.source.canonicalService
    sourceIdentity = labels.source.principal
    let parts = found.split(separator: "/", maxSplits: 1).map(String.init)
    destinationNamespace = labels.serviceNamespace.isEmpty ? parts.first ?? "" : labels.serviceNamespace
    service = labels.serviceName.isEmpty ? parts.dropFirst().first ?? "" : labels.serviceName
    workload = labels.destination.workload
    version = labels.destination.version
    destinationIdentity = labels.destination.principal
  }

  fileprivate static func name(_ raw: UInt8) -> String { Reason(rawValue: raw).map { "\($0.name)" } ?? "" }
}

extension AttemptRecord {
  fileprivate init(_ attempt: FailedAttempt, _ texts: LabelTexts) {
    self.init()
    workload = texts.edge(attempt.edge).destination.workload
    if attempt.family != 0 {
      endpoint = "\(SocketAddress(family: Int32(attempt.family), bytes: attempt.address, port: attempt.port))"
    }
    reason = DecisionRecord.name(attempt.reason)
    status = UInt32(attempt.status)
    grpcStatus = attempt.grpcStatus == 255 ? nil : UInt32(attempt.grpcStatus)
    microseconds = UInt64(attempt.microseconds)
  }
}
