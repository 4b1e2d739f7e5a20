import CNIOBoringSSL
package import MeshModel

/// What a key pair is made for.
package enum TLSKeyKind: Sendable {
  /// ECDSA on P-256, which every peer knows; its signatures differ in length by a byte or two.
  case p256
  /// Ed25519 (RFC 8410): all signatures have 64 bytes. Peers must have been told to believe it (`TLSSignatures`).
  case ed25519

  /// AlgorithmIdentifier of signatures, DER.
  package var signatureAlgorithm: [UInt8] {
    switch self {
    case .p256: DER.sequence([DER.identifier([1, 2, 840, 10045, 4, 3, 2])])
    case .ed25519: DER.sequence([DER.identifier([1, 3, 101, 112])])
    }
  }
}

/// A key pair made in this process. The private half is written nowhere; `privateKeyPEM` gives it to tests and
/// to whoever has to hand it to another TLS library in the same process.
package final class TLSKeyPair: @unchecked Sendable {
  // Unchecked: made in `init`, counted atomically, never changed.
  let key: OpaquePointer
  /// SubjectPublicKeyInfo, DER.
  package let publicKeyInfo: [UInt8]
  package let kind: TLSKeyKind

  /// Makes a new pair, P-256.
  ///
  /// - Throws: `library` when there is no memory.
  package convenience init() throws(TLSMaterialError) {
    guard let key = EVP_PKEY_generate_from_alg(EVP_pkey_ec_p256()) else { throw Material.libraryError() }
    try self.init(taking: key, .p256)
  }

  /// The pair of Ed25519 whose private half is given, and is anything but secret: for simulations, which are to be the
  /// same again.
  ///
  /// - Parameter secret: 32 bytes (RFC 8032, section 5.1.5).
  /// - Throws: `library` if they are more or less.
  package convenience init(ed25519 secret: [UInt8]) throws(TLSMaterialError) {
    guard let key = EVP_PKEY_from_raw_private_key(EVP_pkey_ed25519(), secret, secret.count) else {
      throw Material.libraryError()
    }
    try self.init(taking: key, .ed25519)
  }

  /// Owns the key from here on.
  private init(taking key: OpaquePointer, _ kind: TLSKeyKind) throws(TLSMaterialError) {
    guard let info = TLSKeyPair.marshal(EVP_marshal_public_key, key) else {
      EVP_PKEY_free(key)
      throw Material.libraryError()
    }
    self.key = key
    self.kind = kind
    publicKeyInfo = info
  }

  deinit { EVP_PKEY_free(key) }

  /// PKCS#8 in PEM.
  package func privateKeyPEM() throws(TLSMaterialError) -> String {
    guard let der = TLSKeyPair.marshal(EVP_marshal_private_key, key) else { throw Material.libraryError() }
    return DER.pem("PRIVATE KEY", der)
  }

  /// Signs, with ECDSA and SHA-256 (the signature is DER) or with Ed25519.
  package func sign(_ bytes: [UInt8]) throws(TLSMaterialError) -> [UInt8] {
    guard let digest = EVP_MD_CTX_new() else { throw Material.libraryError() }
    defer { EVP_MD_CTX_free(digest) }
    var length = 0
    let hash = kind == .p256 ? EVP_sha256() : nil
    guard EVP_DigestSignInit(digest, nil, hash, nil, key) == 1,
      EVP_DigestSign(digest, nil, &length, bytes, bytes.count) == 1
    else { throw Material.libraryError() }
    var signature = [UInt8](repeating: 0, count: length)
    guard EVP_DigestSign(digest, &signature, &length, bytes, bytes.count) == 1 else { throw Material.libraryError() }
    return Array(signature.prefix(length))
  }

  /// Our identity, once the authority has answered.
  ///
  /// - Parameter chain: PEM, leaf first.
  /// - Throws: what of it cannot be used; `keyMismatch` if it was made for another key.
  package func identity(chain: [UInt8]) throws(TLSMaterialError) -> TLSIdentity {
    try TLSIdentity(chain: chain, key: key)
  }

  private static func marshal(
    _ write: (UnsafeMutablePointer<CBB>, OpaquePointer) -> Int32, _ key: OpaquePointer
  ) -> [UInt8]? {
    var builder = CBB()
    guard CBB_init(&builder, 160) == 1 else { return nil }
    var bytes: UnsafeMutablePointer<UInt8>?
    var length = 0
    guard write(&builder, key) == 1, CBB_finish(&builder, &bytes, &length) == 1, let bytes else {
      CBB_cleanup(&builder)
      return nil
    }
    defer { OPENSSL_free(bytes) }
    return Array(UnsafeBufferPointer(start: bytes, count: length))
  }
}

/// A request for a certificate (PKCS#10, RFC 2986) whose only wish is one SPIFFE ID as URI name.
package struct CertificateRequest: Sendable {
  package let keyPair: TLSKeyPair
  package let identity: SPIFFEID
  /// The signed request.
  package let der: [UInt8]

  /// The signed request in PEM.
  package var pem: String { DER.pem("CERTIFICATE REQUEST", der) }

  /// Makes a new key, and a request for it.
  package init(identity: SPIFFEID) throws(TLSMaterialError) {
    try self.init(identity: identity, keyPair: TLSKeyPair())
  }

  /// Makes a request for a key that exists.
  package init(identity: SPIFFEID, keyPair: TLSKeyPair) throws(TLSMaterialError) {
    self.keyPair = keyPair
    self.identity = identity
    let name = DER.value(0x86, Array(identity.uri.utf8))
    let subjectAltName = DER.sequence([
      DER.identifier([2, 5, 29, 17]), DER.boolean(true), DER.octets(DER.sequence([name])),
    ])
    let extensionRequest = DER.sequence([
      DER.identifier([1, 2, 840, 113549, 1, 9, 14]), DER.set([DER.sequence([subjectAltName])]),
    ])
    let body = DER.sequence([
      DER.integer([0]), DER.sequence([]), keyPair.publicKeyInfo, DER.value(0xa0, extensionRequest),
    ])
    der = DER.sequence([body, keyPair.kind.signatureAlgorithm, DER.bits(try keyPair.sign(body))])
  }
}
