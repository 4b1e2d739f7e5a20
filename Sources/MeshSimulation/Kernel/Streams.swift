// Unsafe by design: it hands bytes to and from memory of the loops.
internal import Glibc
internal import MeshPolicy
internal import MeshReactor

/// TCP as a program sees it. All functions return what the call returns, failures as negated errno.
extension SimulatedKernel {
  // MARK: Opening

  /// A socket that listens on a port.
  func listen(_ port: UInt16) -> SimulatedSocket {
    let socket = makeSocket()
    socket.state = .listening
    socket.port = port
    listeners[port] = socket
    return socket
  }

  func connect(_ socket: SimulatedSocket, port: UInt16) -> Int32 {
    socket.state = .connecting
    socket.port = nextEphemeralPort()
    // Clients have no patience of their own: their proxy always answers.
    if port >= Mesh.firstServerPort, chance(profile.blackHoles, of: 1000) { return -EINPROGRESS }
    let isRefused = chance(profile.refusals, of: 1000)
    after(travel()) { [unowned self] in
      guard socket.state == .connecting, !socket.isClosed else { return }
      guard !isRefused, let listener = listeners[port], listener.backlog.count < 4096 else {
        after(travel()) { [unowned self] in refuse(socket) }
        return
      }
      let other = makeSocket()
      other.state = .established
      other.port = port
      other.peer = socket
      socket.peer = other
      shape(socket)
      shape(other)
      listener.backlog.append(other)
      raise(listener)
      after(travel()) { [unowned self] in
        guard socket.state == .connecting, !socket.isClosed else { return }
        socket.state = .established
        work += 1
        raise(socket)
      }
    }
    return -EINPROGRESS
  }

  private func refuse(_ socket: SimulatedSocket) {
    guard socket.state == .connecting, !socket.isClosed else { return }
    socket.state = .reset
    socket.error = ECONNREFUSED
    raise(socket)
  }

  func accept(_ listener: SimulatedSocket) -> SimulatedSocket? {
    guard !listener.backlog.isEmpty else { return nil }
    work += 1
    return listener.backlog.removeFirst()
  }

  // MARK: Bytes

  func receive(_ socket: SimulatedSocket, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    if socket.state == .connecting || socket.state == .fresh { return Int(-EAGAIN) }
    let taken = min(count, socket.arrived)
    if taken > 0, let base = socket.stream.bytes {
      memcpy(bytes, base, taken)
      socket.stream.consume(taken)
      socket.arrived -= taken
      work += 1
      reopen(socket)
      return taken
    }
    if socket.error != 0, !socket.isReadShut { return -Int(takeError(socket)) }
    return socket.isReadShut || socket.state == .reset ? 0 : Int(-EAGAIN)
  }

  func takeError(_ socket: SimulatedSocket) -> Int32 {
    defer { socket.error = 0 }
    return socket.error
  }

  func send(_ socket: SimulatedSocket, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    if socket.state == .connecting { return Int(-EAGAIN) }
    if socket.error != 0 { return -Int(takeError(socket)) }
    guard socket.state == .established, !socket.isWriteShut, let peer = socket.peer else { return Int(-EPIPE) }
    let taken = min(count, socket.room)
    if taken < count { socket.wantsRoom = true }
    guard taken > 0 else { return Int(-EAGAIN) }
    peer.stream.append(bytes.assumingMemoryBound(to: UInt8.self), taken)
    work += 1
    transmit(socket)
    return taken
  }

  /// The reader has made room; its peer hears of that a little later.
  private func reopen(_ socket: SimulatedSocket) {
    guard let peer = socket.peer, socket.stream.count > socket.arrived + socket.inFlight || peer.wantsRoom else {
      return
    }
    after(travel()) { [unowned self] in transmit(peer) }
  }

  private func putOnTheWay(_ socket: SimulatedSocket, to peer: SimulatedSocket, _ size: Int) {
    guard size > 0 else { return }
    peer.inFlight += size
    peer.lastArrival = max(peer.lastArrival, now + travel())
    at(peer.lastArrival) { [unowned self] in arrive(peer, size) }
    if chance(profile.resets, of: 10_000) { cut(socket, peer) }
  }

  /// Puts on the way what the peer's window takes.
  private func transmit(_ socket: SimulatedSocket) {
    guard let peer = socket.peer, socket.state == .established else { return }
    while true {
      let queued = peer.stream.count - peer.arrived - peer.inFlight
      let open = peer.window - peer.arrived - peer.inFlight
      guard queued > 0, open > 0 else { break }
      if socket.shape.left == 0 { shape(socket) }
      socket.shape.left -= 1
      let most = min(queued, open, socket.shape.most)
      putOnTheWay(socket, to: peer, profile.isEven ? most : 1 + random.pick(most))
      guard socket.state == .established else { return }
    }
    let isAllSent = peer.stream.count == peer.arrived + peer.inFlight
    if socket.isWriteShut, !socket.isFinSent, isAllSent {
      socket.isFinSent = true
      peer.lastArrival = max(peer.lastArrival, now + travel())
      at(peer.lastArrival) { [unowned self] in finArrives(peer) }
    }
  }

  private func arrive(_ socket: SimulatedSocket, _ size: Int) {
    guard socket.inFlight >= size, let peer = socket.peer else { return }
    socket.inFlight -= size
    if socket.state == .reset { return }
    if socket.isClosed {
      // Nobody will read it: the sender is told.
      socket.stream.clear()
      socket.inFlight = 0
      socket.state = .reset
      return answerReset(from: socket, to: peer)
    }
    socket.arrived += size
    peer.acknowledged += UInt64(size)
    raise(socket)
    after(travel()) { [unowned self] in
      if peer.wantsRoom, peer.isWritable, !peer.isClosed {
        peer.wantsRoom = false
        raise(peer)
      }
    }
  }

  private func finArrives(_ socket: SimulatedSocket) {
    guard socket.state == .established else { return }
    socket.isReadShut = true
    if !socket.isClosed { raise(socket) }
    guard let peer = socket.peer else { return }
    after(travel()) { [unowned self] in if !peer.isClosed, peer.isReadShut { raise(peer) } }
  }

  // MARK: Ending

  func shutdownWrite(_ socket: SimulatedSocket) {
    guard socket.state == .established, !socket.isWriteShut else { return }
    socket.isWriteShut = true
    work += 1
    transmit(socket)
  }

  /// Gives a socket up: unread bytes, or a linger of zero, become a reset (tcp_close).
  func close(_ socket: SimulatedSocket) {
    guard !socket.isClosed else { return misuse("descriptor \(socket.descriptor) is closed twice") }
    note("close of \(socket.descriptor) with \(socket.arrived) bytes unread")
    socket.isClosed = true
    socket.epoll = nil
    socket.watcher = nil
    work += 1
    forget(socket.descriptor)
    switch socket.state {
    case .listening:
      if listeners[socket.port] === socket { listeners[socket.port] = nil }
      for waiting in socket.backlog { close(waiting) }
      socket.backlog = []
    case .established where socket.resetsOnClose || socket.arrived > 0: breakOff(socket)
    case .established:
      socket.isWriteShut = true
      transmit(socket)
    case .fresh, .connecting, .reset: break
    }
    if socket.state == .connecting, let peer = socket.peer { answerReset(from: socket, to: peer) }
  }

  /// Ends a connection from one side with a reset, which follows what is in flight.
  func breakOff(_ socket: SimulatedSocket) {
    guard let peer = socket.peer else { return }
    note("reset of \(socket.descriptor), whose peer is \(peer.descriptor)")
    answerReset(from: socket, to: peer)
    if socket.state == .established {
      socket.state = .reset
      // Taken for a fault of the network where its owner did not ask for it.
      if !socket.isClosed {
        socket.error = ECONNRESET
        raise(socket)
      }
    }
  }

  /// The network ends a connection: what is in flight is lost, and both ends are told.
  private func cut(_ socket: SimulatedSocket, _ peer: SimulatedSocket) {
    note("the network cuts \(socket.descriptor) and \(peer.descriptor)")
    for end in [socket, peer] where end.state != .reset {
      end.error = end.isReadShut ? EPIPE : ECONNRESET
      end.state = .reset
      if !end.isClosed { raise(end) }
    }
  }

  private func answerReset(from socket: SimulatedSocket, to peer: SimulatedSocket) {
    peer.lastArrival = max(peer.lastArrival, now + travel())
    at(peer.lastArrival) { [unowned self] in
      guard peer.state != .reset else { return }
      // What has arrived can still be read; nothing else comes, and what waited to be sent is gone.
      peer.error = peer.isReadShut ? EPIPE : ECONNRESET
      peer.state = .reset
      if !peer.isClosed { raise(peer) }
    }
  }

  // MARK: Chance

  private func travel() -> UInt64 { UInt64(random.pick(Int(profile.latency))) + 1 }

  /// Draws how the next stretch of a direction is cut up, and how much fits into its buffers.
  private func shape(_ socket: SimulatedSocket) {
    if profile.isEven {
      socket.shape.most = 65_536
      socket.shape.left = .max
      return
    }
    let most: [Int] = [1, 7, 100, 1448, 16_384, 65_536, 65_536]
    let rooms: [Int] = [1, 16, 300, 4096, 65_536, 262_144, 262_144, 262_144]
    socket.shape.most = most[random.pick(most.count)]
    socket.shape.left = 1 + random.pick(profile.stretch)
    socket.sendCapacity = max(rooms[random.pick(rooms.count)], socket.outstanding)
    if let peer = socket.peer {
      peer.window = max(rooms[random.pick(rooms.count)], peer.arrived + peer.inFlight)
    }
  }
}
