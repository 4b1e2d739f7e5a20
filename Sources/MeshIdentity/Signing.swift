import Crypto
import Foundation
package import MeshModel
import SwiftASN1
import X509

/// A workload's new certificate.
package struct SignedCertificate: Sendable, Equatable {
  /// Leaf and intermediate, in this order, PEM.
  package let chainPEM: String
  /// The leaf alone, PEM.
  package let leafPEM: String
  /// The leaf's serial number, hexadecimal.
  package let serial: String
  package let notBeforeSeconds: Int64
  package let notAfterSeconds: Int64
}

/// A certificate with a key made here, for the control plane itself.
package struct OwnCertificate: Sendable {
  package let certificate: SignedCertificate
  /// PKCS#8, PEM. Secret.
  package let privateKeyPEM: String
}

extension CertificateAuthority {
  /// Signs an X.509-SVID for an identity that the sender has proved, by token or by certificate.
  ///
  /// - Parameters:
  ///   - request: PKCS#10, PEM or DER; its signature is checked, and its only name must be `identity`.
  ///   - identity: who the sender is known to be.
  ///   - lifeSeconds: from now; the certificate never outlives the intermediate.
  ///   - nowSeconds: since 1970.
  /// - Throws: the first rule that the request breaks.
  package func sign(
    request: [UInt8], identity: SPIFFEID, lifeSeconds: Int64 = CertificateAuthority.standardLifeSeconds,
    nowSeconds: Int64
  ) throws(SigningRefusal) -> SignedCertificate {
    guard request.count <= CertificateAuthority.maximumRequestBytes else { throw .tooLarge }
    let parsed = try CertificateAuthority.parse(request)
    guard parsed.publicKey.isValidSignature(parsed.signature, for: parsed) else { throw .badSignature }
    guard P256.Signing.PublicKey(parsed.publicKey) != nil || P384.Signing.PublicKey(parsed.publicKey) != nil else {
      throw .keyNotAccepted
    }
    guard try CertificateAuthority.requestedName(parsed) == identity.uri else { throw .identityMismatch }
    return try issue(
      to: parsed.publicKey, names: [.uniformResourceIdentifier(identity.uri)], identity, lifeSeconds, nowSeconds)
  }

  /// Makes a key and a certificate for the control plane's own servers.
  ///
  /// - Parameter dnsNames: names beside the SPIFFE ID, for clients that check a host name.
  package func issueOwn(
    identity: SPIFFEID, dnsNames: [String] = [], lifeSeconds: Int64 = CertificateAuthority.standardLifeSeconds,
    nowSeconds: Int64
  ) throws(SigningRefusal) -> OwnCertificate {
    let key = P256.Signing.PrivateKey()
    let names = [GeneralName.uniformResourceIdentifier(identity.uri)] + dnsNames.map { .dnsName($0) }
    let certificate = try issue(
      to: Certificate.PublicKey(key.publicKey), names: names, identity, lifeSeconds, nowSeconds)
    return OwnCertificate(certificate: certificate, privateKeyPEM: key.pemRepresentation + "\n")
  }

  private static func parse(_ request: [UInt8]) throws(SigningRefusal) -> CertificateSigningRequest {
    do {
      if request.first == 0x30 { return try CertificateSigningRequest(derEncoded: request) }
      return try CertificateSigningRequest(pemEncoded: String(decoding: request, as: UTF8.self))
    } catch {
      throw .unreadable
    }
  }

  /// The one URI name that is asked for.
  private static func requestedName(_ request: CertificateSigningRequest) throws(SigningRefusal) -> String {
    let wanted: ExtensionRequest?
    let names: SubjectAlternativeNames?
    do {
      wanted = try request.attributes.extensionRequest
      names = try wanted?.extensions.subjectAlternativeNames
    } catch {
      throw .unreadable
    }
    guard let names, let first = names.first else { throw .noIdentity }
    guard names.count == 1 else { throw .otherNames }
    guard case .uniformResourceIdentifier(let uri) = first else { throw .noIdentity }
    return uri
  }

  private func issue(
    to key: Certificate.PublicKey, names: [GeneralName], _ identity: SPIFFEID, _ lifeSeconds: Int64,
    _ nowSeconds: Int64
  ) throws(SigningRefusal) -> SignedCertificate {
    guard identity.trustDomain == trustDomain else { throw .foreignTrustDomain }
    guard (1...CertificateAuthority.longestLifeSeconds).contains(lifeSeconds) else { throw .lifeOutOfRange }
    let end = min(nowSeconds &+ lifeSeconds, intermediateNotAfterSeconds)
    guard end > nowSeconds else { throw .authorityExpired }
    let begin = nowSeconds &- CertificateAuthority.backdateSeconds
    do {
      let extensions = try Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        try ExtendedKeyUsage([.serverAuth, .clientAuth])
        // The subject is empty, so the name must be critical (RFC 5280, 4.2.1.6).
        Critical(SubjectAlternativeNames(names))
        SubjectKeyIdentifier(hash: key)
        AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: intermediate.publicKey).keyIdentifier)
      }
      let leaf = try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key,
        notValidBefore: Foundation.Date(wholeSeconds: begin), notValidAfter: Foundation.Date(wholeSeconds: end),
        issuer: intermediate.subject, subject: DistinguishedName(), signatureAlgorithm: .ecdsaWithSHA256,
        extensions: extensions, issuerPrivateKey: intermediateKey)
      let leafPEM = try AuthorityFiles.pem(leaf)
      return SignedCertificate(
        chainPEM: leafPEM + intermediatePEM, leafPEM: leafPEM,
        serial: leaf.serialNumber.bytes.hexadecimal,
        notBeforeSeconds: begin, notAfterSeconds: end)
    } catch {
      throw .internalFailure
    }
  }
}
