// Unsafe by design: ciphertext and frames pass through buffers of this connection.
internal import CMeshSystem
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

/// A connection for gRPC, messages as bytes: HTTP/2 under TLS 1.3 to the control plane, or to a collector of telemetry as
/// its endpoint says. One for each set of credentials; when it is lost its owner makes another.
final class ControlConnection {
  /// Largest message that is taken, bytes.
  static let maximumMessage = 64 << 20
  /// Time to connect and to shake hands; silence after which the peer is asked whether it still lives, and then given up.
  private static let connectTimeout: UInt64 = 5_000_000_000
  private static let silence: UInt64 = 10_000_000_000

  private let loop: SideLoop
  private let authority: String
  private let scheme: String
  private let peer: String
  private let stream: SideStream
  private var http = HTTP2Connection(role: .client)
  private var calls: [UInt32: ControlCall] = [:]
  private var isPinged = false
  private let arena: UnsafeMutablePointer<UInt8>
  private let fields: UnsafeMutablePointer<FieldRef>
  private let arenaBytes: Int
  private let lost: (String) -> Void
  private var timer: SideTimer?

  /// Begins to connect. `opened` is called once calls can be made, `lost` once when the connection has gone, with why.
  ///
  /// - Parameters:
  ///   - context: nil for plaintext, which only collectors have.
  ///   - authority: what requests name as their host; nil: the address.
  ///   - peer: what the other end is called in what `lost` says.
  init(
    loop: SideLoop, address: SocketAddress, context: TLSContext?, expectation: TLSExpectation?, clockOffset: Int64,
    authority: String? = nil, peer: String = "the control plane", opened: @escaping () -> Void,
    lost: @escaping (String) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.lost = lost
    self.peer = peer
    self.authority = authority ?? "\(address)"
    scheme = context == nil ? "http" : "https"
    stream = try SideStream(
      loop: loop, address: address, context: context, expectation: expectation, clockOffset: clockOffset, peer: peer)
    let limits = HTTP2Limits()
    arenaBytes = limits.arenaBytes
    arena = .allocate(capacity: arenaBytes)
    fields = .allocate(capacity: limits.maxFields)
    fields.initialize(repeating: FieldRef(name: .empty, value: .empty, known: .other), count: limits.maxFields)
    stream.opened = { [weak self] in
      guard let self else { return }
      self.timer?.cancel()
      self.watch(after: Self.silence)
      opened()
    }
    // The stream lives as long as its descriptor is open, and keeps this alive.
    stream.received = { [self] bytes, count in
      isPinged = false
      frames(bytes, count)
    }
    stream.settled = { [self] in flush() }
    stream.closed = { [self] why in ended(why) }
    watch(after: Self.connectTimeout)
  }

  deinit {
    arena.deallocate()
    fields.deallocate()
  }

  /// Whether calls can be made.
  var isUsable: Bool { stream.isOpen }

  /// Begins a call. Nil: the connection takes no more.
  func call(_ path: String, token: String? = nil, headers: [String: String] = [:]) -> ControlCall? {
    guard isUsable, let stream = http.openRequest() else { return nil }
    let call = ControlCall()
    call.stream = stream
    http.requestHead(stream, method: "POST", scheme: scheme, authority: authority, path: path) { connection in
      connection.field(.contentType, "application/grpc")
      connection.field(.te, "trailers")
      if let token { connection.field(.authorization, text: "Bearer \(token)") }
      for (name, value) in headers { Self.field(&connection, name, value) }
    }
    calls[stream.id] = call
    return call
  }

  private static func field(_ connection: inout HTTP2Connection, _ name: String, _ value: String) {
    let (name, value) = (Array(name.lowercased().utf8), Array(value.utf8))
    name.withUnsafeBufferPointer { name in
      value.withUnsafeBufferPointer { value in
        guard let nameStart = name.baseAddress, let valueStart = value.baseAddress else { return }
        connection.field(name: nameStart, name.count, valueStart, value.count)
      }
    }
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

  private func frames(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
    var input = HTTP2Input(bytes, count: count)
    let scratch = HTTP2Scratch(
      arena: arena, arenaBytes: arenaBytes, fields: fields, fieldCapacity: HTTP2Limits().maxFields)
    while !stream.isClosed {
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
        return close("a message of \(peer) is compressed or too large")
      }
      guard call.input.count >= 5 + length else { break }
      let message = Array(call.input[5..<(5 + length)])
      call.input.removeFirst(5 + length)
      call.received(message)
      if self.stream.isClosed { return }
    }
    if data.endStream { finish(stream, call.status ?? 2, "the stream ended without a status") }
  }

  private func finish(_ stream: HTTP2Stream, _ status: Int, _ message: String) {
    guard let call = calls.removeValue(forKey: stream.id) else { return }
    call.stream = nil
    call.ended(status, message)
  }

  /// Sends what HTTP/2 has ready.
  private func flush() {
    while stream.isOpen, http.hasOutput {
      let bytes = http.pendingOutput
      guard let base = bytes.baseAddress else { break }
      stream.send(base, bytes.count)
      if stream.isClosed { return }
      http.didWrite(bytes.count)
      // No bytes come in here: the arena stands for them.
      var none = HTTP2Input(arena, count: 0)
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
    stream.flush()
  }

  /// Gives up a peer that says nothing, having asked it once.
  private func watch(after delay: UInt64) {
    timer = loop.after(delay) { [weak self] in
      guard let self, !self.stream.isClosed else { return }
      guard self.stream.isOpen else { return self.close("no connection within 5 s") }
      if cms_monotonic_nanoseconds() &- self.stream.lastHeard >= Self.silence {
        if self.isPinged { return self.close("\(self.peer) does not answer") }
        self.isPinged = true
        self.http.ping(1)
        self.flush()
      }
      self.http.calm()
      self.watch(after: Self.silence / 2)
    }
  }

  /// Ends the connection and everything on it.
  func close(_ why: String) { stream.close(why) }

  private func ended(_ why: String) {
    timer?.cancel()
    let open = calls
    calls = [:]
    for call in open.values { call.ended(14, why) }
    lost(why)
    // What it holds of this may go now.
    stream.received = { _, _ in }
    stream.settled = {}
    stream.closed = { _ in }
  }
}
