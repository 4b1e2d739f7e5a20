import CNIOBoringSSL
package import MeshModel

/// What a server asks of the client's certificate.
package enum TLSClientCertificate: Sendable {
  /// Demanded: a client without one is refused (strict).
  case required
  /// Asked for, and checked if shown.
  case optional
  /// Not asked for.
  case none
}

/// A version of TLS; everything up to TLS 1.1, and renegotiation, is always off.
package enum TLSVersion: Sendable {
  case tls12, tls13

  var code: UInt16 {
    switch self {
    case .tls12: UInt16(TLS1_2_VERSION)
    case .tls13: UInt16(TLS1_3_VERSION)
    }
  }
}

/// How the two ends agree on keys, in order of preference.
package enum TLSKeyExchange: Sendable {
  /// X25519MLKEM768 first, which a quantum computer cannot undo later, then X25519 and P-256.
  case postQuantumPreferred
  /// X25519 first, then P-256; X25519MLKEM768 is accepted where the peer prefers it.
  case classicPreferred
}

/// Which signatures are made and believed in handshakes.
package enum TLSSignatures: Sendable {
  /// What the library makes and believes unless it is told otherwise: ECDSA and RSA.
  case ordinary
  /// Ed25519 and nothing else. Its signatures are of one length, so that the same bytes pass whatever the keys are; for
  /// simulations, in which everything else is fixed.
  case ed25519
}

/// Who encrypts and decrypts the records of an open TLS 1.3 connection; those of TLS 1.2 are always the library's.
package enum TLSRecords: Sendable {
  /// Us, with the library's ciphers, straight from and to the caller's memory.
  case own
  /// The library, for comparison.
  case library
}

/// Which identities the peer may have.
package final class TLSExpectation: Sendable {
  /// Allowed, any one of them. Bounded by the configuration that names them.
  package let identities: Set<SPIFFEID>

  package init(identities: Set<SPIFFEID>) { self.identities = identities }
}

/// Everything that a `TLSContext` is made of.
package struct TLSSettings: Sendable {
  package enum Role: Sendable {
    case client
    case server(TLSClientCertificate)
  }

  package var role: Role
  /// Our certificate and key; a server must have one, a client may be without.
  package var identity: TLSIdentity?
  /// Whose certificates we accept.
  package var trust: TLSTrust
  /// The trust domain that the peer must belong to, and its aliases.
  package var trustDomains: [TrustDomain]
  /// Application protocols, most wanted first; empty: none is negotiated. Each 1 to 255 bytes.
  package var protocols: [String]
  /// The lowest version that is spoken.
  package var minimumVersion: TLSVersion = .tls13
  /// The highest version that is spoken; lower only to play an old peer.
  package var maximumVersion: TLSVersion = .tls13
  package var keyExchange: TLSKeyExchange = .postQuantumPreferred
  /// Which signatures are made and believed.
  package var signatures: TLSSignatures = .ordinary
  /// How far the peer's clock may be off, in seconds, when the validity of its certificates is checked.
  package var clockSkewSeconds: Int64 = 300
  /// A server's ticket keys, shared with its predecessors; nil: a server gives no tickets.
  package var ticketKeys: TLSTicketKeys?
  /// Longest life of a session, in seconds; it never outlives the peer's certificate.
  package var sessionSeconds: UInt32 = 3600

  /// Who makes the records of an open TLS 1.3 connection.
  package var records: TLSRecords = .own

  /// Whom the peer must be. Default: a workload of the mesh.
  package var peer: TLSPeerCheck = .workload

  package init(
    role: Role, identity: TLSIdentity?, trust: TLSTrust, trustDomains: [TrustDomain], protocols: [String]
  ) {
    self.role = role
    self.identity = identity
    self.trust = trust
    self.trustDomains = trustDomains
    self.protocols = protocols
  }
}

/// One configuration of TLS, immutable and shared by all loops. When a certificate is renewed a new context takes its
/// place; connections keep the one they began with until they end.
package final class TLSContext: @unchecked Sendable {
  // Unchecked: the library's context is finished in `init`; what sessions then do with it, the library locks or counts
  // atomically. The other properties are constants.
  package let settings: TLSSettings
  let library: OpaquePointer
  let transport: OpaquePointer
  /// The ALPN list in the form of the wire.
  let wireProtocols: [UInt8]
  /// Identifies trust and trust domains, for the resumption of sessions.
  let trustMark: UInt64
  let isServer: Bool

  /// - Throws: what of the settings the library refuses.
  package init(_ settings: TLSSettings) throws(TLSMaterialError) {
    guard let library = SSL_CTX_new(TLS_with_buffers_method()), let transport = makeTransportMethod() else {
      throw Material.libraryError()
    }
    self.settings = settings
    self.library = library
    self.transport = transport
    wireProtocols = settings.protocols.reduce(into: []) { wire, name in
      let bytes = Array(name.utf8.prefix(255))
      if !bytes.isEmpty { wire += [UInt8(bytes.count)] + bytes }
    }
    let domains = settings.trustDomains.map(\.name).sorted().joined(separator: " ")
    // A session with one server says nothing of another: whom the peer had to be is part of the mark.
    let peer = settings.peer == .workload ? "" : " \(settings.peer)"
    let mark = Material.sha256(settings.trust.fingerprint + Array("\(domains)\(peer)".utf8))
    trustMark = mark.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    if case .server = settings.role { isServer = true } else { isServer = false }
    // What a client had to show is part of it: a session without a certificate is worth nothing where one is required.
    try configure(mark: Material.sha256(mark + Array("\(settings.role)".utf8)))
  }

  deinit {
    SSL_CTX_free(library)
    BIO_meth_free(transport)
  }

  private func configure(mark: [UInt8]) throws(TLSMaterialError) {
    let groups: [UInt16] =
      switch settings.keyExchange {
      case .postQuantumPreferred:
        [UInt16(SSL_GROUP_X25519_MLKEM768), UInt16(SSL_GROUP_X25519), UInt16(SSL_GROUP_SECP256R1)]
      case .classicPreferred:
        [UInt16(SSL_GROUP_X25519), UInt16(SSL_GROUP_SECP256R1), UInt16(SSL_GROUP_X25519_MLKEM768)]
      }
    guard SSL_CTX_set_min_proto_version(library, settings.minimumVersion.code) == 1,
      SSL_CTX_set_max_proto_version(library, settings.maximumVersion.code) == 1,
      SSL_CTX_set1_group_ids(library, groups, groups.count) == 1,
      // TLS 1.3 has its own ciphers; of TLS 1.2 only these with forward secrecy and AEAD.
      SSL_CTX_set_strict_cipher_list(
        library,
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
          + "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305") == 1,
      SSL_CTX_set_session_id_context(library, mark, mark.count) == 1
    else { throw Material.libraryError() }
    if settings.signatures == .ed25519 {
      let only = [UInt16(SSL_SIGN_ED25519)]
      guard SSL_CTX_set_verify_algorithm_prefs(library, only, only.count) == 1,
        SSL_CTX_set_signing_algorithm_prefs(library, only, only.count) == 1
      else { throw Material.libraryError() }
    }
    if let identity = settings.identity {
      let chain: [OpaquePointer?] = identity.chain
      guard SSL_CTX_set_chain_and_key(library, chain, chain.count, identity.key, nil) == 1 else {
        throw Material.libraryError()
      }
    }
    // Chains of the mesh have three certificates; this leaves room for the longest identity and a long chain.
    SSL_CTX_set_max_cert_list(library, 64 * 1024)
    if settings.records == .own {
      SSL_CTX_set_keylog_callback(library) { ssl, line in secretCallback(ssl: ssl, line: line) }
    }
    SSL_CTX_set_timeout(library, settings.sessionSeconds)
    SSL_CTX_set_session_psk_dhe_timeout(library, settings.sessionSeconds)
    switch settings.role {
    case .client: try configureClient()
    case .server(let certificate): configureServer(certificate)
    }
  }

  private func configureClient() throws(TLSMaterialError) {
    SSL_CTX_set_custom_verify(library, SSL_VERIFY_PEER) { ssl, alert in verifyCallback(ssl: ssl, alert: alert) }
    SSL_CTX_set_reverify_on_resume(library, 1)
    SSL_CTX_set_session_cache_mode(library, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL)
    SSL_CTX_sess_set_new_cb(library) { ssl, session in newSessionCallback(ssl: ssl, session: session) }
    guard wireProtocols.isEmpty || SSL_CTX_set_alpn_protos(library, wireProtocols, wireProtocols.count) == 0 else {
      throw Material.libraryError()
    }
  }

  private func configureServer(_ certificate: TLSClientCertificate) {
    let mode: Int32 =
      switch certificate {
      case .required: SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
      case .optional: SSL_VERIFY_PEER
      case .none: SSL_VERIFY_NONE
      }
    SSL_CTX_set_custom_verify(library, mode) { ssl, alert in verifyCallback(ssl: ssl, alert: alert) }
    SSL_CTX_set_session_cache_mode(library, SSL_SESS_CACHE_OFF)
    if settings.ticketKeys == nil {
      SSL_CTX_set_options(library, UInt32(SSL_OP_NO_TICKET))
      SSL_CTX_set_num_tickets(library, 0)
    } else {
      SSL_CTX_set_tlsext_ticket_key_cb(library) { ssl, name, iv, cipher, mac, encrypting in
        ticketKeyCallback(ssl: ssl, name: name, iv: iv, cipher: cipher, mac: mac, encrypting: encrypting)
      }
      SSL_CTX_set_num_tickets(library, 1)
    }
    guard !wireProtocols.isEmpty else { return }
    SSL_CTX_set_alpn_select_cb(
      library,
      { ssl, out, outLength, offered, offeredLength, _ in
        selectProtocolCallback(ssl: ssl, out: out, outLength: outLength, offered: offered, count: offeredLength)
      }, nil)
  }
}

/// Chooses our most wanted protocol among those that the client offers (RFC 7301, section 3.2).
private func selectProtocolCallback(
  ssl: OpaquePointer?, out: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, outLength: UnsafeMutablePointer<UInt8>?,
  offered: UnsafePointer<UInt8>?, count: UInt32
) -> Int32 {
  guard let ssl, let out, let outLength, let offered, let state = sessionState(of: ssl) else {
    return SSL_TLSEXT_ERR_ALERT_FATAL
  }
  let ours = state.pointee.context.takeUnretainedValue().wireProtocols
  var mine = 0
  while mine < ours.count {
    let length = Int(ours[mine])
    var theirs = 0
    while theirs < Int(count) {
      let other = Int(offered[theirs])
      guard theirs + 1 + other <= Int(count) else { break }
      let offer = UnsafeBufferPointer(start: offered + theirs + 1, count: other)
      if other == length, ours[(mine + 1)...].prefix(length).elementsEqual(offer) {
        // Points into the client's list, which the library copies from.
        out.pointee = offered + theirs + 1
        outLength.pointee = UInt8(length)
        return SSL_TLSEXT_ERR_OK
      }
      theirs += 1 + other
    }
    mine += 1 + length
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL
}

/// Keeps the newest ticket of a client's session. Returns 1 when it has taken the reference.
private func newSessionCallback(ssl: OpaquePointer?, session: OpaquePointer?) -> Int32 {
  guard let ssl, let session, let state = sessionState(of: ssl) else { return 0 }
  if let older = state.pointee.ticket { SSL_SESSION_free(older) }
  state.pointee.ticket = session
  return 1
}

/// Keeps the secrets from which the record layer makes its keys; they go no further and are wiped after that.
private func secretCallback(ssl: OpaquePointer?, line: UnsafePointer<CChar>?) {
  guard let ssl, let line, let state = sessionState(of: ssl) else { return }
  if state.pointee.secrets == nil {
    let secrets = UnsafeMutablePointer<TrafficSecrets>.allocate(capacity: 1)
    secrets.initialize(to: TrafficSecrets())
    state.pointee.secrets = secrets
  }
  state.pointee.secrets?.pointee.take(line)
}
