// Unsafe by design: exchanges and clusters are plain structs.
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor

/// No tunnel leads around a policy that looks at requests. Where one is in force none is opened; those that are older are
/// ended once their grace is over (`RequestPath.tunnelGrace`). What an accepted upgrade made of a request, which has met
/// the policy, is not one of them.
extension Worker {
  /// Whether requests to a cluster are looked at: a route is attached, or a limit. A port that is declared as TCP has none.
  func looksAtRequests(_ generation: GenerationRef, _ number: Int32) -> Bool {
    guard number >= 0, Int(number) < generation.pointee.clusterCount,
      // Not `cluster(number)`: to be asked about is no reason for a service's endpoints to be laid out.
      !generation.pointee.clusters[Int(number)].pointee.isTCP
    else { return false }
    return generation.pointee.routes(number) != nil || generation.pointee.gates?.gate(number) != nil
  }

  /// A configuration has been taken up: notes whether requests to a cluster are looked at from now on.
  func noteRequestPolicy(_ index: Int) {
    let cluster = generation.pointee.clusters[index]
    if !looksAtRequests(generation, Int32(truncatingIfNeeded: index)) {
      cluster.pointee.requestsSince = 0
    } else if cluster.pointee.requestsSince == 0 {
      cluster.pointee.requestsSince = now
      tunnelReviewAt = min(tunnelReviewAt, now &+ RequestPath.tunnelGrace)
    }
  }

  /// A tunnel begins; the policy may have come while it was being opened.
  func noteTunnel(_ exchange: ExchangeRef) {
    guard let asked = exchange.pointee.asked, asked.pointee.requestsSince > 0 else { return }
    tunnelReviewAt = min(tunnelReviewAt, asked.pointee.requestsSince &+ RequestPath.tunnelGrace)
  }

  /// Ends the tunnels whose grace is over.
  func reviewTunnels() {
    guard now >= tunnelReviewAt else { return }
    tunnelReviewAt = .max
    var current = downstreamHead
    while let connection = current {
      current = connection.pointee.next
      if let session = connection.pointee.http2 {
        reviewStreams(connection, session)
      } else if let exchange = connection.pointee.exchange {
        endIfOutdated(exchange)
      }
    }
    for index in 0..<generation.pointee.clusterCount {
      let since = generation.pointee.clusters[index].pointee.requestsSince
      if since > 0, since &+ RequestPath.tunnelGrace > now {
        tunnelReviewAt = min(tunnelReviewAt, since &+ RequestPath.tunnelGrace)
      }
    }
  }

  private func reviewStreams(_ connection: ConnectionRef, _ session: HTTP2SessionRef) {
    var index = 0
    while !connection.pointee.flags.contains(.dead),
      let (stream, next) = session.pointee.codec.openStream(from: index)
    {
      index = next
      if let exchange = exchange(session, stream) { endIfOutdated(exchange) }
    }
    markDirty(connection)
  }

  private func endIfOutdated(_ exchange: ExchangeRef) {
    guard exchange.pointee.flags.contains([.tunnel, .joined]), let asked = exchange.pointee.asked,
      asked.pointee.requestsSince > 0, now &- asked.pointee.requestsSince >= RequestPath.tunnelGrace
    else { return }
    exchange.pointee.reason = .connectTargetForbidden
    abortTunnel(exchange)
  }
}
