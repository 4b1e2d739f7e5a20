internal import MeshPolicy

/// An application of bytes that sends back what it gets; a greeter speaks first.
final class GreetingApplication: Actor {
  /// What a server that speaks first says, as mail servers do.
  static let greeting = Array("220 ready\r\n".utf8)
  private let listener: SimulatedSocket
  private let greets: Bool
  private var connections: [GreetingConnection] = []

  init(_ kernel: SimulatedKernel, port: UInt16, greets: Bool) {
    listener = kernel.listen(port)
    self.greets = greets
    super.init(kernel)
    listener.watcher = self
  }

  override func act() {
    connections.removeAll { $0.socket == nil }
    while let socket = kernel.accept(listener) {
      let connection = GreetingConnection(kernel)
      if greets { connection.output = Self.greeting }
      connections.append(connection)
      connection.use(socket)
    }
  }
}

private final class GreetingConnection: SocketActor {
  override func act() {
    while socket != nil {
      switch read() {
      case .bytes(let piece): output += piece
      case .nothing:
        if !flush() { hangUp() }
        return
      case .end, .broken: return hangUp()
      }
    }
  }
}

/// A client that connects some times, one after the other, and notes how long the server's first byte takes. It speaks
/// first itself, or waits to be greeted; then it says a word and wants it back.
final class PunctualClient: SocketActor {
  /// What a client that speaks first says: a command, as Redis has them.
  static let command = Array("*1\r\n$4\r\nPING\r\n".utf8)
  private let ledger: Ledger
  private let port: UInt16
  private let isGreeted: Bool
  private var left: Int
  private var connectedAt: UInt64 = 0
  private var expected: [UInt8] = []
  private var hasReplied = false
  /// Nanoseconds from the established connection to the first byte, for each connection.
  private(set) var delays: [UInt64] = []
  var isDone: Bool { left == 0 }

  init(_ kernel: SimulatedKernel, _ ledger: Ledger, port: UInt16, isGreeted: Bool, connections: Int) {
    self.ledger = ledger
    self.port = port
    self.isGreeted = isGreeted
    left = connections
    super.init(kernel)
  }

  override func act() {
    guard left > 0 else { return }
    guard let socket else {
      connectedAt = 0
      hasReplied = !isGreeted
      expected = isGreeted ? GreetingApplication.greeting : Self.command
      output = isGreeted ? [] : Self.command
      return open(port: port)
    }
    guard socket.state != .connecting else { return }
    if connectedAt == 0 { connectedAt = kernel.now }
    if !flush() { return fail("cannot be written to") }
    while true {
      switch read() {
      case .nothing: return
      case .bytes(let piece):
        if delays.count < served + 1 { delays.append(kernel.now - connectedAt) }
        guard expected.starts(with: piece) else { return fail("got other bytes than expected") }
        expected.removeFirst(piece.count)
        if expected.isEmpty { return said() }
      case .end, .broken: return fail("ended")
      }
    }
  }

  /// Connections that are over.
  private var served = 0

  /// Everything that was due has come: the client replies to a greeting, or is content.
  private func said() {
    if !hasReplied {
      hasReplied = true
      expected = Self.command
      output = Self.command
      return wake()
    }
    hangUp()
    served += 1
    left -= 1
    if left > 0 { wake() }
  }

  private func fail(_ what: String) {
    ledger.violate("a connection to port \(port) \(what)")
    hangUp()
    left = 0
  }
}
