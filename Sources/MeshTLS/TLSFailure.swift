package import MeshModel

/// Why a TLS connection was refused or broken: bounded, one case for each refusal, free of memory to manage.
///
/// `reason` is the name that people meet in headers, metrics and logs; several cases share one where only the log
/// needs to tell them apart.
package enum TLSFailure: Error, Equatable, Sendable {
  /// The client showed no certificate where one is demanded.
  case noClientCertificate
  /// No certificate in the chain is signed by an authority of the trust bundle.
  case unknownAuthority
  /// A certificate of the chain ended before now, by more than the allowance for clocks that differ.
  case certificateExpired
  /// A certificate of the chain begins after now, by more than the allowance for clocks that differ.
  case certificateNotYetValid
  /// A certificate cannot be parsed, or breaks a rule of RFC 5280 (constraints, path length, weak signature).
  case certificateInvalid
  /// The certificate is not for this use: key usage or extended key usage forbid it.
  case wrongPurpose
  /// The peer shows the certificate of an authority as its own.
  case authorityAsLeaf
  /// The certificate has no URI name.
  case noIdentity
  /// The certificate has more than one URI name.
  case severalIdentities
  /// The URI name is not the SPIFFE ID of a workload.
  case invalidIdentity(SPIFFEIDError)
  /// The identity belongs to a trust domain that this trust bundle does not speak for.
  case foreignTrustDomain
  /// The identity is valid, and not one of those expected.
  case identityMismatch
  /// The peer offers only versions of TLS below the minimum.
  case versionTooOld
  /// No cipher, group or signature algorithm in common.
  case noCommonParameters
  /// No application protocol (ALPN) in common.
  case protocolMismatch
  /// The peer asked to renegotiate.
  case renegotiation
  /// The bytes are not TLS.
  case notTLS
  /// The peer ended the connection with this alert (RFC 8446, section 6).
  case peerAlert(UInt8)
  /// A record that cannot be decrypted, is too large, or comes where it may not.
  case badRecord
  /// A message that breaks the protocol.
  case protocolViolation
  /// The transport ended without the peer's close_notify: what was received may be cut short.
  case truncated
  /// The call makes no sense in this state: sealing before the handshake or after the end.
  case notOpen
  /// Memory or the TLS library failed us.
  case internalFailure

  /// The reason that people meet.
  package var reason: Reason {
    switch self {
    case .noClientCertificate: .tlsNoClientCertificate
    case .unknownAuthority: .tlsUnknownAuthority
    case .certificateExpired: .tlsCertificateExpired
    case .certificateNotYetValid: .tlsCertificateNotYetValid
    case .certificateInvalid, .wrongPurpose: .tlsCertificateInvalid
    case .authorityAsLeaf: .tlsAuthorityAsLeaf
    case .noIdentity: .tlsNoIdentity
    case .severalIdentities: .tlsSeveralIdentities
    case .invalidIdentity: .tlsInvalidIdentity
    case .foreignTrustDomain: .tlsForeignTrustDomain
    case .identityMismatch: .tlsIdentityMismatch
    case .versionTooOld: .tlsVersionTooOld
    case .protocolMismatch: .tlsProtocolMismatch
    case .renegotiation: .tlsRenegotiation
    case .notTLS: .tlsPlaintextRefused
    case .peerAlert(let code): TLSFailure.reason(ofAlert: code)
    case .truncated: .upstreamTruncated
    case .noCommonParameters, .badRecord, .protocolViolation, .notOpen, .internalFailure: .tlsHandshakeFailure
    }
  }

  /// The name for the log, snake case; finer than the reason's.
  package var name: StaticString {
    switch self {
    case .wrongPurpose: "wrong_purpose"
    case .noCommonParameters: "no_common_parameters"
    case .peerAlert: "peer_alert"
    case .badRecord: "bad_record"
    case .protocolViolation: "protocol_violation"
    case .truncated: "truncated"
    case .notOpen: "not_open"
    case .internalFailure: "internal_failure"
    case .notTLS: "not_tls"
    default: reason.name
    }
  }

  /// The alert that tells the peer (RFC 8446, section 6.2), for refusals that our own checks make.
  var alert: UInt8 {
    switch self {
    case .noClientCertificate: TLSAlert.certificateRequired
    case .unknownAuthority: TLSAlert.unknownAuthority
    case .certificateExpired, .certificateNotYetValid: TLSAlert.certificateExpired
    case .wrongPurpose: TLSAlert.unsupportedCertificate
    case .foreignTrustDomain, .identityMismatch: TLSAlert.accessDenied
    case .internalFailure: TLSAlert.internalError
    default: TLSAlert.badCertificate
    }
  }

  /// What a peer's alert says of the connection: several speak of *our* certificate.
  private static func reason(ofAlert code: UInt8) -> Reason {
    switch code {
    case TLSAlert.certificateExpired, TLSAlert.certificateRequired: .tlsNoOwnCertificate
    case TLSAlert.protocolVersion: .tlsVersionTooOld
    case TLSAlert.noApplicationProtocol: .tlsProtocolMismatch
    default: .tlsHandshakeFailure
    }
  }
}

/// The alert codes that the mesh names (RFC 8446, section 6; RFC 7301).
package enum TLSAlert {
  package static let closeNotify: UInt8 = 0
  package static let unexpectedMessage: UInt8 = 10
  package static let badRecordMAC: UInt8 = 20
  package static let recordOverflow: UInt8 = 22
  package static let badCertificate: UInt8 = 42
  package static let unsupportedCertificate: UInt8 = 43
  package static let certificateExpired: UInt8 = 45
  package static let unknownAuthority: UInt8 = 48
  package static let accessDenied: UInt8 = 49
  package static let decodeError: UInt8 = 50
  package static let protocolVersion: UInt8 = 70
  package static let internalError: UInt8 = 80
  package static let userCanceled: UInt8 = 90
  package static let certificateRequired: UInt8 = 116
  package static let noApplicationProtocol: UInt8 = 120
}
