// Unsafe by design: bytes pass through buffers of this connection.
internal import CMeshSystem
internal import Glibc
internal import MeshReactor
internal import MeshTLS

/// A connection that the side thread opens, in plaintext or under TLS. Closures run on that thread.
final class SideStream: SideHandler {
  private static let plaintextCapacity = 64 * 1024

  /// It can carry data.
  var opened: () -> Void = {}
  /// Bytes have come; the memory is the callee's until it returns.
  var received: (UnsafeMutablePointer<UInt8>, Int) -> Void = { _, _ in }
  /// Everything that came at once has been handed out.
  var settled: () -> Void = {}
  /// It has ended, and why. Called once.
  var closed: (String) -> Void = { _ in }

  private let loop: SideLoop
  private let session: TLSSession?
  private let descriptor: Int32
  /// What the peer is called in what `closed` says.
  private let peer: String
  private let clockOffset: Int64
  private var isConnected = false
  private(set) var isOpen = false
  private(set) var isClosed = false
  private var pending: [UInt8] = []
  private(set) var lastHeard: UInt64 = 0
  private let plaintext: UnsafeMutablePointer<UInt8>
  private let sealed: UnsafeMutablePointer<TLSOutput>

  /// Begins to connect.
  ///
  /// - Parameter context: nil for plaintext.
  /// - Throws: `SystemError` when there is no descriptor for it, or nobody at the address.
  init(
    loop: SideLoop, address: SocketAddress, context: TLSContext?, expectation: TLSExpectation?, clockOffset: Int64,
    peer: String
  ) throws(SystemError) {
    self.loop = loop
    self.peer = peer
    self.clockOffset = clockOffset
    descriptor = Sockets.connect(address)
    guard descriptor >= 0 else { throw SystemError("connect to \(address)", code: -descriptor) }
    if let context {
      guard let session = TLSSession(context: context, expectation: expectation) else {
        Glibc.close(descriptor)
        throw SystemError("TLS session", code: ENOMEM)
      }
      self.session = session
    } else {
      session = nil
    }
    plaintext = .allocate(capacity: Self.plaintextCapacity)
    sealed = .allocate(capacity: 1)
    sealed.initialize(to: TLSOutput())
    super.init()
    try loop.register(descriptor, self)
  }

  deinit {
    session?.free()
    plaintext.deallocate()
    sealed.pointee.deallocate()
    sealed.deallocate()
  }

  override func ready(_ readiness: Readiness) {
    if isClosed { return }
    if !isConnected {
      let code = Sockets.pendingError(descriptor)
      guard code == 0 else { return close("connect: \(String(cString: strerror(code)))") }
      guard readiness.contains(.writable) else { return }
      isConnected = true
      if let session {
        sealed.pointee.reset(keeping: 1 << 16)
        _ = session.start(output: sealed, nowSeconds: nowSeconds)
        takeSealed()
      } else {
        becomeOpen()
      }
    }
    read()
    if !isClosed { settled() }
    flush()
  }

  private var nowSeconds: Int64 { Int64(cms_wall_nanoseconds() / 1_000_000_000) + clockOffset }

  private func becomeOpen() {
    isOpen = true
    lastHeard = cms_monotonic_nanoseconds()
    opened()
  }

  private func takeSealed() {
    if let base = sealed.pointee.base, sealed.pointee.count > 0 {
      pending += UnsafeBufferPointer(start: base, count: sealed.pointee.count)
    }
    sealed.pointee.reset(keeping: 1 << 16)
  }

  private func read() {
    while !isClosed {
      let count = recv(descriptor, loop.receiveBuffer, EventLoop.receiveCapacity, 0)
      if count == 0 { return close("\(peer) closed the connection") }
      if count < 0 {
        if errno != EAGAIN && errno != EINTR { close("receive: \(String(cString: strerror(errno)))") }
        return
      }
      lastHeard = cms_monotonic_nanoseconds()
      if session == nil { received(loop.receiveBuffer, count) } else { open(loop.receiveBuffer, count) }
    }
  }

  private func open(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard let session else { return }
    var offset = 0
    while !isClosed {
      let result = session.feed(
        bytes + offset, count - offset, plaintext: plaintext, capacity: Self.plaintextCapacity, output: sealed,
        nowSeconds: nowSeconds)
      offset += result.consumed
      takeSealed()
      if result.produced > 0 { received(plaintext, result.produced) }
      switch result.state {
      case .wantMore: return
      case .plaintextFull: continue
      case .handshakeDone: becomeOpen()
      case .closeNotify: return close("\(peer) closed the connection")
      case .failure(let failure): return close("TLS: \(failure.name)")
      }
    }
  }

  /// Sends bytes, or keeps them until the kernel takes them.
  func send(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard isOpen, !isClosed else { return }
    if let session {
      if let failure = session.seal(bytes, count, output: sealed) { return close("TLS: \(failure.name)") }
      takeSealed()
    } else {
      pending += UnsafeBufferPointer(start: bytes, count: count)
    }
  }

  /// Gives the kernel what waits.
  func flush() {
    guard isConnected, !isClosed else { return }
    var sent = 0
    while sent < pending.count {
      let count = pending[sent...].withUnsafeBytes { cms_send(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else {
        if errno != EAGAIN && errno != EINTR { close("send: \(String(cString: strerror(errno)))") }
        break
      }
      sent += count
    }
    pending.removeFirst(min(sent, pending.count))
  }

  /// Ends it.
  func close(_ why: String) {
    guard !isClosed else { return }
    isClosed = true
    isOpen = false
    Glibc.close(descriptor)
    loop.unregister(self)
    closed(why)
  }
}
