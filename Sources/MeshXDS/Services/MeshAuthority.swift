package import MeshControl
package import MeshIdentity
package import MeshModel

/// The mesh's certificate authority as the services of this server use it.
package struct MeshAuthority: CertificateIssuer, JoinTokenVerifier, TokenMinter {
  private let authority: LivingAuthority
  private let standardLifeSeconds: Int64
  /// Seconds since 1970.
  private let now: @Sendable () -> Int64

  /// - Parameters:
  ///   - standardLifeSeconds: life of a certificate whose request wishes none; also the longest that is given, unless
  ///     it is below 24 h, which may always be asked for.
  ///   - now: seconds since 1970.
  package init(
    authority: LivingAuthority, standardLifeSeconds: Int64 = CertificateAuthority.standardLifeSeconds,
    now: @escaping @Sendable () -> Int64
  ) {
    self.authority = authority
    self.standardLifeSeconds = standardLifeSeconds
    self.now = now
  }

  package func issue(
    requestPEM: String, identity: SPIFFEID, lifetime: Duration?
  ) async throws(IssuingRefusal) -> [String] {
    let wished = lifetime?.components.seconds ?? standardLifeSeconds
    let life = min(max(wished, 1), standardLifeSeconds)
    let authority = authority.current
    do throws(SigningRefusal) {
      let signed = try authority.sign(
        request: Array(requestPEM.utf8), identity: identity, lifeSeconds: life, nowSeconds: now())
      return [signed.leafPEM, authority.intermediatePEM, authority.bundlePEM]
    } catch {
      let sentence = "\(error.sentence)"
      switch error {
      case .identityMismatch:
        throw .otherIdentity("\(sentence) You are \(identity): ask for exactly this URI name.")
      case .foreignTrustDomain: throw .otherIdentity(sentence)
      case .authorityExpired, .internalFailure: throw .unavailable(sentence)
      case .tooLarge, .unreadable, .badSignature, .keyNotAccepted, .noIdentity, .otherNames, .lifeOutOfRange:
        throw .badRequest(sentence)
      }
    }
  }

  package func verify(token: String) async throws(TokenRefusal) -> SPIFFEID {
    let claims: JoinClaims
    do throws(MeshIdentity.JoinTokenRefusal) {
      claims = try authority.current.joinTokens.verify(token, nowSeconds: now())
    } catch {
      throw .invalid("\(error.sentence)")
    }
    do throws(SPIFFEIDError) {
      return try SPIFFEID(
        trustDomain: authority.current.trustDomain, namespace: claims.namespace, account: claims.account)
    } catch {
      throw .invalid("\(error.sentence)")
    }
  }

  package func mint(namespace: String, account: String, lifetime: Duration?) async throws -> JoinToken {
    let life = lifetime?.components.seconds ?? JoinTokenKey.standardLifeSeconds
    let made = try authority.current.joinTokens.mint(
      namespace: namespace, account: account, lifeSeconds: min(max(life, 1), JoinTokenKey.longestLifeSeconds),
      nowSeconds: now())
    return JoinToken(
      token: made.token, expiresAt: Timestamp(secondsSinceEpoch: made.claims.expiresAtSeconds))
  }
}
