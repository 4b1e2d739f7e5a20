// Unsafe by design: exchanges are plain structs.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

/// What of a request says which endpoint it should go to.
struct Preference {
  /// The number of its affinity's key, where `hasKey`.
  var key: UInt64 = 0
  var hasKey = false
  /// The subset that it asks for; 0: any.
  var subset: UInt16 = 0
  /// The cookie that is to be given to the client; 0: none.
  var cookie: UInt64 = 0
  /// The number of the endpoint that its session is at; 0: none.
  var session: UInt64 = 0
  /// What its answer says about sessions; nil: nothing.
  var sessions: UnsafePointer<SessionView>?
  /// The pause that an endpoint asked for in the last answer, seconds; 0: none.
  var pauseSeconds: UInt64 = 0
}

extension Worker {
  /// Finds the request's key and subset in its head, then chooses an endpoint.
  func balance(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    if let cluster = exchange.pointee.cluster { findPreference(exchange, head, cluster.pointee.balance) }
    balance(exchange)
  }

  private func findPreference(_ exchange: ExchangeRef, _ head: borrowing MessageHead, _ view: BalanceView) {
    exchange.pointee.preference.subset = view.subset(head)
    switch view.affinity {
    case .none: return
    case .sourceAddress: take(exchange, Self.hash(exchange.pointee.downstream.pointee.address))
    case .header: if let key = view.key(head) { take(exchange, key) }
    case .cookie:
      if let key = view.key(head) { return take(exchange, key) }
      let fresh = random.next() | 1
      exchange.pointee.preference.cookie = fresh
      take(exchange, Self.hash(cookie: fresh))
    }
  }

  private func take(_ exchange: ExchangeRef, _ key: UInt64) {
    exchange.pointee.preference.key = key
    exchange.pointee.preference.hasKey = true
  }

  /// The number of a cookie that we give, as that of its text when it comes back.
  private static func hash(cookie: UInt64) -> UInt64 {
    var text: (UInt64, UInt64) = (0, 0)
    return withUnsafeMutableBytes(of: &text) { bytes in
      let memory = bytes.bindMemory(to: UInt8.self)
      for index in 0..<16 { memory[index] = digit(cookie, index) }
      return KeyHash.of(UnsafeBufferPointer(memory))
    }
  }

  private static func digit(_ number: UInt64, _ index: Int) -> UInt8 {
    let nibble = UInt8(truncatingIfNeeded: number >> UInt64(60 &- 4 &* index)) & 15
    return nibble < 10 ? 0x30 &+ nibble : 0x57 &+ nibble
  }

  // MARK: Sessions

  /// One of the rule's backends: the one that the request's session is at, else one by weight. A session goes before
  /// weights, as Gateway API asks (GEP-1619), for as long as its endpoint may be picked.
  func pickBackend(
    _ exchange: ExchangeRef, _ hit: RouteHit, _ head: borrowing MessageHead, _ routes: UnsafePointer<RouteTableView>
  ) -> BackendPick {
    guard let session = exchange.pointee.generation.pointee.gates?.session(exchange.pointee.admission.service, hit.rule)
    else { return routes.pointee.pickBackend(hit.rule, &random) }
    exchange.pointee.preference.sessions = session
    if let number = session.pointee.endpoint(head) {
      let slice = routes.pointee.rules[Int(hit.rule)].backends
      var index = slice.start
      while index < slice.start &+ slice.count {
        let backend = routes.pointee.backends[Int(index)]
        if backend.unusable == nil,
          let cluster = exchange.pointee.generation.pointee.cluster(backend.cluster),
          place(of: number, in: cluster) >= 0
        {
          exchange.pointee.preference.session = number
          return .backend(index)
        }
        index &+= 1
      }
    }
    return routes.pointee.pickBackend(hit.rule, &random)
  }

  /// Where the endpoint with this number stands, if it may be picked; else -1.
  func place(of number: UInt64, in cluster: ClusterRef) -> Int32 {
    var index = 0
    while index < Int(cluster.pointee.set.count) {
      if cluster.pointee.endpoints[index].pointee.key == number {
        return cluster.pointee.set.mayPick(Int32(truncatingIfNeeded: index)) ? Int32(truncatingIfNeeded: index) : -1
      }
      index &+= 1
    }
    return -1
  }

  /// What the answer tells the client about affinity and its session.
  func writePreference(_ writer: inout HTTP1Writer, _ exchange: ExchangeRef) {
    let preference = exchange.pointee.preference
    if preference.cookie != 0, let cluster = exchange.pointee.cluster {
      let view = cluster.pointee.balance
      writeCookie(&writer, view.nameText, preference.cookie, nil, view.lifetimeSeconds)
    }
    guard let session = preference.sessions, let endpoint = exchange.pointee.endpoint,
      endpoint.pointee.key != preference.session
    else { return }
    if session.pointee.isHeader {
      writer.bytes(session.pointee.name)
      writer.text(": ")
      writer.fields { Hexadecimal.write(endpoint.pointee.key, 16, into: &$0) }
      writer.endOfLine()
    } else {
      writeCookie(
        &writer, session.pointee.name, endpoint.pointee.key, session.pointee.path,
        session.pointee.lifetimeSeconds)
    }
  }

  /// The same for a client of HTTP/2.
  func writePreference(_ exchange: ExchangeRef, _ session: HTTP2SessionRef) {
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writePreference(&writer, exchange)
    if writer.count > 0, !writer.overflowed { session.pointee.codec.fieldLines(headBuffer, from: 0, writer.count) }
  }

  private func writeCookie(
    _ writer: inout HTTP1Writer, _ name: UnsafeBufferPointer<UInt8>, _ value: UInt64,
    _ path: UnsafeBufferPointer<UInt8>?, _ lifetimeSeconds: UInt32
  ) {
    writer.text("set-cookie: ")
    writer.bytes(name)
    writer.byte(0x3D)
    writer.fields { Hexadecimal.write(value, 16, into: &$0) }
    writer.text("; Path=")
    if let path { writer.bytes(path) } else { writer.byte(0x2F) }
    writer.text("; HttpOnly")
    if lifetimeSeconds > 0 {
      writer.text("; Max-Age=")
      writer.decimal(UInt64(lifetimeSeconds))
    }
    writer.endOfLine()
  }

  // MARK: Pauses that endpoints ask for

  /// An answer with `Retry-After`: the endpoint is left alone for so long, where others can take its share. What the mesh
  /// itself refused for one caller says nothing about the endpoint.
  func notePause(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    exchange.pointee.preference.pauseSeconds = 0
    let status = head.status
    guard status == 429 || status == 503, let field = head.first(.retryAfter),
      let endpoint = exchange.pointee.endpoint
    else { return }
    var seconds: UInt64 = 0
    for byte in head.bytes(field.value) {
      guard byte &- 0x30 < 10, seconds < 1_000_000 else { return }
      seconds = seconds &* 10 &+ UInt64(byte &- 0x30)
    }
    exchange.pointee.preference.pauseSeconds = seconds
    let cluster = endpoint.pointee.cluster
    guard head.first(.apusReason) == nil else { return }
    if RestPolicy.ask(
      seconds: seconds, at: endpoint.pointee.slot, in: &cluster.pointee.set,
      longest: cluster.pointee.policy.longestRestNanoseconds, now: clock)
    {
      telemetry.metrics.count(.endpointRests)
    }
  }

  /// Whether an endpoint asked for a pause and there is no other to try.
  func mustPause(_ exchange: ExchangeRef) -> Bool {
    guard exchange.pointee.preference.pauseSeconds > 0, let endpoint = exchange.pointee.endpoint else { return false }
    let set = endpoint.pointee.cluster.pointee.set
    return set.healthyCount - (set.mayPick(endpoint.pointee.slot) ? 1 : 0) <= 0
  }
}
