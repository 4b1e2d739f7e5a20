import CNIOBoringSSL
package import MeshModel

/// What was learned of a peer whose certificate passed.
struct VerifiedPeer {
  /// Nil for an ordinary server.
  var identity: SPIFFEID?
  var notAfterSeconds: Int64
  var leafSHA256: [UInt8]
}

extension TLSContext {
  /// Checks certificates without a connection, as they would be checked in a handshake.
  ///
  /// - Parameters:
  ///   - chain: DER, leaf first.
  ///   - nowSeconds: seconds since 1970.
  /// - Returns: who the leaf is, or why it is refused.
  package func check(
    chain: [[UInt8]], expecting expectation: TLSExpectation? = nil, nowSeconds: Int64
  ) -> Result<SPIFFEID, TLSFailure> {
    var buffers: [OpaquePointer] = []
    defer { for buffer in buffers { CRYPTO_BUFFER_free(buffer) } }
    for der in chain {
      guard let buffer = CRYPTO_BUFFER_new(der, der.count, nil) else { return .failure(.internalFailure) }
      buffers.append(buffer)
    }
    return verify(chain: buffers, expecting: expectation, nowSeconds: nowSeconds, resumed: false).flatMap {
      $0.identity.map { .success($0) } ?? .failure(.noIdentity)
    }
  }

  /// Checks a peer's chain, leaf first, by the rules of X.509-SVID and of this mesh.
  ///
  /// - Parameter resumed: the chain comes from a session that was checked when it was new, under the same trust: its
  ///   signatures are not checked again, its dates and its identity are.
  func verify(
    chain: [OpaquePointer], expecting expectation: TLSExpectation?, nowSeconds: Int64, resumed: Bool
  ) -> Result<VerifiedPeer, TLSFailure> {
    do throws(TLSFailure) {
      guard let first = chain.first else { throw .noClientCertificate }
      guard let leaf = ParsedCertificate(buffer: first), !leaf.isMalformed else { throw .certificateInvalid }
      guard !leaf.isAuthority else { throw .authorityAsLeaf }
      let until: Int64
      if resumed {
        guard let validity = leaf.validity else { throw .certificateInvalid }
        try check(validity: validity, nowSeconds)
        until = validity.notAfter
      } else {
        until = try checkChain(leaf, chain.dropFirst(), nowSeconds)
      }
      var identity: SPIFFEID?
      switch settings.peer {
      case .workload: identity = try checkIdentity(leaf, expectation)
      case .server(_, let names): try checkNames(leaf, names)
      }
      let der = UnsafeBufferPointer(start: CRYPTO_BUFFER_data(first), count: CRYPTO_BUFFER_len(first))
      return .success(
        VerifiedPeer(identity: identity, notAfterSeconds: until, leafSHA256: Material.sha256(Array(der))))
    } catch {
      ERR_clear_error()
      return .failure(error)
    }
  }

  /// Exactly one URI name, a workload's SPIFFE ID, of our trust domain, among those expected.
  private func checkIdentity(
    _ leaf: ParsedCertificate, _ expectation: TLSExpectation?
  ) throws(TLSFailure) -> SPIFFEID {
    guard let names = leaf.uriNames else { throw .certificateInvalid }
    guard let name = names.first else { throw .noIdentity }
    guard names.count == 1 else { throw .severalIdentities }
    let identity: SPIFFEID
    do {
      identity = try SPIFFEID(bytes: name)
    } catch {
      throw .invalidIdentity(error)
    }
    guard settings.trustDomains.contains(identity.trustDomain) else { throw .foreignTrustDomain }
    if let expectation {
      guard expectation.identities.contains(identity) else { throw .identityMismatch }
    }
    return identity
  }

  /// Signatures and constraints up to a root of ours, then the dates of every certificate on that path.
  ///
  /// - Returns: the end of the validity that ends first, in seconds since 1970.
  private func checkChain(
    _ leaf: ParsedCertificate, _ rest: ArraySlice<OpaquePointer>, _ nowSeconds: Int64
  ) throws(TLSFailure) -> Int64 {
    guard let untrusted = sk_X509_new_null(), let walk = X509_STORE_CTX_new() else { throw .internalFailure }
    defer {
      X509_STORE_CTX_free(walk)
      sk_X509_pop_free(untrusted) { X509_free($0) }
    }
    for buffer in rest {
      guard let parsed = X509_parse_from_buffer(buffer) else { throw .certificateInvalid }
      guard sk_X509_push(untrusted, parsed) > 0 else {
        X509_free(parsed)
        throw .internalFailure
      }
    }
    guard X509_STORE_CTX_init(walk, settings.trust.store, leaf.x509, untrusted) == 1,
      let rules = X509_STORE_CTX_get0_param(walk)
    else { throw .internalFailure }
    // The dates are checked below, with the allowance for clocks; every certificate of the bundle is an anchor.
    X509_VERIFY_PARAM_set_flags(rules, UInt(X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_PARTIAL_CHAIN))
    X509_VERIFY_PARAM_set_purpose(rules, isServer ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER)
    X509_VERIFY_PARAM_set_depth(rules, 8)
    guard X509_verify_cert(walk) == 1 else { throw TLSContext.failure(ofChain: X509_STORE_CTX_get_error(walk)) }
    guard let path = X509_STORE_CTX_get0_chain(walk) else { throw .internalFailure }
    var until = Int64.max
    for index in 0..<sk_X509_num(path) {
      guard let certificate = sk_X509_value(path, index), let validity = certificateValidity(certificate) else {
        throw .certificateInvalid
      }
      try check(validity: validity, nowSeconds)
      until = min(until, validity.notAfter)
    }
    return until
  }

  private func check(validity: (notBefore: Int64, notAfter: Int64), _ nowSeconds: Int64) throws(TLSFailure) {
    let skew = settings.clockSkewSeconds
    guard nowSeconds &- skew <= validity.notAfter else { throw .certificateExpired }
    guard nowSeconds &+ skew >= validity.notBefore else { throw .certificateNotYetValid }
  }

  private static func failure(ofChain code: Int32) -> TLSFailure {
    switch code {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
      X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_UNTRUSTED, X509_V_ERR_CERT_SIGNATURE_FAILURE:
      .unknownAuthority
    case X509_V_ERR_INVALID_PURPOSE: .wrongPurpose
    case X509_V_ERR_OUT_OF_MEM: .internalFailure
    default: .certificateInvalid
    }
  }
}

/// What the library calls when it has the peer's certificates, and on a client when a session is resumed.
func verifyCallback(ssl: OpaquePointer?, alert: UnsafeMutablePointer<UInt8>?) -> ssl_verify_result_t {
  guard let ssl, let state = sessionState(of: ssl) else { return ssl_verify_invalid }
  guard let failure = verifyPeer(of: state, ssl: ssl, resumed: SSL_session_reused(ssl) == 1) else {
    return ssl_verify_ok
  }
  state.pointee.failure = failure
  alert?.pointee = failure.alert
  return ssl_verify_invalid
}

/// Checks the peer's certificates and keeps what was learned in the session.
///
/// - Returns: why the peer is refused; nil when it is accepted.
func verifyPeer(of state: UnsafeMutablePointer<SessionState>, ssl: OpaquePointer, resumed: Bool) -> TLSFailure? {
  var chain: [OpaquePointer] = []
  if let stack = SSL_get0_peer_certificates(ssl) {
    for index in 0..<sk_CRYPTO_BUFFER_num(stack) {
      guard let buffer = sk_CRYPTO_BUFFER_value(stack, index) else { return .internalFailure }
      chain.append(buffer)
    }
  }
  let context = state.pointee.context.takeUnretainedValue()
  let now = state.pointee.nowSeconds
  let verdict = context.verify(
    chain: chain, expecting: state.pointee.expectation?.takeUnretainedValue(), nowSeconds: now, resumed: resumed)
  switch verdict {
  case .failure(let failure):
    return failure
  case .success(let peer):
    guard state.pointee.keep(peer) else { return .internalFailure }
    if !resumed, let session = SSL_get_session(ssl) {
      // A session must not outlive the certificates that it stands for.
      let left = max(0, min(Int64(context.settings.sessionSeconds), peer.notAfterSeconds &- now))
      SSL_SESSION_set_timeout(session, UInt32(left))
    }
    return nil
  }
}
