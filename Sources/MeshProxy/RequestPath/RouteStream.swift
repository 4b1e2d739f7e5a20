// Unsafe by design: a connection's first bytes are read where they lie.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// Where connections go that carry bytes as they are: to the service itself, or, where a TCPRoute or TLSRoute is in force,
/// to one of the route's backends. For a TLSRoute the client's first message is read, and nothing is taken from it.
extension Worker {
  /// - Parameter number: of the cluster that the connection was opened to.
  func routeStream(_ exchange: ExchangeRef, _ number: Int32) {
    guard let table = exchange.pointee.generation.pointee.streams(number) else { return balance(exchange) }
    guard table.pointee.needsServerName else {
      return take(exchange, number, table, UnsafeBufferPointer(start: nil, count: 0))
    }
    awaitServerName(exchange)
  }

  /// CONNECT asks for a port whose requests are looked at: it is agreed to, and what comes on the connection after it are
  /// requests, as on a new connection. Libraries of gRPC go this way wherever HTTP_PROXY is set.
  func acceptRequests(_ exchange: ExchangeRef) {
    let connection = exchange.pointee.downstream
    let answer: StaticString = "HTTP/1.1 200 Connection Established\r\n\r\n"
    write(connection, answer.utf8Start, answer.utf8CodeUnitCount)
    exchange.pointee.flags.insert([.keepAlive, .requestComplete])
    // HTTP/2 begins with a connection's first bytes.
    connection.pointee.exchangeCount = 0
    release(exchange)
    finishDownstream(exchange)
  }

  /// Lets the client speak first: its bytes come to `serverNameBytes`.
  private func awaitServerName(_ exchange: ExchangeRef) {
    let downstream = exchange.pointee.downstream
    exchange.pointee.flags.insert(.awaitingName)
    exchange.pointee.deadline = now &+ settings.limits.handshakeNanoseconds
    armExchange(exchange)
    if exchange.pointee.flags.contains(.connectMethod) {
      exchange.pointee.flags.remove(.connectMethod)
      exchange.pointee.status = 200
      // What comes on a stream waits in the exchange.
      if exchange.pointee.isDownstreamStream { return acceptConnect(exchange) }
      let answer: StaticString = "HTTP/1.1 200 Connection Established\r\n\r\n"
      write(downstream, answer.utf8Start, answer.utf8CodeUnitCount)
      downstream.pointee.role = .tunnel
      disarm(downstream)
    }
    resume(downstream)
  }

  /// The first bytes of a connection whose server name is to be known. They stay where they are: once the endpoint is
  /// there it gets all of them. Returns 0, the number of bytes taken.
  func serverNameBytes(_ connection: ConnectionRef, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    guard let exchange = connection.pointee.exchange, exchange.pointee.flags.contains(.awaitingName) else { return 0 }
    switch ClientHelloParser.parse(bytes, count: count, scratch: headBuffer, capacity: Self.headCapacity) {
    case .needMore: return 0
    case .failure: found(exchange, UnsafeBufferPointer(start: nil, count: 0))
    case .complete(let hello): found(exchange, hello.bytes(hello.serverName))
    }
    return 0
  }

  /// The same of a stream, whose bytes wait for the endpoint.
  func serverNameOnStream(_ exchange: ExchangeRef, isEnd: Bool) {
    guard let bytes = exchange.pointee.toUpstream.bytes else {
      if isEnd { found(exchange, UnsafeBufferPointer(start: nil, count: 0)) }
      return
    }
    let count = exchange.pointee.toUpstream.count
    switch ClientHelloParser.parse(bytes, count: count, scratch: headBuffer, capacity: Self.headCapacity) {
    case .needMore: if isEnd { found(exchange, UnsafeBufferPointer(start: nil, count: 0)) }
    case .failure: found(exchange, UnsafeBufferPointer(start: nil, count: 0))
    case .complete(let hello): found(exchange, hello.bytes(hello.serverName))
    }
  }

  private func found(_ exchange: ExchangeRef, _ name: UnsafeBufferPointer<UInt8>) {
    exchange.pointee.flags.remove(.awaitingName)
    exchange.pointee.deadline = .max
    if !exchange.pointee.isDownstreamStream { pause(exchange.pointee.downstream) }
    let number = exchange.pointee.generation.pointee.number(of: exchange.pointee.cluster)
    guard let table = exchange.pointee.generation.pointee.streams(number) else { return balance(exchange) }
    take(exchange, number, table, name)
  }

  /// Sends the connection where its rule says.
  private func take(
    _ exchange: ExchangeRef, _ number: Int32, _ table: UnsafePointer<StreamTableView>,
    _ name: UnsafeBufferPointer<UInt8>
  ) {
    let rule = table.pointee.match(serverName: name)
    if rule >= 0 {
      exchange.pointee.routeNumber = exchange.pointee.generation.pointee.streamNumber(number, rule)
    }
    switch table.pointee.pickBackend(rule, &random) {
    case .unavailable(let reason): refuseTunnel(exchange, reason)
    case .backend(let index):
      let cluster = table.pointee.backends[Int(index)].cluster
      guard let target = exchange.pointee.generation.pointee.cluster(cluster) else {
        return refuseTunnel(exchange, .backendNotFound)
      }
      exchange.pointee.cluster = target
      balance(exchange)
    }
  }
}
