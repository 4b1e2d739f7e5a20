internal import CMeshSystem
internal import Glibc
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor
internal import MeshTLS
internal import MeshTelemetry
internal import MeshWire

/// The proxy as a whole: workers, the side thread, and what passes between them. Everything here runs on the side
/// thread; workers are reached by `submit` only.
package final class Proxy {
  let options: ProxyOptions
  let log: Log
  let loop: SideLoop
  let started: UInt64
  private(set) var listeners: [ListenerConfig] = []
  private(set) var workers: [WorkerThread] = []
  /// What is in force.
  private(set) var snapshot = PackedSnapshot()
  private(set) var configuration: CompiledConfiguration
  private(set) var credentials: Credentials?
  /// Those of further identities of a static configuration.
  private var furtherCredentials: [Credentials] = []
  var certificateNotAfter: Int64 = 0
  var certificateNotBefore: Int64 { identity?.facts.notBeforeSeconds ?? 0 }
  /// Who the proxy is by its certificate.
  private(set) var identity: TLSIdentity?
  private(set) var isReady = false
  private(set) var isDraining = false
  private(set) var admin: AdminServer?
  private(set) var control: ControlClient?
  let labels = LabelDictionary()
  private(set) lazy var carrier = TelemetryCarrier(self)
  private(set) lazy var names = NameLookups(loop: loop)
  private lazy var former = FormerConfigurations(loop)
  private var isFinishing = false
  /// TCP connections as last reported.
  var lastConnections: [ConnectionKey: ConnectionSeries] = [:]
  private let tickets = TLSTicketKeys()
  private var exitStatus: Int32 = 0

  /// - Throws: `SystemError`, `StartError` for what keeps the proxy from starting.
  package init(_ options: ProxyOptions) throws {
    self.options = options
    log = Log(options.logLevel)
    loop = try SideLoop()
    started = cms_monotonic_nanoseconds()
    configuration = CompiledConfiguration(Snapshot(), listeners: [])
  }

  /// Runs until a signal ends it; returns the exit status.
  package func run() throws -> Int32 {
    signal(SIGPIPE, SIG_IGN)
    // Few arenas: workers allocate rarely, and every arena costs memory that is not given back.
    cms_limit_arenas(2)
    let signals = try SignalHandler(loop) { [unowned self] in received($0) }
    try load()
    try openListeners()
    try startWorkers()
    let address = try Self.address(options.adminAddress)
    admin = try AdminServer(loop: loop, address: address) { [unowned self] in answer($0, $1) }
    if options.controlPlane != nil {
      control = try ControlClient(self)
      control?.start()
    } else {
      becomeReady()
      keepSharedLimits()
    }
    carrier.adopt(configuration.telemetry)
    log.write(.info, "apus-proxy started: \(workers.count) workers, admin on port \(admin?.port ?? 0)")
    cms_run_beside()
    withExtendedLifetime(signals) { loop.run() }
    return exitStatus
  }

  /// With a static configuration there is nobody to share limits with: each is all this proxy's.
  private func keepSharedLimits() {
    guard !configuration.sharedLimits.isEmpty else { return }
    _ = quotas.look(configuration.sharedLimits, isConnected: false, now: Int64(clamping: cms_monotonic_nanoseconds()))
    loop.after(100_000_000) { [unowned self] in keepSharedLimits() }
  }
  private var quotas = QuotaKeeper()

  // MARK: Starting

  /// The configuration at hand: a static one, or what an earlier run left on disk.
  private func load() throws {
    if let path = options.configPath {
      do throws(WireError) {
        snapshot = PackedSnapshot(try Snapshot(json: try Files.read(path)))
      } catch {
        throw StartError("\(path): \(error)")
      }
      if let files = snapshot.common.certificate { try useFiles(files) }
    } else {
      var node = options.node
      if node.serviceAccount.isEmpty { node.serviceAccount = node.service }
      if node.trustDomain.isEmpty { node.trustDomain = "cluster.local" }
      snapshot = ProxyState(folder: options.stateDirectory, log: log).configuration()?.snapshot ?? PackedSnapshot()
      snapshot.common.listeners = []
      snapshot.common.node = node
    }
  }

  private func openListeners() throws {
    listeners = options.listeners + snapshot.common.listeners
    let count = options.workers > 0 ? options.workers : Int(cms_usable_processors())
    descriptors = Array(repeating: [], count: count)
    for index in listeners.indices {
      guard var address = SocketAddress(listeners[index].address) else {
        throw StartError(
          "the address \(listeners[index].address) of listener \(listeners[index].name) is not ADDRESS:PORT")
      }
      for worker in 0..<count {
        let descriptor = try open(address, of: listeners[index].name, joins: worker > 0)
        if address.port == 0, let bound = Sockets.localAddress(descriptor) {
          address.port = bound.port
          listeners[index].address = "\(bound)"
        }
        descriptors[worker].append(descriptor)
      }
    }
    snapshot.common.listeners = listeners
  }
  private var descriptors: [[Int32]] = []

  private func open(_ address: SocketAddress, of listener: String, joins: Bool) throws -> Int32 {
    do throws(SystemError) {
      return try Sockets.listen(address, joins: joins)
    } catch {
      guard error.code == EADDRINUSE else { throw StartError("the listener \(listener): \(error)") }
      throw StartError("the port \(address) of the listener \(listener) is another program's: give it another one")
    }
  }

  private func startWorkers() throws {
    configuration = CompiledConfiguration(snapshot, listeners: listeners, accessLog: options.accessLog)
    report(configuration.problems)
    // What reading it left behind goes back before workers take memory: theirs would lie there, and stay resident.
    cms_release_memory()
    var settings = ProxySettings()
    settings.workers = descriptors.count
    settings.limits = options.limits
    settings.coalescing = options.coalescing
    settings.clockOffsetSeconds = options.clockOffsetSeconds
    for index in descriptors.indices {
      var seed: UInt64 = 0
      guard cms_random(&seed, 8) == 0 else { throw SystemError("getrandom") }
      let worker = try Worker(
        index: index, settings: settings, configuration: configuration,
        telemetry: WorkerTelemetry(
          labels: labels, node: snapshot.common.node ?? options.node, configuration: configuration),
        labels: labels, seed: seed)
      carrier.add(worker.telemetry)
      worker.credentials = credentials
      worker.furtherCredentials = furtherCredentials
      for (position, listener) in listeners.enumerated() {
        worker.listen(
          ListenerState(
            index: Int32(position), config: listener, identity: snapshot.common.place(ofIdentity: listener.identity)),
          descriptor: descriptors[index][position])
      }
      let thread = WorkerThread(worker)
      workers.append(thread)
      try thread.start()
    }
  }

  /// Certificates of a static configuration.
  private func useFiles(_ files: CertificateFiles) throws {
    do {
      let identity = try TLSIdentity(
        chain: try Files.read(files.certificateChain), privateKey: try Files.read(files.privateKey))
      let roots = [try Files.read(files.roots)]
      try use(identity, roots: roots)
      furtherCredentials = try snapshot.common.identities.map { further in
        try makeCredentials(
          try TLSIdentity(
            chain: try Files.read(further.certificateChain), privateKey: try Files.read(further.privateKey)), roots)
      }
    } catch {
      throw StartError("the certificate files cannot be used: \(error)")
    }
  }

  static func address(_ text: String) throws -> SocketAddress {
    guard let address = SocketAddress(text) else { throw StartError("\(text) is not ADDRESS:PORT") }
    return address
  }

  // MARK: What changes while it runs

  /// Puts certificates in force for new connections; those that are open keep what they have.
  func use(_ identity: TLSIdentity, roots: [[UInt8]]) throws {
    let fresh = try makeCredentials(identity, roots)
    credentials = fresh
    self.identity = identity
    certificateNotAfter = identity.facts.notAfterSeconds
    for worker in workers { worker.submit { $0.credentials = fresh } }
  }

  private func makeCredentials(_ identity: TLSIdentity, _ roots: [[UInt8]]) throws -> Credentials {
    let trust = try TLSTrust(roots: Array(roots.joined()))
    let (proxy, node) = (snapshot.common.proxy, snapshot.common.node)
    let domains = [proxy?.trustDomain, node?.trustDomain, identity.spiffeID?.trustDomain.name]
      .compactMap { $0 }.filter { !$0.isEmpty }.prefix(1)
    let names = try (domains + (proxy?.trustDomainAliases ?? [])).map { try TrustDomain($0) }
    func context(_ role: TLSSettings.Role, _ protocols: [String]) throws -> TLSContext {
      var settings = TLSSettings(
        role: role, identity: identity, trust: trust, trustDomains: names, protocols: protocols)
      if case .server = role { settings.ticketKeys = tickets }
      return try TLSContext(settings)
    }
    return try Credentials(context)
  }

  /// Puts a new snapshot in force; `done` is called once every worker works by it.
  func apply(_ fresh: PackedSnapshot, done: @escaping () -> Void = {}) {
    snapshot = fresh
    snapshot.common.listeners = listeners
    let compiled = CompiledConfiguration(
      snapshot, listeners: listeners, previous: configuration, accessLog: options.accessLog)
    former.add(configuration)
    configuration = compiled
    report(compiled.problems)
    let modes = listeners.map { listener -> MutualTLSMode in
      // Tunnels are for peers with certificates only.
      if listener.port == 0 { return .strict }
      guard let proxy = snapshot.common.proxy else { return listener.mutualTLS }
      return proxy.inbound.first { $0.appPort == listener.port }?.mutualTLS ?? proxy.mutualTLS
    }
    let gathered = Gathered<Bool>(expected: workers.count) { [weak self] _ in
      if let self { self.carrier.adopt(self.configuration.telemetry) }
      done()
    }
    let back = loop.submitter
    for worker in workers {
      worker.submit { inside in
        inside.adopt(compiled) {
          inside.setModes(modes)
          back.submit { gathered.add(true) }
        }
      }
    }
  }

  /// Runs `job` on every worker and hands all results to `done`, back on this thread.
  func onAllWorkers<Result: Sendable>(
    _ job: @escaping @Sendable (Worker) -> Result, done: @escaping ([Result]) -> Void
  ) {
    let gathered = Gathered<Result>(expected: workers.count, done: done)
    let back = loop.submitter
    for worker in workers {
      worker.submit { inside in
        let result = job(inside)
        back.submit { gathered.add(result) }
      }
    }
  }

  /// Runs `job` on one worker and hands its result to `done`, back on this thread.
  func onWorker<Result: Sendable>(
    _ index: Int, _ job: @escaping @Sendable (Worker) -> Result, done: @escaping (Result) -> Void
  ) {
    guard workers.indices.contains(index) else { return }
    let gathered = Gathered<Result>(expected: 1) { results in
      if let result = results.first { done(result) }
    }
    let back = loop.submitter
    workers[index].submit { inside in
      let result = job(inside)
      back.submit { gathered.add(result) }
    }
  }

  private func report(_ problems: [SettingViolation]) {
    for problem in problems { log.write(.warning, "configuration: \(problem.path) \(problem.message)") }
  }

  /// Says that it works from a configuration, once.
  func becomeReady() {
    guard !isReady else { return }
    isReady = true
    // Reading and compiling a large configuration leaves much behind that is not needed again.
    cms_release_memory()
    loop.after(Self.startNanoseconds) { cms_forget_program() }
    let milliseconds = (cms_monotonic_nanoseconds() - started) / 1_000_000
    log.write(.info, "ready after \(milliseconds) ms")
    guard let descriptor = options.readyDescriptor else { return }
    var line = "{\"ready\":true"
    if let port = port(of: .inbound) { line += ",\"inbound\":\(port)" }
    if let port = port(of: .forward) { line += ",\"forward\":\(port)" }
    line += ",\"admin\":\(admin?.port ?? 0),\"readyMilliseconds\":\(milliseconds)}\n"
    line.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
  }

  /// From being ready to when everything has run once that only the start needs.
  private static let startNanoseconds: UInt64 = 2_000_000_000

  /// The port of the first listener of a kind.
  func port(of kind: ListenerKind) -> UInt16? {
    listeners.first { $0.kind == kind }.flatMap { SocketAddress($0.address)?.port }
  }

  // MARK: Ending

  private func received(_ signal: Int32) {
    log.write(.info, "signal \(signal): draining for at most \(options.drainSeconds) s")
    if isDraining { return finish() }
    drain()
  }

  /// Finishes what is under way and ends.
  func drain() {
    guard !isDraining else { return }
    isDraining = true
    control?.draining()
    guard control?.isConnected == true else { return drainWorkers() }
    // Peers hear of it from the control plane and look elsewhere, before the listeners close.
    loop.after(Self.announceNanoseconds) { [unowned self] in drainWorkers() }
  }

  /// Time for the control plane to tell peers that this proxy is going away.
  private static let announceNanoseconds: UInt64 = 400_000_000

  private func drainWorkers() {
    let deadline = cms_monotonic_nanoseconds() &+ options.drainSeconds &* 1_000_000_000
    let gathered = Gathered<Bool>(expected: workers.count) { [unowned self] _ in finish() }
    let back = loop.submitter
    for worker in workers {
      worker.submit { inside in
        inside.drain(until: deadline) {
          inside.stop()
          back.submit { gathered.add(true) }
        }
      }
    }
    loop.after(options.drainSeconds &* 1_000_000_000 &+ 2_000_000_000) { [unowned self] in finish() }
  }

  private func finish() {
    if isFinishing { return }
    isFinishing = true
    control?.keepNow()
    carrier.finish { [unowned self] in
      log.write(.info, "ended")
      loop.stop()
    }
  }
}

/// What keeps the proxy from starting, in words.
package struct StartError: Error, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// SIGTERM and SIGINT as events of the side loop.
private final class SignalHandler: SideHandler {
  private let descriptor: Int32
  private let received: (Int32) -> Void

  init(_ loop: SideLoop, _ received: @escaping (Int32) -> Void) throws(SystemError) {
    self.received = received
    descriptor = cms_signalfd([SIGTERM, SIGINT], 2)
    guard descriptor >= 0 else { throw SystemError("signalfd") }
    super.init()
    try loop.registerLevel(descriptor, self)
  }

  override func ready(_ readiness: Readiness) {
    while true {
      let signal = cms_next_signal(descriptor)
      if signal == 0 { return }
      received(signal)
    }
  }
}

/// Small files.
enum Files {
  /// The whole of a file.
  static func read(_ path: String) throws(WireError) -> [UInt8] {
    guard let file = fopen(path, "re") else {
      throw WireError(message: "cannot be read: \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = fread(&chunk, 1, chunk.count, file)
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      if bytes.count > 256 << 20 { throw WireError(message: "is larger than 256 MiB") }
    }
  }
}
