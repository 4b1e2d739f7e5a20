import Crypto
import Foundation
import MeshModel
import SwiftASN1
import X509

/// The files of a certificate authority in their folder.
struct AuthorityFiles {
  let folder: String

  static let rootCertificate = "root-cert.pem"
  static let rootKey = "root-key.pem"
  static let intermediateCertificate = "intermediate-cert.pem"
  static let intermediateKey = "intermediate-key.pem"
  static let tokenKey = "token-key"
  static let names = [rootCertificate, rootKey, intermediateCertificate, intermediateKey, tokenKey]

  func path(_ name: String) -> String { "\(folder)/\(name)" }

  /// Whether there is nothing at all.
  ///
  /// - Throws: `incomplete` when there is something and not everything.
  func isAbsent() throws(AuthorityError) -> Bool {
    let missing = AuthorityFiles.names.filter { !SecretFile.exists(path($0)) }
    if missing.count == AuthorityFiles.names.count { return true }
    guard missing.isEmpty else { throw .incomplete(missing: path(missing[0]), folder: folder) }
    return false
  }

  /// Makes all files in a folder beside, and renames that: there is never half an authority.
  func make(trustDomain: TrustDomain, nowSeconds: Int64) throws(AuthorityError) {
    let rootKey = P256.Signing.PrivateKey()
    let intermediateKey = P256.Signing.PrivateKey()
    let root = try AuthorityFiles.certificate("the root", .root, trustDomain, rootKey, nil, rootKey, nowSeconds)
    let intermediate = try AuthorityFiles.certificate(
      "the intermediate", .intermediate, trustDomain, intermediateKey, root, rootKey, nowSeconds)
    let secret = SecretFile.random(32)
    let contents: [(String, String, UInt32)] = [
      (AuthorityFiles.rootCertificate, try AuthorityFiles.pem(root), 0o644),
      (AuthorityFiles.rootKey, rootKey.pemRepresentation + "\n", 0o600),
      (AuthorityFiles.intermediateCertificate, try AuthorityFiles.pem(intermediate), 0o644),
      (AuthorityFiles.intermediateKey, intermediateKey.pemRepresentation + "\n", 0o600),
      (AuthorityFiles.tokenKey, Data(secret).base64EncodedString() + "\n", 0o600),
    ]
    let beside = "\(folder).new"
    do {
      try SecretFile.makeFolder(beside)
      for (name, text, mode) in contents {
        // Left over from a start that was cut short.
        SecretFile.remove("\(beside)/\(name)")
        try SecretFile.create("\(beside)/\(name)", Array(text.utf8), mode: mode)
      }
      try SecretFile.synchronize(folder: beside)
      try SecretFile.rename(beside, folder)
    } catch {
      throw .file(error)
    }
  }

  /// Reads and checks everything; renews the intermediate's certificate when half of its life is over.
  func load(trustDomain: TrustDomain, nowSeconds: Int64) throws(AuthorityError) -> CertificateAuthority {
    let root = try certificate(AuthorityFiles.rootCertificate)
    let rootKey = try key(AuthorityFiles.rootKey)
    var intermediate = try certificate(AuthorityFiles.intermediateCertificate)
    let intermediateKey = try key(AuthorityFiles.intermediateKey)
    let tokenKey = try secret(AuthorityFiles.tokenKey)
    try check(root, rootKey, AuthorityFiles.rootCertificate, AuthorityFiles.rootKey)
    try check(intermediate, intermediateKey, AuthorityFiles.intermediateCertificate, AuthorityFiles.intermediateKey)
    guard root.publicKey.isValidSignature(intermediate.signature, for: intermediate),
      intermediate.issuer == root.subject
    else { throw .notSignedByRoot(path: path(AuthorityFiles.intermediateCertificate)) }
    let found = AuthorityFiles.trustDomain(of: root)
    guard found == "spiffe://\(trustDomain.name)" else {
      throw .otherTrustDomain(
        path: path(AuthorityFiles.rootCertificate), found: found ?? "(none)", expected: trustDomain)
    }
    let begin = root.notValidBefore.wholeSeconds
    let end = root.notValidAfter.wholeSeconds
    guard begin <= nowSeconds, nowSeconds < end else {
      throw .rootNotValid(
        path: path(AuthorityFiles.rootCertificate), notBeforeSeconds: begin, notAfterSeconds: end)
    }
    if CertificateAuthority.isRenewalDue(intermediate, root: root, nowSeconds: nowSeconds) {
      intermediate = try AuthorityFiles.certificate(
        "the intermediate", .intermediate, trustDomain, intermediateKey, root, rootKey, nowSeconds)
      do {
        try SecretFile.replace(
          path(AuthorityFiles.intermediateCertificate), Array(try AuthorityFiles.pem(intermediate).utf8), mode: 0o644)
      } catch let error as SecretFileError {
        throw .file(error)
      } catch {
        throw .cannotMake(what: "the intermediate", cause: "\(error)")
      }
    }
    return CertificateAuthority(
      trustDomain: trustDomain, root: root, intermediate: intermediate,
      intermediateKey: Certificate.PrivateKey(intermediateKey), bundlePEM: try AuthorityFiles.pem(root),
      intermediatePEM: try AuthorityFiles.pem(intermediate), joinTokens: JoinTokenKey(secret: tokenKey),
      intermediateNotAfterSeconds: intermediate.notValidAfter.wholeSeconds, rootNotAfterSeconds: end)
  }

  private func read(_ name: String, secret: Bool) throws(AuthorityError) -> String {
    do {
      return String(decoding: try SecretFile.read(path(name), secret: secret), as: UTF8.self)
    } catch {
      if case .missing(let missing) = error { throw .incomplete(missing: missing, folder: folder) }
      throw .file(error)
    }
  }

  private func certificate(_ name: String) throws(AuthorityError) -> Certificate {
    let text = try read(name, secret: false)
    guard let certificate = try? Certificate(pemEncoded: text) else {
      throw .unreadable(path: path(name), expected: "a certificate")
    }
    return certificate
  }

  private func key(_ name: String) throws(AuthorityError) -> P256.Signing.PrivateKey {
    let text = try read(name, secret: true)
    guard let key = try? P256.Signing.PrivateKey(pemRepresentation: text) else {
      throw .unreadable(path: path(name), expected: "a P-256 private key")
    }
    return key
  }

  private func secret(_ name: String) throws(AuthorityError) -> [UInt8] {
    let text = try read(name, secret: true).trimmingCharacters(in: .whitespacesAndNewlines)
    guard let bytes = Data(base64Encoded: text), bytes.count >= 32 else {
      throw .unreadable(path: path(name), expected: "32 bytes in base64, not a text")
    }
    return Array(bytes)
  }

  private func check(
    _ certificate: Certificate, _ key: P256.Signing.PrivateKey, _ name: String, _ keyName: String
  ) throws(AuthorityError) {
    guard certificate.publicKey == Certificate.PublicKey(key.publicKey) else {
      throw .keyMismatch(key: path(keyName), certificate: path(name))
    }
    guard let constraints = try? certificate.extensions.basicConstraints,
      case .isCertificateAuthority = constraints
    else { throw .unreadable(path: path(name), expected: "the certificate of an authority") }
  }

  /// The URI name of an authority's certificate.
  private static func trustDomain(of certificate: Certificate) -> String? {
    guard let names = try? certificate.extensions.subjectAlternativeNames else { return nil }
    for case .uniformResourceIdentifier(let uri) in names { return uri }
    return nil
  }

  static func pem(_ certificate: Certificate) throws(AuthorityError) -> String {
    do {
      return try certificate.serializeAsPEM().pemString + "\n"
    } catch {
      throw .cannotMake(what: "the certificate's PEM", cause: "\(error)")
    }
  }

  private enum Kind {
    case root, intermediate

    var days: Int64 {
      switch self {
      case .root: CertificateAuthority.rootDays
      case .intermediate: CertificateAuthority.intermediateDays
      }
    }
  }

  /// A signing certificate (X.509-SVID, section 4.2): keyCertSign, the trust domain as URI name.
  private static func certificate(
    _ what: String, _ kind: Kind, _ trustDomain: TrustDomain, _ key: P256.Signing.PrivateKey, _ issuer: Certificate?,
    _ issuerKey: P256.Signing.PrivateKey, _ nowSeconds: Int64
  ) throws(AuthorityError) -> Certificate {
    do {
      let subject = try DistinguishedName {
        OrganizationName("Apus")
        CommonName("\(kind == .root ? "root" : "intermediate") of \(String(trustDomain.name.prefix(40)))")
      }
      let publicKey = Certificate.PublicKey(key.publicKey)
      let issuerPublicKey = Certificate.PublicKey(issuerKey.publicKey)
      let end = nowSeconds &+ kind.days &* 86_400
      let extensions = try Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: kind == .root ? nil : 0))
        Critical(KeyUsage(keyCertSign: true, cRLSign: true))
        SubjectAlternativeNames([.uniformResourceIdentifier("spiffe://\(trustDomain.name)")])
        SubjectKeyIdentifier(hash: publicKey)
        AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: issuerPublicKey).keyIdentifier)
      }
      return try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
        notValidBefore: Foundation.Date(wholeSeconds: nowSeconds &- CertificateAuthority.backdateSeconds),
        notValidAfter: Foundation.Date(wholeSeconds: min(end, issuer?.notValidAfter.wholeSeconds ?? end)),
        issuer: issuer?.subject ?? subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
        extensions: extensions, issuerPrivateKey: Certificate.PrivateKey(issuerKey))
    } catch {
      throw .cannotMake(what: what, cause: "\(error)")
    }
  }
}
