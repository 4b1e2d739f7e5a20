package import Foundation
package import MeshModel
import SwiftASN1
@_spi(FixedExpiryValidationTime) package import X509

/// Checks client certificates against the roots of the mesh and reads the identity out of them.
///
/// The rules are those of X.509-SVID (SPIFFE): one URI SAN with a workload's ID, no certificate authority as leaf, a
/// chain to a root of the mesh (RFC 5280).
package struct PeerVerifier: Sendable {
  private let roots: CertificateStore
  private let trustDomain: TrustDomain

  package init(roots: [Certificate], trustDomain: TrustDomain) {
    self.roots = CertificateStore(roots)
    self.trustDomain = trustDomain
  }

  /// What a chain proves. `chain` has the leaf first.
  package func verify(_ chain: [Certificate], now: Date) async -> Peer {
    guard let leaf = chain.first else { return .anonymous }
    let identity: SPIFFEID
    switch Self.identity(of: leaf) {
    case .success(let found): identity = found
    case .failure(let refusal): return .rejected(refusal.sentence)
    }
    guard identity.trustDomain == trustDomain else {
      return .rejected("The certificate is for \(identity), which is not of the trust domain \(trustDomain).")
    }
    let notAfter = Int64(leaf.notValidAfter.timeIntervalSince1970)
    if await isValid(chain, at: now) { return .workload(identity, notAfter: notAfter) }
    if leaf.notValidAfter < now, await isValid(chain, at: leaf.notValidAfter) {
      return .expired(identity, notAfter: notAfter)
    }
    if leaf.notValidBefore > now {
      return .rejected(
        "The certificate is not valid yet: compare the clock of this machine with that of the control plane.")
    }
    return .rejected("The certificate does not chain to a root of this mesh; ask this mesh's authority for one.")
  }

  private func isValid(_ chain: [Certificate], at time: Date) async -> Bool {
    guard let leaf = chain.first else { return false }
    var verifier = Verifier(rootCertificates: roots) {
      RFC5280Policy(fixedExpiryValidationTime: time)
      NamesAreChecked()
    }
    let result = await verifier.validate(leaf: leaf, intermediates: CertificateStore(chain.dropFirst()))
    if case .validCertificate = result { return true }
    return false
  }

  /// The names of an SVID are critical, since its subject is empty; `identity(of:)` is what reads them.
  private struct NamesAreChecked: VerifierPolicy {
    let verifyingCriticalExtensions: [ASN1ObjectIdentifier] = [.X509ExtensionID.subjectAlternativeName]

    mutating func chainMeetsPolicyRequirements(chain: UnverifiedCertificateChain) -> PolicyEvaluationResult {
      .meetsPolicy
    }
  }

  private struct Refusal: Error {
    var sentence: String
  }

  /// Reads the one identity of a leaf.
  private static func identity(of leaf: Certificate) -> Result<SPIFFEID, Refusal> {
    if case .isCertificateAuthority? = try? leaf.extensions.basicConstraints {
      return .failure(Refusal(sentence: "The certificate is an authority's, not a workload's."))
    }
    if let usage = try? leaf.extensions.extendedKeyUsage, !usage.contains(.clientAuth) {
      return .failure(Refusal(sentence: "The certificate is not one for clients."))
    }
    let uris = ((try? leaf.extensions.subjectAlternativeNames) ?? SubjectAlternativeNames()).compactMap { name in
      if case .uniformResourceIdentifier(let uri) = name { uri } else { nil }
    }
    guard uris.count == 1, let uri = uris.first else {
      return .failure(Refusal(sentence: "The certificate has \(uris.count) URI names; an identity has exactly one."))
    }
    do throws(SPIFFEIDError) {
      return .success(try SPIFFEID(uri))
    } catch {
      return .failure(Refusal(sentence: "The certificate's identity is not one: \(error.sentence)"))
    }
  }
}
