internal import MeshReactor
internal import MeshTelemetry
internal import MeshWire

/// Sends requests to one collector, one at a time and in order, from a queue with a bound. What cannot be sent for now is
/// tried again with back-off; what is refused, or finds no room, is dropped and counted.
final class Collector {
  /// Requests that wait, and their bytes.
  static let maxQueued = 64
  static let maxQueuedBytes = 8 << 20
  /// Tries of one request.
  static let maxTries = 6
  private static let firstWait: UInt64 = 500_000_000
  private static let longestWait: UInt64 = 30_000_000_000

  /// What became of items, by service.
  struct Figures {
    var sent: UInt64 = 0
    var dropped: UInt64 = 0
    var failedRequests: UInt64 = 0
  }

  private struct Request {
    var service: OTLPService
    var payload: [UInt8]
    var items: Int
    var tries = 0
  }

  let config: ExporterConfig
  private(set) var figures: [OTLPService: Figures] = [:]
  private unowned let proxy: Proxy
  private var queue: [Request] = []
  private var queuedBytes = 0
  private var isSending = false
  private var isFaulty = false
  private var turn = 0
  private var connection: ControlConnection?
  /// Where it leads.
  private var connected: SocketAddress?
  /// For `https`; made anew after a failure, since its file may have changed.
  private var trust: ExportTrust?
  /// Counts the tries, so that what comes late is known to.
  private var attempt: UInt64 = 0
  private var delay: SideTimer?
  private var deadline: SideTimer?
  /// Told when nothing waits any more.
  private var idle: (() -> Void)?

  init(_ config: ExporterConfig, proxy: Proxy) {
    self.config = config
    self.proxy = proxy
  }

  /// Whether everything has been sent or given up.
  var isIdle: Bool { queue.isEmpty && !isSending }

  /// Calls `done` once, when nothing waits any more.
  func whenIdle(_ done: @escaping () -> Void) { isIdle ? done() : (idle = done) }

  /// Takes a request of so many items (spans, data points, lines).
  func submit(_ service: OTLPService, _ payload: [UInt8], items: Int) {
    guard queue.count < Self.maxQueued, queuedBytes + payload.count <= Self.maxQueuedBytes else {
      figures[service, default: Figures()].dropped += UInt64(items)
      return
    }
    queuedBytes += payload.count
    queue.append(Request(service: service, payload: payload, items: items))
    next()
  }

  /// Ends its connection; what waits is dropped.
  func close() {
    for request in queue { figures[request.service, default: Figures()].dropped += UInt64(request.items) }
    queue = []
    queuedBytes = 0
    delay?.cancel()
    deadline?.cancel()
    let open = connection
    connection = nil
    open?.close("the configuration has changed")
    idle?()
    idle = nil
  }

  // MARK: Sending

  private func next() {
    guard !isSending, delay == nil else { return }
    guard !queue.isEmpty else {
      idle?()
      idle = nil
      return
    }
    isSending = true
    queue[0].tries += 1
    deadline = proxy.loop.after(UInt64(config.timeoutMilliseconds ?? 10_000) * 1_000_000) { [weak self] in
      guard let self, self.isSending else { return }
      let open = self.connection
      self.connection = nil
      self.finished(.retry("no answer in time"))
      open?.close("no answer in time")
    }
    attempt &+= 1
    find()
  }

  /// Finds out where the collector is, which may take a while, and sends what is first in line there.
  private func find() {
    do throws(ExportFault) {
      let endpoint = try parsed()
      if endpoint.isSecure, trust == nil { trust = try ExportTrust(config, host: endpoint.host) }
      switch try proxy.exportPlace(config, endpoint, turn: turn, trust: trust) {
      case .target(let target): send(target)
      case .name(let host, let target): look(up: host, for: target)
      }
    } catch {
      finished(.retry(error.message))
    }
  }

  private func parsed() throws(ExportFault) -> OTLPEndpoint {
    do throws(OTLPEndpoint.Fault) {
      return try OTLPEndpoint(config.endpoint)
    } catch {
      throw ExportFault(message: "\(config.endpoint) \(error.message)")
    }
  }

  private func look(up host: String, for target: ExportTarget) {
    let asked = attempt
    proxy.names.resolve(host) { [weak self] answer in
      // By now the time of this try may be up.
      guard let self, self.isSending, self.attempt == asked else { return }
      switch answer {
      case .failed(let why): self.finished(.retry(why))
      case .addresses(let found):
        var target = target
        target.alternatives = found
        let chosen = found[abs(self.turn % found.count)]
        target.address = SocketAddress(family: chosen.family, bytes: chosen.bytes, port: target.address.port)
        self.send(target)
      }
    }
  }

  private func send(_ target: ExportTarget) {
    switch config.exportProtocol {
    case .grpc: sendByGRPC(target)
    case .http: sendByHTTP(queue[0], target)
    }
  }

  /// How a try ended.
  enum Outcome {
    case done
    case retry(String)
    case refused(String)
  }

  private func finished(_ outcome: Outcome) {
    guard isSending, !queue.isEmpty else { return }
    isSending = false
    deadline?.cancel()
    let request = queue[0]
    switch outcome {
    case .done:
      figures[request.service, default: Figures()].sent += UInt64(request.items)
      if isFaulty { proxy.log.write(.info, "telemetry reaches \(config.endpoint) again") }
      isFaulty = false
      dropFirst()
    case .refused(let why):
      complain(why, request)
      figures[request.service, default: Figures()].dropped += UInt64(request.items)
      dropFirst()
    case .retry(let why):
      complain(why, request)
      guard request.tries < Self.maxTries else {
        figures[request.service, default: Figures()].dropped += UInt64(request.items)
        dropFirst()
        break
      }
      turn += 1
      wait(min(Self.firstWait << UInt64(min(request.tries - 1, 6)), Self.longestWait))
      return
    }
    next()
  }

  private func dropFirst() {
    queuedBytes -= queue[0].payload.count
    queue.removeFirst()
  }

  private func complain(_ why: String, _ request: Request) {
    figures[request.service, default: Figures()].failedRequests += 1
    if !isFaulty { proxy.log.write(.warning, "telemetry does not reach \(config.endpoint): \(why)") }
    isFaulty = true
    trust = nil
  }

  /// Waits between half of the time and all of it.
  private func wait(_ nanoseconds: UInt64) {
    delay = proxy.loop.after(UInt64.random(in: (nanoseconds / 2)...nanoseconds)) { [weak self] in
      self?.delay = nil
      self?.next()
    }
  }

  // MARK: gRPC

  private func sendByGRPC(_ target: ExportTarget) {
    if let open = connection, open.isUsable, target.isServed(by: connected) { return call(open) }
    if let former = connection {
      // The name leads elsewhere now.
      connection = nil
      former.close("the collector has moved")
    }
    do throws(ExportFault) {
      var opened: ControlConnection?
      opened = try connect(target) { [weak self] in
        guard let self, let connection = self.connection, self.isSending else { return }
        self.call(connection)
      } lost: { [weak self] why in
        guard let self, self.connection === opened else { return }
        self.connection = nil
        self.finished(.retry(why))
      }
      connection = opened
      connected = target.address
    } catch {
      finished(.retry(error.message))
    }
  }

  private func connect(
    _ target: ExportTarget, opened: @escaping () -> Void, lost: @escaping (String) -> Void
  ) throws(ExportFault) -> ControlConnection {
    do {
      return try ControlConnection(
        loop: proxy.loop, address: target.address, context: target.context, expectation: target.expectation,
        clockOffset: proxy.options.clockOffsetSeconds, authority: target.authority, peer: "the collector",
        opened: opened, lost: lost)
    } catch {
      throw ExportFault(message: "\(error)")
    }
  }

  private func call(_ connection: ControlConnection) {
    guard let request = queue.first else { return }
    guard let call = connection.call(request.service.method, headers: Self.headers(config)) else {
      self.connection = nil
      connection.close("it takes no more calls")
      return finished(.retry("the connection takes no more calls"))
    }
    call.ended = { [weak self] status, why in self?.finished(Self.outcome(status, why)) }
    connection.send(request.payload, on: call, isLast: true)
  }

  /// What a status of gRPC means (OTLP 1.0, "Failures").
  private static func outcome(_ status: Int, _ why: String) -> Outcome {
    switch status {
    case 0: .done
    case 1, 4, 8, 10, 11, 14, 15: .retry("\(why) (gRPC status \(status))")
    default: .refused("\(why) (gRPC status \(status))")
    }
  }

  /// Requests of our own are not traced, or each would make another.
  static func headers(_ config: ExporterConfig) -> [String: String] {
    config.headers.merging([
      "traceparent": "00-\(String(repeating: "0", count: 31))1-\(String(repeating: "0", count: 15))1-00"
    ]) {
      own, _ in own
    }
  }

  // MARK: HTTP

  private func sendByHTTP(_ request: Request, _ target: ExportTarget) {
    do throws(ExportFault) {
      try HTTPExport.send(
        request.payload, to: target, path: request.service.path, headers: Self.headers(config), loop: proxy.loop,
        clockOffset: proxy.options.clockOffsetSeconds
      ) { [weak self] in self?.finished($0) }
    } catch {
      finished(.retry(error.message))
    }
  }
}
