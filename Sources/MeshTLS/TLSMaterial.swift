import CNIOBoringSSL
package import MeshModel

/// Why certificates or keys given to us cannot be used.
package enum TLSMaterialError: Error, Equatable, Sendable {
  /// Neither PEM nor DER of a certificate.
  case certificateUnreadable
  /// No certificate at all.
  case noCertificate
  /// Neither PEM nor DER of a private key.
  case keyUnreadable
  /// The key does not belong to the first certificate.
  case keyMismatch
  /// The TLS library has no memory or refuses a setting.
  case library(code: UInt32)
}

/// What a certificate says, as far as the mesh wants to know.
package struct CertificateFacts: Equatable, Sendable {
  /// Seconds since 1970 from which it is valid.
  package let notBeforeSeconds: Int64
  /// Seconds since 1970 until which it is valid, inclusive.
  package let notAfterSeconds: Int64
  /// The URI names, as bytes; none also if the extension cannot be read, which makes a peer refuse it.
  package let uriNames: [[UInt8]]
  /// Whether basicConstraints says CA.
  package let isAuthority: Bool
  /// SHA-256 of the DER.
  package let sha256: [UInt8]
  /// The serial number, big-endian.
  package let serial: [UInt8]

  /// Reads the first certificate of PEM or DER bytes.
  ///
  /// - Throws: `certificateUnreadable`, `noCertificate`.
  package init(bytes: [UInt8]) throws(TLSMaterialError) {
    guard let first = try Material.certificates(bytes).first else { throw .noCertificate }
    guard let parsed = ParsedCertificate(der: first) else { throw .certificateUnreadable }
    self = try parsed.facts(der: first)
  }

  init(
    notBeforeSeconds: Int64, notAfterSeconds: Int64, uriNames: [[UInt8]], isAuthority: Bool, sha256: [UInt8],
    serial: [UInt8]
  ) {
    self.notBeforeSeconds = notBeforeSeconds
    self.notAfterSeconds = notAfterSeconds
    self.uriNames = uriNames
    self.isAuthority = isAuthority
    self.sha256 = sha256
    self.serial = serial
  }
}

/// Who we are: a certificate chain and its private key. Immutable; replaced whole when it is renewed.
package final class TLSIdentity: @unchecked Sendable {
  // Unchecked: the library's objects inside are counted atomically and never changed after `init`.
  let key: OpaquePointer
  let chain: [OpaquePointer]
  /// Of the leaf.
  package let facts: CertificateFacts
  /// The leaf's identity; nil if it has none, as in certificates from elsewhere.
  package let spiffeID: SPIFFEID?

  /// Takes the chain, leaf first, and its key.
  ///
  /// - Parameters:
  ///   - chain: one or more certificates, PEM (several) or DER (one).
  ///   - privateKey: PKCS#8 or SEC 1, PEM or DER, not encrypted.
  /// - Throws: what of it cannot be used.
  package convenience init(chain: [UInt8], privateKey: [UInt8]) throws(TLSMaterialError) {
    let key = try Material.privateKey(privateKey)
    defer { EVP_PKEY_free(key) }
    try self.init(chain: chain, key: key)
  }

  /// Shares the key.
  init(chain: [UInt8], key: OpaquePointer) throws(TLSMaterialError) {
    let certificates = try Material.certificates(chain)
    guard let leafDER = certificates.first else { throw .noCertificate }
    guard let leaf = ParsedCertificate(der: leafDER) else { throw .certificateUnreadable }
    guard leaf.hasKey(key) else { throw .keyMismatch }
    facts = try leaf.facts(der: leafDER)
    spiffeID = facts.uriNames.count == 1 ? try? SPIFFEID(bytes: facts.uriNames[0]) : nil
    var buffers: [OpaquePointer] = []
    for der in certificates {
      guard let buffer = CRYPTO_BUFFER_new(der, der.count, nil) else {
        for made in buffers { CRYPTO_BUFFER_free(made) }
        throw Material.libraryError()
      }
      buffers.append(buffer)
    }
    EVP_PKEY_up_ref(key)
    self.key = key
    self.chain = buffers
  }

  deinit {
    for buffer in chain { CRYPTO_BUFFER_free(buffer) }
    EVP_PKEY_free(key)
  }
}

/// Whom we believe: root certificates, several while a root is being replaced. Immutable.
package final class TLSTrust: @unchecked Sendable {
  // Unchecked: the store is filled in `init` and afterwards only searched, which the library locks itself.
  let store: OpaquePointer
  /// SHA-256 over the roots: sessions are resumed only under the same trust.
  let fingerprint: [UInt8]
  /// How many roots there are.
  package let count: Int

  /// Takes the roots.
  ///
  /// - Parameter roots: one or more certificates, PEM (several) or DER (one). Each is an anchor as it stands, whether
  ///   it is signed by itself or not.
  /// - Throws: what of it cannot be used.
  package init(roots: [UInt8]) throws(TLSMaterialError) {
    let certificates = try Material.certificates(roots)
    guard !certificates.isEmpty else { throw .noCertificate }
    guard let store = X509_STORE_new() else { throw Material.libraryError() }
    var all: [UInt8] = []
    for der in certificates {
      guard let parsed = ParsedCertificate(der: der) else {
        X509_STORE_free(store)
        throw .certificateUnreadable
      }
      guard X509_STORE_add_cert(store, parsed.x509) == 1 else {
        X509_STORE_free(store)
        throw Material.libraryError()
      }
      all += Material.sha256(der)
    }
    self.store = store
    count = certificates.count
    fingerprint = Material.sha256(all)
  }

  deinit { X509_STORE_free(store) }
}

/// A certificate parsed for the length of a check.
final class ParsedCertificate {
  let x509: OpaquePointer

  init?(der: [UInt8]) {
    guard let buffer = CRYPTO_BUFFER_new(der, der.count, nil) else { return nil }
    defer { CRYPTO_BUFFER_free(buffer) }
    guard let parsed = X509_parse_from_buffer(buffer) else {
      ERR_clear_error()
      return nil
    }
    x509 = parsed
  }

  init?(buffer: OpaquePointer) {
    guard let parsed = X509_parse_from_buffer(buffer) else {
      ERR_clear_error()
      return nil
    }
    x509 = parsed
  }

  deinit { X509_free(x509) }

  func hasKey(_ key: OpaquePointer) -> Bool {
    let matches = X509_check_private_key(x509, key) == 1
    ERR_clear_error()
    return matches
  }

  var validity: (notBefore: Int64, notAfter: Int64)? { certificateValidity(x509) }

  /// nil: the extension is malformed. Empty: there is none.
  var uriNames: [[UInt8]]? { names(GEN_URI) }

  /// The alternative names of one type, `GEN_URI` or `GEN_DNS`. nil: the extension is malformed. Empty: there is none.
  func names(_ wanted: Int32) -> [[UInt8]]? {
    var critical: Int32 = 0
    guard let found = X509_get_ext_d2i(x509, NID_subject_alt_name, &critical, nil) else {
      ERR_clear_error()
      return critical == -1 ? [] : nil
    }
    let names = OpaquePointer(found)
    defer { GENERAL_NAMES_free(names) }
    var result: [[UInt8]] = []
    for index in 0..<sk_GENERAL_NAME_num(names) {
      var type: Int32 = 0
      guard let name = sk_GENERAL_NAME_value(names, index), let value = GENERAL_NAME_get0_value(name, &type),
        type == wanted
      else { continue }
      let text = value.assumingMemoryBound(to: ASN1_STRING.self)
      let bytes = UnsafeBufferPointer(start: ASN1_STRING_get0_data(text), count: Int(ASN1_STRING_length(text)))
      result.append(Array(bytes))
    }
    return result
  }

  var isAuthority: Bool { X509_get_extension_flags(x509) & UInt32(EXFLAG_CA) != 0 }

  var isMalformed: Bool { X509_get_extension_flags(x509) & UInt32(EXFLAG_INVALID) != 0 }

  func facts(der: [UInt8]) throws(TLSMaterialError) -> CertificateFacts {
    guard let validity else { throw .certificateUnreadable }
    var serial: [UInt8] = []
    if let number = X509_get0_serialNumber(x509) {
      serial = Array(
        UnsafeBufferPointer(start: ASN1_STRING_get0_data(number), count: Int(ASN1_STRING_length(number))))
    }
    return CertificateFacts(
      notBeforeSeconds: validity.notBefore, notAfterSeconds: validity.notAfter, uriNames: uriNames ?? [],
      isAuthority: isAuthority, sha256: Material.sha256(der), serial: serial)
  }
}

/// Seconds since 1970 of both ends; nil for a date that is not one.
func certificateValidity(_ x509: OpaquePointer) -> (notBefore: Int64, notAfter: Int64)? {
  var notBefore: Int64 = 0
  var notAfter: Int64 = 0
  guard ASN1_TIME_to_posix(X509_get0_notBefore(x509), &notBefore) == 1,
    ASN1_TIME_to_posix(X509_get0_notAfter(x509), &notAfter) == 1
  else { return nil }
  return (notBefore, notAfter)
}

/// Reading of PEM and DER.
enum Material {
  static func libraryError() -> TLSMaterialError {
    let code = ERR_peek_last_error()
    ERR_clear_error()
    return .library(code: code)
  }

  static func sha256(_ bytes: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
    _ = SHA256(bytes, bytes.count, &digest)
    return digest
  }

  /// The DER of each certificate in order.
  static func certificates(_ bytes: [UInt8]) throws(TLSMaterialError) -> [[UInt8]] {
    if bytes.first == 0x30 {
      guard ParsedCertificate(der: bytes) != nil else { throw .certificateUnreadable }
      return [bytes]
    }
    guard let blocks = pemBlocks(bytes) else { throw .certificateUnreadable }
    let found = blocks.filter { $0.label == "CERTIFICATE" }.map(\.der)
    for der in found where ParsedCertificate(der: der) == nil { throw .certificateUnreadable }
    return found
  }

  /// A key of ours, to be freed by the caller.
  static func privateKey(_ bytes: [UInt8]) throws(TLSMaterialError) -> OpaquePointer {
    var der: [UInt8]? = bytes
    if bytes.first != 0x30 {
      der = pemBlocks(bytes)?.first { $0.label.hasSuffix("PRIVATE KEY") }?.der
    }
    defer { ERR_clear_error() }
    guard let der else { throw .keyUnreadable }
    let key = der.withUnsafeBufferPointer { buffer -> OpaquePointer? in
      var cursor = buffer.baseAddress
      return d2i_AutoPrivateKey(nil, &cursor, buffer.count)
    }
    guard let key else { throw .keyUnreadable }
    return key
  }

  struct Block {
    var label: String
    var der: [UInt8]
  }

  /// The blocks of a PEM text; nil if one of them is broken or encrypted.
  static func pemBlocks(_ bytes: [UInt8]) -> [Block]? {
    guard bytes.count <= Int(Int32.max), let bio = BIO_new_mem_buf(bytes, bytes.count) else { return nil }
    defer { BIO_free(bio) }
    var blocks: [Block] = []
    while true {
      var name: UnsafeMutablePointer<CChar>?
      var header: UnsafeMutablePointer<CChar>?
      var data: UnsafeMutablePointer<UInt8>?
      var length = 0
      guard PEM_read_bio(bio, &name, &header, &data, &length) == 1, let name, let data else {
        let ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE
        ERR_clear_error()
        return ended ? blocks : nil
      }
      defer {
        OPENSSL_free(name)
        OPENSSL_free(header)
        OPENSSL_free(data)
      }
      guard header.map({ $0.pointee == 0 }) ?? true else { return nil }
      blocks.append(
        Block(label: String(cString: name), der: Array(UnsafeBufferPointer(start: data, count: length))))
    }
  }
}
