/// An application that serves HTTP/1.1 as each request's path tells it.
final class HTTP1Application: Actor {
  private let ledger: Ledger
  private let listener: SimulatedSocket
  private var connections: [HTTP1ApplicationConnection] = []
  /// Answers this status to everything; 0: what the path says.
  var forcedStatus = 0
  /// What it can do; nil: anything, in no time.
  var capacity: Capacity?
  private var busy = 0
  private var queue: [() -> Void] = []

  /// So many requests at a time, each of which takes `nanoseconds` on average.
  struct Capacity {
    var slots: Int
    var nanoseconds: UInt64

    /// Requests a second.
    var rate: Double { Double(slots) * 1e9 / Double(nanoseconds) }
  }

  init(_ kernel: SimulatedKernel, _ ledger: Ledger, port: UInt16) {
    self.ledger = ledger
    listener = kernel.listen(port)
    super.init(kernel)
    listener.watcher = self
  }

  override func act() {
    connections.removeAll { $0.socket == nil }
    while let socket = kernel.accept(listener) {
      let connection = HTTP1ApplicationConnection(kernel, ledger, forcedStatus: forcedStatus)
      if capacity != nil { connection.work = { [unowned self] done in work(done) } }
      connections.append(connection)
      if chance(1, of: 4) { connection.readMost = 1 + kernel.random.pick(700) }
      // In calm weather nobody is so slow that its peer loses patience.
      if chance(1, of: 12), !ledger.isFaultless { connection.readPause = UInt64(kernel.random.pick(3_000_000)) }
      connection.use(socket)
    }
  }

  /// Works on a request, once those before it leave room.
  private func work(_ done: @escaping () -> Void) {
    guard let capacity else { return done() }
    guard busy < capacity.slots else { return queue.append(done) }
    busy += 1
    let time = capacity.nanoseconds / 2 + UInt64(kernel.random.pick(Int(capacity.nanoseconds)))
    kernel.after(time) { [weak self] in
      done()
      guard let self else { return }
      busy -= 1
      if !queue.isEmpty { work(queue.removeFirst()) }
    }
  }

  /// Connections that are open.
  var openConnections: Int { connections.reduce(0) { $0 + ($1.socket == nil ? 0 : 1) } }

  private func chance(_ share: Int, of whole: Int) -> Bool { kernel.chance(share, of: whole) }
}

/// One connection to an application.
final class HTTP1ApplicationConnection: SocketActor {
  private let ledger: Ledger
  private let forcedStatus: Int
  private var reader = MessageReader(isResponse: false)
  private var plan: RequestPlan?
  private var taken = 0
  /// The answer to the plan is in `output`, or on its way there.
  private var isAnswering = false
  private var isRequestWhole = false
  /// The plan whose answer has been put into the output.
  private var answered = -1
  /// Output may be sent up to here; then comes a pause, or the end.
  private var sendLimit: Int?
  private var pausesLeft = 0
  /// How the application works on a request; nil: it takes no time.
  var work: ((@escaping () -> Void) -> Void)?
  private enum Ending { case none, close, closeUnread, reset }
  private var ending = Ending.none

  init(_ kernel: SimulatedKernel, _ ledger: Ledger, forcedStatus: Int) {
    self.ledger = ledger
    self.forcedStatus = forcedStatus
    super.init(kernel)
  }

  override func act() {
    guard socket != nil else { return }
    guard flush(upTo: sendLimit) else { return hangUp() }
    finishAnswer()
    readAll()
  }

  private func readAll() {
    while socket != nil {
      // The next request waits until this one is answered.
      if plan != nil, isRequestWhole { return }
      if case .closeUnread = ending { return }
      switch read() {
      case .nothing: return
      case .bytes(let piece):
        reader.feed(piece)
        drainReader()
      case .end: return plan == nil || !isRequestWhole ? hangUp() : ()
      case .broken: return hangUp()
      }
    }
  }

  private func drainReader() {
    while socket != nil, !(plan != nil && isRequestWhole), let event = reader.next() {
      switch event {
      case .head(let line, let fields): begin(line, fields)
      case .body(let bytes):
        guard let plan else { continue }
        ledger.checkRequest(plan, at: taken, bytes)
        taken += bytes.count
      case .end:
        guard let plan else { continue }
        ledger.requestWhole(plan, taken)
        isRequestWhole = true
        if !isAnswering { answerSoon() }
        if isAnswering { finishAnswer() }
      case .failed(let text):
        ledger.violate("an application got what it cannot read: \(text)")
        hangUp(reset: true)
      }
    }
  }

  private func begin(_ line: String, _ fields: [String: String]) {
    let words = line.split(separator: " ").map(String.init)
    guard words.count == 3, var plan = RequestPlan(method: words[0], path: words[1]) else {
      ledger.violate("an application got a request that nobody made: \(line)")
      return hangUp(reset: true)
    }
    if forcedStatus > 0 { plan.status = forcedStatus }
    ledger.seen(plan)
    self.plan = plan
    taken = 0
    isRequestWhole = false
    isAnswering = false
    if fields["expect"] != nil { say("HTTP/1.1 100 Continue\r\n\r\n") }
    switch plan.behaviour {
    case .dies: hangUp(reset: chance(1, of: 2))
    case .early, .earlyClose: answer()
    case .interim: say("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    default: break
    }
    if socket != nil, !flush(upTo: sendLimit) { hangUp() }
  }

  private func answerSoon() {
    guard let plan, plan.behaviour != .silent else { return }
    if let work {
      isAnswering = true
      return work { [weak self] in self?.answerNow(plan) }
    }
    guard plan.delayMicroseconds > 0 else { return answer() }
    isAnswering = true
    kernel.after(UInt64(plan.delayMicroseconds) * 1000) { [weak self] in self?.answerNow(plan) }
  }

  /// The time that the answer takes is over.
  private func answerNow(_ plan: RequestPlan) {
    guard self.plan?.id == plan.id, socket != nil else { return }
    answer()
    wake()
  }

  private func answer() {
    guard let plan else { return }
    isAnswering = true
    answered = plan.id
    var head = "HTTP/1.1 \(plan.status) Status\r\nx-id: \(plan.id)\r\n"
    let isBodiless = plan.method == "HEAD"
    var body = isBodiless ? [] : (0..<plan.answerBytes).map { plan.answerByte($0) }
    switch plan.framing {
    case .length: head += "content-length: \(plan.answerBytes)\r\n"
    case .chunked:
      head += "transfer-encoding: chunked\r\n"
      if !isBodiless { body = chunked(body) }
    case .untilClose:
      head += "connection: close\r\n"
      ending = .close
    }
    if plan.behaviour == .earlyClose { ending = .closeUnread }
    if plan.behaviour == .closesAfter, case .none = ending { ending = .close }
    say(head + "\r\n")
    output += body
    if plan.behaviour == .diesAnswering {
      sendLimit = random(max(1, output.count))
      // An end in the middle of a body that goes until the end would be a whole answer.
      ending = plan.framing == .untilClose || chance(1, of: 2) ? .reset : .closeUnread
    } else if plan.behaviour == .slow {
      pausesLeft = 1 + random(6)
      pauseAgain()
    }
  }

  private func chunked(_ body: [UInt8]) -> [UInt8] {
    var framed: [UInt8] = []
    var offset = 0
    while offset < body.count {
      let size = min(body.count - offset, 1 + random(5000))
      framed += Array("\(String(size, radix: 16))\r\n".utf8) + body[offset..<offset + size] + [13, 10]
      offset += size
    }
    return framed + Array("0\r\n\r\n".utf8)
  }

  private func pauseAgain() {
    pausesLeft -= 1
    sendLimit = pausesLeft <= 0 ? nil : sent + random(max(1, output.count - sent))
    guard sendLimit != nil else { return }
    kernel.after(UInt64(random(20_000_000))) { [weak self] in
      guard let self, socket != nil, !output.isEmpty else { return }
      pauseAgain()
      wake()
    }
  }

  /// Goes on when the answer has been sent as far as it is to be sent.
  private func finishAnswer() {
    guard socket != nil, let plan, isAnswering else { return }
    guard flush(upTo: sendLimit) else { return hangUp() }
    if plan.behaviour == .diesAnswering, let limit = sendLimit {
      if sent >= limit || output.isEmpty { hangUp(reset: ending == .reset) }
      return
    }
    guard output.isEmpty, answered == plan.id else { return }
    switch ending {
    case .close where isRequestWhole: return hangUp()
    case .closeUnread: return hangUp()
    case .reset: return hangUp(reset: true)
    case .close, .none: break
    }
    guard isRequestWhole else { return }
    self.plan = nil
    sendLimit = nil
    drainReader()
    if socket != nil { wake() }
  }

}
