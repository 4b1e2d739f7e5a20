import GRPCCore
package import MeshModel

/// Who is at the other end of a connection, as far as its certificate proves it.
package enum Peer: Sendable, Equatable {
  /// No certificate was shown.
  case anonymous
  /// A valid certificate of this mesh. `notAfter`: seconds since 1970.
  case workload(SPIFFEID, notAfter: Int64)
  /// The certificate was valid until `notAfter`, seconds since 1970.
  case expired(SPIFFEID, notAfter: Int64)
  /// A certificate that proves nothing, and why; one sentence.
  case rejected(String)
}

/// What the transport tells a service about the connection of a call.
package struct PeerContext: ServerContext.TransportSpecific {
  package var peer: Peer

  package init(peer: Peer) { self.peer = peer }
}

/// How long a stream may outlive the certificate that it was opened with. By then the proxy has long renewed it, and
/// opens another; one that could not renew has nothing to say any more.
private let certificateGrace: Duration = .seconds(300)

/// Runs `body` for as long as the peer's certificate holds, and a little longer; then the stream ends.
///
/// - Parameter now: seconds since 1970.
func whileCertificateHolds(
  of peer: Peer, now: Int64, _ body: @escaping @Sendable () async throws -> Void
) async throws {
  guard case .workload(let identity, let notAfter) = peer else { return try await body() }
  let (left, overflow) = notAfter.subtractingReportingOverflow(now)
  let limit = .seconds(overflow ? 0 : max(0, min(left, 10 * 365 * 86_400))) + certificateGrace
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await Task.sleep(for: limit)
      throw RPCError(
        code: .unauthenticated,
        message: "The certificate of \(identity) that this stream was opened with has ended; open another.")
    }
    defer { group.cancelAll() }
    try await group.next()
  }
}

extension ServerContext {
  /// Who calls; without the mesh's own transport nobody that could be known.
  var peer: Peer { (transportSpecific as? PeerContext)?.peer ?? .anonymous }

  /// The identity of the caller; UNAUTHENTICATED, with how to mend it, if there is none.
  func authenticatedPeer() throws(RPCError) -> SPIFFEID {
    switch peer {
    case .workload(let identity, _): return identity
    case .anonymous:
      throw RPCError(
        code: .unauthenticated,
        message: "This call needs a client certificate of the mesh; get one by CreateCertificate with a join token.")
    case .expired(let identity, let notAfter):
      throw RPCError(
        code: .unauthenticated,
        message: "The certificate of \(identity) ended at \(notAfter) (seconds since 1970); renew it by "
          + "CreateCertificate, and check the clock of this machine if it should still be valid.")
    case .rejected(let sentence):
      throw RPCError(code: .unauthenticated, message: sentence)
    }
  }
}
