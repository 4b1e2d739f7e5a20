// Unsafe by design: ciphertext and frames pass through buffers of this connection.
internal import CMeshSystem
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor
internal import MeshTLS

/// One gRPC call on the connection to the control plane. Closures run on the side thread.
final class ControlCall {
  /// A whole message has come.
  var received: ([UInt8]) -> Void = { _ in }
  /// The call has ended: gRPC status and message. Called once.
  var ended: (Int, String) -> Void = { _, _ in }
  fileprivate var stream: HTTP2Stream?
  fileprivate var input: [UInt8] = []
  fileprivate var output: [UInt8] = []
  fileprivate var isHalfClosed = false
  fileprivate var status: Int?
  fileprivate var message = ""

  init() {}
}

/// The connection to the control plane: TLS 1.3, HTTP/2, gRPC with messages as bytes. One for each set of credentials;
/// when it is lost its owner makes another.
final class ControlConnection: SideHandler {
  /// Largest message that is taken, bytes.
  static let maximumMessage = 64 << 20
  /// Time to connect and to shake hands; silence after which the peer is asked whether it still lives, and then given up.
  private static let connectTimeout: UInt64 = 5_000_000_000
  private static let silence: UInt64 = 10_000_000_000

  private let loop: SideLoop
  private let authority: String
  private let session: TLSSession
  private let descriptor: Int32
  private var http = HTTP2Connection(role: .client)
  private var calls: [UInt32: ControlCall] = [:]
  private var isConnected = false
  private var isOpen = false
  private var isClosed = false
  private var pending: [UInt8] = []
  private var lastHeard: UInt64 = 0
  private var isPinged = false
  private let plaintext: UnsafeMutablePointer<UInt8>
  private let arena: UnsafeMutablePointer<UInt8>
  private let fields: UnsafeMutablePointer<FieldRef>
  private let sealed: UnsafeMutablePointer<TLSOutput>
  private static let plaintextCapacity = 64 * 1024
  private let arenaBytes: Int
  private let opened: () -> Void
  private let lost: (String) -> Void
  private var timer: SideTimer?
  private let clockOffset: Int64

  /// Begins to connect. `opened` is called once calls can be made, `lost` once when the connection has gone, with why.
  init(
    loop: SideLoop, address: SocketAddress, context: TLSContext, expectation: TLSExpectation?, clockOffset: Int64,
    opened: @escaping () -> Void, lost: @escaping (String) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.opened = opened
    self.lost = lost
    self.clockOffset = clockOffset
    authority = "\(address)"
    descriptor = Sockets.connect(address)
    guard descriptor >= 0 else { throw SystemError("connect to \(address)", code: -descriptor) }
    guard let session = TLSSession(context: context, expectation: expectation) else {
      Glibc.close(descriptor)
      throw SystemError("TLS session", code: ENOMEM)
    }
    self.session = session
    plaintext = .allocate(capacity: Self.plaintextCapacity)
    let limits = HTTP2Limits()
    arenaBytes = limits.arenaBytes
    arena = .allocate(capacity: arenaBytes)
    fields = .allocate(capacity: limits.maxFields)
    fields.initialize(repeating: FieldRef(name: .empty, value: .empty, known: .other), count: limits.maxFields)
    sealed = .allocate(capacity: 1)
    sealed.initialize(to: TLSOutput())
    super.init()
    try loop.register(descriptor, self)
    watch(after: Self.connectTimeout)
  }

  deinit {
    session.free()
    plaintext.deallocate()
    arena.deallocate()
    fields.deallocate()
    sealed.pointee.deallocate()
    sealed.deallocate()
  }

  /// Whether calls can be made.
  var isUsable: Bool { isOpen }

  /// Begins a call. Nil: the connection takes no more.
  func call(_ path: String, token: String? = nil) -> ControlCall? {
    guard isOpen, let stream = http.openRequest() else { return nil }
    let call = ControlCall()
    call.stream = stream
    http.requestHead(stream, method: "POST", scheme: "https", authority: authority, path: path) { connection in
      connection.field(.contentType, "application/grpc")
      connection.field(.te, "trailers")
      if let token { connection.field(.authorization, text: "Bearer \(token)") }
    }
    calls[stream.id] = call
    return call
  }

  /// Sends a message; `isLast`: the last of the call.
  func send(_ message: [UInt8], on call: ControlCall, isLast: Bool = false) {
    let count = UInt32(truncatingIfNeeded: message.count)
    call.output += [0] + (0..<4).map { UInt8(truncatingIfNeeded: count >> UInt32(24 - 8 * $0)) } + message
    call.isHalfClosed = call.isHalfClosed || isLast
    push(call)
    flush()
  }

  /// Bytes that wait for the peer on a call: whoever reports should report less while this grows.
  func backlog(of call: ControlCall) -> Int { call.output.count }

  private func push(_ call: ControlCall) {
    guard let stream = call.stream, !call.output.isEmpty else { return }
    let isLast = call.isHalfClosed
    let taken = call.output.withUnsafeBufferPointer { bytes -> Int in
      guard let base = bytes.baseAddress else { return 0 }
      return http.sendData(stream, base, bytes.count, endStream: isLast) ?? bytes.count
    }
    call.output.removeFirst(taken)
  }

  // MARK: Bytes

  override func ready(_ readiness: Readiness) {
    if isClosed { return }
    if !isConnected {
      let code = Sockets.pendingError(descriptor)
      guard code == 0 else { return close("connect: \(String(cString: strerror(code)))") }
      guard readiness.contains(.writable) else { return }
      isConnected = true
      sealed.pointee.reset(keeping: 1 << 16)
      _ = session.start(output: sealed, nowSeconds: nowSeconds)
      takeSealed()
    }
    read()
    if !isClosed { flush() }
  }

  private var nowSeconds: Int64 { Int64(cms_wall_nanoseconds() / 1_000_000_000) + clockOffset }

  private func takeSealed() {
    if let base = sealed.pointee.base, sealed.pointee.count > 0 {
      pending += UnsafeBufferPointer(start: base, count: sealed.pointee.count)
    }
    sealed.pointee.reset(keeping: 1 << 16)
  }

  private func read() {
    while !isClosed {
      let received = recv(descriptor, loop.receiveBuffer, EventLoop.receiveCapacity, 0)
      if received == 0 { return close("the control plane closed the connection") }
      if received < 0 {
        if errno != EAGAIN && errno != EINTR { close("receive: \(String(cString: strerror(errno)))") }
        return
      }
      lastHeard = cms_monotonic_nanoseconds()
      isPinged = false
      open(loop.receiveBuffer, received)
    }
  }

  private func open(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    var offset = 0
    while !isClosed {
      let result = session.feed(
        bytes + offset, count - offset, plaintext: plaintext, capacity: Self.plaintextCapacity, output: sealed,
        nowSeconds: nowSeconds)
      offset += result.consumed
      takeSealed()
      if result.produced > 0 { frames(result.produced) }
      switch result.state {
      case .wantMore: return
      case .plaintextFull: continue
      case .handshakeDone:
        isOpen = true
        lastHeard = cms_monotonic_nanoseconds()
        timer?.cancel()
        watch(after: Self.silence)
        opened()
      case .closeNotify: return close("the control plane closed the connection")
      case .failure(let failure): return close("TLS: \(failure.name)")
      }
    }
  }

  private func frames(_ count: Int) {
    var input = HTTP2Input(plaintext, count: count)
    let scratch = HTTP2Scratch(
      arena: arena, arenaBytes: arenaBytes, fields: fields, fieldCapacity: HTTP2Limits().maxFields)
    while !isClosed {
      switch http.next(&input, scratch) {
      case .needMore: return
      case .head(let stream, let head): self.head(stream, head)
      case .data(let stream, let data):
        let count = data.bytes.count
        take(stream, data)
        http.consumed(stream, count)
      case .writable(let stream): if let call = calls[stream.id] { push(call) }
      case .reset(let stream, let reset): finish(stream, 14, "the stream was reset (\(reset.code))")
      case .goAway: break
      case .failed(let reason):
        flush()
        return close("HTTP/2: \(reason)")
      case .refused, .settings, .pong: break
      }
    }
  }

  private func head(_ stream: HTTP2Stream, _ head: HTTP2Head) {
    guard let call = calls[stream.id] else { return }
    if let field = head.head.first(.grpcStatus) {
      call.status = Int(String(decoding: head.head.bytes(field.value), as: UTF8.self)) ?? 2
    }
    if let field = head.head.first(.grpcMessage) {
      call.message = String(decoding: head.head.bytes(field.value), as: UTF8.self)
    }
    if head.kind == .response, head.head.status != 200 {
      call.status = 14
      call.message = "HTTP status \(head.head.status)"
    }
    if head.endStream { finish(stream, call.status ?? 2, call.message) }
  }

  private func take(_ stream: HTTP2Stream, _ data: HTTP2Data) {
    guard let call = calls[stream.id] else { return }
    call.input += data.bytes
    while call.input.count >= 5 {
      let length = call.input[1..<5].reduce(0) { $0 << 8 | Int($1) }
      guard call.input[0] == 0, length <= Self.maximumMessage else {
        return close("a message of the control plane is compressed or too large")
      }
      guard call.input.count >= 5 + length else { break }
      let message = Array(call.input[5..<(5 + length)])
      call.input.removeFirst(5 + length)
      call.received(message)
      if isClosed { return }
    }
    if data.endStream { finish(stream, call.status ?? 2, "the stream ended without a status") }
  }

  private func finish(_ stream: HTTP2Stream, _ status: Int, _ message: String) {
    guard let call = calls.removeValue(forKey: stream.id) else { return }
    call.stream = nil
    call.ended(status, message)
  }

  /// Sends what HTTP/2 and TLS have ready.
  private func flush() {
    guard isConnected, !isClosed else { return }
    while isOpen, http.hasOutput {
      let bytes = http.pendingOutput
      guard let base = bytes.baseAddress else { break }
      if let failure = session.seal(base, bytes.count, output: sealed) { return close("TLS: \(failure.name)") }
      http.didWrite(bytes.count)
      takeSealed()
      var none = HTTP2Input(plaintext, count: 0)
      let scratch = HTTP2Scratch(
        arena: arena, arenaBytes: arenaBytes, fields: fields, fieldCapacity: HTTP2Limits().maxFields)
      waiting: while true {
        switch http.next(&none, scratch) {
        case .writable(let stream): if let call = calls[stream.id] { push(call) }
        case .needMore: break waiting
        default: continue
        }
      }
    }
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

  /// Gives up a peer that says nothing, having asked it once.
  private func watch(after delay: UInt64) {
    timer = loop.after(delay) { [weak self] in
      guard let self, !self.isClosed else { return }
      guard self.isOpen else { return self.close("no connection within 5 s") }
      if cms_monotonic_nanoseconds() &- self.lastHeard >= Self.silence {
        if self.isPinged { return self.close("the control plane does not answer") }
        self.isPinged = true
        self.http.ping(1)
        self.flush()
      }
      self.http.calm()
      self.watch(after: Self.silence / 2)
    }
  }

  /// Ends the connection and everything on it.
  func close(_ why: String) {
    guard !isClosed else { return }
    isClosed = true
    isOpen = false
    timer?.cancel()
    Glibc.close(descriptor)
    loop.unregister(self)
    let open = calls
    calls = [:]
    for call in open.values { call.ended(14, why) }
    lost(why)
  }
}
