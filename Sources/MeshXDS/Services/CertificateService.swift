package import GRPCCore
import MeshModel
package import MeshWire

/// `istio.v1.auth.IstioCertificateService`: certificates for proxies.
///
/// Who asks is known from the client certificate of the connection or, on first contact, from a join token in
/// `authorization: Bearer …`; nothing in the request itself is believed.
package struct CertificateService: RegistrableRPCService {
  package static let method = MethodDescriptor(
    fullyQualifiedService: "istio.v1.auth.IstioCertificateService", method: "CreateCertificate")
  /// How long after its end a certificate still serves to be renewed, and for nothing else. The private key, which
  /// never left the proxy, is what proves who asks; a proxy that was cut off from the authority heals by itself.
  package static let renewalWindow: Duration = .seconds(24 * 3600)

  private let issuer: any CertificateIssuer
  private let tokens: any JoinTokenVerifier
  /// Seconds since 1970.
  private let now: @Sendable () -> Int64

  package init(
    issuer: any CertificateIssuer, tokens: any JoinTokenVerifier, now: @escaping @Sendable () -> Int64
  ) {
    self.issuer = issuer
    self.tokens = tokens
    self.now = now
  }

  package func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: Self.method, deserializer: WireDeserializer<CertificateRequestMessage>(),
      serializer: WireSerializer<CertificateResponseMessage>()
    ) { request, context in
      let single = try await ServerRequest(stream: request)
      let token = single.metadata[stringValues: "authorization"].first { _ in true }
      let response = try await answer(single.message, peer: context.peer, authorization: token)
      return StreamingServerResponse(single: ServerResponse(message: response))
    }
  }

  /// Answers one request.
  package func answer(
    _ request: CertificateRequestMessage, peer: Peer, authorization: String?
  ) async throws(RPCError) -> CertificateResponseMessage {
    let identity = try await identify(peer: peer, authorization: authorization)
    guard request.validitySeconds <= 10 * 365 * 86_400 else {
      throw RPCError(code: .invalidArgument, message: "validity_duration is over ten years; ask for less, or for 0.")
    }
    let lifetime: Duration? = request.validitySeconds == 0 ? nil : .seconds(Int64(request.validitySeconds))
    do throws(IssuingRefusal) {
      var response = CertificateResponseMessage()
      response.chain = try await issuer.issue(requestPEM: request.csr, identity: identity, lifetime: lifetime)
      return response
    } catch {
      switch error {
      case .badRequest(let sentence): throw RPCError(code: .invalidArgument, message: sentence)
      case .otherIdentity(let sentence): throw RPCError(code: .permissionDenied, message: sentence)
      case .unavailable(let sentence): throw RPCError(code: .unavailable, message: sentence)
      }
    }
  }

  private func identify(peer: Peer, authorization: String?) async throws(RPCError) -> SPIFFEID {
    if case .workload(let identity, _) = peer { return identity }
    if let authorization {
      do throws(RPCError) {
        return try await identify(authorization: authorization)
      } catch {
        // A proxy that was long cut off shows an old token beside its old certificate.
        guard case .expired(let identity, let notAfter) = peer, isRenewable(notAfter) else { throw error }
        return identity
      }
    }
    switch peer {
    case .expired(let identity, let notAfter) where isRenewable(notAfter):
      return identity
    case .expired(let identity, _):
      throw RPCError(
        code: .unauthenticated,
        message: "The certificate of \(identity) ended more than 24 h ago; ask again with a join token.")
    case .rejected(let sentence):
      throw RPCError(code: .unauthenticated, message: sentence + " A join token serves as well.")
    case .anonymous, .workload:
      throw RPCError(
        code: .unauthenticated,
        message: "Who asks is not known: send `authorization: Bearer <join token>`, or connect with a client "
          + "certificate of the mesh.")
    }
  }

  private func isRenewable(_ notAfter: Int64) -> Bool {
    let age = now().subtractingReportingOverflow(notAfter)
    return !age.overflow && age.partialValue <= Self.renewalWindow.components.seconds
  }

  private func identify(authorization: String) async throws(RPCError) -> SPIFFEID {
    let parts = authorization.split(separator: " ", maxSplits: 1)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else {
      throw RPCError(code: .unauthenticated, message: "`authorization` must be `Bearer <join token>`.")
    }
    do throws(TokenRefusal) {
      return try await tokens.verify(token: String(parts[1]))
    } catch {
      switch error {
      case .invalid(let sentence): throw RPCError(code: .unauthenticated, message: sentence)
      }
    }
  }
}
