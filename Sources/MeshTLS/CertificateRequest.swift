import CNIOBoringSSL
package import MeshModel

/// A key pair made in this process, P-256. The private half is written nowhere; `privateKeyPEM` gives it to tests and
/// to whoever has to hand it to another TLS library in the same process.
package final class TLSKeyPair: @unchecked Sendable {
  // Unchecked: made in `init`, counted atomically, never changed.
  let key: OpaquePointer
  /// SubjectPublicKeyInfo, DER.
  package let publicKeyInfo: [UInt8]

  /// Makes a new pair.
  ///
  /// - Throws: `library` when there is no memory.
  package init() throws(TLSMaterialError) {
    guard let curve = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1), let key = EVP_PKEY_new() else {
      throw Material.libraryError()
    }
    guard EC_KEY_generate_key(curve) == 1, EVP_PKEY_assign_EC_KEY(key, curve) == 1 else {
      EC_KEY_free(curve)
      EVP_PKEY_free(key)
      throw Material.libraryError()
    }
    guard let info = TLSKeyPair.marshal(EVP_marshal_public_key, key) else {
      EVP_PKEY_free(key)
      throw Material.libraryError()
    }
    self.key = key
    publicKeyInfo = info
  }

  deinit { EVP_PKEY_free(key) }

  /// PKCS#8 in PEM.
  package func privateKeyPEM() throws(TLSMaterialError) -> String {
    guard let der = TLSKeyPair.marshal(EVP_marshal_private_key, key) else { throw Material.libraryError() }
    return DER.pem("PRIVATE KEY", der)
  }

  /// Signs with ECDSA and SHA-256; the signature is DER.
  package func sign(_ bytes: [UInt8]) throws(TLSMaterialError) -> [UInt8] {
    guard let digest = EVP_MD_CTX_new() else { throw Material.libraryError() }
    defer { EVP_MD_CTX_free(digest) }
    var length = 0
    guard EVP_DigestSignInit(digest, nil, EVP_sha256(), nil, key) == 1,
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
    let algorithm = DER.sequence([DER.identifier([1, 2, 840, 10045, 4, 3, 2])])
    der = DER.sequence([body, algorithm, DER.bits(try keyPair.sign(body))])
  }
}
