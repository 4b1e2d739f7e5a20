package import MeshModel

/// Signs requests of proxies for certificates.
package protocol CertificateIssuer: Sendable {
  /// A certificate for `identity` and the request's key.
  /// - Parameters:
  ///   - requestPEM: a PKCS#10 request. It must be signed by its own key, and name no other identity.
  ///   - lifetime: what the proxy wishes; nil: the authority's default. Authorities bound it.
  /// - Returns: PEM, the leaf first, the root last.
  func issue(
    requestPEM: String, identity: SPIFFEID, lifetime: Duration?
  ) async throws(IssuingRefusal) -> [String]
}

/// Why a request was not signed. The sentence says how to mend it.
package enum IssuingRefusal: Error, Sendable, Equatable {
  /// The request is damaged, wrongly signed, or has a key that is not taken.
  case badRequest(String)
  /// It asks for another identity than the caller's.
  case otherIdentity(String)
  /// The authority cannot sign now; asking again later may help.
  case unavailable(String)
}

/// Checks the join tokens of proxies that have no certificate yet.
package protocol JoinTokenVerifier: Sendable {
  /// Who holds the token.
  func verify(token: String) async throws(TokenRefusal) -> SPIFFEID
}

/// Why a join token is not taken.
package enum TokenRefusal: Error, Sendable, Equatable {
  /// One sentence, with how to mend it.
  case invalid(String)
}
