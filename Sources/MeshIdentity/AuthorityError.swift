package import MeshModel

/// Why the certificate authority's folder cannot be used. Nothing is ever made anew in place of what is wrong: every
/// workload's trust hangs on these files.
package enum AuthorityError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A file cannot be read, or is open to others.
  case file(SecretFileError)
  /// Some files are there and this one is not.
  case incomplete(missing: String, folder: String)
  /// A file is not what its name says.
  case unreadable(path: String, expected: String)
  /// A key does not belong to its certificate.
  case keyMismatch(key: String, certificate: String)
  /// The intermediate is not signed by the root.
  case notSignedByRoot(path: String)
  /// The root's validity is over, or has not begun.
  case rootNotValid(path: String, notBeforeSeconds: Int64, notAfterSeconds: Int64)
  /// The authority was made for another trust domain.
  case otherTrustDomain(path: String, found: String, expected: TrustDomain)
  /// A certificate or key cannot be made.
  case cannotMake(what: String, cause: String)

  package var description: String {
    switch self {
    case .file(let error): error.description
    case .incomplete(let missing, let folder):
      "\(missing) is missing while other files of the authority are in \(folder). Put it back from a backup; or, to "
        + "start a new mesh whose workloads must all join again, move the whole folder away."
    case .unreadable(let path, let expected):
      "\(path) does not hold \(expected) in PEM. Put it back from a backup."
    case .keyMismatch(let key, let certificate):
      "The key in \(key) does not belong to the certificate in \(certificate). Put both back from one backup."
    case .notSignedByRoot(let path):
      "The certificate in \(path) is not signed by the root beside it. Put both back from one backup."
    case .rootNotValid(let path, let notBefore, let notAfter):
      "The root in \(path) is valid from \(notBefore) to \(notAfter) (seconds since 1970), and now is outside. "
        + "Check the clock of this machine; if it is right, a new root is needed."
    case .otherTrustDomain(let path, let found, let expected):
      "The root in \(path) was made for the trust domain \(found), and the mesh is to be \(expected.name). "
        + "Start with the first one, or give the new mesh a data folder of its own."
    case .cannotMake(let what, let cause): "Cannot make \(what): \(cause)."
    }
  }
}

/// Why a request for a certificate is refused. Bounded; `sentence` says it to the one who asked.
package enum SigningRefusal: Error, Equatable, Sendable, CaseIterable {
  /// Larger than `CertificateAuthority.maximumRequestBytes`.
  case tooLarge
  /// Not a PKCS#10 request.
  case unreadable
  /// Its signature does not fit its key: the sender has not shown that the key is its own.
  case badSignature
  /// The key is not P-256 or P-384.
  case keyNotAccepted
  /// It asks for no name.
  case noIdentity
  /// It asks for names besides the one SPIFFE ID.
  case otherNames
  /// The name it asks for is not the identity that the sender has proved.
  case identityMismatch
  /// The identity belongs to another trust domain than the authority.
  case foreignTrustDomain
  /// The life asked for is not 1 second to `CertificateAuthority.longestLifeSeconds`.
  case lifeOutOfRange
  /// Our own intermediate certificate is over.
  case authorityExpired
  /// The certificate could not be made.
  case internalFailure

  package var sentence: StaticString {
    switch self {
    case .tooLarge: "The certificate request is larger than 16 KiB."
    case .unreadable: "The certificate request is not PKCS#10 in PEM or DER."
    case .badSignature: "The certificate request is not signed by its own key."
    case .keyNotAccepted: "The key of the certificate request is neither P-256 nor P-384."
    case .noIdentity: "The certificate request names no SPIFFE ID as URI name."
    case .otherNames: "The certificate request asks for names besides one SPIFFE ID."
    case .identityMismatch: "The certificate request asks for an identity that the sender has not proved to have."
    case .foreignTrustDomain: "The identity belongs to another trust domain."
    case .lifeOutOfRange: "The life asked for is not between 1 second and 30 days."
    case .authorityExpired: "The authority's own certificate is over."
    case .internalFailure: "The certificate could not be made."
    }
  }
}
