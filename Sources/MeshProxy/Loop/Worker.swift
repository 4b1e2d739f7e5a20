// Unsafe by design: the worker owns the memory of its connections and exchanges.
internal import CMeshSystem
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
package import MeshReactor
internal import MeshTLS
internal import MeshTelemetry

/// One thread of the data plane: a loop with its own listeners, connections, pools, balancer state and counters. Nothing
/// here is shared with other workers; configuration comes as immutable generations through the mailbox.
///
/// What happens to a request is told, stage by stage, by the files of `RequestPath/`.
package final class Worker: EventLoop, @unchecked Sendable {
  // Unchecked: everything here belongs to the thread that runs the loop; others reach it through `submit` only.
  /// Most that may wait to be sent to a peer that reads slowly before nothing more is read for it.
  static let outputHighWater = 256 * 1024
  /// Room for a head that is being written.
  static let headCapacity = 80 * 1024
  /// … for a request, with what the route and the mesh add to it.
  static let requestCapacity = 128 * 1024
  /// Plaintext that one read of TLS may produce, with what was left over before.
  static let plaintextCapacity = EventLoop.receiveCapacity
  /// Kept free behind received bytes for what the parser rewrites.
  static let parseScratch = 16 * 1024

  let index: Int
  let settings: ProxySettings
  @exclusivity(unchecked) var random: FastRandom
  /// The configuration that new requests begin with.
  @exclusivity(unchecked) var generation: GenerationRef
  /// Older ones that requests still use.
  var retired: [GenerationRef] = []
  let endpoints: EndpointRegistry
  @exclusivity(unchecked) var listeners: [ListenerState] = []
  let telemetry: WorkerTelemetry
  let labels: LabelDictionary
  let peers = PeerTable()

  /// Storage for the fields of the head being parsed.
  let fields: UnsafeMutablePointer<FieldRef>
  /// A second head: the response's while the request's fields are looked at.
  let headBuffer: UnsafeMutablePointer<UInt8>
  /// Where a request's head is written before the exchange keeps it.
  let requestBuffer: UnsafeMutablePointer<UInt8>
  let plaintextBuffer: UnsafeMutablePointer<UInt8>
  /// Ciphertext on its way out, emptied at every use.
  let sealed: UnsafeMutablePointer<TLSOutput>
  /// The certificates in force; new connections take them.
  @exclusivity(unchecked) var credentials: Credentials?
  /// … and those of further identities, in the order of the configuration.
  @exclusivity(unchecked) var furtherCredentials: [Credentials] = []
  @exclusivity(unchecked) var requestInfo = HTTP1RequestInfo()
  @exclusivity(unchecked) var responseInfo = HTTP1ResponseInfo()
  let limits: HTTP1Limits
  /// What HTTP/2 heads are decoded into; shared by all connections, used by one event at a time.
  let streamScratch: HTTP2Scratch
  /// All connections that speak HTTP/2, newest first.
  @exclusivity(unchecked) var sessionHead: HTTP2SessionRef?
  /// Configurations that are being taken up (`Adoption.swift`).
  @exclusivity(unchecked) var adoptions = Adoptions()

  @exclusivity(unchecked) var dirtyHead: ConnectionRef?
  @exclusivity(unchecked) var resumingHead: ConnectionRef?
  @exclusivity(unchecked) var graveyard: ConnectionRef?
  @exclusivity(unchecked) var freeExchanges: ExchangeRef?
  @exclusivity(unchecked) var freeSinks: ConnectionRef?
  /// All downstream connections, newest first.
  @exclusivity(unchecked) var downstreamHead: ConnectionRef?
  @exclusivity(unchecked) var downstreamCount = 0
  @exclusivity(unchecked) var upstreamCount = 0
  @exclusivity(unchecked) var exchangeCount = 0
  /// Exchanges with streams that have work.
  @exclusivity(unchecked) var crowd = StreamCrowd()
  /// When tunnels are next compared with the policies that have come since (`OldTunnels.swift`).
  @exclusivity(unchecked) var tunnelReviewAt: UInt64 = .max
  /// By how much windows of HTTP/2 have grown.
  let windowGrowth: UnsafeMutablePointer<HTTP2Growth>
  /// Memory for output that is gathered until the end of a turn, handed from connection to connection.
  @exclusivity(unchecked) var spares = SpareQueues()
  /// Parts of a body that are sent from the loop's buffer, and the connection that they are for.
  @exclusivity(unchecked) var lent = OutputPieces()
  @exclusivity(unchecked) var lender: ConnectionRef?
  /// Whether an event's bytes lie in the loop's buffer until `sendLent`.
  @exclusivity(unchecked) var isLending = false
  @exclusivity(unchecked) var isDraining = false
  @exclusivity(unchecked) var drainDeadline: UInt64 = .max
  @exclusivity(unchecked) var drained: (@Sendable () -> Void)?
  let sweepTimer: UnsafeMutablePointer<WheelTimer>
  /// When the next step of a configuration's coming or going is due.
  let adoptionTimer: UnsafeMutablePointer<WheelTimer>

  /// - Throws: `SystemError` when the kernel gives no descriptors.
  init(
    index: Int, settings: ProxySettings, configuration: CompiledConfiguration, telemetry: WorkerTelemetry,
    labels: LabelDictionary, seed: UInt64
  ) throws(SystemError) {
    self.index = index
    self.settings = settings
    limits = settings.limits.http1
    self.telemetry = telemetry
    self.labels = labels
    random = FastRandom(seed: seed)
    endpoints = EndpointRegistry(loops: settings.workers)
    fields = .allocate(capacity: FieldSet.capacity)
    fields.initialize(repeating: FieldRef(name: .empty, value: .empty, known: .other), count: FieldSet.capacity)
    headBuffer = .allocate(capacity: Self.headCapacity)
    requestBuffer = .allocate(capacity: Self.requestCapacity)
    let size = EventLoop.receiveHeadroom + Self.plaintextCapacity + 64
    plaintextBuffer = UnsafeMutablePointer<UInt8>.allocate(capacity: size) + EventLoop.receiveHeadroom
    sealed = .allocate(capacity: 1)
    sealed.initialize(to: TLSOutput())
    let arena = max(settings.limits.edge.arenaBytes, settings.limits.mesh.arenaBytes)
    streamScratch = HTTP2Scratch(
      arena: .allocate(capacity: arena), arenaBytes: arena, fields: fields, fieldCapacity: FieldSet.capacity)
    var builder = GenerationBuilder(configuration)
    _ = builder.advance(until: .max, endpoints: endpoints, labels: labels)
    generation = builder.finish()
    windowGrowth = .allocate(capacity: 1)
    windowGrowth.initialize(to: HTTP2Growth(limitBytes: settings.limits.windowGrowthBytes))
    sweepTimer = .allocate(capacity: 1)
    sweepTimer.initialize(to: WheelTimer())
    sweepTimer.pointee.kind = TimerKind.sweep.rawValue
    adoptionTimer = .allocate(capacity: 1)
    adoptionTimer.initialize(to: WheelTimer())
    adoptionTimer.pointee.kind = TimerKind.adoption.rawValue
    try super.init()
    coalescing = settings.coalescing
    timers.arm(sweepTimer, deadline: now &+ 1_000_000_000)
  }

  deinit {
    fields.deallocate()
    streamScratch.release()
    spares.deallocate()
    lent.deallocate()
    headBuffer.deallocate()
    requestBuffer.deallocate()
    (plaintextBuffer - EventLoop.receiveHeadroom).deallocate()
    sealed.pointee.deallocate()
    sealed.deallocate()
    windowGrowth.deallocate()
    while let sink = freeSinks {
      freeSinks = sink.pointee.next
      sink.deallocate()
    }
    while let exchange = freeExchanges {
      freeExchanges = exchange.pointee.next
      exchange.pointee.request.release()
      exchange.pointee.toUpstream.release()
      exchange.pointee.toDownstream.release()
      exchange.pointee.requestTrailers.release()
      exchange.pointee.responseTrailers.release()
      exchange.deallocate()
    }
  }

  /// Seconds since 1970, as certificates count time.
  var nowSeconds: Int64 { Int64(bitPattern: wallNow / 1_000_000_000) &+ settings.clockOffsetSeconds }

  // MARK: What the loop tells us

  public override func ready(_ context: UnsafeMutableRawPointer, _ readiness: Readiness) {
    let connection = context.assumingMemoryBound(to: Connection.self)
    if connection.pointee.flags.contains(.dead) { return }
    if connection.pointee.role == .listener { return accept(on: connection) }
    if !readiness.isDisjoint(with: .hangup), connection.pointee.flags.contains(.connecting) {
      return connectFinished(connection)
    }
    if readiness.contains(.writable) {
      if connection.pointee.flags.contains(.connecting) {
        connectFinished(connection)
        if connection.pointee.flags.contains(.dead) { return }
      } else if !connection.pointee.output.isEmpty {
        flush(connection)
        if connection.pointee.flags.contains(.dead) { return }
      }
    }
    if !readiness.isDisjoint(with: [.readable, .readClosed, .hangup]) {
      connection.pointee.flags.insert(.unread)
      if !readiness.isDisjoint(with: [.readClosed, .hangup]) { connection.pointee.flags.insert(.endAnnounced) }
      if readiness.contains(.failed), connection.pointee.flags.contains(.paused) {
        // Broken: nobody waits for what is not read.
        return broken(connection)
      }
      read(connection)
    }
  }

  public override func expired(_ timer: UnsafeMutablePointer<WheelTimer>) {
    switch TimerKind(rawValue: timer.pointee.kind) {
    case .connection: connectionExpired(UnsafeMutableRawPointer(timer).assumingMemoryBound(to: Connection.self))
    case .exchange: exchangeExpired(UnsafeMutableRawPointer(timer).assumingMemoryBound(to: Exchange.self))
    case .sweep: sweep()
    case .adoption: goOnWithConfigurations()
    case nil: break
    }
  }

  public override func turnEnded() {
    // Looking at input again may produce output, and flushing may let input be looked at again; every step makes
    // progress on bytes that are bounded, so this ends.
    while resumingHead != nil || dirtyHead != nil {
      while let connection = resumingHead {
        resumingHead = connection.pointee.nextResuming
        connection.pointee.flags.remove(.resuming)
        if !connection.pointee.flags.contains(.dead) { read(connection) }
      }
      while let connection = dirtyHead {
        dirtyHead = connection.pointee.nextDirty
        connection.pointee.flags.remove(.dirty)
        if !connection.pointee.flags.contains(.dead) { pump(connection) }
      }
    }
    while let connection = graveyard {
      graveyard = connection.pointee.next
      if let session = connection.pointee.http2 { release(session) }
      connection.deallocate()
    }
    sharedInFlight = crowd.count(now: now)
    if isDraining { checkDrained() }
  }

  // MARK: Memory

  /// A connection over a descriptor, registered with the loop.
  func makeConnection(_ descriptor: Int32, role: ConnectionRole) -> ConnectionRef? {
    let connection = ConnectionRef.allocate(capacity: 1)
    connection.initialize(to: Connection(role: role))
    connection.pointee.fd = descriptor
    connection.pointee.timer.kind = TimerKind.connection.rawValue
    guard cms_epoll_add(epoll, descriptor, connection) == 0 else {
      cms_close(descriptor)
      connection.deallocate()
      return nil
    }
    return connection
  }

  /// An exchange for a connection that serves one at a time.
  func makeExchange(downstream: ConnectionRef) -> ExchangeRef {
    let exchange = makeExchange(on: downstream)
    downstream.pointee.exchange = exchange
    return exchange
  }

  /// An exchange out of the slab.
  func makeExchange(on downstream: ConnectionRef) -> ExchangeRef {
    let exchange: ExchangeRef
    if let free = freeExchanges {
      freeExchanges = free.pointee.next
      // The timer may still be linked in the wheel: arming it again is then one store.
      let request = free.pointee.request
      let timer = free.pointee.timer
      let toUpstream = free.pointee.toUpstream
      let toDownstream = free.pointee.toDownstream
      let requestTrailers = free.pointee.requestTrailers
      let responseTrailers = free.pointee.responseTrailers
      free.pointee = Exchange(downstream: downstream, generation: generation)
      free.pointee.request = request
      free.pointee.timer = timer
      free.pointee.toUpstream = toUpstream
      free.pointee.toDownstream = toDownstream
      free.pointee.requestTrailers = requestTrailers
      free.pointee.responseTrailers = responseTrailers
      exchange = free
    } else {
      exchange = .allocate(capacity: 1)
      exchange.initialize(to: Exchange(downstream: downstream, generation: generation))
    }
    exchange.pointee.timer.kind = TimerKind.exchange.rawValue
    exchange.pointee.started = now
    exchange.pointee.lastActivity = now
    generation.pointee.exchangeCount &+= 1
    exchangeCount &+= 1
    downstream.pointee.exchangeCount &+= 1
    return exchange
  }

  /// Gives an exchange back; whatever it was connected to must have been let go.
  func freeExchange(_ exchange: ExchangeRef) {
    timers.cancel(UnsafeMutableRawPointer(exchange).assumingMemoryBound(to: WheelTimer.self))
    let held = exchange.pointee.generation
    held.pointee.exchangeCount &-= 1
    exchangeCount &-= 1
    crowd.ended(exchange.pointee.crowdMark)
    exchange.pointee.request.clear()
    exchange.pointee.request.shrink(keep: 16384)
    forgetBodies(exchange)
    telemetry.forget(exchange)
    if exchange.pointee.errand.kind != .none { keepSink(exchange.pointee.downstream) }
    if exchange.pointee.trail != 0 { telemetry.trails.free(exchange.pointee.trail) }
    exchange.pointee.next = freeExchanges
    freeExchanges = exchange
    if held.pointee.exchangeCount == 0, held != generation { releaseRetired(held) }
  }

  /// Closes a connection at once. Its exchange and its lists must have been taken care of by the caller.
  func kill(_ connection: ConnectionRef) {
    if connection.pointee.flags.contains(.dead) { return }
    connection.pointee.flags.insert(.dead)
    cms_close(connection.pointee.fd)
    timers.remove(UnsafeMutableRawPointer(connection).assumingMemoryBound(to: WheelTimer.self))
    if connection.pointee.flags.contains(.pooled) { unpool(connection) }
    if connection.pointee.flags.contains(.multiplexed) { leaveMultiplexed(connection) }
    if connection.pointee.flags.contains(.counted), let endpoint = connection.pointee.endpoint {
      connectionClosed(endpoint)
    }
    if connection.pointee.listener >= 0 { unlinkDownstream(connection) }
    peers.letGo(connection.pointee.peer)
    connection.pointee.tls?.free()
    connection.pointee.tls = nil
    connection.pointee.input.release()
    connection.pointee.output.release()
    connection.pointee.next = graveyard
    graveyard = connection
  }

  func linkDownstream(_ connection: ConnectionRef) {
    connection.pointee.next = downstreamHead
    connection.pointee.previous = nil
    downstreamHead?.pointee.previous = connection
    downstreamHead = connection
    downstreamCount &+= 1
  }

  private func unlinkDownstream(_ connection: ConnectionRef) {
    if let previous = connection.pointee.previous {
      previous.pointee.next = connection.pointee.next
    } else {
      downstreamHead = connection.pointee.next
    }
    connection.pointee.next?.pointee.previous = connection.pointee.previous
    downstreamCount &-= 1
  }
}

/// Whose timer it is.
enum TimerKind: UInt8 {
  case connection, exchange, sweep, adoption
}
