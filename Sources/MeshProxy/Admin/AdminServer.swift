// Unsafe by design: requests are parsed in place.
internal import CMeshSystem
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor

/// A request to the admin interface.
struct AdminRequest {
  var method: String
  var path: String
  var query: [String: String]
  var accept: String
  /// The fields `Host` and `Origin`; nil where there is none.
  var host: String?
  var origin: String?

  /// Why a request is not for this interface, if it is not: a page of the web that the machine's browser shows can send
  /// requests here too. Such a page names itself in `Origin`, or has had its own name lead to loopback (DNS rebinding),
  /// which `Host` then shows.
  ///
  /// - Parameter isLoopback: whether the interface listens on loopback, where nobody needs a name for it.
  func refusal(isLoopback: Bool) -> String? {
    if let origin, method != "GET" { return "a page of \(origin) may not do this" }
    guard isLoopback, let host else { return nil }
    // Without its port, where it has one.
    let name =
      host.lastIndex(of: ":").flatMap { host[$0...].dropFirst().allSatisfy(\.isNumber) ? host[..<$0] : nil }
      ?? host[...]
    if name.lowercased() == "localhost" || SocketAddress("\(name):0") != nil { return nil }
    return "\(name) is not this interface: ask by its address, or as localhost"
  }
}

/// What the admin interface answers.
struct AdminResponse {
  var status: UInt16 = 200
  var contentType = "text/plain; charset=utf-8"
  var body: [UInt8] = []
  /// For answers that are too large to be held: makes the next part of the body, nil after the last. `body` is empty.
  var nextPage: (() -> [UInt8]?)?
  /// The methods that would be allowed, where one was not.
  var allow: String?

  static func text(_ text: String, status: UInt16 = 200) -> AdminResponse {
    AdminResponse(status: status, body: Array(text.utf8))
  }

  static func json(_ text: String, status: UInt16 = 200) -> AdminResponse {
    AdminResponse(status: status, contentType: "application/json", body: Array(text.utf8))
  }
}

/// The admin interface: HTTP/1.1 on loopback, one request a connection, on the side thread.
final class AdminServer: SideHandler {
  /// Answers `request` by calling its second argument once, now or later in this thread.
  typealias Handler = (AdminRequest, @escaping (AdminResponse) -> Void) -> Void

  let port: UInt16
  private let loop: SideLoop
  private let descriptor: Int32
  private let handler: Handler
  private let isLoopback: Bool

  /// - Throws: `SystemError` when the address cannot be listened on.
  init(loop: SideLoop, address: SocketAddress, handler: @escaping Handler) throws(SystemError) {
    self.loop = loop
    self.handler = handler
    isLoopback = address.isLoopback
    descriptor = try Sockets.listen(address, backlog: 64)
    port = Sockets.localAddress(descriptor)?.port ?? address.port
    super.init()
    try loop.registerLevel(descriptor, self)
  }

  override func ready(_ readiness: Readiness) {
    for _ in 0..<16 {
      var storage = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let accepted = cms_accept(descriptor, &storage, &length)
      guard accepted >= 0 else { return }
      let connection = AdminConnection(loop: loop, descriptor: accepted, isLoopback: isLoopback, handler: handler)
      do throws(SystemError) { try loop.register(accepted, connection) } catch { close(accepted) }
    }
  }
}

/// One connection to the admin interface.
private final class AdminConnection: SideHandler {
  private let loop: SideLoop
  private let descriptor: Int32
  private let handler: AdminServer.Handler
  private let isLoopback: Bool
  private var input: [UInt8] = []
  private var output: [UInt8] = []
  private var sent = 0
  private var nextPage: (() -> [UInt8]?)?
  /// How many parts were made.
  private var made = 0
  /// Whether the client takes chunks; one of HTTP/1.0 reads until the connection closes.
  private var takesChunks = true
  private var isHead = false
  private var isAnswering = false
  private var isWaiting = false
  private var isClosed = false
  private var timer: SideTimer?
  private var progress: UInt64 = 0

  /// A client that takes nothing for this long is let go.
  private static let patience: UInt64 = 30_000_000_000
  /// Parts of one answer made in one turn; the thread has other things to do.
  private static let pagesPerTurn = 32
  /// Parts, of some 25 microseconds each, that are made before others may have the processor: requests may wait for it.
  private static let pagesAtOnce = 2

  init(loop: SideLoop, descriptor: Int32, isLoopback: Bool, handler: @escaping AdminServer.Handler) {
    self.loop = loop
    self.isLoopback = isLoopback
    self.descriptor = descriptor
    self.handler = handler
    super.init()
    watch()
  }

  /// Lets the client go when it has not got on since the last look.
  private func watch() {
    let before = progress
    timer = loop.after(Self.patience) { [weak self] in
      guard let self else { return }
      self.progress == before ? self.finish() : self.watch()
    }
  }

  override func ready(_ readiness: Readiness) {
    if isClosed { return }
    if isAnswering { return flush() }
    var chunk = [UInt8](repeating: 0, count: 16384)
    while !isClosed, !isAnswering {
      let received = recv(descriptor, &chunk, chunk.count, 0)
      guard received > 0 else {
        if received == 0 || (errno != EAGAIN && errno != EINTR) { finish() }
        return
      }
      input += chunk[..<received]
      parse()
    }
  }

  private func parse() {
    let scratch = 4096
    var buffer = input + [UInt8](repeating: 0, count: scratch)
    var fields = [FieldRef](repeating: FieldRef(name: .empty, value: .empty, known: .other), count: FieldSet.capacity)
    let limits = HTTP1Limits(maxHeadBytes: 16 * 1024)
    let count = input.count
    buffer.withUnsafeMutableBufferPointer { bytes in
      fields.withUnsafeMutableBufferPointer { storage in
        guard let base = bytes.baseAddress, let fieldBase = storage.baseAddress else { return }
        var head = MessageHead(base: base, fields: fieldBase)
        var info = HTTP1RequestInfo()
        let result = HTTP1Parser.parseRequestHead(
          base, count: count, scanned: 0, limits: limits, scratch: HeadScratch(offset: count, capacity: scratch),
          into: &head, info: &info)
        switch result {
        case .needMore: break
        case .failure(let error): respond(.text("\(error.reason)\n", status: error.status))
        case .complete:
          let method = String(decoding: head.bytes(head.method), as: UTF8.self)
          isHead = method == "HEAD"
          let request = AdminRequest(
            method: isHead ? "GET" : method,
            path: String(decoding: head.bytes(head.path), as: UTF8.self),
            query: AdminRequest.query(String(decoding: head.bytes(head.query), as: UTF8.self)),
            accept: Self.field("accept", of: head) ?? "", host: Self.field("host", of: head),
            origin: Self.field("origin", of: head))
          isAnswering = true
          takesChunks = info.minorVersion > 0
          if let refusal = request.refusal(isLoopback: isLoopback) {
            return respond(.text("\(refusal)\n", status: 403))
          }
          handler(request) { [weak self] in self?.respond($0) }
        }
      }
    }
  }

  private static func field(_ name: String, of head: borrowing MessageHead) -> String? {
    for index in 0..<head.fieldCount {
      let field = head.fields[index]
      if String(decoding: head.bytes(field.name), as: UTF8.self).lowercased() == name {
        return String(decoding: head.bytes(field.value), as: UTF8.self)
      }
    }
    return nil
  }

  private func respond(_ response: AdminResponse) {
    isAnswering = true
    nextPage = response.nextPage
    let framing =
      nextPage == nil
      ? "content-length: \(response.body.count)\r\n" : takesChunks ? "transfer-encoding: chunked\r\n" : ""
    let head =
      "HTTP/1.1 \(response.status) \(StatusPhrase.of(response.status))\r\ncontent-type: \(response.contentType)\r\n"
      + "\(framing)\(response.allow.map { "allow: \($0)\r\n" } ?? "")cache-control: no-store\r\nconnection: close\r\n\r\n"
    output = Array(head.utf8) + response.body
    if isHead {
      nextPage = nil
      output.removeLast(response.body.count)
    }
    flush()
  }

  /// Sends what there is, and makes more as the client takes it.
  private func flush() {
    if isWaiting { return }
    for _ in 0...Self.pagesPerTurn {
      while sent < output.count {
        let count = output[sent...].withUnsafeBytes { cms_send(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else {
          if count < 0, errno == EAGAIN || errno == EINTR { return }
          return finish()
        }
        sent += count
        progress &+= UInt64(count)
      }
      if output.isEmpty { return }
      guard let nextPage else { return finish() }
      sent = 0
      made &+= 1
      if made.isMultiple(of: Self.pagesAtOnce) { cms_let_others_run() }
      if let page = nextPage() {
        output = takesChunks ? Array("\(String(page.count, radix: 16))\r\n".utf8) + page + [0x0D, 0x0A] : page
      } else {
        self.nextPage = nil
        guard takesChunks else { return finish() }
        output = Array("0\r\n\r\n".utf8)
      }
    }
    isWaiting = true
    loop.after(0) { [weak self] in
      self?.isWaiting = false
      self?.flush()
    }
  }

  private func finish() {
    if isClosed { return }
    isClosed = true
    nextPage = nil
    timer?.cancel()
    cms_shutdown_write(descriptor)
    close(descriptor)
    loop.unregister(self)
  }
}
