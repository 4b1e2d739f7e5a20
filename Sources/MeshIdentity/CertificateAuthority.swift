import Crypto
import Foundation
package import MeshModel
import SwiftASN1
import X509

/// The mesh's certificate authority: a root, an intermediate that signs, and the folder where both are kept.
///
/// Immutable; `open` makes the files once and afterwards only reads them (the intermediate's certificate is renewed
/// with its key kept). All times are whole seconds since 1970.
package struct CertificateAuthority: Sendable {
  /// Days of validity of a new root.
  package static let rootDays: Int64 = 3650
  /// Days of validity of a new intermediate certificate.
  package static let intermediateDays: Int64 = 365
  /// How far certificates are dated back, for peers whose clocks run late.
  package static let backdateSeconds: Int64 = 60
  /// The life of a workload's certificate unless told: 24 hours.
  package static let standardLifeSeconds: Int64 = 86_400
  /// The longest life of a workload's certificate.
  package static let longestLifeSeconds: Int64 = 30 * 86_400
  /// Bytes that a certificate request may have.
  package static let maximumRequestBytes = 16 * 1024

  package let trustDomain: TrustDomain
  let root: Certificate
  let intermediate: Certificate
  let intermediateKey: Certificate.PrivateKey
  /// The root certificates that every workload is to trust, PEM.
  package let bundlePEM: String
  /// The intermediate certificate, PEM: what goes after a leaf.
  package let intermediatePEM: String
  /// What join tokens are made and checked with.
  package let joinTokens: JoinTokenKey
  /// When the intermediate's validity ends.
  package let intermediateNotAfterSeconds: Int64
  /// When the root's validity ends.
  package let rootNotAfterSeconds: Int64

  /// Opens the authority in `folder`, which is `<data>/ca`; makes it if the folder is not there or is empty.
  ///
  /// - Throws: what is wrong and how to mend it; an incomplete or damaged authority is never replaced.
  package static func open(
    folder: String, trustDomain: TrustDomain, nowSeconds: Int64
  ) throws(AuthorityError) -> CertificateAuthority {
    let files = AuthorityFiles(folder: folder)
    if try files.isAbsent() { try files.make(trustDomain: trustDomain, nowSeconds: nowSeconds) }
    return try files.load(trustDomain: trustDomain, nowSeconds: nowSeconds)
  }

  /// Whether more than half of the intermediate's life is over; `open` then renews it.
  func isRenewalDue(nowSeconds: Int64) -> Bool { Self.isRenewalDue(intermediate, root: root, nowSeconds: nowSeconds) }

  /// A certificate that ends with the root cannot be renewed for longer.
  static func isRenewalDue(_ certificate: Certificate, root: Certificate, nowSeconds: Int64) -> Bool {
    let begin = certificate.notValidBefore.wholeSeconds
    let end = certificate.notValidAfter.wholeSeconds
    return nowSeconds >= begin &+ (end &- begin) / 2 && end < root.notValidAfter.wholeSeconds
  }
}

extension Foundation.Date {
  var wholeSeconds: Int64 { Int64(timeIntervalSince1970.rounded(.down)) }

  init(wholeSeconds: Int64) { self.init(timeIntervalSince1970: Double(wholeSeconds)) }
}
