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
