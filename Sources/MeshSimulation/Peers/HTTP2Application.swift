// Unsafe by design: the codec works on memory of its caller's.
internal import MeshHTTP
internal import MeshModel

/// An application that serves HTTP/2 with prior knowledge as each request's path tells it.
final class HTTP2Application: Actor {
  private let ledger: Ledger
  private let listener: SimulatedSocket
  private var connections: [HTTP2ApplicationConnection] = []
  private let isCalm: Bool

  init(_ kernel: SimulatedKernel, _ ledger: Ledger, port: UInt16) {
    self.ledger = ledger
    isCalm = ledger.isFaultless
    listener = kernel.listen(port)
    super.init(kernel)
    listener.watcher = self
  }

  override func act() {
    connections.removeAll { $0.socket == nil }
    while let socket = kernel.accept(listener) {
      let connection = HTTP2ApplicationConnection(kernel, ledger)
      if kernel.chance(1, of: 4) { connection.readMost = 1 + kernel.random.pick(700) }
      // Some go away after a while, in the way the standard asks for.
      if kernel.chance(1, of: 3) { connection.drainsAfter = 1 + kernel.random.pick(6) }
      connections.append(connection)
      connection.use(socket)
    }
  }
}

/// One connection to it.
private final class HTTP2ApplicationConnection: HTTP2Peer {
  private struct Serving {
    var plan: RequestPlan
    var stream: HTTP2Stream
    var taken = 0
    var isWhole = false
    var isAnswering = false
    var sent = 0
    /// It is reset when so much of the answer has been sent.
    var resetAt: Int?
  }

  private let ledger: Ledger
  private var serving: [UInt32: Serving] = [:]
  private var served = 0
  /// Requests after which it goes away.
  var drainsAfter = Int.max
  /// Reset as soon as what waits has been sent.
  private var dies = false

  init(_ kernel: SimulatedKernel, _ ledger: Ledger) {
    self.ledger = ledger
    super.init(kernel, .server, Self.limits(kernel))
  }

  override func act() {
    guard socket != nil else { return }
    let state = exchangeBytes()
    if let failure { ledger.violate("a proxy broke the rules of HTTP/2 at an application: \(failure)") }
    if dies || state != .open || failure != nil { return hangUp(reset: dies) }
    // What the peer still sends must not meet a closed socket, whose reset would overtake the answers.
    if codec.isDrained, output.isEmpty, !codec.hasOutput, let socket { kernel.shutdownWrite(socket) }
  }

  override func happened(_ event: HTTP2Event) {
    switch event {
    case .head(let stream, let head): headCame(stream, head)
    case .data(let stream, let data):
      codec.consumed(stream, data.bytes.count)
      guard let entry = serving[stream.id] else { return }
      ledger.checkRequest(entry.plan, at: entry.taken, Array(data.bytes)[...])
      serving[stream.id]?.taken += data.bytes.count
      if data.endStream { requestEnded(stream.id) }
    case .writable(let stream): answerMore(stream.id)
    case .reset(let stream, let reset):
      serving[stream.id] = nil
      if case .local(let reason) = reset.origin { ledger.violate("a request breaks the rules of HTTP/2: \(reason)") }
    case .needMore, .refused, .settings, .pong, .goAway, .failed: break
    }
  }

  private func headCame(_ stream: HTTP2Stream, _ message: HTTP2Head) {
    guard message.kind == .request else { return requestEnded(stream.id) }
    let head = message.head
    let method = String(decoding: head.bytes(head.method), as: UTF8.self)
    var path = String(decoding: head.bytes(head.path), as: UTF8.self)
    if !head.query.isEmpty { path += "?" + String(decoding: head.bytes(head.query), as: UTF8.self) }
    guard let plan = RequestPlan(method: method, path: path) else {
      return ledger.violate("an application got a request that nobody made: \(method) \(path)")
    }
    ledger.seen(plan)
    serving[stream.id] = Serving(plan: plan, stream: stream)
    served += 1
    if served == drainsAfter { codec.drain() }
    switch plan.behaviour {
    case .dies:
      if kernel.chance(1, of: 2) {
        codec.reset(stream, .internalError)
        serving[stream.id] = nil
      } else {
        dies = true
      }
      return
    case .early, .earlyClose: answer(stream.id)
    case .interim:
      if codec.beginResponse(stream, status: 103) { codec.endHead(stream, endStream: false) }
    default: break
    }
    if message.endStream { requestEnded(stream.id) }
  }

  private func requestEnded(_ id: UInt32) {
    guard let entry = serving[id] else { return }
    ledger.requestWhole(entry.plan, entry.taken)
    serving[id]?.isWhole = true
    guard !entry.isAnswering, entry.plan.behaviour != .silent else { return finishIfDone(id) }
    guard entry.plan.delayMicroseconds > 0 else { return answer(id) }
    kernel.after(UInt64(entry.plan.delayMicroseconds) * 1000) { [weak self] in
      guard let self, serving[id] != nil, socket != nil else { return }
      answer(id)
      wake()
    }
  }

  private func answer(_ id: UInt32) {
    guard let entry = serving[id] else { return }
    let plan = entry.plan
    serving[id]?.isAnswering = true
    if plan.behaviour == .diesAnswering { serving[id]?.resetAt = kernel.random.pick(max(1, plan.answerBytes)) }
    let hasBody = plan.answerBytes > 0 && plan.method != "HEAD"
    guard codec.beginResponse(entry.stream, status: UInt16(plan.status)) else { return }
    field("x-id", "\(plan.id)")
    if plan.framing == .length { codec.field(.contentLength, number: UInt64(plan.answerBytes)) }
    let ends = !hasBody && plan.behaviour != .diesAnswering
    codec.endHead(entry.stream, endStream: ends)
    if ends { serving[id]?.sent = plan.answerBytes }
    answerMore(id)
  }

  private func answerMore(_ id: UInt32) {
    while let entry = serving[id], entry.isAnswering, entry.sent < entry.plan.answerBytes {
      if let limit = entry.resetAt, entry.sent >= limit { break }
      let end = min(entry.resetAt ?? .max, entry.plan.answerBytes)
      guard
        let taken = sendBody(
          entry.stream, from: entry.sent, of: end, endStream: end == entry.plan.answerBytes, entry.plan.answerByte)
      else { return }
      serving[id]?.sent += taken
      if taken == 0 || taken < min(20_000, end - entry.sent) { return }
    }
    finishIfDone(id)
  }

  private func finishIfDone(_ id: UInt32) {
    guard let entry = serving[id], entry.isAnswering else { return }
    if let limit = entry.resetAt, entry.sent >= limit {
      codec.reset(entry.stream, .internalError)
      serving[id] = nil
    } else if entry.sent >= entry.plan.answerBytes {
      if entry.isWhole {
        serving[id] = nil
      } else if entry.plan.behaviour == .earlyClose {
        // The rest of the request is of no use (RFC 9113, section 8.1).
        codec.reset(entry.stream, .noError)
        serving[id] = nil
      }
    }
  }
}
