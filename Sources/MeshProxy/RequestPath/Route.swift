// Unsafe by design: tables are read through plain pointers.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

extension Worker {
  /// Finds where the request goes: the service from the listener or the authority, the rule by Gateway API's precedence,
  /// the backend by weight. Ends in `balance`, in an answer of our own, or in a tunnel for CONNECT.
  func route(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    let listener = listeners[Int(exchange.pointee.downstream.pointee.listener)]
    exchange.pointee.isInbound = listener.kind == .inbound
    observe(exchange, head)
    if exchange.pointee.isInbound, head.methodToken == .connect, exchange.pointee.isDownstreamStream {
      return inboundConnect(exchange, head)
    }
    let number = service(exchange, listener, head)
    guard let cluster = exchange.pointee.generation.pointee.cluster(number) else {
      noteTarget(exchange, head)
      return reply(exchange, .noService)
    }
    exchange.pointee.cluster = cluster
    if head.methodToken == .connect { return connectMethod(exchange, head, listener, number) }
    let method = head.methodToken
    if method == .trace || method == .options, endsHere(exchange, head) { return }
    guard let routes = exchange.pointee.generation.pointee.routes(number) else {
      guard admit(exchange, head, number) else { return }
      setDeadlines(
        exchange, head, request: cluster.pointee.policy.requestTimeout,
        backend: cluster.pointee.policy.backendRequestTimeout)
      writeRequest(exchange, head, .none, nil, -1)
      return balance(exchange, head)
    }
    // An application may take an escaped slash for the slash that it stands for, and get to a path of another rule.
    if routes.pointee.distinguishesPaths, PathNormalizer.holdsEscapedSlash(head.bytes(head.path)) {
      noteTarget(exchange, head)
      return reply(exchange, .invalidPath)
    }
    let hit = routes.pointee.match(head)
    guard !hit.isNone else {
      noteTarget(exchange, head)
      return reply(exchange, .noRoute)
    }
    exchange.pointee.rule = hit.rule
    exchange.pointee.routes = routes
    if let numbers = exchange.pointee.generation.pointee.routeNumbers[Int(number)] {
      exchange.pointee.routeNumber = numbers[Int(hit.rule)]
    }
    guard admit(exchange, head, number) else { return }
    apply(hit, exchange, head, routes)
  }

  /// Does what the rule says.
  private func apply(
    _ hit: RouteHit, _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ routes: UnsafePointer<RouteTableView>
  ) {
    let rule = routes.pointee.rules.baseAddress.unsafelyUnwrapped + Int(hit.rule)
    if answersPreflight(exchange, rule, head, routes) { return }
    switch rule.pointee.action {
    case .redirect:
      noteTarget(exchange, head)
      replyRedirect(exchange, hit, head, routes)
    case .respond:
      noteTarget(exchange, head)
      replyDirect(exchange, rule, routes)
    case .forward:
      switch pickBackend(exchange, hit, head, routes) {
      case .unavailable(let reason):
        noteTarget(exchange, head)
        reply(exchange, reason)
      case .backend(let index):
        let backend = routes.pointee.backends.baseAddress.unsafelyUnwrapped + Int(index)
        guard let cluster = exchange.pointee.generation.pointee.cluster(backend.pointee.cluster) else {
          noteTarget(exchange, head)
          return reply(exchange, .backendNotFound)
        }
        exchange.pointee.backend = index
        exchange.pointee.cluster = cluster
        setDeadlines(exchange, head, request: rule.pointee.requestTimeout, backend: rule.pointee.backendRequestTimeout)
        writeRequest(exchange, head, hit, routes, backend.pointee.requestEdit ?? -1)
        balance(exchange, head)
      }
    }
  }

  /// The number of the cluster that the request is for; -1: none.
  private func service(
    _ exchange: ExchangeRef, _ listener: ListenerState, _ head: borrowing MessageHead
  ) -> Int32 {
    let generation = exchange.pointee.generation
    switch listener.kind {
    case .outbound, .inbound: return generation.pointee.clusterNumber(ofListener: listener.index)
    case .forward:
      return generation.pointee.hosts.pointee.cluster(
        authority: head.bytes(head.authority), isConnect: head.methodToken == .connect) ?? -1
    }
  }

  /// CONNECT: a tunnel to a service of the mesh by name and port. Nothing else is reached through it.
  private func connectMethod(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ listener: ListenerState, _ number: Int32
  ) {
    noteTarget(exchange, head)
    guard listener.kind == .forward else { return reply(exchange, .connectTargetForbidden) }
    if looksAtRequests(exchange.pointee.generation, number) {
      // A stream cannot become a connection on which requests come.
      return exchange.pointee.isDownstreamStream
        ? reply(exchange, .connectTargetForbidden) : acceptRequests(exchange)
    }
    exchange.pointee.asked = exchange.pointee.cluster
    exchange.pointee.flags.insert([.tunnel, .connectMethod])
    exchange.pointee.flags.remove(.replayable)
    routeStream(exchange, number)
  }
}
