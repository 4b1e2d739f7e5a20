/// A client of HTTP/1.1 that works through its plans on connections which it keeps open, pipelining some of them.
final class HTTP1Client: SocketActor {
  private struct Waiting {
    var plan: RequestPlan
    /// Body that is sent when `100 Continue` comes, or its time is up.
    var heldBody: [UInt8] = []
    var taken = 0
    var hasHead = false
    var status = 0
    var reason: String?
    var closes = false
  }

  private let ledger: Ledger
  private let port: UInt16
  private let host: String
  private let depth: Int
  private var todo: [RequestPlan]
  private var waiting: [Waiting] = []
  private var reader = MessageReader(isResponse: true)
  private var requeued: [Int: Int] = [:]
  private var pauseUntil: UInt64 = 0
  /// An application's answer with this status is a failure that is expected; 0: none is.
  var acceptsStatus = 0
  /// Pause between requests, at most, nanoseconds.
  var thinkTime: UInt64 = 0
  /// What has not been asked by then is not asked any more.
  var stopsAt: UInt64 = .max
  private(set) var isDone = false

  init(_ kernel: SimulatedKernel, _ ledger: Ledger, port: UInt16, host: String, plans: [RequestPlan], depth: Int) {
    self.ledger = ledger
    self.port = port
    self.host = host
    self.depth = depth
    todo = plans.reversed()
    super.init(kernel)
    for plan in plans { ledger.add(plan) }
  }

  override func act() {
    if isDone { return }
    if kernel.now >= stopsAt { giveUp() }
    if socket == nil {
      if ledger.isClosing { giveUp() }
      if todo.isEmpty { return isDone = true }
      guard kernel.now >= pauseUntil else { return }
      reader = MessageReader(isResponse: true)
      open(port: port)
    }
    sendMore()
    // A broken write is found by the read, after what may have come before it.
    _ = flush()
    readAll()
    if socket != nil, todo.isEmpty, waiting.isEmpty {
      hangUp()
      isDone = true
    }
  }

  /// The proxy is going away, or the time is up: what has not been asked yet is not asked any more.
  private func giveUp() {
    for plan in todo { ledger.end(plan, .left) }
    todo = []
  }

  // MARK: Requests

  private func sendMore() {
    // A body that is held back must go before the next request.
    while socket != nil, waiting.count < depth, waiting.allSatisfy({ $0.heldBody.isEmpty }), kernel.now >= pauseUntil,
      let plan = todo.popLast()
    {
      var entry = Waiting(plan: plan)
      var head = "\(plan.method) \(plan.path) HTTP/1.1\r\nHost: \(host)\r\n"
      if plan.expectsContinue { head += "Expect: 100-continue\r\n" }
      var body: [UInt8] = []
      if plan.isChunked {
        head += "Transfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n"
        body = chunks(plan)
      } else if plan.requestBytes > 0 || plan.method == "POST" || plan.method == "PUT" {
        head += "Content-Length: \(plan.requestBytes)\r\n\r\n"
        body = (0..<plan.requestBytes).map { plan.requestByte($0) }
      } else {
        head += "\r\n"
      }
      say(head)
      if plan.expectsContinue {
        entry.heldBody = body
        kernel.after(1_000_000_000) { [weak self] in self?.releaseBody(of: plan.id) }
      } else {
        output += body
      }
      waiting.append(entry)
      if plan.leavesAfter == 0 {
        kernel.after(UInt64(random(3_000_000))) { [weak self] in self?.leave(plan.id) }
      }
    }
  }

  private func chunks(_ plan: RequestPlan) -> [UInt8] {
    var body: [UInt8] = []
    var offset = 0
    while offset < plan.requestBytes {
      let size = min(plan.requestBytes - offset, 1 + random(9000))
      body += Array("\(String(size, radix: 16))\r\n".utf8)
      body += (offset..<offset + size).map { plan.requestByte($0) } + [13, 10]
      offset += size
    }
    return body + Array("0\r\nx-end: yes\r\n\r\n".utf8)
  }

  private func releaseBody(of id: Int) {
    guard let index = waiting.firstIndex(where: { $0.plan.id == id }), !waiting[index].heldBody.isEmpty else { return }
    output += waiting[index].heldBody
    waiting[index].heldBody = []
    wake()
  }

  /// The client loses interest in its request.
  private func leave(_ id: Int) {
    guard waiting.first?.plan.id == id, let plan = waiting.first?.plan else { return }
    waiting.removeFirst()
    ledger.end(plan, .left)
    restart(reset: chance(1, of: 2), as: .left)
    wake()
  }

  // MARK: Answers

  private func readAll() {
    while socket != nil {
      switch read() {
      case .nothing: return
      case .bytes(let piece):
        reader.isHead = waiting.first?.plan.method == "HEAD"
        reader.feed(piece)
        while socket != nil, let event = reader.next() { take(event) }
      case .end: return ended(isClean: true)
      case .broken: return ended(isClean: false)
      }
    }
  }

  private func take(_ event: MessageReader.Event) {
    guard let entry = waiting.first else {
      ledger.violate("a client got an answer that it had not asked for")
      return restart(reset: true)
    }
    let plan = entry.plan
    switch event {
    case .head(let line, let fields):
      let status = Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0
      if status == 100 { return releaseBody(of: plan.id) }
      if status < 200 { return }
      waiting[0].hasHead = true
      waiting[0].status = status
      waiting[0].reason = fields["x-apus-reason"]
      waiting[0].closes = fields["connection"]?.lowercased() == "close"
      if waiting[0].reason == nil, fields["x-id"] != "\(plan.id)" {
        ledger.violate("request \(plan.id) got the answer to \(fields["x-id"] ?? "nothing")")
      }
    case .body(let bytes):
      if entry.reason == nil { ledger.checkAnswer(plan, at: entry.taken, bytes) }
      waiting[0].taken += bytes.count
      if let limit = plan.leavesAfter, waiting[0].taken >= limit { leave(plan.id) }
    case .end: answerEnded()
    case .failed(let text):
      ledger.violate("request \(plan.id): an answer that cannot be read: \(text)")
      restart(reset: true)
    }
  }

  private func answerEnded() {
    let entry = waiting.removeFirst()
    if let reason = entry.reason {
      ledger.end(entry.plan, .refused(reason))
    } else if entry.status == acceptsStatus {
      ledger.end(entry.plan, .refused("status"))
    } else {
      ledger.answerWhole(entry.plan, status: entry.status, entry.taken)
    }
    let isUnsent = !entry.heldBody.isEmpty
    reader.isHead = waiting.first?.plan.method == "HEAD"
    if entry.closes || isUnsent {
      if !entry.closes, !isUnsent { ledger.violate("an answer without end on a connection that stays open") }
      return restart(reset: false)
    }
    if thinkTime > 0 {
      pauseUntil = kernel.now + UInt64(random(Int(thinkTime)))
      kernel.at(pauseUntil) { [weak self] in self?.wake() }
    }
    // What follows is taken up after the plans that wait have been looked at.
    sendMore()
    _ = flush()
  }

  /// The connection is over for the answers that wait: the first is broken; those behind it have not been looked at and
  /// are made again.
  private func ended(isClean: Bool) {
    if let entry = waiting.first, entry.hasHead {
      if isClean, reader.endsWithStream { return answerEnded() }
      waiting.removeFirst()
      ledger.end(entry.plan, .broken)
    } else if let entry = waiting.first {
      // Nothing came: a client may ask again if the connection was just closing.
      if !isUntouched(entry.plan) {
        waiting.removeFirst()
        ledger.end(entry.plan, .broken)
      }
    }
    restart(reset: false)
  }

  private func isUntouched(_ plan: RequestPlan) -> Bool {
    if ledger.isClosing { return false }
    // Where connections break it may still be on its way.
    guard plan.isIdempotent || ledger.isFaultless else { return false }
    return ledger.attempts(plan.id) == 0 && requeued[plan.id, default: 0] < 3
  }

  /// Leaves the connection; requests that wait are made again on the next.
  private func restart(reset: Bool, as outcome: RequestOutcome = .broken) {
    hangUp(reset: reset)
    for entry in waiting.reversed() {
      if isUntouched(entry.plan) {
        requeued[entry.plan.id, default: 0] += 1
        todo.append(entry.plan)
      } else {
        ledger.end(entry.plan, outcome)
      }
    }
    waiting = []
    wake()
  }
}
