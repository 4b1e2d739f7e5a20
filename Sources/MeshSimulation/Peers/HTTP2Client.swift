// Unsafe by design: the codec works on memory of its caller's.
internal import MeshHTTP
internal import MeshModel

/// A client of HTTP/2 with prior knowledge: its plans ride on one connection, several at a time, and on another where
/// the first goes away.
final class HTTP2Client: HTTP2Peer {
  private struct Running {
    var plan: RequestPlan
    var stream: HTTP2Stream
    var sent = 0
    var isSent = false
    var taken = 0
    var status = 0
    var reason: String?
  }

  private let ledger: Ledger
  private let port: UInt16
  private let most: Int
  private var todo: [RequestPlan]
  private var running: [UInt32: Running] = [:]
  private var goesAway = false
  private var requeued: [Int: Int] = [:]
  private(set) var isDone = false

  init(_ kernel: SimulatedKernel, _ ledger: Ledger, port: UInt16, plans: [RequestPlan], most: Int) {
    self.ledger = ledger
    self.port = port
    self.most = most
    todo = plans.reversed()
    super.init(kernel, .client, Self.limits(kernel))
    for plan in plans { ledger.add(plan) }
  }

  override func act() {
    if isDone { return }
    if socket == nil {
      if ledger.isClosing {
        for plan in todo { ledger.end(plan, .left) }
        todo = []
      }
      if todo.isEmpty, running.isEmpty { return isDone = true }
      codec = HTTP2Connection(role: .client, limits: Self.limits(kernel))
      goesAway = false
      open(port: port)
    }
    openStreams()
    let state = exchangeBytes()
    if let failure { ledger.violate("a proxy broke the rules of HTTP/2: \(failure)") }
    openStreams()
    let isIdle = running.isEmpty && (todo.isEmpty || goesAway)
    if state != .open || isIdle || failure != nil { return lost() }
    _ = send()
  }

  private func openStreams() {
    while socket != nil, running.count < most, !goesAway, codec.canOpenStream, let plan = todo.popLast() {
      guard let stream = codec.openRequest() else { return todo.append(plan) }
      let isBodiless = plan.requestBytes == 0 && !plan.isChunked
      codec.requestHead(
        stream, method: plan.method, scheme: "http", authority: Mesh.host, path: plan.path, endStream: isBodiless
      ) { codec in
        if !plan.isChunked, !isBodiless { codec.field(.contentLength, number: UInt64(plan.requestBytes)) }
      }
      var entry = Running(plan: plan, stream: stream)
      entry.isSent = isBodiless
      running[stream.id] = entry
      sendMore(stream.id)
      if plan.leavesAfter == 0 {
        kernel.after(UInt64(kernel.random.pick(3_000_000))) { [weak self] in
          self?.leave(stream.id, plan.id)
          self?.wake()
        }
      }
    }
  }

  private func sendMore(_ id: UInt32) {
    while let entry = running[id], !entry.isSent {
      let plan = entry.plan
      // A body without a length ends in trailers.
      let hasTrailers = plan.isChunked
      if entry.sent < plan.requestBytes {
        guard
          let taken = sendBody(
            entry.stream, from: entry.sent, of: plan.requestBytes, endStream: !hasTrailers, plan.requestByte)
        else { return }
        running[id]?.sent += taken
        if taken == 0 || taken < min(20_000, plan.requestBytes - entry.sent) { return }
        if entry.sent + taken == plan.requestBytes, !hasTrailers { running[id]?.isSent = true }
      } else {
        running[id]?.isSent = true
        if codec.beginHead(entry.stream) {
          field("x-end", "yes")
          codec.endHead(entry.stream, endStream: true)
        }
      }
    }
  }

  private func leave(_ id: UInt32, _ plan: Int) {
    guard let entry = running[id], entry.plan.id == plan else { return }
    codec.reset(entry.stream, .cancel)
    running[id] = nil
    ledger.end(entry.plan, .left)
  }

  // MARK: Events

  override func happened(_ event: HTTP2Event) {
    switch event {
    case .head(let stream, let head): headCame(stream, head)
    case .data(let stream, let data): dataCame(stream, data)
    case .writable(let stream): sendMore(stream.id)
    case .reset(let stream, let reset): wasReset(stream, reset)
    case .goAway: goesAway = true
    case .needMore, .refused, .settings, .pong, .failed: break
    }
  }

  private func headCame(_ stream: HTTP2Stream, _ message: HTTP2Head) {
    guard let entry = running[stream.id] else { return }
    if message.kind == .response {
      let head = message.head
      running[stream.id]?.status = Int(head.status)
      running[stream.id]?.reason = Self.value("x-apus-reason", head)
      if Self.value("x-apus-reason", head) == nil, Self.value("x-id", head) != "\(entry.plan.id)" {
        ledger.violate("request \(entry.plan.id) got another's answer")
      }
    }
    if message.endStream { finish(stream.id) }
  }

  private func dataCame(_ stream: HTTP2Stream, _ data: HTTP2Data) {
    codec.consumed(stream, data.bytes.count)
    guard let entry = running[stream.id] else { return }
    if entry.reason == nil { ledger.checkAnswer(entry.plan, at: entry.taken, Array(data.bytes)[...]) }
    running[stream.id]?.taken += data.bytes.count
    if let limit = entry.plan.leavesAfter, entry.taken + data.bytes.count >= limit { leave(stream.id, entry.plan.id) }
    if data.endStream { finish(stream.id) }
  }

  private func finish(_ id: UInt32) {
    guard let entry = running.removeValue(forKey: id) else { return }
    if !entry.isSent { codec.reset(entry.stream, .cancel) }
    if let reason = entry.reason {
      ledger.end(entry.plan, .refused(reason))
    } else {
      ledger.answerWhole(entry.plan, status: entry.status, entry.taken)
    }
  }

  private func wasReset(_ stream: HTTP2Stream, _ reset: HTTP2Reset) {
    guard let entry = running.removeValue(forKey: stream.id) else { return }
    if case .local(let reason) = reset.origin {
      ledger.violate("request \(entry.plan.id): its answer breaks the rules of HTTP/2: \(reason)")
    }
    if reset.isUnprocessed, requeued[entry.plan.id, default: 0] < 5 {
      requeued[entry.plan.id, default: 0] += 1
      return todo.append(entry.plan)
    }
    ledger.end(entry.plan, .broken)
  }

  /// The connection is over.
  private func lost() {
    hangUp()
    for entry in running.values.sorted(by: { $0.stream.id < $1.stream.id }) { ledger.end(entry.plan, .broken) }
    running = [:]
    if todo.isEmpty { isDone = true } else { wake() }
  }
}
