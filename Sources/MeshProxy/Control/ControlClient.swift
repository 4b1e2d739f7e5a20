internal import CMeshSystem
internal import MeshModel
internal import MeshReactor
internal import MeshTLS
internal import MeshWire

/// The proxy's side of everything the control plane does for it: certificates, configuration, registration, reports.
/// The decisions are those of the machines beside this file; here are the connections and the clock, and in
/// `ProxyState.swift` the disk.
final class ControlClient {
  private static let signing = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
  private static let discovery = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
  private static let attaching = "/apus.v1.WorkloadService/Attach"

  private unowned let proxy: Proxy
  private let address: SocketAddress
  private let rootsPEM: [UInt8]
  private let expectation: TLSExpectation
  private let trustDomain: TrustDomain
  private let ownID: SPIFFEID
  private let state: ProxyState
  private var machine: XDSClientMachine
  private var certificates = CertificateMachine()
  private var attach: AttachMachine
  private var schedule = ReconnectSchedule()
  private var identity: TLSIdentity?
  /// With the client certificate: configuration, registration, renewal.
  private var main: ControlConnection?
  private var mainIsOpen = false
  private var mainRetryAt: UInt64 = 0
  /// Without one, or with one that has ended: first contact, and recovery.
  private var first: ControlConnection?
  private var discoveryCall: ControlCall?
  private var attachCall: ControlCall?
  private var isReporting = false
  private var probe: ApplicationProbe
  private var quotas = QuotaKeeper()
  /// The roots in force; empty: those the proxy was started with.
  private var bundle: [String] = []
  private lazy var keeper = ConfigurationKeeper(proxy.loop) { [unowned self] in
    state.keep(machine.cache(proxy.snapshot))
  }

  /// What the proxy waits for, while it is not ready.
  var waitingFor: String {
    if identity == nil { return "no certificate from the control plane at \(address) yet" }
    return machine.isComplete ? "starting" : "no configuration from the control plane at \(address) yet"
  }

  /// Whether the control plane hears what is said now.
  var isConnected: Bool { mainIsOpen }

  init(_ proxy: Proxy) throws {
    self.proxy = proxy
    let options = proxy.options
    address = try Proxy.address(options.controlPlane ?? "")
    guard let path = options.controlPlaneRoots else {
      throw StartError("--xds needs --xds-root FILE, the mesh's root certificate")
    }
    do throws(WireError) { rootsPEM = try Files.read(path) } catch { throw StartError("\(path): \(error)") }
    let node = proxy.snapshot.common.node ?? NodeIdentity()
    trustDomain = try TrustDomain(node.trustDomain)
    ownID = try SPIFFEID(trustDomain: trustDomain, namespace: node.namespace, account: node.serviceAccount)
    expectation = TLSExpectation(
      identities: [try SPIFFEID(trustDomain: trustDomain, namespace: "apus-system", account: "apus")])
    var wireNode = XDSNode()
    wireNode.id = node.uid
    wireNode.cluster = node.service
    wireNode.userAgentName = "apus-proxy"
    wireNode.userAgentVersion = ProxyState.version
    state = ProxyState(folder: options.stateDirectory, log: proxy.log)
    machine = XDSClientMachine(node: wireNode, program: ProxyState.program, cached: state.configuration()) {
      Self.refusal($0)
    }
    attach = AttachMachine(
      registration: Self.registration(proxy, node), health: options.applicationPorts.isEmpty ? .healthy : .notListening,
      now: Self.now)
    probe = ApplicationProbe(ports: options.applicationPorts)
  }

  /// Why a resource cannot be put in force: its rules are compiled as the traffic path will have them.
  private static func refusal(_ resource: XDSClientMachine.Resource) -> String? {
    guard case .service(let service) = resource else { return nil }
    var trial = Snapshot()
    trial.services = [service]
    let problems = CompiledConfiguration(trial, listeners: []).problems
    return problems.isEmpty ? nil : problems.map { "\($0.path) \($0.message)" }.joined(separator: "; ")
  }

  private static var now: Duration { .nanoseconds(Int64(clamping: cms_monotonic_nanoseconds())) }
  private static var nanoseconds: Int64 { Int64(clamping: cms_monotonic_nanoseconds()) }
  private var wallSeconds: Double {
    Double(cms_wall_nanoseconds()) / 1e9 + Double(proxy.options.clockOffsetSeconds)
  }

  private static func registration(_ proxy: Proxy, _ node: NodeIdentity) -> Registration {
    var registration = Registration()
    registration.uid = node.uid
    registration.namespace = node.namespace
    registration.name = node.workload
    registration.service = node.service
    registration.serviceAccount = node.serviceAccount
    registration.version = node.version
    registration.labels = proxy.options.labels
    if registration.labels["app"] == nil { registration.labels["app"] = node.service }
    if registration.labels["version"] == nil, !node.version.isEmpty { registration.labels["version"] = node.version }
    registration.proxyVersion = ProxyState.version
    registration.adminPort = UInt32(proxy.admin?.port ?? 0)
    for listener in proxy.listeners where listener.kind == .inbound && listener.port != 0 {
      guard let bound = SocketAddress(listener.address) else { continue }
      registration.address = bound.host
      var port = WorkloadPort()
      port.appPort = listener.port
      port.inboundPort = UInt32(bound.port)
      port.appProtocol = listener.appProtocol
      port.name = listener.appProtocol == .unspecified ? "main" : listener.appProtocol.wireName
      registration.ports.append(port)
    }
    if registration.address.isEmpty { registration.address = "127.0.0.1" }
    return registration
  }

  // MARK: The turn

  /// Begins, with what an earlier run left on disk where there is something.
  func start() {
    restoreIdentity()
    if identity != nil, machine.isComplete {
      proxy.log.write(.info, "serving the configuration of an earlier run until the control plane answers")
      proxy.becomeReady()
    }
    tick()
  }

  /// Looks at everything that waits for time to pass.
  private func tick() {
    if case .request(let proof) = certificates.next(nowSeconds: wallSeconds) { requestCertificate(proof) }
    if identity != nil, main == nil, cms_monotonic_nanoseconds() >= mainRetryAt { connectMain() }
    if let health = probe.health(now: cms_monotonic_nanoseconds()), attach.health.health != .draining {
      send(attach.changed(health, message: health == .healthy ? "" : "the application does not listen"))
    }
    if let delay = attach.delayToReport(now: Self.now), delay <= .zero { report() }
    shareLimits()
    proxy.loop.after(100_000_000) { [weak self] in self?.tick() }
  }

  private func send(_ request: AttachRequest?) {
    guard let request, let call = attachCall else { return }
    main?.send(request.protobuf(), on: call)
  }

  // MARK: Certificates

  private func requestCertificate(_ proof: CertificateMachine.Proof) {
    if proof == .certificate {
      // Where the connection that the certificate opens is being made, this waits for it.
      if mainIsOpen, let main { sign(main, token: nil) }
      return
    }
    if let first { return first.isUsable ? sign(first, token: state.token(proxy.options.tokenPath)) : () }
    certificates.asked()
    do {
      // A certificate that has ended still proves, to the authority alone, whose key it is.
      let settings = TLSSettings(
        role: .client, identity: proof == .certificateAndToken ? identity : nil, trust: try TLSTrust(roots: rootsPEM),
        trustDomains: [trustDomain], protocols: ["h2"])
      first = try ControlConnection(
        loop: proxy.loop, address: address, context: try TLSContext(settings), expectation: expectation,
        clockOffset: proxy.options.clockOffsetSeconds,
        opened: { [weak self] in
          guard let self, let first = self.first else { return }
          self.sign(first, token: self.state.token(self.proxy.options.tokenPath))
        },
        lost: { [weak self] why in
          self?.first = nil
          self?.certificateFailed(why, isRefusal: false)
        })
    } catch {
      certificateFailed("\(error)", isRefusal: false)
    }
  }

  private func sign(_ connection: ControlConnection, token: String?) {
    certificates.asked()
    do {
      let request = try CertificateRequest(identity: ownID)
      var message = CertificateRequestMessage()
      message.csr = request.pem
      guard let call = connection.call(Self.signing, token: token) else {
        return certificateFailed("the connection takes no more calls", isRefusal: false)
      }
      var isAnswered = false
      call.received = { [weak self] bytes in
        isAnswered = true
        self?.issued(bytes, request)
      }
      call.ended = { [weak self] status, why in
        // 7 and 16: permission denied, unauthenticated.
        if !isAnswered {
          self?.certificateFailed("\(why) (gRPC status \(status))", isRefusal: status == 16 || status == 7)
        }
        if self?.first === connection { connection.close("done") }
      }
      connection.send(message.protobuf(), on: call, isLast: true)
    } catch {
      certificateFailed("\(error)", isRefusal: false)
    }
  }

  private func issued(_ bytes: [UInt8], _ request: CertificateRequest) {
    do {
      let chain = try CertificateResponseMessage(protobuf: bytes).chain
      // The root is not sent along: peers have it or do not believe it.
      let pem = Array((chain.count > 1 ? chain.dropLast() : chain[...]).joined(separator: "\n").utf8)
      let fresh = try request.keyPair.identity(chain: pem)
      identity = fresh
      try putInForce(fresh)
      certificates.issued(
        notAfterSeconds: fresh.facts.notAfterSeconds, nowSeconds: wallSeconds, chance: Double.random(in: 0..<1))
      proxy.log.write(.info, "certificate in force until \(fresh.facts.notAfterSeconds)")
      state.keep(chain: pem, key: try request.keyPair.privateKeyPEM(), receivedSeconds: UInt64(max(0, wallSeconds)))
      if main == nil { connectMain() }
    } catch {
      certificateFailed("the certificate cannot be used: \(error)", isRefusal: false)
    }
  }

  private func certificateFailed(_ why: String, isRefusal: Bool) {
    guard case .awaitAnswer = certificates.next(nowSeconds: wallSeconds) else { return }
    proxy.log.write(.warning, "no certificate: \(why)")
    certificates.failed(isRefusal: isRefusal, nowSeconds: wallSeconds, chance: Double.random(in: 0..<1))
  }

  private func putInForce(_ identity: TLSIdentity) throws {
    try proxy.use(identity, roots: bundle.isEmpty ? [rootsPEM] : bundle.map { Array($0.utf8) })
  }

  private func restoreIdentity() {
    guard let (restored, receivedSeconds) = state.identity(), restored.spiffeID == ownID,
      restored.facts.notAfterSeconds > Int64(wallSeconds)
    else { return }
    bundle = proxy.snapshot.common.trust.filter { $0.trustDomain == trustDomain.name }.flatMap(\.roots)
    do {
      try putInForce(restored)
      identity = restored
      let schedule = RotationSchedule(
        receivedSeconds: receivedSeconds, notAfterSeconds: restored.facts.notAfterSeconds)
      certificates = CertificateMachine(cached: schedule, nowSeconds: wallSeconds, chance: Double.random(in: 0..<1))
    } catch {
      proxy.log.write(.warning, "the certificate of an earlier run cannot be used: \(error)")
    }
  }

  // MARK: Configuration and registration

  private func connectMain() {
    guard main == nil, let identity else { return }
    do {
      let settings = TLSSettings(
        role: .client, identity: identity, trust: try TLSTrust(roots: rootsPEM), trustDomains: [trustDomain],
        protocols: ["h2"])
      main = try ControlConnection(
        loop: proxy.loop, address: address, context: try TLSContext(settings), expectation: expectation,
        clockOffset: proxy.options.clockOffsetSeconds, opened: { [weak self] in self?.mainOpened() },
        lost: { [weak self] in self?.mainLost($0) })
    } catch {
      mainLost("\(error)")
    }
  }

  private func mainOpened() {
    guard let main else { return }
    mainIsOpen = true
    schedule.connected(now: Self.now)
    certificates.authorityIsBack(nowSeconds: wallSeconds)
    proxy.log.write(.info, "connected to the control plane at \(address)")
    if let call = main.call(Self.discovery) {
      discoveryCall = call
      call.received = { [weak self] in self?.discovered($0) }
      call.ended = { [weak self] in self?.streamEnded("discovery", $0, $1) }
      for request in machine.opened() { main.send(request.protobuf(), on: call) }
    }
    if let call = main.call(Self.attaching) {
      attachCall = call
      call.received = { [weak self] bytes in
        if let response = try? AttachResponse(protobuf: bytes) {
          self?.attach.received(response)
          if let grants = response.quota { self?.quotas.take(grants, now: Self.nanoseconds) }
          self?.answer(response.questions)
        }
      }
      call.ended = { [weak self] in self?.streamEnded("attach", $0, $1) }
      quotas.restart()
      main.send(attach.opened().protobuf(), on: call)
    }
  }

  /// A stream that ends takes the connection with it: both begin anew together.
  private func streamEnded(_ name: String, _ status: Int, _ why: String) {
    if mainIsOpen { main?.close("\(name) ended: \(why) (gRPC status \(status))") }
  }

  private func mainLost(_ why: String) {
    main = nil
    mainIsOpen = false
    discoveryCall = nil
    attachCall = nil
    attach.closed()
    let wait = schedule.lost(now: Self.now, chance: Double.random(in: 0..<1))
    mainRetryAt = cms_monotonic_nanoseconds() &+ UInt64(max(0, wait.saturatingNanoseconds))
    proxy.log.write(.warning, "control plane: \(why); again in \(wait)")
    if first == nil { certificateFailed(why, isRefusal: why.hasPrefix("TLS")) }
  }

  private func discovered(_ bytes: [UInt8]) {
    guard let response = try? DeltaDiscoveryResponse(protobuf: bytes), let outcome = machine.received(response) else {
      return
    }
    for refused in outcome.refused { proxy.log.write(.error, "refused \(refused.name): \(refused.message)") }
    let acknowledge: () -> Void = { [weak self] in
      guard let self, let call = self.discoveryCall else { return }
      self.main?.send(outcome.reply.protobuf(), on: call)
    }
    guard outcome.isToBeApplied else { return acknowledge() }
    var fresh = proxy.snapshot
    machine.fill(&fresh)
    let roots = fresh.common.trust.filter { $0.trustDomain == trustDomain.name }.flatMap(\.roots)
    proxy.apply(fresh) { [weak self] in
      acknowledge()
      self?.inForce(roots)
    }
  }

  private func inForce(_ roots: [String]) {
    if !roots.isEmpty, roots != bundle, let identity {
      bundle = roots
      do { try putInForce(identity) } catch { proxy.log.write(.error, "the trust bundle cannot be used: \(error)") }
    }
    if identity != nil { proxy.becomeReady() }
    keeper.soon()
  }

  /// Puts on disk what has not been written yet.
  func keepNow() { keeper.now() }

  /// The proxy ends: nothing new is to be sent to it.
  func draining() { send(attach.changed(.draining, message: "the proxy is ending")) }

  /// Answers what the control plane wants to know, by the pages of the admin interface.
  private func answer(_ questions: [ProxyQuestion]) {
    for question in questions {
      proxy.answer(question) { [weak self] answer in
        var request = AttachRequest()
        request.answers = [answer]
        self?.send(request)
      }
    }
  }

  /// Tells what came by the limits that all proxies share; more is asked for when what was asked has gone out.
  private func shareLimits() {
    let hears = attachCall.flatMap { main?.backlog(of: $0) }.map { $0 < 1 << 20 } ?? false
    let report = quotas.look(
      proxy.configuration.sharedLimits, isConnected: attach.isAttached && hears, now: Self.nanoseconds)
    guard let report else { return }
    var request = AttachRequest()
    request.quota = report
    send(request)
  }

  private func report() {
    guard !isReporting, let call = attachCall, let main, main.backlog(of: call) < 1 << 20 else { return }
    isReporting = true
    proxy.statistics { [weak self] counted in
      guard let self else { return }
      self.isReporting = false
      guard let call = self.attachCall else { return }
      self.main?.send(self.attach.report(counted, now: Self.now).protobuf(), on: call)
    }
  }
}
