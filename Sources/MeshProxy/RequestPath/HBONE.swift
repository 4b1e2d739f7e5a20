// Unsafe by design: heads are written straight into the connection's output.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshWire

/// Tunnels through HTTP/2 over mTLS: a stream with CONNECT for each connection of an application (HBONE, as the ambient
/// mesh of Istio speaks it). The authority is the destination's own address; who calls is known by certificate.
extension Worker {
  // MARK: The client's end

  /// Asks for a tunnel to the endpoint's application.
  func sendConnect(_ exchange: ExchangeRef, _ session: HTTP2SessionRef, _ stream: HTTP2Stream) {
    guard let endpoint = exchange.pointee.endpoint, let upstream = exchange.pointee.upstream,
      session.pointee.codec.beginHead(stream)
    else { return attemptFailed(exchange, .upstreamReset) }
    exchange.pointee.flags.insert(.sent)
    armTry(exchange)
    session.pointee.codec.noteConnect(stream)
    session.pointee.codec.field(.pseudoMethod, "CONNECT")
    var writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writeDestination(&writer, endpoint)
    session.pointee.codec.field(.pseudoAuthority, headBuffer, writer.count)
    writer = HTTP1Writer(headBuffer, capacity: Self.headCapacity)
    writeTrace(&writer, exchange)
    telemetry.writeBaggage(&writer, to: endpoint)
    writer.endOfLine()
    writer.text("forwarded: for=\"")
    writeAddress(&writer, exchange.pointee.downstream.pointee.address)
    writer.text("\";proto=hbone\r\n")
    if !writer.overflowed { session.pointee.codec.fieldLines(headBuffer, from: 0, writer.count) }
    session.pointee.codec.endHead(stream, endStream: false)
    markDirty(upstream)
  }

  /// Address and port of the application itself.
  private func writeDestination(_ writer: inout HTTP1Writer, _ endpoint: EndpointRef) {
    let address = endpoint.pointee.address
    if address.family == 2 {
      writeAddress(&writer, address)
    } else {
      writer.byte(0x5B)
      writeAddress(&writer, address)
      writer.byte(0x5D)
    }
    writer.byte(0x3A)
    writer.decimal(UInt64(endpoint.pointee.applicationPort ?? address.port))
  }

  /// The endpoint's proxy has answered.
  func connectAnswered(_ exchange: ExchangeRef, _ message: HTTP2Head) {
    let status = message.head.status
    guard status >= 200, status < 300, !message.endStream else {
      detachUpstream(exchange, .cancel)
      return attemptFailed(exchange, .connectRefused)
    }
    judge(exchange, .success)
    establishTunnel(exchange)
  }

  // MARK: The server's end

  /// A peer asks for a tunnel to the application: to its address, on one of the ports that are open to the mesh.
  func inboundConnect(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    noteTarget(exchange, head)
    exchange.pointee.flags.formUnion([.tunnel, .connectMethod])
    exchange.pointee.flags.remove(.replayable)
    let generation = exchange.pointee.generation
    guard exchange.pointee.flags.contains(.mutualTLS),
      let listener = inboundListener(exchange.pointee.downstream, head.bytes(head.authority)),
      let cluster = generation.pointee.cluster(generation.pointee.clusterNumber(ofListener: listener)),
      // A tunnel must not lead around a policy that looks at requests.
      generation.pointee.gates?.gate(generation.pointee.clusterNumber(ofListener: listener)) == nil,
      !looksAtRequests(generation, generation.pointee.clusterNumber(ofListener: listener))
    else {
      exchange.pointee.flags.remove(.tunnel)
      return reply(exchange, .connectTargetForbidden)
    }
    exchange.pointee.cluster = cluster
    exchange.pointee.asked = cluster
    balance(exchange)
  }

  /// The inbound listener whose application an authority names.
  private func inboundListener(_ connection: ConnectionRef, _ authority: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard let target = SocketAddress(text: authority) else { return nil }
    for listener in listeners where listener.kind == .inbound && listener.applicationPort == target.port {
      if target.sameHost(as: listener.applicationAddress) { return listener.index }
      if let local = Sockets.localAddress(connection.pointee.fd), target.sameHost(as: local) { return listener.index }
    }
    return nil
  }
}

extension WorkerTelemetry {
  /// Who calls and whom, as W3C baggage with the keys that the ambient mesh of Istio uses.
  func writeBaggage(_ writer: inout HTTP1Writer, to endpoint: EndpointRef) {
    baggage.withUnsafeBufferPointer { writer.bytes($0) }
    writer.text(",destination.namespace=")
    _ = endpoint.pointee.labels.names.namespace.utf8.withContiguousStorageIfAvailable { writer.bytes($0) }
    writer.text(",destination.workload=")
    _ = endpoint.pointee.labels.names.workload.utf8.withContiguousStorageIfAvailable { writer.bytes($0) }
  }
}
