import Synchronization

/// The certificate authority of a running control plane: one for everybody in it, renewed in place.
///
/// The intermediate's certificate is renewed at half of its life, with its key kept: what it has signed stays valid, and
/// every new leaf comes with the new one.
package final class LivingAuthority: Sendable {
  private let folder: String
  private let state: Mutex<CertificateAuthority>

  /// - Parameters:
  ///   - authority: what was opened.
  ///   - folder: where it was opened from.
  package init(_ authority: CertificateAuthority, folder: String) {
    self.folder = folder
    state = Mutex(authority)
  }

  /// The authority as it is now.
  package var current: CertificateAuthority { state.withLock { $0 } }

  /// Renews the intermediate's certificate if half of its life is over.
  ///
  /// - Parameter nowSeconds: since 1970.
  /// - Returns: whether there is a new one.
  /// - Throws: why it cannot be renewed; the authority goes on as it was.
  package func renewIfDue(nowSeconds: Int64) throws(AuthorityError) -> Bool {
    let before = current
    guard before.isRenewalDue(nowSeconds: nowSeconds) else { return false }
    let renewed = try CertificateAuthority.open(
      folder: folder, trustDomain: before.trustDomain, nowSeconds: nowSeconds)
    state.withLock { $0 = renewed }
    return true
  }
}
