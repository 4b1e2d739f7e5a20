/// An application of bytes: it sends back what it gets, and ends its direction when the other side has.
final class EchoApplication: Actor {
  private let listener: SimulatedSocket
  private var connections: [EchoConnection] = []

  init(_ kernel: SimulatedKernel, port: UInt16) {
    listener = kernel.listen(port)
    super.init(kernel)
    listener.watcher = self
  }

  override func act() {
    connections.removeAll { $0.socket == nil }
    while let socket = kernel.accept(listener) {
      let connection = EchoConnection(kernel)
      if kernel.chance(1, of: 4) { connection.readMost = 1 + kernel.random.pick(300) }
      connections.append(connection)
      connection.use(socket)
    }
  }
}

private final class EchoConnection: SocketActor {
  private var hasEnded = false

  override func act() {
    while socket != nil, !hasEnded, output.count - sent < 100_000 {
      switch read() {
      case .bytes(let piece): output += piece
      case .nothing:
        if !flush() { hangUp() }
        return
      case .end: hasEnded = true
      case .broken: return hangUp()
      }
      if !flush() { return hangUp() }
    }
    guard socket != nil else { return }
    guard flush() else { return hangUp() }
    guard output.isEmpty else { return }
    if hasEnded { hangUp() } else { wake() }
  }
}

/// A client of bytes: it sends a number of them, ends its direction at once or when all have come back, and wants all
/// of them back and then the end.
final class EchoClient: SocketActor {
  private let ledger: Ledger
  private let plan: RequestPlan
  private let port: UInt16
  private let endsEarly: Bool
  private var generated = 0
  private var received = 0
  private var hasShut = false
  private(set) var isDone = false

  init(_ kernel: SimulatedKernel, _ ledger: Ledger, port: UInt16, plan: RequestPlan) {
    self.ledger = ledger
    self.plan = plan
    self.port = port
    endsEarly = kernel.chance(1, of: 2)
    super.init(kernel)
    ledger.add(plan)
  }

  override func act() {
    if isDone { return }
    if socket == nil { open(port: port) }
    guard let socket else { return }
    if output.isEmpty, generated < plan.requestBytes {
      let size = min(plan.requestBytes - generated, 1 + random(20_000))
      output = (generated..<generated + size).map { plan.requestByte($0) }
      generated += size
    }
    _ = flush()
    if output.isEmpty, generated == plan.requestBytes, !hasShut, endsEarly || received == plan.requestBytes,
      socket.state == .established
    {
      hasShut = true
      kernel.shutdownWrite(socket)
    } else if output.isEmpty, generated < plan.requestBytes {
      wake()
    }
    readAll()
  }

  private func readAll() {
    while socket != nil {
      switch read() {
      case .nothing: return
      case .bytes(let piece):
        for (index, byte) in piece.enumerated() where byte != plan.requestByte(received + index) {
          ledger.violate("echo \(plan.id): byte \(received + index) came back wrong")
          return finish(.broken)
        }
        received += piece.count
        if received > plan.requestBytes { ledger.violate("echo \(plan.id): more came back than was sent") }
        if let limit = plan.leavesAfter, received >= limit { return finish(.left, reset: chance(1, of: 2)) }
        wake()
      case .end:
        if received == plan.requestBytes, hasShut { return finish(.answered) }
        ledger.violate("echo \(plan.id): an end after \(received) bytes of \(plan.requestBytes) that looks proper")
        return finish(.broken)
      case .broken: return finish(.broken)
      }
    }
  }

  private func finish(_ outcome: RequestOutcome, reset: Bool = false) {
    isDone = true
    hangUp(reset: reset)
    ledger.end(plan, outcome)
  }
}
